"""The client as a process with pipes: what a script, or a bot of a few words, needs."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from chat.app.conversation import Conversation, Line
from chat.core.client import WINDOW_BYTES, ChatClient
from chat.core.server import ChatServer
from chat.lab.terminal import clean_environment
from tests.client.fakes import FakeServer
from tests.scripts.programs import CLIENT, ROOT, Program, run
from tests.wire import Wire, eventually

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


def options(server: ChatServer, nick: str | None = "Бот") -> tuple[str, ...]:
    address = ("--port", str(server.address[1]))
    return address if nick is None else (*address, "--nick", nick)


@pytest.mark.parametrize(
    ("arguments", "cwd"),
    [
        (("-m", "chat.client"), ROOT),
        (("chat/client.py",), ROOT),
        ((str(ROOT / "chat" / "client.py"),), Path("/")),
    ],
    ids=["module", "script", "script from elsewhere"],
)
def test_a_line_through_a_pipe_is_delivered_and_the_status_is_0(
    server: ChatServer, dial: Dial, arguments: tuple[str, ...], cwd: Path
) -> None:
    r"""``printf 'привет\n' | python -m chat.client --nick Бот``, on a bare Python."""
    anya = dial(server, "Аня")
    bare = ("-S", "-X", "dev", "-W", "error")
    status, output, complaint = run(
        *bare, *arguments, *options(server), input="привет\n".encode(), cwd=cwd
    )
    assert (status, complaint) == (0, "")
    assert "Бот" in output
    assert "Аня" in output  # whom one can talk to
    assert "/help" in output  # and how to learn the commands
    anya.expect("joined", nick="Бот")
    anya.expect("message", from_="Бот", text="привет", to=None)
    anya.expect("left", nick="Бот", reason="quit")


def test_the_last_line_needs_no_line_feed(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    run(*CLIENT, *options(server), input="первая\nпоследняя".encode())
    anya.skip_to("message", text="первая")
    anya.expect("message", text="последняя")


def test_without_nick_nobody_is_asked_and_no_line_is_taken_for_one(
    server: ChatServer, dial: Dial
) -> None:
    anya = dial(server, "Аня")
    arguments = (*CLIENT, *options(server, None))
    status, output, complaint = run(*arguments, input="тайна\nпривет\n".encode())
    assert (status, output) == (1, "")
    assert complaint == "Спросить ник здесь не у кого: задайте его параметром --nick НИК.\n"
    assert run(*arguments, env={"CHAT_NICK": "Бот"})[0] == 0
    anya.expect("joined", nick="Бот")


def test_an_empty_nick_is_not_asked_for_either(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    arguments = (*CLIENT, "--port", str(server.address[1]), "--nick", "")
    status, _output, complaint = run(*arguments, input="тайна\n".encode())
    assert status == 1
    assert "не подойдёт" in complaint
    anya.expect_silence()


def test_a_line_without_end_takes_no_memory_without_end(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    with Program(*CLIENT, *options(server)) as client:
        client.wait_for("/help")
        for _ in range(3):
            client.type("x" * (1024 * 1024))
            client.wait_for("Слишком длинное сообщение")
        client.type("\nдальше\n")
        anya.skip_to("message", text="дальше")


def test_with_its_input_closed_it_says_hello_and_leaves(server: ChatServer) -> None:
    command = [sys.executable, *CLIENT, *options(server)]
    done = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *command],
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        env=clean_environment(),
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_log_is_nobody_elses(server: ChatServer, tmp_path: Path) -> None:
    path = tmp_path / "log"
    run(*CLIENT, *options(server), "--log", str(path), input=b"exit\n")
    assert path.stat().st_mode & 0o077 == 0


def test_the_package_itself_says_what_to_start() -> None:
    status, output, complaint = run("-m", "chat", env={"LANGUAGE": "en"})
    assert (status, output) == (2, "")
    assert "chat.server" in complaint


def test_many_lines_are_all_delivered_at_the_pace_that_the_server_asks_for(
    serve: Serve, dial: Dial
) -> None:
    server = serve(rate=300, burst=20)
    anya = dial(server, "Аня")
    lines = [f"строка {number}" for number in range(100)]
    status, _output, complaint = run(*CLIENT, *options(server), input="\n".join(lines).encode())
    assert (status, complaint) == (0, "")
    assert [anya.skip_to("message")["text"] for _ in lines] == lines


def test_it_leaves_only_when_every_line_has_been_acknowledged() -> None:
    with FakeServer() as server:
        arguments = ("--port", str(server.address[1]), "--nick", "Бот")
        with Program(*CLIENT, *arguments) as client:
            server.admit()
            client.type("дошло?\n")
            client.end_input()
            number = server.receive()["id"]
            assert server.is_quiet()
            server.send({"type": "error", "code": "text_too_long", "id": number})
            assert server.receive() == {"type": "quit"}
            server.hang_up()
            status, output, complaint = client.end()
    assert (status, complaint) == (0, "")
    assert output.endswith("Не доставлено: дошло?\n")


def test_what_others_say_is_on_the_output(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    with Program(*CLIENT, *options(server)) as client:
        anya.expect("joined")
        anya.say("привет, бот")
        assert re.fullmatch(r"\d\d:\d\d Аня: привет, бот", client.wait_for("привет"))
        anya.say("по секрету", to="Бот", number=2)
        assert client.wait_for("секрету").endswith("Аня (лично вам): по секрету")
        client.type("exit\n")
        status, _output, complaint = client.end()
        assert (status, complaint) == (0, "")


@pytest.mark.parametrize(
    "goodbye", ["exit\n", "/quit\n", "  exit  \n", "/quit сейчас\n", "/EXIT\n", ""]
)
def test_goodbye(server: ChatServer, dial: Dial, goodbye: str) -> None:
    anya = dial(server, "Аня")
    with Program(*CLIENT, *options(server)) as client:
        client.type(goodbye)
        if not goodbye:
            client.end_input()
        assert client.end()[0] == 0
    anya.expect("joined")
    anya.expect("left", nick="Бот", reason="quit")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(server: ChatServer, dial: Dial, number: signal.Signals) -> None:
    anya = dial(server, "Аня")
    with Program(*CLIENT, *options(server)) as client:
        client.wait_for("/help")
        client.signal(number)
        status, _output, complaint = client.end()
        assert (status, complaint) == (0, "")
    anya.expect("joined")
    anya.expect("left", nick="Бот", reason="quit")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_waiting_for_a_server_that_does_not_answer(
    number: signal.Signals,
) -> None:
    with FakeServer() as server:
        arguments = ("--port", str(server.address[1]), "--nick", "Бот")
        with Program(*CLIENT, *arguments) as client:
            server.admit()
            client.type("слышно?\n")
            client.end_input()
            assert server.receive()["text"] == "слышно?"
            client.signal(number)
            assert server.receive() == {"type": "quit"}
            server.hang_up()
            status, _output, complaint = client.end()
            assert (status, complaint) == (0, "")


def test_a_signal_ends_the_waiting_for_a_server_that_falls_behind() -> None:
    """So much is unacknowledged that the next line has to wait."""
    with FakeServer() as server:
        arguments = ("--port", str(server.address[1]), "--nick", "Бот")
        with Program(*CLIENT, *arguments) as client:
            server.admit()
            lines = WINDOW_BYTES // 1900 + 1
            client.type(f"{'x' * 1900}\n" * lines)
            received = 0
            while not server.is_quiet():
                server.receive()
                received += 1
            assert received < lines
            client.signal(signal.SIGINT)
            while server.receive()["type"] != "quit":
                pass
            server.hang_up()
            status, _output, complaint = client.end()
            assert (status, complaint) == (0, "")


def test_a_client_whose_process_is_killed_is_removed_and_announced(
    server: ChatServer, dial: Dial
) -> None:
    anya = dial(server, "Аня")
    with Program(*CLIENT, *options(server)) as client:
        anya.expect("joined", nick="Бот")
        client.signal(signal.SIGKILL)
        anya.expect("left", nick="Бот", reason="lost")
        assert client.end()[0] == -signal.SIGKILL
    assert server.room.users() == ["Аня"]


def test_a_server_that_stops_ends_its_clients_with_a_sentence(serve: Serve) -> None:
    server = serve()
    with Program(*CLIENT, *options(server)) as client:
        client.wait_for("/help")
        server.stop()
        status, output, complaint = client.end()
    assert (status, complaint) == (0, "")
    assert output == "! Сервер завершает работу. Разговор окончен.\n"


def test_a_server_that_is_killed_ends_its_clients_with_status_1() -> None:
    with Program("-m", "chat.server", "--port", "0") as server:
        port = str(server.address()[1])
        with Program(*CLIENT, "--port", port, "--nick", "Бот", "--no-reconnect") as client:
            client.wait_for("/help")
            server.signal(signal.SIGKILL)
            status, output, complaint = client.end()
    assert (status, complaint) == (1, "")
    assert output == "! Соединение с сервером потеряно.\n"


def test_a_connection_lost_at_once_is_status_1_as_well() -> None:
    """However early the end comes, it is no success."""
    for _ in range(5):
        with FakeServer() as server:
            arguments = ("--port", str(server.address[1]), "--nick", "Бот", "--no-reconnect")
            with Program(*CLIENT, *arguments) as client:
                server.admit()
                server.hang_up()
                status, _output, complaint = client.end()
        assert (status, complaint) == (1, "")


@pytest.mark.parametrize("word", ["quit", "help", "?", "выход", "помощь", " QUIT "])
def test_a_command_without_its_slash_goes_to_nobody(
    server: ChatServer, dial: Dial, word: str
) -> None:
    anya = dial(server, "Аня")
    lines = f"{word}\n{word.strip()}.\n"
    status, output, complaint = run(*CLIENT, *options(server), input=lines.encode())
    assert (status, complaint) == (0, "")
    assert output.count("Ничего не отправлено. Команды начинаются с косой черты: /") == 1
    anya.expect("joined")
    anya.expect("message", text=f"{word.strip()}.")


@pytest.mark.parametrize(
    "command", ["/admin", " /ADMIN ", "/admin\t", "/admin\n\n", "\ufeff/admin", "/admin\r"]
)
def test_what_follows_admin_is_the_password_and_no_message(
    serve: Serve, dial: Dial, command: str
) -> None:
    server = serve(admin_password="секрет")
    anya = dial(server, "Аня")
    end = "\r\n" if command.endswith("\r") else "\n"
    lines = f"{command}\nсекрет{end}привет{end}"
    status, output, complaint = run(*CLIENT, *options(server), input=lines.encode())
    assert (status, complaint) == (0, "")
    assert "Вы администратор" in output
    anya.expect("joined")
    anya.expect("message", text="привет")


@pytest.mark.parametrize("line", [" /admin секрет", "/ADMIN\tсекрет", "/admin  секрет "])
def test_a_password_behind_admin_is_no_message_however_it_is_typed(
    serve: Serve, dial: Dial, line: str
) -> None:
    server = serve(admin_password="секрет")
    anya = dial(server, "Аня")
    _status, output, _complaint = run(*CLIENT, *options(server), input=f"{line}\n".encode())
    assert "Вы администратор" in output
    assert "секрет" not in output
    anya.expect("joined")
    anya.expect("left")


def test_an_empty_password_and_none_at_all(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    status, output, complaint = run(*CLIENT, *options(server), input=b"/admin\n\n")
    assert (status, complaint) == (0, "")
    assert "Вы администратор" not in output
    anya.expect("joined")
    anya.expect("left")


def test_who_comes_back_is_told_why_old_private_messages_are_missing(
    server: ChatServer, dial: Dial
) -> None:
    anya = dial(server, "Аня")
    anya.say("всем")
    with Program(*CLIENT, *options(server)) as client:
        client.wait_for("/help")
        client.type("/history\n")
        client.wait_for("всем")
        assert "один лишь ник не доказывает" in client.line()
        client.type("/history 1\n")
        client.wait_for("всем")


def test_a_message_that_was_held_back_is_shown_with_what_to_do() -> None:
    face = Face(ChatClient(("127.0.0.1", 1)))
    held = {"id": 7, "to": "Боря", "text": "код 4711"}
    face.on_event({"type": "held", "message": held})
    assert face.shown == [
        "! Не отправлено: Боря — адресат — больше не в чате, и под этим ником теперь может быть "
        "другой человек: код 4711 — всё равно отправить: /msg Боря ТЕКСТ."
    ]


def test_a_nickname_is_completed_while_its_owners_go_on_talking() -> None:
    """The listener's thread notes who has spoken while the user's thread looks at it."""
    face = Face(ChatClient(("127.0.0.1", 1)))
    nicks = [f"n{number}" for number in range(5000)]
    face.client._users.update({nick: (nick, None) for nick in nicks[-10:]})
    message = {"type": "message", "seq": 1, "to": None, "text": "эй", "time": 0.0}

    def talk() -> None:
        for nick in nicks:
            face.on_event(message | {"from": nick})

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        talking = threading.Thread(target=talk)
        talking.start()
        while talking.is_alive():
            assert len(face.candidates("", "n")) == 10
        talking.join()
    finally:
        sys.setswitchinterval(before)
    assert face.candidates("", "n")[0] == "n4999, "


class Face(Conversation):
    """A conversation that only notes what it is to show."""

    def __init__(self, client: ChatClient) -> None:
        super().__init__(client)
        self.shown: list[str] = []

    def display(self, lines: list[Line]) -> None:
        self.shown.extend(line.text for line in lines)

    def ring(self) -> None: ...

    def ask_password(self) -> None: ...

    def over(self) -> None: ...


# What cannot be done is one sentence


def complaint_of(*arguments: str, status: int, input: bytes = b"") -> str:
    """Run the client, which must end with *status* and one sentence; return the sentence."""
    ended, _output, complaint = run(*CLIENT, *arguments, input=input)
    assert ended == status
    assert complaint.count("\n") == 1
    assert complaint.endswith(".\n")
    return complaint


def test_nobody_listens(serve: Serve) -> None:
    server = serve()
    server.stop()
    complaint = complaint_of(*options(server), status=1)
    assert f"127.0.0.1:{server.address[1]}" in complaint
    assert "никто не слушает" in complaint


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_no_chat_server(greeting: bytes) -> None:
    with FakeServer() as server:
        arguments = ("--port", str(server.address[1]), "--nick", "Бот")
        with Program(*CLIENT, *arguments) as client:
            server.accept()
            server.send_raw(greeting)
            server.hang_up()
            status, output, complaint = client.end()
    assert status == 1
    assert output == ""
    assert "не сервер чата" in complaint
    assert complaint.count("\n") == 1


def test_a_nickname_that_is_taken_or_will_not_do(server: ChatServer, dial: Dial) -> None:
    dial(server, "Аня")
    assert "занят" in complaint_of(*options(server, "аня"), status=1)
    assert "не подойдёт" in complaint_of(*options(server, "два слова"), status=1)


def test_a_full_server(serve: Serve, dial: Dial) -> None:
    server = serve(max_clients=1)
    dial(server, "Аня")
    assert "нет мест" in complaint_of(*options(server), status=1)


@pytest.mark.parametrize(
    "arguments",
    [("--port", "65536"), ("--nick",), ("--lang", "de"), ("--host", "a..b"), ("--colour",), ("x",)],
    ids=" ".join,
)
def test_a_bad_argument(arguments: tuple[str, ...]) -> None:
    complaint_of(*arguments, status=2)


def test_a_host_that_is_not_known() -> None:
    assert "узел неизвестен" in complaint_of("--host", "no-such-host.invalid", status=1)


@pytest.mark.parametrize("language", ["ru", "en"])
def test_help_that_names_every_option(language: str) -> None:
    status, output, complaint = run(*CLIENT, "--help", "--lang", language)
    assert (status, complaint) == (0, "")
    for option in ("--host", "--port", "--nick", "--log", "--lang"):
        assert option in output
    assert ("ваш ник" in output) == (language == "ru")
    assert ("your nickname" in output) == (language == "en")
    assert "0: " not in output  # a client's port is not picked by anybody


# Odd bytes


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_bytes_that_are_no_text_are_replaced_and_end_nothing(
    server: ChatServer, dial: Dial, errors: str
) -> None:
    anya = dial(server, "Аня")
    status, _output, complaint = run(
        *CLIENT,
        *options(server),
        input=b"\xff\xd0\n/admin \xff\n/msg \xff \xff\n" + "дальше\n".encode(),
        env={"PYTHONIOENCODING": f"utf-8:{errors}"},
    )
    assert (status, complaint) == (0, "")
    anya.skip_to("message", text="\ufffd\ufffd")
    anya.expect("message", text="дальше")


def test_a_nickname_of_bytes_that_are_no_text(server: ChatServer) -> None:
    nick = b"\xff".decode(errors="surrogateescape")
    assert "не подойдёт" in complaint_of(*options(server, nick), status=1)


def test_an_output_that_knows_no_russian_is_no_reason_to_stop(
    server: ChatServer, dial: Dial
) -> None:
    anya = dial(server, "Аня")
    status, _output, complaint = run(
        *CLIENT,
        *options(server),
        input=b"hello\n",
        env={"PYTHONIOENCODING": "ascii"},
    )
    assert (status, complaint) == (0, "")
    anya.skip_to("message", text="hello")


def test_nobody_reading_its_output_does_not_stop_it(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    with Program(*CLIENT, *options(server)) as client:
        client.wait_for("/help")
        client.stop_reading()
        anya.expect("joined")
        anya.say("читаешь?")
        anya.request("users")
        client.type("нет, но пишу\n")
        anya.expect("message", text="нет, но пишу")
        client.end_input()
        status, _output, complaint = client.end()
    assert (status, complaint) == (0, "")


# The log


def has_text(file: Path, text: str) -> bool:
    return text in file.read_text(encoding="utf-8")


def test_the_log_gets_what_was_received_and_goes_on_from_run_to_run(
    server: ChatServer, dial: Dial, tmp_path: Path
) -> None:
    log = tmp_path / "chat.log"
    anya = dial(server, "Аня")
    for text in ("первое", "второе"):
        with Program(*CLIENT, *options(server), "--log", str(log)) as client:
            anya.skip_to("joined")
            anya.say(text)
            client.wait_for(text)
            eventually(partial(has_text, log, text))
            client.type("exit\n")
            assert client.end()[0] == 0
        anya.skip_to("left")
    lines = log.read_text(encoding="utf-8").splitlines()
    said = [line for line in lines if "Аня: " in line]
    assert [line.rpartition(": ")[2] for line in said] == ["первое", "второе"]
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  "
    assert all(re.match(stamp, line) for line in lines)
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("path", ["/", "/no/such/folder/chat.log"])
def test_a_log_that_cannot_be_written(server: ChatServer, path: str) -> None:
    assert path in complaint_of(*options(server), "--log", path, status=1)


def test_a_full_disk_ends_the_log_and_not_the_conversation(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    status, output, complaint = run(
        *CLIENT, *options(server), "--log", "/dev/full", input="дальше\n".encode()
    )
    assert (status, complaint) == (0, "")
    assert output.count("Журнал больше не пишется") == 1
    anya.skip_to("message", text="дальше")
