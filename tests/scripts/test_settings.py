"""Where options come from: the command line, then the environment, then the user's file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chat.core.server import ChatServer
from tests.scripts.programs import CLIENT, SERVER, Program, run
from tests.wire import Wire

Dial = Callable[..., Wire]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def joins_as(server: ChatServer, watcher: Wire, *options: str, **env: str) -> str:
    """Run the client with no input; return the nickname under which it came in."""
    status, _output, complaint = run(
        *CLIENT, "--port", str(server.address[1]), *options, env={"CHAT_CONFIG": "/dev/null"} | env
    )
    assert (status, complaint) == (0, "")
    nick: str = watcher.expect("joined")["nick"]
    watcher.expect("left", nick=nick)
    return nick


def test_the_command_line_comes_first_then_the_environment_then_the_file(
    server: ChatServer, dial: Dial, file: Path
) -> None:
    anya = dial(server, "Аня")
    file.write_text('[client]\nnick = "Файл"\n', encoding="utf-8")
    config = ("--config", str(file))
    assert joins_as(server, anya, *config, "--nick", "Строка", CHAT_NICK="Среда") == "Строка"
    assert joins_as(server, anya, *config, CHAT_NICK="Среда") == "Среда"
    assert joins_as(server, anya, *config) == "Файл"
    assert joins_as(server, anya, CHAT_CONFIG=str(file)) == "Файл"


def test_the_file_is_looked_for_where_the_user_keeps_settings(
    server: ChatServer, dial: Dial, tmp_path: Path
) -> None:
    anya = dial(server, "Аня")
    for variable, folder in (("XDG_CONFIG_HOME", ""), ("HOME", ".config")):
        place = tmp_path / variable
        (place / folder / "tcp-chat").mkdir(parents=True)
        (place / folder / "tcp-chat" / "config.toml").write_text(
            f'[client]\nnick = "{variable}"\n', encoding="utf-8"
        )
        env = {"CHAT_CONFIG": "", variable: str(place)}
        assert joins_as(server, anya, **env) == variable


def test_numbers_switches_and_the_language_in_the_file(file: Path) -> None:
    file.write_text(
        '[server]\nport = 0\nmax-clients = 1\nshow-text = true\nlang = "en"\n', encoding="utf-8"
    )
    with Program("-m", "chat.server", "--config", str(file)) as server:
        first = server.line()
        assert first.startswith("The server is listening on ")
        assert "up to 1 user," in server.line()
        with Wire(("127.0.0.1", int(first.rpartition(":")[2])), "Аня") as anya:
            anya.say("привет")
            assert server.wait_for("→").endswith(": привет")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[client]\ncolour = 1\n", "параметра colour нет; есть такие: also, bell, "),
        ("[client]\nport = 70000\n", "порт — это число от 1 до 65535"),
        ('[client]\nbell = "maybe"\n', "нужно yes или no (в файле — true или false)"),
        ("[client]\nnick = [1]\n", "нужна одна строка или число"),
        ('[client]\nlang = "de"\n', "de"),
        ("nick = 1\n", "[client]"),
        ("[client\n", "настройки"),
        ("\xff", "настройки"),
    ],
    ids=["unknown", "number", "switch", "list", "language", "no table", "no TOML", "no text"],
)
def test_what_is_wrong_in_the_file_is_said_in_a_sentence(
    file: Path, content: str, problem: str
) -> None:
    file.write_bytes(content.encode("latin-1"))
    status, output, complaint = run(*CLIENT, "--config", str(file), "--nick", "Аня")
    assert (status, output) == (2, "")
    assert complaint.count("\n") == 1
    assert str(file) in complaint
    assert problem in complaint


def test_a_file_that_was_named_and_is_missing(file: Path) -> None:
    status, _output, complaint = run(*SERVER, "--config", str(file))
    assert status == 2
    assert str(file) in complaint
    assert "такого файла нет" in complaint


def test_a_variable_that_will_not_do() -> None:
    status, _output, complaint = run(*CLIENT, "--nick", "Аня", env={"CHAT_PORT": "http"})
    assert status == 2
    assert "CHAT_PORT: порт — это число" in complaint
