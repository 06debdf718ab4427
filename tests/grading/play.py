"""A submission at play: its server, and users who are started, log in and type.

What a prompt wants is guessed from its words; what came of it is judged elsewhere. Everything that
is typed is followed by waiting until nobody is busy.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from chat.app.i18n import gettext as _
from chat.lab.terminal import ScreenTimeout, Terminal, wait_for_all

from . import clues
from .clues import Offer
from .findings import Findings, Step, Window
from .python import choose
from .sandbox import Patience, Sandbox, SandboxLimits
from .signs import VARIES, template
from .submission import KEYS, PASSWORD, fill

HOST = "127.0.0.1"
NAMES = ("anna", "boris", "vera", "gleb", "dasha")
PATIENCE = 3.0  # seconds of all programs standing still, until nothing more is taken to happen
COLUMNS, ROWS = 100, 40
MOST_PROMPTS = 8

_MOST_SECONDS = 120.0  # after which nothing more is tried, only asked


class NotFoundError(Exception):
    """The submission cannot be tried; the text is a sentence."""


class Play:
    """The programs of one submission. A context manager; it belongs to one thread."""

    def __init__(self, folder: Path, findings: Findings) -> None:
        """Play the submission in *folder* by what the *findings* say of it so far."""
        self.folder = folder
        self.findings = findings
        self.python = choose(folder)
        self.sandbox = Sandbox(
            folder, limits=SandboxLimits(seconds=_MOST_SECONDS), encoding=findings.encoding
        )
        self.server: Window
        self.windows: dict[str, Window] = {}
        """Who is in the chat, by name."""

        self.said: list[str] = []
        """All texts that somebody was to say."""

    def __enter__(self) -> Play:
        """Make a place for the programs."""
        self.sandbox.__enter__()
        self.sandbox.renew()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all programs."""
        self.sandbox.__exit__()

    # Starting

    def start(self, command: Sequence[str], title: str, name: str) -> Terminal:
        """Start *command*, for *name* if it is a user's, in a window called *title*."""
        fields = self.fields(name) | {"port": str(self.findings.port)}
        argv = [fill(word, fields) for word in command]
        if argv[0] in ("python", "python3"):
            argv[0] = self.python.path
        return self.sandbox.terminal(argv, title, COLUMNS, ROWS)

    def restart(self) -> None:
        """Start everything anew: a fresh server, in which nobody is. Raises `NotFoundError`."""
        for window in list(self.windows.values()):
            self.forget(window)
        self.sandbox.renew()
        self.server = Window("", self.start(self.findings.server_command, _("server"), ""))
        self.does(self.server, self.findings.steps.get("steps", []))
        self.wait(self.server, lambda: self.findings.port in self.sandbox.listening_ports())
        if self.findings.port not in self.sandbox.listening_ports():
            raise NotFoundError(_("The server has ended and cannot be started again."))

    def _revive(self) -> None:
        """Start the server again if it has ended; nobody is in the chat then."""
        if self.server.terminal.is_alive and self.findings.port in self.sandbox.listening_ports():
            return
        sentence = _("  The server has ended: {line}")
        self.findings.teacher.say(sentence.format(line=self.server.last_row))
        self.restart()

    def forget(self, window: Window) -> None:
        """End the program in *window*."""
        window.terminal.close()
        if self.windows.get(window.name) is window:
            del self.windows[window.name]

    # Who is in the chat

    def enter(self, name: str) -> Window:
        """Start a client and let it enter as *name*, as far as it comes."""
        window = Window(name, self.start(self.findings.client_command, name, name))
        self.windows.setdefault(name, window)
        self.calm()
        given = "{name}" in self.findings.client_command
        steps: list[Step] = []
        asked: list[tuple[str, str]] = []
        while window.terminal.is_alive and len(steps) < 2 * MOST_PROMPTS:
            prompt, text = window.prompt, window.text
            what = clues.wanted(prompt.replace(name, "")) if prompt else ""
            menu = [one for one in clues.offers(window.terminal.screen_text) if one.word.isdigit()]
            choice = max(menu, key=_enters, default=None)
            if given and (what in ("", "{to}", "{text}") or (what, prompt) in asked):
                break
            if not given and choice is not None and _enters(choice) and not asked:
                what = choice.word
            if (what, prompt) in asked:  # refused, or it understands something else
                break
            if what in ("", "{to}", "{text}"):
                what = "{name}"
            asked.append((what, prompt))
            window.before = text
            steps += self.answer(window, "client", what)
            given = given or what == "{name}"
        window.idle = window.terminal.line_before_cursor.strip()
        window.welcome = window.text[len(window.before) :]
        self.findings.steps.setdefault("login", steps)
        return window

    def answer(self, window: Window, role: str, what: str = "") -> list[Step]:
        """Answer what the program in *window* asks; return the steps."""
        prompt = window.prompt
        if not what:
            menu = clues.offers(window.terminal.screen_text)
            chosen = [one for one in menu if one.word.isdigit() and one.rank(role)]
            what = chosen[0].word if chosen else clues.wanted(prompt)
        steps: list[Step] = []
        sign = prompt_sign(prompt, window.name)
        if sign:
            steps.append({"wait": sign})
        self.types(window, fill(what, self.fields(window.name)))
        return [*steps, what]

    def window_of(self, name: str) -> Window:
        """Return the window of *name*, who enters if they are not in the chat (any more)."""
        self._revive()
        window = self.windows.get(name)
        if window is None or not window.terminal.is_alive:
            if window is not None:
                self.forget(window)
            self.calm()
            window = self.enter(name)
        return window

    def people(self) -> list[Window]:
        """Return the windows of the first three, who are all in the chat."""
        for name in (*NAMES[:3], *NAMES[:3]):  # one who came may have brought the server down
            self.window_of(name)
        missing = [name for name in NAMES[:3] if name not in self.windows]
        if missing:
            raise NotFoundError(_("The server does not go on when three users come."))
        return [self.windows[name] for name in NAMES[:3]]

    def back(self, window: Window) -> Window:
        """Return *window* where the chat waits for anything, or another in its place."""
        for _number in range(2):
            line = window.terminal.line_before_cursor.strip()
            if not window.terminal.is_alive:
                break
            if line in ("", window.idle) or not clues.wanted(line):
                return window
            self.types(window, "")
        self.forget(window)
        return self.window_of(window.name)

    # Typing

    def does(self, window: Window, steps: Sequence[Step], **fields: str) -> None:
        """Type *steps*, with *fields* and the window's own, and wait after each."""
        for step in steps:
            if isinstance(step, str):
                self.types(window, fill(step, self.fields(window.name) | fields))
            elif "key" in step:
                with contextlib.suppress(ScreenTimeout):
                    window.terminal.type(KEYS[step["key"]])
                self.calm()

    def say_to_all(self, window: Window) -> str:
        """Let *window* say something new to everybody; return it, nothing if that is not known."""
        if "all" not in self.findings.steps:
            return ""
        text = self.new_text()
        self.does(self.back(window), self.findings.steps["all"], text=text)
        return text

    def types(self, window: Window, line: str) -> None:
        """Type *line* and wait until nobody is busy any more."""
        if window.terminal.is_alive:
            with contextlib.suppress(ScreenTimeout):
                window.terminal.enter(line)
        self.calm()

    def new_text(self) -> str:
        """Return a text that nobody has said yet."""
        self.said.append(f"text{len(self.said) + 101}")
        return self.said[-1]

    def fields(self, name: str) -> dict[str, str]:
        """Return what stands for the ``{fields}`` in what the user *name* types and sees."""
        return {"port": str(self.findings.port), "host": HOST, "name": name, "password": PASSWORD}

    # Waiting

    def calm(self) -> None:
        """Wait until nobody is busy; not for long if that never comes."""
        self.sandbox.wait_until_calm()

    def wait(self, window: Window, condition: Callable[[], bool]) -> None:
        """Wait until *condition*, or until nothing goes on that could bring it about."""
        patience = Patience(self.sandbox, PATIENCE)
        wait_for_all(
            lambda: condition() or not window.terminal.is_alive or patience.is_over(),
            self.sandbox.time_left(),
        )


def lines(text: str, fields: dict[str, str]) -> list[str]:
    """Return the lines of *text* as templates, each once; other users' names vary."""
    rest = [name for name in NAMES if name not in fields.values()]
    rows = [
        part
        for row in text.splitlines()
        for part in (row[2:-1].split("\\n") if re.fullmatch(r"b(['\"]).*\1", row) else [row])
    ]
    found = [template(row, fields, rest) for row in rows if row.strip()]
    return list(dict.fromkeys(line for line in found if line.strip(VARIES + " ")))


def lines_with(window: Window, text: str, fields: dict[str, str]) -> list[str]:
    """Return the lines with *text*, and where the name stands on the line before, both."""
    rows = window.text.splitlines()
    found = []
    for number, row in enumerate(rows):
        if text in row:
            if fields["name"] not in row and number:
                row = f"{rows[number - 1]} {row}"  # noqa: PLW2901
            found += lines(row, fields)
    return found


def _enters(choice: Offer) -> int:
    """Return how well an item of a menu fits somebody who wants to enter a chat."""
    return 2 * choice.rank("client") + choice.rank("enter")


def prompt_sign(prompt: str, name: str) -> str:
    """Return the last part of *prompt*, in the window of *name*, that is the same every time."""
    parts = template(prompt, {"name": name} if name else {}).split(VARIES)
    return parts[-1].strip()
