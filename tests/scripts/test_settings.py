"""Where options come from: the command line, then the environment, then the user's file."""

import os
import signal
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest

from chat.core.server import ChatServer
from chat.server import DEFAULTS, _limits
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


# Files that a person edits


def test_a_byte_order_mark_is_no_part_of_the_settings(
    server: ChatServer, dial: Dial, file: Path
) -> None:
    anya = dial(server, "Аня")
    file.write_text('[client]\r\nnick = "Файл"\r\n', encoding="utf-8-sig")
    assert joins_as(server, anya, "--config", str(file)) == "Файл"


def test_a_byte_order_mark_is_no_part_of_the_password(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("секрет\r\n", encoding="utf-8-sig")
    with (
        Program(*SERVER, "--admin-password-file", str(password)) as server,
        Wire(server.address(), "Аня") as anya,
    ):
        assert anya.request("admin", password="секрет")["type"] == "admin"


@pytest.mark.parametrize("source", ["file", "environment", "command line"])
def test_a_tilde_is_the_home_folder(tmp_path: Path, source: str) -> None:
    """A shell replaces it only where it stands at the beginning of a word."""
    env, arguments = {"HOME": str(tmp_path)}, ["--history=~/chat.db"]
    if source == "file":
        (tmp_path / "config.toml").write_text('[server]\nhistory = "~/chat.db"\n')
        arguments = ["--config", "~/config.toml"]
    elif source == "environment":
        env["CHAT_SERVER_HISTORY"] = "~/chat.db"
        arguments = []
    with Program(*SERVER, *arguments, env=env, cwd=Path("/")) as server:
        address = server.address()
        with Wire(address, "Аня") as anya:
            anya.say("на диск")
        server.signal(signal.SIGTERM)
        assert server.end()[0] == 0
    assert (tmp_path / "chat.db").exists()


@pytest.mark.parametrize("option", ["--log", "--tls-ca", "--passphrase-file", "--config"])
def test_a_home_that_nobody_knows_is_a_sentence(option: str) -> None:
    status, output, complaint = run(*CLIENT, "--nick", "Аня", option, "~nobody-there/file")
    assert status in (1, 2)
    assert output == ""
    assert complaint.count("\n") == 1
    assert "неизвестно, где домашний каталог" in complaint


@pytest.mark.parametrize("home", ["/dev/null", "x" * 5000, "loop", "unreadable", ""])
def test_settings_that_cannot_be_read_at_home_are_no_settings(
    server: ChatServer, dial: Dial, tmp_path: Path, home: str
) -> None:
    anya = dial(server, "Аня")
    place = tmp_path / "home"
    if home == "loop":
        place.symlink_to(place)
        home = str(place)
    elif home == "unreadable":
        place.mkdir(mode=0)
        home = str(place)
    env = {"CHAT_CONFIG": "", "HOME": home}
    assert joins_as(server, anya, "--nick", "Бот", **env) == "Бот"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_home_of_somebody_else_has_no_settings(tmp_path: Path) -> None:
    """As after ``sudo -u somebody`` which keeps HOME."""
    (tmp_path / ".config" / "tcp-chat").mkdir(parents=True)
    (tmp_path / ".config" / "tcp-chat" / "config.toml").write_text("[client]\nport = 1\n")
    tmp_path.chmod(0o700)
    code = """
import os, runpy, sys
import chat.client
os.setuid(65534)
from chat.app import options
print(options._read_table(options.config_path(), "client", needed=False))
"""
    assert run("-c", code, env={"HOME": str(tmp_path)}) == (0, "{}\n", "")


# Values at the edge

LEAST = ("--max-clients=1", "--rate=0.01", "--queue-bytes=65536", "--queue-frames=16")
SHORT = ("--register-timeout=1", "--ping-after=1", "--answer-timeout=1")
MOST = (
    "--max-clients=1000000",
    "--rate=1000000",
    "--queue-bytes=1073741824",
    "--queue-frames=1000000",
    "--register-timeout=86400",
    "--ping-after=86400",
    "--answer-timeout=86400",
)


@pytest.mark.parametrize("values", [(*LEAST, *SHORT), MOST, ("--rate=0",)])
def test_values_at_the_edge_work(values: tuple[str, ...]) -> None:
    with Program(*SERVER, *values) as server:
        with Wire(server.address(), "Аня") as anya:
            anya.say("слышно?")
        server.signal(signal.SIGTERM)
        assert server.end()[0] == 0


@pytest.mark.parametrize("value", ["0", "1000000000000", "1e400", "nan", "-1", "", "много"])
@pytest.mark.parametrize("name", sorted(_limits()))
def test_values_beyond_the_edge_are_refused_with_the_range(name: str, value: str) -> None:
    read, _meaning = _limits()[name]
    default = getattr(DEFAULTS, name)
    assert read(str(default)) == default
    if (name, value) == ("rate", "0"):  # as many as they like
        return
    with pytest.raises(ArgumentTypeError, match=r"от [\d.]+ до [\d.]+, а не"):
        read(value)


def test_a_value_beyond_the_edge_names_the_option() -> None:
    status, output, complaint = run(*SERVER, "--ping-after", "1000000000")
    assert (status, output) == (2, "")
    assert complaint == (
        "chat.server: параметр --ping-after: нужно число от 0.1 до 86400, а не '1000000000'. "
        "Подсказка: --help.\n"
    )


@pytest.mark.parametrize("port", ["0", "65536", "1000000000000"])
def test_a_port_to_which_nobody_can_connect_is_refused_with_the_range(port: str) -> None:
    status, _output, complaint = run(*CLIENT, "--nick", "Аня", "--port", port)
    assert status == 2
    assert "от 1 до 65535" in complaint
