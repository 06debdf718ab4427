"""The client at a real terminal: what a person types, and what they see.

The others in these conversations are raw wires; the program under test is a process of its own
behind a pseudo-terminal, and a terminal emulator turns its output into a screen.
"""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chat.app.conversation import COMMANDS, command_list
from chat.core.server import ChatServer
from chat.lab.terminal import ScreenTimeout, Terminal
from tests.client.fakes import FakeServer
from tests.scripts.programs import ROOT, Program
from tests.wire import PATIENCE, Wire, eventually

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]
Sit = Callable[..., Terminal]


@pytest.fixture
def sit() -> Iterator[Sit]:
    """Start clients in terminals: ``sit(server.address, "Аня")`` waits until she is in."""
    with ExitStack() as stack:

        def start(
            address: tuple[str, int],
            nick: str | None = None,
            *options: str,
            columns: int = 80,
            env: dict[str, str] | None = None,
        ) -> Terminal:
            command = [sys.executable, "-m", "chat.client", "--plain", "--port", str(address[1])]
            terminal = stack.enter_context(
                Terminal(
                    [*command, *options, *([] if nick is None else ["--nick", nick])],
                    title=nick or "?",
                    cwd=ROOT,
                    columns=columns,
                    env=env,
                )
            )
            if nick is not None:
                wait_for_prompt(terminal, "[всем] " if "en" not in options else "[all] ")
            return terminal

        yield start


def wait_for_prompt(terminal: Terminal, line: str) -> None:
    """Wait until the line before the cursor is exactly *line*: a prompt and what was typed."""
    terminal.wait_until(lambda _: terminal.line_before_cursor == line, repr(line))


def status_after(terminal: Terminal, keys: str) -> int:
    """Press *keys* that end the program, and return its status.

    Ctrl-C is pressed again when it was too early: after the prompt is drawn and before it waits for
    a key, readline notices no signal until the next key comes.
    """
    for _ in range(10):
        terminal.type(keys)
        try:
            return terminal.wait_until_exit(timeout=0.5 if "\x03" in keys else PATIENCE)
        except ScreenTimeout:
            if not keys.endswith("\x03"):
                raise
            keys = "\x03"
    raise AssertionError(terminal.screen_text)


# Entering


def test_who_enters_is_told_their_name_the_users_and_where_the_commands_are(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    dial(server, "Боря")
    dial(server, "Вера")
    anya = sit(server.address, "Аня")
    anya.wait_for("Вы в чате, ваш ник — Аня.")
    anya.wait_for("Кроме вас, здесь 2 пользователя: Боря, Вера")
    anya.wait_for("/help — список команд.")


def test_a_name_not_given_is_asked_for(server: ChatServer, sit: Sit) -> None:
    anya = sit(server.address)
    wait_for_prompt(anya, "Ваш ник: ")
    anya.enter("Аня")
    anya.wait_for("Вы в чате, ваш ник — Аня.")
    assert server.room.users() == ["Аня"]


def test_a_nickname_that_is_taken_can_be_corrected_at_once(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    dial(server, "Аня")
    other = sit(server.address)
    wait_for_prompt(other, "Ваш ник: ")
    other.enter("аня")
    other.wait_for("Этот ник уже занят. Выберите другой.")
    wait_for_prompt(other, "Ваш ник: ")
    other.enter("два слова")
    other.wait_for("Такой ник не подойдёт")
    wait_for_prompt(other, "Ваш ник: ")
    other.enter("Боря")
    other.wait_for("Вы в чате, ваш ник — Боря.")


def test_a_nickname_on_the_command_line_that_is_taken_can_be_corrected_too(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    dial(server, "Аня")
    other = sit(server.address, None, "--nick", "Аня")
    other.wait_for("Этот ник уже занят.")
    wait_for_prompt(other, "Ваш ник: ")
    other.enter("Боря")
    other.wait_for("ваш ник — Боря.")


def test_who_takes_their_time_to_think_of_a_name_gets_in_all_the_same(
    serve: Serve, sit: Sit
) -> None:
    server = serve(register_timeout=1, drain_timeout=0.05)
    anya = sit(server.address)
    wait_for_prompt(anya, "Ваш ник: ")
    eventually(lambda: not server._clients)  # the server has hung up
    anya.enter("Аня")
    anya.wait_for("ваш ник — Аня.")


@pytest.mark.parametrize("keys", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_leaving_before_having_a_name(server: ChatServer, sit: Sit, keys: str) -> None:
    anya = sit(server.address)
    wait_for_prompt(anya, "Ваш ник: ")
    assert status_after(anya, keys) == 0
    assert "Traceback" not in anya.screen_text


# Talking


def test_what_is_typed_goes_to_all_and_does_not_come_back(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    anya.enter("привет")
    borya.expect("joined")
    borya.expect("message", from_="Аня", text="привет", to=None)
    borya.say("и тебе")
    anya.wait_for("Боря: и тебе")
    assert anya.screen_text.count("привет") == 1  # as it was typed


def test_the_prompt_shows_whom_the_lines_go_to(server: ChatServer, dial: Dial, sit: Sit) -> None:
    borya, vera = dial(server, "Боря"), dial(server, "Вера")
    anya = sit(server.address, "Аня")
    anya.enter("/chat боря")
    anya.wait_for("Теперь ваши строки видит только Боря")
    wait_for_prompt(anya, "[Боря] ")
    anya.enter("первая  строка")
    wait_for_prompt(anya, "[Боря] ")
    anya.enter("вторая")
    borya.skip_to("message", text="первая  строка", to="Боря")
    borya.expect("message", text="вторая", to="Боря")
    anya.enter("/all")
    wait_for_prompt(anya, "[всем] ")
    anya.enter("третья")
    borya.expect("message", text="третья", to=None)
    vera.expect("joined")
    vera.expect("message", text="третья")


def test_choosing_somebody_who_is_not_there_changes_nothing(server: ChatServer, sit: Sit) -> None:
    anya = sit(server.address, "Аня")
    for line, answer in (
        ("/chat Гриша", "Пользователя Гриша в чате нет."),
        ("/chat", "С кем говорить? /chat НИК"),
        ("/chat Аня", "Это вы сами."),
    ):
        anya.enter(line)
        anya.wait_for(answer)
        wait_for_prompt(anya, "[всем] ")


def test_msg_is_for_one_message(server: ChatServer, dial: Dial, sit: Sit) -> None:
    borya, vera = dial(server, "Боря"), dial(server, "Вера")
    anya = sit(server.address, "Аня")
    anya.enter("/msg БОРЯ два  пробела")
    borya.skip_to("message", text="два  пробела", to="Боря")
    wait_for_prompt(anya, "[всем] ")
    anya.enter("всем")
    vera.expect("joined")
    vera.expect("message", text="всем")
    for line in ("/msg", "/msg Боря", "/msg Боря  "):
        anya.enter("/all")
        wait_for_prompt(anya, "[всем] ")
        anya.enter(line)
        anya.wait_for("Кому и что? /msg НИК ТЕКСТ")
    anya.enter("/msg Гриша эй")
    anya.wait_for("Пользователя Гриша в чате нет.")
    vera.expect_silence()


def test_a_partner_who_has_left_is_not_written_to(server: ChatServer, dial: Dial, sit: Sit) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    anya.enter("/chat Боря")
    wait_for_prompt(anya, "[Боря] ")
    borya.close()
    anya.wait_for("Боря больше не в чате: соединение потеряно")
    anya.enter("ты где?")
    anya.wait_for("Такого пользователя здесь нет.")
    anya.wait_for("Не доставлено: ты где?")


def test_a_private_message_is_marked_as_one(server: ChatServer, dial: Dial, sit: Sit) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    borya.expect("joined")
    borya.say("шёпот", to="Аня")
    anya.wait_for("Боря (лично вам): шёпот")


def test_names_that_begin_alike_are_two_people(server: ChatServer, dial: Dial, sit: Sit) -> None:
    anna = dial(server, "Anna")
    ann = sit(server.address, "Ann")
    anna.expect("joined")
    anna.say("hello, Ann")
    ann.wait_for("Anna: hello, Ann")


def test_a_line_that_begins_with_a_slash_can_be_said(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    anya.enter("//help покажет команды")
    borya.skip_to("message", text="/help покажет команды")


# Typing is never destroyed by what arrives


def test_a_message_that_arrives_while_a_line_is_half_typed_leaves_it_whole(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    anya.type("полстроки")
    wait_for_prompt(anya, "[всем] полстроки")
    borya.expect("joined")
    borya.say("а вот и я")
    anya.wait_for("Боря: а вот и я")
    wait_for_prompt(anya, "[всем] полстроки")
    assert anya.screen_text.splitlines()[-2].endswith("Боря: а вот и я")
    anya.enter(", и ещё пол")
    borya.expect("message", text="полстроки, и ещё пол")


def test_a_half_typed_line_of_several_rows_stays_whole(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня", columns=40)
    text = "длинная строка, которая не помещается в один ряд экрана, и в два ряда тоже нет"
    anya.type(text)
    anya.wait_for(text[-20:])
    borya.expect("joined")
    for number in range(3):
        borya.say(f"сообщение {number}", number=number)
        anya.wait_for(f"Боря: сообщение {number}")
    anya.wait_for(text)
    shown = anya.screen_text.replace("\n", "")
    assert shown.count("длинная строка") == 1
    assert shown.endswith(text)
    anya.enter("")
    borya.expect("message", text=text)


def test_a_message_while_nothing_is_typed_leaves_the_prompt(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    borya.expect("joined")
    for number in range(5):
        borya.say(str(number), number=number)
    anya.wait_for("Боря: 4")
    wait_for_prompt(anya, "[всем] ")
    assert anya.screen_text.count("[всем]") == 1


def test_a_text_of_several_lines_is_shown_as_one_message(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    borya.expect("joined")
    borya.say("раз\nАня: два")
    anya.wait_for(re.compile(r"^\d\d:\d\d Боря: раз\n +Аня: два$", re.M))


# Commands


def test_help_names_every_command(server: ChatServer, sit: Sit) -> None:
    anya = sit(server.address, "Аня")
    anya.enter("/help")
    anya.wait_for("сказать строку, которая начинается с косой черты")
    for command in [*COMMANDS, "quit"]:
        assert f"/{command}" in anya.screen_text or command == "help"


@pytest.mark.parametrize("columns", [24, 40, 80])
def test_help_is_broken_between_words_and_indented(
    server: ChatServer, sit: Sit, columns: int
) -> None:
    anya = sit(server.address, "Аня", columns=columns)
    anya.enter("/help")
    anya.wait_for("косой черты")
    wait_for_prompt(anya, "[всем] ")
    rows = anya.screen_text.splitlines()[:-1]
    while not rows[0].startswith("  /"):  # what was above, or has scrolled out
        del rows[0]
    margin = " " * min(21, columns // 3)
    assert all(row.startswith(("  /", margin)) for row in rows)
    whole = {word for row in command_list() for text in row for word in text.split()}
    assert {word for row in rows for word in row.split()} <= whole


@pytest.mark.parametrize("columns", [24, 40, 80])
def test_an_error_of_usage_is_broken_between_words_and_indented(columns: int) -> None:
    command = [sys.executable, "-m", "chat.client", "--port", "http"]
    with Terminal(command, title="?", cwd=ROOT, columns=columns) as terminal:
        assert terminal.wait_until_exit() == 2
        first, *others = terminal.screen_text.splitlines()
    assert first.startswith("chat.client: ")
    assert all(row.startswith("  ") for row in others)
    assert {"параметр", "порт", "65535,"} <= set(" ".join([first, *others]).split())


def test_users(server: ChatServer, dial: Dial, sit: Sit) -> None:
    anya = sit(server.address, "Аня")
    anya.enter("/users")
    wait_for_prompt(anya, "[всем] ")
    anya.wait_until(lambda _: anya.screen_text.count("здесь пока никого нет") == 2, "nobody, twice")
    dial(server, "Боря")
    anya.wait_for("Боря теперь в чате")
    anya.enter("/users")
    anya.wait_for("Кроме вас, здесь 1 пользователь: Боря")


def test_history(server: ChatServer, dial: Dial, sit: Sit) -> None:
    anya = sit(server.address, "Аня")
    anya.enter("/history")
    anya.wait_for("Пока ничего не сказано.")
    borya = dial(server, "Боря")
    borya.say("раз")
    borya.say("два", to="Аня", number=2)
    anya.wait_for("Боря (лично вам): два")
    anya.enter("три")
    borya.expect("message")
    anya.enter("/history")
    anya.wait_for(
        re.compile(
            r"Последние 3 сообщения:\n"
            r"\d\d:\d\d Боря: раз\n"
            r"\d\d:\d\d Боря \(лично вам\): два\n"
            r"\d\d:\d\d Вы: три\n"
        )
    )
    anya.enter("/history 1")
    anya.wait_for(re.compile(r"Последнее 1 сообщение:\n\d\d:\d\d Вы: три\n"))
    anya.enter("/history много")
    anya.wait_for("Сколько сообщений? /history ЧИСЛО")


def test_a_command_that_does_not_exist(server: ChatServer, dial: Dial, sit: Sit) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    anya.enter("/dance с Борей")
    anya.wait_for("Команды /dance нет. Список команд — /help.")
    borya.expect("joined")
    borya.expect_silence()


def test_the_joke_is_seen_by_everybody_in_the_same_way(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    anya.enter("/dice")
    rolled = anya.wait_for(re.compile(r"Вы бросили кубик: ([1-6])\."))[1]
    borya.skip_to(
        "message", text=f"Мой кубик показал {rolled}, честное слово!", from_="Аня", to=None
    )


def test_in_a_private_conversation_the_joke_is_private(
    server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya, vera = dial(server, "Боря"), dial(server, "Вера")
    anya = sit(server.address, "Аня")
    anya.enter("/chat Боря")
    wait_for_prompt(anya, "[Боря] ")
    anya.enter("/dice")
    borya.skip_to("message", from_="Аня", to="Боря")
    anya.enter("/all")
    wait_for_prompt(anya, "[всем] ")
    anya.enter("дальше")
    vera.expect("joined")
    vera.expect("message", text="дальше")


def test_an_empty_line_is_not_sent(server: ChatServer, dial: Dial, sit: Sit) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    anya.enter("")
    anya.enter("   ")
    anya.enter("готово")
    borya.expect("joined")
    borya.expect("message", text="готово")


@pytest.mark.parametrize("goodbye", ["exit\r", "/quit\r", "\x04", "\x03", "недописанное\x03"])
def test_goodbye(server: ChatServer, dial: Dial, sit: Sit, goodbye: str) -> None:
    borya = dial(server, "Боря")
    anya = sit(server.address, "Аня")
    assert status_after(anya, goodbye) == 0
    assert "Traceback" not in anya.screen_text
    borya.expect("joined")
    borya.expect("left", nick="Аня", reason="quit")


# The admin


@pytest.fixture
def strict_server(serve: Serve) -> ChatServer:
    return serve(admin_password="секрет")


def become_admin(terminal: Terminal) -> None:
    terminal.enter("/admin")
    wait_for_prompt(terminal, "Пароль администратора: ")
    terminal.enter("секрет")
    terminal.wait_for("Вы администратор")
    assert "секрет" not in terminal.screen_text


def test_who_is_not_admin_may_neither_kick_nor_stop(
    strict_server: ChatServer, dial: Dial, sit: Sit
) -> None:
    dial(strict_server, "Боря")
    anya = sit(strict_server.address, "Аня")
    for refusals, line in enumerate(("/kick Боря", "/down"), start=1):
        anya.enter(line)
        anya.wait_for(re.compile(r"(Это может только администратор[^$]*)" * refusals))
    anya.enter("/admin не тот")
    anya.wait_for("Это не пароль администратора, или сервер запущен без него")
    for _ in range(5):
        anya.enter("/admin не тот")
    anya.wait_for("Слишком много неверных паролей. Подождите несколько секунд")
    assert strict_server.room.users() == ["Аня", "Боря"]


def test_an_admin_removes_a_user(strict_server: ChatServer, dial: Dial, sit: Sit) -> None:
    borya = dial(strict_server, "Боря")
    anya = sit(strict_server.address, "Аня")
    become_admin(anya)
    anya.enter("/kick")
    anya.wait_for("Кого удалить? /kick НИК")
    anya.enter("/kick боря")
    anya.wait_for("Боря больше не в чате: удаление администратором")
    borya.skip_to("left", nick="Боря", reason="kicked")


def test_who_is_removed_is_told_and_their_client_ends(
    strict_server: ChatServer, dial: Dial, sit: Sit
) -> None:
    borya = dial(strict_server, "Боря")
    borya.request("admin", password="секрет")
    anya = sit(strict_server.address, "Аня")
    borya.send({"type": "kick", "nick": "Аня"})
    anya.wait_for("Администратор удалил вас из чата.")
    assert anya.wait_until_exit() == 1


def test_an_admin_stops_the_server_and_every_client_ends_by_itself(
    strict_server: ChatServer, sit: Sit
) -> None:
    anya, borya = sit(strict_server.address, "Аня"), sit(strict_server.address, "Боря")
    borya.type("не успе")
    wait_for_prompt(borya, "[всем] не успе")
    anya.wait_for("Боря теперь в чате")
    become_admin(anya)
    anya.enter("/down")
    for terminal in (anya, borya):
        terminal.wait_for("Сервер завершает работу. Разговор окончен.")
        assert terminal.wait_until_exit() == 0
        assert "Traceback" not in terminal.screen_text


def test_a_server_that_is_killed_ends_its_clients_with_status_1(sit: Sit) -> None:
    with Program("-m", "chat.server", "--port", "0") as server:
        anya = sit(server.address(), "Аня", "--no-reconnect")
        server.signal(signal.SIGKILL)
        anya.wait_for("Соединение с сервером потеряно.")
        assert anya.wait_until_exit() == 1


# The look


def test_in_english(server: ChatServer, dial: Dial, sit: Sit) -> None:
    dial(server, "Боря")
    anya = sit(server.address, "Аня", "--lang", "en")
    anya.wait_for("You are in the chat as Аня.")
    anya.wait_for("1 more user is here: Боря")
    anya.enter("/chat Гриша")
    anya.wait_for("There is no user Гриша. /users shows who is here.")


def colours(terminal: Terminal) -> set[str]:
    return {cell.fg for row in terminal.snapshot().rows for cell in row}


def test_nicknames_have_colours_unless_nobody_wants_them(server: ChatServer, sit: Sit) -> None:
    assert colours(sit(server.address, "Аня")) != {"default"}
    assert colours(sit(server.address, "Боря", env={"NO_COLOR": "1"})) == {"default"}
    assert colours(sit(server.address, "Вера", env={"TERM": "dumb"})) == {"default"}


def test_the_log_has_no_colours(server: ChatServer, dial: Dial, sit: Sit, tmp_path: Path) -> None:
    borya = dial(server, "Боря")
    log = tmp_path / "chat.log"
    anya = sit(server.address, "Аня", "--log", str(log))
    borya.expect("joined")
    borya.say("привет")
    anya.wait_for("Боря: привет")
    assert status_after(anya, "exit\r") == 0
    written = log.read_text(encoding="utf-8")
    assert "Боря: привет\n" in written
    assert "\x1b" not in written


def test_a_server_cannot_steer_the_terminal(sit: Sit) -> None:
    """Whatever it sends: control characters are shown as what they are not obeyed for."""
    with FakeServer() as server:
        evil = "\x1b[2J\x1b]0;mine\x07\x9b31m\u202e"
        anya = sit_with(sit, server)
        server.send(
            {"type": "message", "seq": 1, "from": evil, "to": None, "text": evil, "time": 1e300},
            {"type": "joined", "nick": "B" + evil},
            {"type": "left", "nick": evil, "reason": evil},
            {"type": "error", "code": evil},
            {"type": "users", "users": ["Боря", evil]},
        )
        anya.wait_for("2 пользователя")
        anya.enter("/chat B" + evil.replace("\x1b", "").replace("\x07", ""))
        anya.wait_for("в чате нет")
        assert "ваш ник — Аня" in anya.screen_text  # nothing was erased
        assert "mine" in anya.screen_text
        server.hang_up()
        anya.wait_until_exit()


def test_a_partner_whose_name_has_control_characters_does_not_steer_the_prompt(sit: Sit) -> None:
    with FakeServer() as server:
        anya = sit_with(sit, server)
        server.send({"type": "joined", "nick": "Б\u202e"})
        anya.wait_for("теперь в чате")
        anya.enter("/chat Б\u202e")
        wait_for_prompt(anya, "[Б\ufffd] ")
        server.hang_up()
        anya.wait_until_exit()


def sit_with(sit: Sit, server: FakeServer) -> Terminal:
    """Let Аня in to a fake server."""
    anya = sit(server.address, None, "--nick", "Аня", "--no-reconnect")
    server.admit()
    wait_for_prompt(anya, "[всем] ")
    return anya
