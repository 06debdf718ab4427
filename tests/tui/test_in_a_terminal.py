"""The full-screen client as a program in a real terminal: it appears, works, and cleans up."""

import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from chat.core.server import ChatServer
from chat.lab.terminal import Terminal, clean_environment
from tests.scripts.programs import ROOT
from tests.wire import PATIENCE, Wire

Dial = Callable[..., Wire]


def sit(
    server: ChatServer, *options: str, columns: int = 76, env: dict[str, str] | None = None
) -> Terminal:
    command = [sys.executable, "-m", "chat.client", "--port", str(server.address[1])]
    return Terminal([*command, *options], title="Аня", cwd=ROOT, columns=columns, rows=14, env=env)


def is_highlighted(terminal: Terminal, name: str) -> bool:
    """Tell whether *name* is the line in the list of users that the arrow keys have reached."""
    screen = terminal.snapshot()
    rows = [number for number, row in enumerate(screen.rows[:-2]) if row[-1].bg != "default"]
    return [screen.text(row).rpartition("│ ")[2] for row in rows] == [name]


def test_a_conversation_from_the_first_key_to_the_last(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    with sit(server, "--nick", "боря") as anya:
        anya.wait_for("Этот ник уже занят.")  # asked for on plain lines, before the screen
        anya.wait_for("Ваш ник:")
        anya.enter("Аня")
        anya.wait_for("на связи")
        anya.wait_for(re.compile(r"│ Все *\n.*│ Боря *\n"))
        anya.enter("привет")
        borya.skip_to("message", text="привет")
        borya.send({"type": "message", "text": "шёпот", "to": "Аня", "id": 1})
        anya.wait_for("непрочитанное: Боря 1")
        for keys, name in (("\x1b[Z", "Все"), ("\x1b[B", "Боря 1")):  # Shift+Tab, down
            anya.type(keys)
            anya.wait_until(partial(is_highlighted, name=name), name)
        anya.type("\r")
        anya.wait_for("Боря (лично вам): шёпот")
        anya.wait_for("[Боря]")
        anya.enter("ответ")
        borya.skip_to("message", text="ответ", to="Боря")
        anya.type("\x03")
        anya.wait_for("Ctrl-C ещё раз — выход")
        anya.type("\x03")
        assert anya.wait_until_exit() == 0
        assert "на связи" not in anya.screen_text  # the shell's screen is back
    borya.skip_to("left", nick="Аня", reason="quit")


@pytest.mark.parametrize("options", [("--plain",), ("--lang", "en", "--plain")])
def test_plain_lines_when_they_are_asked_for(server: ChatServer, options: tuple[str, ...]) -> None:
    with sit(server, "--nick", "Аня", *options, columns=40) as anya:
        anya.wait_for("[all] " if "en" in options else "[всем] ")
        assert "│" not in anya.screen_text


@pytest.mark.parametrize("nobody_wants_colours", [False, True])
def test_nicknames_have_colours_unless_nobody_wants_them(
    server: ChatServer, dial: Dial, nobody_wants_colours: bool
) -> None:
    dial(server, "Боря")
    env = {"NO_COLOR": "1"} if nobody_wants_colours else {}
    with sit(server, "--nick", "Аня", env=env) as anya:
        anya.wait_for("на связи")
        rows = anya.snapshot().rows
        nick = next(cell for row in rows for cell in row if cell.text == "Б")
        grey = nick.fg == "default" or len({nick.fg[place : place + 2] for place in (0, 2, 4)}) == 1
        assert grey == nobody_wants_colours
        anya.type("видно")
        anya.wait_for("[всем] видно")
        line = anya.snapshot().rows[-1]
        assert all(cell.fg != cell.bg or cell.fg == "default" for cell in line)


def test_keys_that_are_not_utf_8_do_not_end_it(server: ChatServer, dial: Dial) -> None:
    """A terminal may be set to another encoding."""
    borya = dial(server, "Боря")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "chat.client", "--port", str(server.address[1])]
    with subprocess.Popen(
        [*command, "--nick", "Аня"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=clean_environment(),
    ) as client:
        try:
            os.close(theirs)
            shown = b""
            while "на связи".encode() not in shown:
                shown += os.read(ours, 65536)
            os.write(ours, "привет".encode("koi8-r") + b"!\r")
            assert borya.skip_to("message")["text"].endswith("!")
        finally:
            client.terminate()
            while client.poll() is None:  # it writes what it has to say
                with contextlib.suppress(OSError):
                    os.read(ours, 65536)
            os.close(ours)


@pytest.mark.parametrize("keys", ["\x1b\r", "\n", "\x1b[13;3u"], ids=["ESC CR", "Ctrl-J", "kitty"])
def test_another_row_in_the_same_message(server: ChatServer, dial: Dial, keys: str) -> None:
    """Alt+Enter as terminals send it, and the key that every terminal has."""
    borya = dial(server, "Боря")
    with sit(server, "--nick", "Аня") as anya:
        anya.wait_for("на связи")
        anya.type(f"раз{keys}два")
        anya.wait_for(re.compile(r"^\[всем\] раз *\n +два", re.M))
        anya.type("\r")
        borya.skip_to("message", text="раз\nдва")


def test_pasted_lines_are_one_message_without_an_empty_last_row(
    server: ChatServer, dial: Dial
) -> None:
    borya = dial(server, "Боря")
    with sit(server, "--nick", "Аня") as anya:
        anya.wait_for("на связи")
        anya.type("\x1b[200~раз\rдва\r\x1b[201~")
        anya.wait_for("два")
        anya.type("\r")
        borya.skip_to("message", text="раз\nдва")


@pytest.mark.parametrize("leading", [True, False], ids=["SIGHUP", "no signal"])
def test_it_ends_when_its_terminal_is_gone(server: ChatServer, dial: Dial, leading: bool) -> None:
    """As when a window is closed: what is written fails, and nothing can be read any more."""
    borya = dial(server, "Боря")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "chat.client", "--port", str(server.address[1])]
    environment = clean_environment() | {"TERM": "xterm-256color"}
    start = [sys.executable, "-c", CONTROLLING, *command] if leading else command
    client = subprocess.Popen(
        [*start, "--nick", "Аня"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    try:
        os.close(theirs)
        borya.expect("joined", nick="Аня")
        shown = b""
        while "на связи".encode() not in shown:
            shown += os.read(ours, 65536)
        os.close(ours)
        assert client.wait(PATIENCE) in (0, 1)
        borya.expect("left", nick="Аня", reason="quit")
    finally:
        client.kill()
        client.wait()


CONTROLLING = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal that of the session, so that its end sends SIGHUP."""


def test_on_a_narrow_terminal_everything_fits(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    with sit(server, "--nick", "Аня", columns=40) as anya:
        anya.wait_for("на связи")
        borya.skip_to("joined")
        borya.say("слово " * 20)
        anya.wait_for(re.compile(r"^\d\d:\d\d Боря: слово.*\n {6}слово", re.M))
        assert "│" not in anya.screen_text  # the list shows when it is asked for
        anya.type("\x1b[Z")
        anya.wait_for(re.compile(r"^ ?Все\n ?Боря$", re.M))
