"""The server as a process: how it is started, what it prints, how it ends."""

import re
import signal
from pathlib import Path

import pytest

from chat.core.server import ChatServer
from tests.scripts.programs import ROOT, SERVER, Program, run
from tests.wire import Wire

SCRIPT = str(ROOT / "chat" / "server.py")


@pytest.mark.parametrize(
    ("arguments", "cwd"),
    [
        (("-m", "chat.server"), ROOT),
        (("chat/server.py",), ROOT),
        (("server.py",), ROOT / "chat"),
        ((SCRIPT,), Path("/")),
    ],
    ids=["module", "script", "script in its folder", "script from elsewhere"],
)
def test_it_starts_on_a_bare_python_and_says_at_once_where_it_listens(
    arguments: tuple[str, ...], cwd: Path
) -> None:
    """-S leaves out site-packages, -X dev and -W error leave no warning unsaid."""
    bare = ("-S", "-X", "dev", "-W", "error")
    with Program(*bare, *arguments, "--port", "0", cwd=cwd) as server:
        first = server.line()
        assert re.fullmatch(r".* 127\.0\.0\.1:\d+", first)
        port = int(first.rpartition(":")[2])
        with Wire(("127.0.0.1", port), "Аня"):
            pass
        server.signal(signal.SIGINT)
        status, _output, complaint = server.end()
        assert (status, complaint) == (0, "")


def test_it_needs_the_standard_library_alone() -> None:
    """Whatever was imported in the end came from there, or is the chat itself."""
    program = (
        "import sys, chat.server, chat.client, chat.app.console;"
        "roots = {name.partition('.')[0] for name in sys.modules} - {'chat', '__main__'};"
        "print(sorted(roots - set(sys.stdlib_module_names)))"
    )
    status, output, complaint = run("-S", "-c", program)
    assert (status, output, complaint) == (0, "[]\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_and_everybody_is_told_first(number: signal.Signals) -> None:
    with Program(*SERVER) as server, Wire(server.address(), "Аня") as anya:
        server.signal(number)
        anya.expect("shutdown", reason="stopped")
        anya.expect_end()
        anya.close()
        status, output, complaint = server.end()
        assert (status, complaint) == (0, "")
        assert output.endswith("Сервер остановлен\n")


def test_two_signals_are_not_too_many() -> None:
    with Program(*SERVER) as server, Wire(server.address(), "Аня") as anya:
        server.signal(signal.SIGINT)
        anya.expect("shutdown")
        server.signal(signal.SIGINT)
        server.signal(signal.SIGTERM)
        anya.close()
        status, _output, complaint = server.end()
        assert (status, complaint) == (0, "")


# What cannot be done is one sentence


def one_sentence(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith(".\n") and "Traceback" not in text


def test_a_port_in_use(server: ChatServer) -> None:
    status, output, complaint = run("-m", "chat.server", "--port", str(server.address[1]))
    assert status == 1
    assert output == ""
    assert one_sentence(complaint)
    assert f"127.0.0.1:{server.address[1]}" in complaint
    assert "порт уже занят" in complaint


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "65536"),
        ("--port", "-1"),
        ("--port", "http"),
        ("--port", ""),
        ("--port", "９０９０"),
        ("--port",),
        ("--max-clients", "0"),
        ("--max-clients", "1.5"),
        ("--rate", "-1"),
        ("--rate", "nan"),
        ("--lang", "de"),
        ("--host", "a..b"),
        ("--host", "x" * 64),
        ("--colour",),
        ("5",),
    ],
    ids=" ".join,
)
def test_a_bad_argument(arguments: tuple[str, ...]) -> None:
    status, output, complaint = run("-m", "chat.server", *arguments)
    assert status == 2
    assert output == ""
    assert one_sentence(complaint)


@pytest.mark.parametrize("host", ["256.1.1.1", "no-such-host.invalid", ""])
def test_an_address_that_is_not_ours(host: str) -> None:
    status, _output, complaint = run("-m", "chat.server", "--port", "0", "--host", host)
    assert status == 1
    assert one_sentence(complaint)


@pytest.mark.parametrize("language", ["ru", "en"])
def test_help_that_names_every_option(language: str) -> None:
    status, output, complaint = run("-m", "chat.server", "--help", "--lang", language)
    assert (status, complaint) == (0, "")
    for option in ("--host", "--port", "--max-clients", "--rate", "--show-text", "--lang"):
        assert option in output
    assert "--admin-password-file" in output
    assert "CHAT_ADMIN_PASSWORD" in output
    assert ("сервер" in output.lower()) == (language == "ru")
    assert ("server picks" in output) == (language == "en")


# The mirror of the chat


def test_by_default_it_shows_names_addresses_and_sizes_but_no_text() -> None:
    with (
        Program(*SERVER) as server,
        Wire(address := server.address(), "Аня") as anya,
        Wire(address, "Боря") as borya,
    ):
        anya.expect("joined")
        anya.say("привет")
        anya.say("тайна", to="Боря")
        borya.close()
        anya.expect("left")
        anya.close()
        lines = [server.line() for _ in range(8)]
        server.signal(signal.SIGINT)
        _status, rest, _complaint = server.end()
        shown = "\n".join([*lines, rest])
    assert re.search(r"^\d\d:\d\d:\d\d  Аня \(127\.0\.0\.1:\d+\) → всем, 12 байт$", shown, re.M)
    assert re.search(r"Аня \(127\.0\.0\.1:\d+\) → Боря, 10 байт$", shown, re.M)
    assert re.search(r"Аня \(127\.0\.0\.1:\d+\) теперь в чате$", shown, re.M)
    assert re.search(
        r"Боря \(127\.0\.0\.1:\d+\) больше не в чате: соединение потеряно$", shown, re.M
    )
    assert "привет" not in shown
    assert "тайна" not in shown


def test_with_show_text_it_shows_the_text_and_obeys_none_of_it() -> None:
    with Program(*SERVER, "--show-text") as server, Wire(server.address(), "Аня") as anya:
        anya.say("привет\nвсем")
        assert server.wait_for("→").endswith("→ всем, 21 байт: привет ⏎ всем")
        anya.say("1")
        assert server.wait_for("→").endswith("→ всем, 1 байт: 1")


def test_its_lines_are_in_the_language_asked_for() -> None:
    with Program(*SERVER, "--lang", "en") as server:
        first = server.line()
        assert first.startswith("The server is listening on ")
        with Wire(("127.0.0.1", int(first.rpartition(":")[2])), "Аня") as anya:
            anya.say("1")
            anya.say("hello")
            assert server.wait_for("→").endswith("→ all, 1 byte")
            assert server.wait_for("→").endswith("→ all, 5 bytes")


def test_nobody_reading_its_output_does_not_stop_it() -> None:
    """As in ``python -m chat.server | head -1``."""
    with Program(*SERVER) as server:
        address = server.address()
        server.stop_reading()
        with Wire(address, "Аня") as anya, Wire(address, "Боря") as borya:
            anya.expect("joined")
            anya.say("кто-нибудь слышит?")
            borya.expect("message")
        server.signal(signal.SIGINT)
        status, _output, complaint = server.end()
        assert (status, complaint) == (0, "")


def test_an_output_that_knows_no_russian_is_no_reason_to_stop() -> None:
    with Program(*SERVER, env={"PYTHONIOENCODING": "ascii"}) as server:
        with Wire(server.address(), "Аня") as anya:
            anya.say("привет")
            server.wait_for("?")
        server.signal(signal.SIGINT)
        status, _output, complaint = server.end()
        assert (status, complaint) == (0, "")


# Options


def test_max_clients() -> None:
    with Program(*SERVER, "--max-clients", "1") as server:
        address = server.address()
        with Wire(address, "Аня"), Wire(address) as borya:
            borya.expect("register")
            assert borya.request("register", nick="Боря")["code"] == "server_full"


def test_rate() -> None:
    with Program(*SERVER, "--rate", "0") as server, Wire(server.address()) as wire:
        assert wire.next()["limits"]["rate"] == 0
    with Program(*SERVER, "--rate", "2.5") as server, Wire(server.address()) as wire:
        assert wire.next()["limits"]["rate"] == 2.5


def is_admin(server: Program, password: str) -> bool:
    with Wire(server.address(), "Аня") as wire:
        return bool(wire.request("admin", password=password)["type"] == "admin")


def test_the_admins_password_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("пароль\nвторая строка\n", encoding="utf-8")
    environment = {"CHAT_ADMIN_PASSWORD": "другой"}
    arguments = (*SERVER, "--admin-password-file", str(file))
    with Program(*arguments, env=environment) as server:
        assert is_admin(server, "пароль")
    with Program(*arguments, env=environment) as server:
        assert not is_admin(server, "другой")


def test_the_admins_password_from_the_environment() -> None:
    with Program(*SERVER, env={"CHAT_ADMIN_PASSWORD": "секрет"}) as server:
        assert is_admin(server, "секрет")


@pytest.mark.parametrize("environment", [{}, {"CHAT_ADMIN_PASSWORD": ""}])
def test_without_a_password_nobody_is_admin(environment: dict[str, str]) -> None:
    with Program(*SERVER, env=environment) as server:
        assert not is_admin(server, "")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\nsecond line\n", b"\xff\xfe\n"])
def test_a_password_file_that_holds_none(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    status, output, complaint = run(*SERVER, "--admin-password-file", str(file))
    assert status == 1
    assert output == ""
    assert one_sentence(complaint)
    assert str(file) in complaint


def test_the_language_is_that_of_the_environment_else_russian() -> None:
    for environment, russian in (
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "ru_RU.UTF-8"}, True),
        ({"LANG": "de_DE.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANGUAGE": "de:en", "LANG": "ru_RU.UTF-8"}, False),
        ({"LC_ALL": "ru_RU.UTF-8", "LANG": "en_US.UTF-8"}, True),
    ):
        _status, output, _complaint = run("-m", "chat.server", "--help", env=environment)
        assert output.startswith("запуск: " if russian else "usage: ")


def test_a_server_in_the_background_reads_no_input() -> None:
    """Its stdin may be closed, or full of anything."""
    with Program(*SERVER) as server:
        server.type("exit\n")
        server.end_input()
        with Wire(server.address(), "Аня"):
            pass
