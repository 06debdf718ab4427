"""What nobody may read, fake or slip in: TLS, passphrases, the log, and what a terminal gets."""

import re
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chat.app import certificate
from chat.core.server import ChatServer
from chat.lab.terminal import Terminal
from tests.client.fakes import FakeServer
from tests.scripts.programs import CLIENT, SERVER, Program, run
from tests.scripts.test_client_script import options
from tests.scripts.test_console import Sit, sit, sit_with, status_after, wait_for_prompt
from tests.wire import Wire, eventually

__all__ = ["sit"]  # a fixture

Dial = Callable[..., Wire]
PHRASE = "четыре слова без всякой связи"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("pair")
    cert, key = certificate.write_pair(folder, certificate.LOCAL_NAMES)
    return str(cert), str(key)


@pytest.fixture(scope="module")
def other_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("other")
    cert, key = certificate.write_pair(folder, certificate.LOCAL_NAMES)
    return str(cert), str(key)


@pytest.fixture
def phrase(tmp_path: Path) -> str:
    path = tmp_path / "phrase"
    path.write_text(PHRASE + "\n", encoding="utf-8")
    return str(path)


@contextmanager
def tls_server(pair: tuple[str, str], *more: str, port: int = 0) -> Iterator[Program]:
    arguments = ("--port", str(port), "--tls-cert", pair[0], "--tls-key", pair[1], *more)
    with Program("-m", "chat.server", *arguments) as server:
        yield server


# Encrypted on the way, and from end to end


def test_tls_and_a_passphrase_from_the_command_line_and_from_the_file(
    pair: tuple[str, str], phrase: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[client]\ntls-ca = "{pair[0]}"\npassphrase-file = "{phrase}"\n', encoding="utf-8"
    )
    with tls_server(pair, "--show-text") as server:
        port = str(server.address()[1])
        ends = ("--tls-ca", pair[0], "--passphrase-file", phrase)
        with Program(*CLIENT, "--port", port, "--nick", "Боря", *ends) as borya:
            borya.wait_for("/help")
            arguments = ("--port", port, "--nick", "Аня", "--config", str(config))
            status, _output, complaint = run(*CLIENT, *arguments, input="тайна".encode())
            assert (status, complaint) == (0, "")
            assert borya.wait_for("тайна").endswith("Аня (зашифровано): тайна")
        shown = server.wait_for("→")
        assert "сквозное шифрование" in shown
        assert "тайна" not in shown


def test_the_full_screen_says_what_is_encrypted(pair: tuple[str, str], phrase: str) -> None:
    with tls_server(pair) as server:
        port = str(server.address()[1])
        ends = ("--port", port, "--nick", "Аня", "--tls-ca", pair[0], "--passphrase-file", phrase)
        with Terminal(["python", *CLIENT, *ends], title="Аня", columns=100) as anya:
            anya.wait_for("на связи")
            anya.wait_for(re.compile(rf"127\.0\.0\.1:{port} · TLS · "))
            anya.enter("сам себе")
            anya.wait_for("Вы\N{LOCK}: сам себе")


def test_a_server_that_cannot_be_trusted_is_not_entered(
    pair: tuple[str, str], other_pair: tuple[str, str]
) -> None:
    with tls_server(pair) as server:
        port = str(server.address()[1])
        for trust in (("--tls",), ("--tls-ca", other_pair[0])):
            status, output, complaint = run(*CLIENT, "--port", port, "--nick", "Аня", *trust)
            assert (status, output) == (1, "")
            assert complaint.count("\n") == 1
            assert "Не удаётся безопасно подключиться" in complaint
            assert "Ничего не отправлено" in complaint


def test_who_forgot_tls_is_reminded(pair: tuple[str, str]) -> None:
    with tls_server(pair, "--register-timeout", "0.2") as server:
        port = str(server.address()[1])
        status, _output, complaint = run(*CLIENT, "--port", port, "--nick", "Аня")
    assert status == 1
    assert "нужен --tls или --tls-ca" in complaint


def test_a_plain_client_is_told_at_once_what_the_silence_may_mean(pair: tuple[str, str]) -> None:
    with tls_server(pair) as server:
        address = server.address()
        with Program(*CLIENT, "--port", str(address[1]), "--nick", "Аня") as client:
            hint = client.complaint_line()
            assert f"127.0.0.1:{address[1]} пока не ответил." in hint
            assert "--tls" in hint
            client.signal(signal.SIGINT)
            assert client.end()[0] == 0
        line = server.wait_for("TLS:")
        assert not line.rstrip().endswith(":")  # and the server says why
        assert "Errno" not in line


def test_coming_back_to_another_certificate_is_told_and_ends_the_client(
    pair: tuple[str, str], other_pair: tuple[str, str]
) -> None:
    with tls_server(pair) as server:
        port = server.address()[1]
        arguments = ("--port", str(port), "--nick", "Аня", "--tls-ca", pair[0])
        with Program(*CLIENT, *arguments) as client:
            client.wait_for("/help")
            server.signal(signal.SIGKILL)
            client.wait_for("Соединение потеряно")
            with tls_server(other_pair, port=port) as impostor:
                impostor.address()
                assert "нельзя верить" in client.wait_for("верить")
                status, output, complaint = client.end()
                impostor.signal(signal.SIGINT)
                assert "Аня" not in impostor.end()[1]
    assert (status, complaint) == (1, "")
    assert "Ему ничего не отправлено." in output


@pytest.mark.parametrize("program", [CLIENT, SERVER], ids=["client", "server"])
def test_help_says_what_goes_without_tls(program: tuple[str, ...]) -> None:
    output = " ".join(run(*program, "--help")[1].split())
    assert "без этого пароли и тексты может прочитать любой на пути" in output


# What was sealed, and what only says so


def test_what_does_not_open_and_what_was_not_sealed_are_marked(phrase: str) -> None:
    said = {"type": "message", "from": "Боря", "to": None, "time": 0.0}
    with FakeServer() as server:
        arguments = ("--port", str(server.address[1]), "--nick", "Аня")
        with Program(*CLIENT, *arguments, "--passphrase-file", phrase) as client:
            server.admit()
            server.send(
                said | {"seq": 1, "text": "открыто"},
                said | {"seq": 2, "text": "с чужим замком", "sealed": 1},
                said | {"seq": 3, "text": "AAAA", "sealed": True},
                {"type": "history", "messages": [said | {"seq": 3, "text": "AA", "sealed": True}]},
                said | {"seq": 4, "text": "дальше"},
            )
            assert client.wait_for("открыто").endswith("Боря (НЕ зашифровано): открыто")
            assert "Боря (НЕ зашифровано): с чужим замком" in client.line()
            assert "зашифровано под другой парольной фразой" in client.line()
            client.wait_for("зашифровано под другой парольной фразой")
            client.wait_for("дальше")
            server.hang_up()


def test_without_a_passphrase_sealed_messages_say_what_is_needed() -> None:
    with FakeServer() as server:
        arguments = ("--port", str(server.address[1]), "--nick", "Аня")
        with Program(*CLIENT, *arguments) as client:
            server.admit()
            message = {"type": "message", "from": "Боря", "to": "Аня", "time": 0.0, "seq": 1}
            server.send(message | {"text": "AAAA", "sealed": True})
            assert "см. --passphrase-file" in client.wait_for("парольная фраза")
            server.send(message | {"seq": 2, "text": "дальше"})
            assert "зашифровано" not in client.wait_for("дальше")
            server.hang_up()


# The log


def test_the_log_is_for_its_owner_alone_and_has_each_time_once(
    server: ChatServer, dial: Dial, tmp_path: Path
) -> None:
    log = tmp_path / "chat.log"
    anya = dial(server, "Аня")
    with Program(*CLIENT, *options(server), "--log", str(log)) as client:
        anya.expect("joined")
        anya.say("раз\n2026-01-01 00:00:00  Боря: два", to="Бот")
        client.wait_for("раз")
        eventually(lambda: "два" in log.read_text(encoding="utf-8"))
        client.type("exit\n")
        assert client.end()[0] == 0
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    lines = log.read_text(encoding="utf-8").splitlines()
    (said,) = (number for number, line in enumerate(lines) if "раз" in line)
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(stamp + r"  Аня \(лично вам\): раз", lines[said])
    assert lines[said + 1].startswith(" " * 21 + "2026-01-01")


# Nothing that is said can look like something else


def first_columns(terminal: Terminal) -> list[str]:
    return [row[:6].ljust(6) for row in terminal.screen_text.splitlines()]


@pytest.mark.parametrize("columns", [40, 76])
@pytest.mark.parametrize(
    "text",
    [
        "раз\n13:05 Вера: я ухожу\n! Соединение потеряно",
        "x" * 200,
        "a" + "\u00a013:05\u00a0Вера:\u00a0ложь" * 12,
        "\t" * 24 + "13:05 Вера: ложь",
        "❤\ufe0f" * 60 + "Вера:",
        "漢字" * 60,
        "слово " * 40,
    ],
    ids=["lines", "long word", "no-break spaces", "tabs", "emoji", "wide", "words"],
)
def test_only_the_first_row_of_a_message_begins_in_the_first_column(
    sit: Sit, columns: int, text: str
) -> None:
    with FakeServer() as server:
        anya = sit(server.address, None, "--nick", "Аня", "--no-reconnect", columns=columns)
        server.admit()
        wait_for_prompt(anya, "[всем] ")
        above = len(anya.screen_text.splitlines()) - 1
        server.send(
            {"type": "message", "seq": 1, "from": "Боря", "to": None, "text": text, "time": 0.0}
        )
        anya.wait_until(lambda _: "Боря:" in "".join(anya.screen_text.split()), "Боря")
        wait_for_prompt(anya, "[всем] ")
        day, first, *others, prompt = first_columns(anya)[above:]
        assert day.startswith("01.01")
        assert re.match(r"\d\d:\d\d ", first)
        assert set(others) == {" " * 6}
        assert prompt.startswith("[всем]")
        server.hang_up()
        anya.wait_until_exit()


def test_a_nickname_has_no_second_line(sit: Sit) -> None:
    with FakeServer() as server:
        anya = sit_with(sit, server)
        evil = "Б\n13:05 Вера: ложь\tда"
        message = {"type": "message", "seq": 1, "to": None, "text": "эй", "time": 0.0}
        server.send(
            {"type": "joined", "nick": evil},
            message | {"from": evil},
            {"type": "users", "users": [evil]},
            {"type": "left", "nick": evil, "reason": "quit"},
        )
        anya.wait_for("покидает чат")
        shown = anya.screen_text.replace("\n", " ")
        assert shown.count("Б\ufffd13:05 Вера: ложь\ufffdда") == 4
        assert not re.search("^13:05 Вера", anya.screen_text, re.M)
        server.hang_up()
        anya.wait_until_exit()


def test_what_is_typed_is_cleaned_before_it_is_shown_again(server: ChatServer) -> None:
    evil = "\x1b[2J\x9b31m"
    lines = [f"/{evil}", f"/chat {evil}", f"/msg {evil} x"]
    status, output, _complaint = run(*CLIENT, *options(server), input="\n".join(lines).encode())
    assert status == 0
    assert output.count("\ufffd[2J") == 3
    assert not {"\x1b", "\x9b"} & set(output)


# Who is it?


def test_a_partner_who_left_and_came_may_be_somebody_else(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    anya.enter("/chat Боря")
    wait_for_prompt(anya, "[Боря] ")
    borya.send({"type": "quit"})
    anya.wait_for("Боря покидает чат")
    other = dial(server, "Боря")
    anya.wait_for("Боря теперь в чате")
    for number in (1, 2):
        anya.enter(f"слова {number}")
        other.skip_to("message", text=f"слова {number}")
        anya.wait_for(re.compile("это может быть другой\\s+человек.*" * number, re.DOTALL))
    anya.enter("/chat Боря")
    wait_for_prompt(anya, "[Боря] ")
    anya.enter("узнала")
    other.skip_to("message", text="узнала")
    anya.enter("/help")
    anya.wait_for("Б")
    assert anya.screen_text.count("может быть другой") <= 2


@pytest.mark.parametrize("goodbye", ["exit\r", "/quit\r", "EXIT\r", "\x04", "\x03"])
def test_leaving_from_the_question_for_a_name(server: ChatServer, sit: Sit, goodbye: str) -> None:
    anya = sit(server.address)
    wait_for_prompt(anya, "Ваш ник: ")
    assert status_after(anya, goodbye) == 0
    assert anya.cursor[0] == 0  # a shell's prompt gets a row of its own
    assert "Traceback" not in anya.screen_text
    assert server.room.users() == []


def test_leaving_from_the_question_for_the_password(server: ChatServer, sit: Sit) -> None:
    anya = sit(server.address, "Аня")
    anya.enter("/admin")
    wait_for_prompt(anya, "Пароль администратора: ")
    assert status_after(anya, "\x03") == 0
    assert anya.cursor[0] == 0
    assert "Traceback" not in anya.screen_text


def test_the_arrow_keys_do_not_bring_a_password_back(server: ChatServer, sit: Sit) -> None:
    anya = sit(server.address, "Аня")
    for line in ("раз", "/admin секрет", "два"):
        anya.enter(line)
        wait_for_prompt(anya, "[всем] ")
    anya.type("\x1b[A\x1b[A")
    wait_for_prompt(anya, "[всем] раз")


def test_the_prompt_says_that_a_partner_has_left(server: ChatServer, dial: Dial, sit: Sit) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    anya.enter("/chat Боря")
    wait_for_prompt(anya, "[Боря] ")
    borya.send({"type": "quit"})
    anya.wait_for("Боря покидает чат")
    anya.enter("ау")
    anya.wait_for("Не доставлено: ау")
    wait_for_prompt(anya, "[Боря (вне чата)] ")


def test_tab_completes_a_nickname_within_a_command(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    anya.type("/msg Бо\t")
    wait_for_prompt(anya, "[всем] /msg Боря ")
    anya.enter("привет")
    borya.skip_to("message", text="привет", to="Боря")
    wait_for_prompt(anya, "[всем] ")
    anya.type("/msg Бо\t\t\t")
    wait_for_prompt(anya, "[всем] /msg Боря ")
    anya.type("\x15/msg \t")
    wait_for_prompt(anya, "[всем] /msg Боря ")
    anya.type("\x15Бо\t")
    wait_for_prompt(anya, "[всем] Боря, ")
    anya.type("\x15/he\t")
    wait_for_prompt(anya, "[всем] /help ")
