"""Tries out how one chat is started and spoken to.

The server and clients of a submission are started, and typed to them is what its code and its
screens suggest and what chats commonly understand; what came of it is seen on the others' screens.
A finding counts when it held twice, with other names and texts, and did not hold when it must not:
a private message is not seen by a third, a refused name is not let in. What could not be proved is
asked, when there is somebody to ask, and stays a question.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chat.app.i18n import gettext as _
from chat.lab.terminal import ScreenTimeout, Terminal, wait_for_all

from . import clues
from .clues import Offer
from .python import choose, own_files
from .sandbox import Sandbox, SandboxLimits
from .signs import VARIES, Value, common, holds, template
from .submission import KEYS, PASSWORD, fill

PORT = 9100
HOST = "127.0.0.1"
NAMES = ("anna", "boris", "vera", "gleb", "dasha")
PATIENCE = 3.0  # seconds for anything to happen
COLUMNS, ROWS = 100, 40
ENCODINGS = ("utf-8", "cp1251", "cp866")
STEP = "|"
"""In a teacher's answer: between what is typed one after another, each followed by Enter."""

_MOST_PROMPTS = 8
_MOST_TRIES = 40
_MOST_SECONDS = 120.0  # after which nothing more is tried, only asked
_BLOCKED_SECONDS = 0.4  # of waiting for nothing but a person, until nothing is taken to come

USUAL = {
    "all": ("/all", "/say", "/msg", "all", "всем"),
    "private": ("/msg", "/w", "/pm", "/private", "@", "/to", "/whisper", "/dm", "/m", "/лс"),
    "users": (
        "/users",
        "/list",
        "/who",
        "/online",
        "/names",
        "users",
        "list",
        "who",
        "кто",
        "список",
    ),
    "history": ("/history", "/hist", "/log", "/last", "history", "история", "было"),
    "leave": ("/exit", "/quit", "/leave", "/bye", "/q", "exit", "quit", "bye", "выход", "пока"),
}
"""What is tried when nothing that the chat itself names has worked."""

FORMS = {
    "all": ("{word} {{text}}",),
    "private": (
        "{word} {{to}} {{text}}",
        "{word}{{to}} {{text}}",
        "{word}{{to}}: {{text}}",
        "{word} {{to}}: {{text}}",
        "{{to}} {word} {{text}}",
        "{{to}}{word} {{text}}",
    ),
}
"""How a word of a command goes together with what it is told."""


Step = str | dict[str, Any]
Ask = Callable[[str], str]
"""Puts a question to the teacher; returns the answer, empty to go on without one."""


class StrangeLettersError(Exception):
    """What the programs print is no text in this encoding."""


class NotFoundError(Exception):
    """The submission cannot be tried; the text is a sentence."""


@dataclass
class Window:
    """Somebody at a terminal."""

    name: str
    terminal: Terminal
    before: str = ""
    """What the screen had shown before the last line of the login was typed."""

    welcome: str = ""
    """What it showed then, until nobody was busy."""

    idle: str = ""
    """What stands before the cursor when the chat waits for something to be typed."""

    @property
    def text(self) -> str:
        """What the screen has shown."""
        return self.terminal.transcript

    @property
    def mark(self) -> int:
        """Where in `text` the cursor's row begins."""
        return self.terminal.transcript_row_begin

    @property
    def prompt(self) -> str:
        """What there is to answer: what stands before the cursor, or else a question above it."""
        line = self.terminal.line_before_cursor.strip()
        rows = [row.strip() for row in self.terminal.screen_text.split("\n") if row.strip()]
        return line or next((row for row in rows[-1:] if clues.asks(row)), "")


class Trial:
    """One submission, tried out. A context manager; it belongs to one thread."""

    def __init__(
        self,
        folder: Path,
        ask: Ask,
        say: Callable[[str], None],
        show: Callable[[Window, Window], None] = lambda _left, _right: None,
        *,
        encoding: str = "utf-8",
    ) -> None:
        """Try the submission in *folder*.

        *ask* the teacher what is not found, *say* the rest, *show* two windows side by side.
        """
        self._folder = folder
        self._ask = ask
        self._say = say
        self._show = show
        self.encoding = encoding
        self._python = choose(folder)
        self._sandbox = Sandbox(
            folder, limits=SandboxLimits(seconds=_MOST_SECONDS), encoding=encoding
        )
        self._said: list[str] = []
        self._arrivals = ""
        self._offers: list[Offer] = clues.words_in(folder)
        self._windows: dict[str, Window] = {}
        self._let_in: list[Window] = []
        self.steps: dict[str, list[Step]] = {}
        """What was found to be typed, by the key in the file."""

        self.signs: dict[str, Value] = {}
        """What was found to be shown, by the key in the file."""

        self.questions: dict[str, str] = {}
        """What a teacher must say, by the key in the file."""

        self.accepts_strange_letters = False
        self.port = PORT
        self.log: str | None = None
        self.trouble = ""
        self.server_command: list[str] = []
        self.client_command: list[str] = []

    def __enter__(self) -> Trial:
        """Make a place for the programs."""
        self._sandbox.__enter__()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all programs."""
        self._sandbox.__exit__()

    def run(self, server: Sequence[str] | None = None, client: Sequence[str] | None = None) -> None:
        """Try everything, with the commands *server* and *client* if they are known.

        Raises `NotFoundError` when server or client do not even start.
        """
        self._sandbox.renew()
        for note in self._python.notes:
            self._say(f"  {note}")
        self._start_server(server)
        anna = self._first_client(client)
        if self._strange_letters() and not self.accepts_strange_letters:
            raise StrangeLettersError
        self._let_in = [anna, self._enter(NAMES[1]), self._enter(NAMES[2])]
        self._arrivals = anna.text
        self._find_help()
        self._find_all()
        self._find_private()
        self._find_own()
        self._find_taken()
        self.find_ready()
        self._find_users()
        self._find_history()
        self._find_leave()
        self._find_log()
        self._find_stopped()

    def _strange_letters(self) -> bool:
        """Tell whether a screen shows what is no Russian or English text."""
        texts = [window.text for window in (self._server, *self._windows.values())]
        if self.encoding == "utf-8":
            return any("\ufffd" in text for text in texts)
        return any(re.search(r"[а-яё][А-ЯЁ]|[^\x00-\x7fа-яА-ЯёЁ«»—–…№“”•]", text) for text in texts)

    # Starting

    def _start_server(self, command: Sequence[str] | None) -> None:
        """Start the server by the first command after which it listens. Raises `NotFoundError`."""
        first = ""
        for candidate in self._candidates(command, "server"):
            window = Window("", self._start(candidate, _("server"), ""))
            steps: list[Step] = []
            for _number in range(_MOST_PROMPTS):
                self._wait(window, lambda: bool(self._sandbox.listening_ports()))
                if self._sandbox.listening_ports() or not window.terminal.is_alive:
                    break
                if not window.prompt or not window.terminal.line_before_cursor.strip():
                    break
                steps += self._answer(window, "server")
            ports = self._sandbox.listening_ports()
            if ports:
                self._calm()
                self._server = window
                self.port = PORT if PORT in ports else min(ports)
                self.server_command = list(candidate)
                if PORT not in ports:
                    steps = [one if one != "{port}" else str(self.port) for one in steps]
                    self.server_command = _without_port(candidate)
                self._note("server", " ".join(self.server_command))
                if steps:
                    self.steps["steps"] = steps
                return
            self.server_command = self.server_command or list(candidate)
            if other := self._sandbox.other_sockets():
                sentence = _("The server has opened {socket} and listens on no TCP port.")
                self.server_command = list(candidate)
                raise NotFoundError(sentence.format(socket=other))
            first = first or self._failed(candidate, window)
            window.terminal.close()
        raise NotFoundError(
            _("No server was found that listens. Name it with --server.") + (first and f"\n{first}")
        )

    def _revive(self) -> None:
        """Start the server again if it has ended; nobody is in the chat then."""
        if self._server.terminal.is_alive and self.port in self._sandbox.listening_ports():
            return
        rows = [row for row in self._server.text.split("\n") if row.strip()]
        self._say(_("  The server has ended: {line}").format(line=rows[-1] if rows else ""))
        self._restart()

    def _restart(self) -> None:
        """Start everything anew: a fresh server, in which nobody is. Raises `NotFoundError`."""
        for window in list(self._windows.values()):
            self._forget(window)
        self._sandbox.renew()
        self._server = Window("", self._start(self.server_command, _("server"), ""))
        self._does(self._server, self.steps.get("steps", []))
        self._wait(self._server, lambda: self.port in self._sandbox.listening_ports())
        if self.port not in self._sandbox.listening_ports():
            raise NotFoundError(_("The server has ended and cannot be started again."))

    def _first_client(self, command: Sequence[str] | None) -> Window:
        """Let the first user in, by the first command that connects. Raises `NotFoundError`."""
        first = ""
        candidates: Iterable[Sequence[str]] = self._candidates(command, "client")
        if self.port != PORT and not command:  # who need not be told the port most likely knows it
            candidates = sorted(
                clues.commands(self._folder, "client"),
                key=lambda one: ("{port}" in one, "{name}" in one),
            )
            candidates = itertools.chain(candidates, self._asked("client"))
        for candidate in candidates:
            self.client_command = list(candidate)
            window = self._enter(NAMES[0])
            asked = "{name}" in candidate and "{name}" in self.steps["login"]
            if window.terminal.is_alive and self._sandbox.connections(self.port) and not asked:
                self._note("client", " ".join(candidate))
                login = _steps_shown(self.steps["login"])
                self._note("login", login or _("(nothing is asked)"))
                return window
            first = first or self._failed(candidate, window)
            self._forget(window)
            self.steps.pop("login", None)
        self.client_command = []
        raise NotFoundError(
            _("No client was found that connects. Name it with --client.")
            + (first and f"\n{first}")
        )

    def _candidates(self, command: Sequence[str] | None, role: str) -> Iterator[Sequence[str]]:
        if command:
            yield command
            return
        yield from clues.commands(self._folder, role)
        yield from self._asked(role)

    def _asked(self, role: str) -> Iterator[Sequence[str]]:
        what = _("server") if role == "server" else _("client")
        while answer := self._ask(_("What command starts the {what}?").format(what=what)):
            yield answer.split()

    def _start(self, command: Sequence[str], title: str, name: str) -> Terminal:
        fields = self._fields(name) | {"port": str(self.port)}
        argv = [fill(word, fields) for word in command]
        if argv[0] in ("python", "python3"):
            argv[0] = self._python.path
        return self._sandbox.terminal(argv, title, COLUMNS, ROWS)

    def _failed(self, command: Sequence[str], window: Window) -> str:
        if not window.terminal.is_alive:
            window.terminal.wait_until_exit()  # what it wrote last may still be to be read
        rows = [row for row in window.text.split("\n") if row.strip()]
        line = f"  ✗ {' '.join(command)}: {rows[-1] if rows else ''}"
        self._say(line)
        return line.strip()

    def _fields(self, name: str) -> dict[str, str]:
        return {"port": str(self.port), "host": HOST, "name": name, "password": PASSWORD}

    # Names

    def _enter(self, name: str) -> Window:
        """Start a client and let it enter as *name*, as far as it comes."""
        window = Window(name, self._start(self.client_command, name, name))
        self._windows.setdefault(name, window)
        self._calm()
        given = "{name}" in self.client_command
        steps: list[Step] = []
        asked: list[tuple[str, str]] = []
        while window.terminal.is_alive and len(steps) < 2 * _MOST_PROMPTS:
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
            steps += self._answer(window, "client", what)
            given = given or what == "{name}"
        window.idle = window.terminal.line_before_cursor.strip()
        window.welcome = window.text[len(window.before) :]
        self.steps.setdefault("login", steps)
        return window

    def _answer(self, window: Window, role: str, what: str = "") -> list[Step]:
        """Answer what the program in *window* asks; return the steps."""
        prompt = window.prompt
        if not what:
            menu = clues.offers(window.terminal.screen_text)
            chosen = [one for one in menu if one.word.isdigit() and one.rank(role)]
            what = chosen[0].word if chosen else clues.wanted(prompt)
        steps: list[Step] = []
        sign = _prompt_sign(prompt, self._fields(window.name))
        if sign:
            steps.append({"wait": sign})
        self._types(window, fill(what, self._fields(window.name)))
        return [*steps, what]

    def _find_taken(self) -> None:
        """See what is said to somebody who wants a name that another has."""
        told: list[list[str]] = []
        let_in = 0
        texts = []
        for name, hearer in ((NAMES[0], NAMES[1]), (NAMES[1], NAMES[2])):
            self._people()
            impostor = self._enter(name)
            new = impostor.welcome
            text = self._text()  # who is in the chat is heard
            self._does(impostor, self.steps.get("all", []), text=text)
            said = {"name": name, "text": text}
            message = self.signs.get("message", "{text}")
            let_in += holds(message, self._windows_of(hearer).text, said)
            told.append(self._lines(new, {"name": name}, NAMES))
            texts.append(new)
            self._forget(impostor)
            self._calm()
        if let_in:
            self._restart()  # who has taken whose place there, nobody knows
            self._question("taken", _("A name that is taken was let in. How is it refused?"), None)
            return
        usual = [
            line
            for window in self._let_in
            for line in self._lines(window.welcome, {"name": window.name}, NAMES)
        ]
        fresh = [[line for line in lines if line not in usual] for lines in told]
        values = [
            value
            for value in common(*fresh)
            if not any(
                holds(value, window.before + window.welcome, self._fields(window.name))
                for window in self._let_in
            )
        ]
        self._refused = texts
        why = _("two who wanted a name that was taken saw it, and nobody heard them")
        question = _("What is shown when a name is taken?")
        self._sign("taken", values, why, question)

    _refused: Sequence[str] = ()

    def find_ready(self) -> None:
        """Find what is shown when a name was accepted, and not before, nor when it is refused."""
        lines = [
            self._lines(window.welcome, {"name": window.name}, NAMES) for window in self._let_in
        ]
        if len(lines) < 2:
            return
        values = [
            value
            for value in common(lines[0], lines[1])
            if all(
                holds(value, window.welcome, self._fields(window.name))
                and not holds(value, window.before, self._fields(window.name))
                for window in self._let_in
            )
            and not any(
                holds(value, text, self._fields(name))
                for text, name in zip(self._refused, NAMES, strict=False)
            )
        ]
        if values:
            why = _("all who were let in saw it, and nobody else")
            self._sign("ready", values, why, "")
        elif not self.trouble:
            self._say(_("  – ready: nothing is shown when a name is accepted"))

    # Talking

    def _find_help(self) -> None:
        """Let the chat itself name its commands, on its screens and when it is asked for help."""
        vera = self._windows_of(NAMES[2])
        named = clues.offers(vera.welcome)
        asking = [one for one in [*self._offers, *named] if one.rank("help") >= 3]
        for word in dict.fromkeys([*(one.word for one in asking), "/help"]):
            vera = self._windows_of(NAMES[2])
            mark = vera.mark
            self._types(vera, word)
            named += clues.offers(vera.text[mark:])
            self._back(vera)
        words = {one.word for one in named}
        self._offers = [*named, *(one for one in self._offers if one.word not in words)]

    def _find_all(self) -> None:
        def works(steps: Sequence[Step]) -> bool:
            anna, boris, vera = self._people()
            lines = []
            for speaker, hearers in ((anna, (boris, vera)), (boris, (anna, vera))):
                text = self._text()
                marks = [hearer.mark for hearer in hearers]
                self._does(speaker, steps, text=text)
                if not all(
                    text in hearer.text[mark:] for hearer, mark in zip(hearers, marks, strict=True)
                ):
                    return False
                lines.append(
                    self._lines_with(hearers[0], text, {"name": speaker.name, "text": text})
                )
            self._show(anna, boris)
            self.steps["all"] = list(steps)
            self._note("all", _steps_shown(steps), _("what two said so, the others saw"))
            values = common(*lines, need=("{name}", "{text}"), prompt=boris.idle)
            why = _("so two messages of different people looked")
            self._sign("message", values, why, _("How does a message look?"))
            return True

        question = _(
            "What is typed to write to everybody? {text} is the text; | stands between lines."
        )
        self._find("all", NAMES[0], question, works, [["{text}"]])

    def _find_private(self) -> None:
        def works(steps: Sequence[Step]) -> bool:
            anna, boris, vera = self._people()
            lines = []
            for speaker, reader, other in ((anna, boris, vera), (vera, anna, boris)):
                text = self._text()
                mark = reader.mark
                self._does(speaker, steps, text=text, to=reader.name)
                if text not in reader.text[mark:] or text in other.text:
                    return False
                lines.append(self._lines_with(reader, text, {"name": speaker.name, "text": text}))
            self._show(anna, boris)
            self.steps["private"] = list(steps)
            self._note("private", _steps_shown(steps), _("the one saw it, the third did not"))
            values = common(*lines, need=("{name}", "{text}"), prompt=boris.idle)
            why = _("so two private messages looked")
            self._sign("private_message", values, why, _("How does a private message look?"))
            return True

        question = _(
            "What is typed to write to one? {to} is the name, {text} the text; "
            "| stands between lines."
        )
        self._find("private", NAMES[0], question, works)

    def _find_own(self) -> None:
        """Find what the client itself shows of what its user said: also while the server stands."""
        lines: list[list[str]] = []
        for speaker in self._people()[:2] if "all" in self.steps else ():
            mark = speaker.mark
            self._server.terminal.kill(signal.SIGSTOP)
            text = self._text()
            self._does(speaker, self.steps["all"], text=text)
            rows = [row for row in speaker.text[mark:].splitlines() if text in row]
            self._server.terminal.kill(signal.SIGCONT)
            fields = {"name": speaker.name, "text": text}
            lines.append(self._lines("\n".join(rows[1:]), fields, NAMES))
            self._calm()
        if len(lines) == 2 and all(lines):
            values = common(*lines, need=("{text}",), prompt=self._let_in[0].idle)
            self._sign("own", values, _("two clients showed it while the server stood still"), "")

    def _find_users(self) -> None:
        def works(steps: Sequence[Step]) -> bool:
            for asker in self._people()[:2]:
                mark = asker.mark
                self._does(asker, steps)
                new = asker.text[mark:]
                others = [name for name in NAMES[:3] if name != asker.name]
                if not all(name in new for name in others) or any(
                    text in new for text in self._said
                ):
                    return False
                if NAMES[3] in new:
                    return False
            self._show(self._windows_of(NAMES[0]), self._windows_of(NAMES[1]))
            self.steps["users"] = list(steps)
            self._note("users", _steps_shown(steps), _("two who asked saw the others' names"))
            return True

        question = _("What is typed to see who is in the chat?")
        self._find("users", NAMES[0], question, works)

    def _find_history(self) -> None:
        texts = [self._say_to_all(self._windows_of(name)) for name in NAMES[:2]]
        gleb = self._enter(NAMES[3])

        def works(steps: Sequence[Step]) -> bool:
            reader = self._windows_of(NAMES[3])
            mark = reader.mark
            self._does(reader, steps)
            if not all(text and text in reader.text[mark:] for text in texts):
                return False
            self._show(self._windows_of(NAMES[0]), reader)
            self.steps["history"] = list(steps)
            self._note("history", _steps_shown(steps), _("a newcomer read what two had said"))
            return True

        if all(text and text in gleb.text for text in texts):
            self.steps["history"] = []
            self._note("history", "[]", _("a newcomer sees at once what two had said"))
            return
        question = _("What is typed to read what was said before?")
        self._find("history", NAMES[3], question, works)

    def _find_leave(self) -> None:
        told: list[list[str]] = []

        def works(steps: Sequence[Step]) -> bool:
            told.clear()
            for name in NAMES[3:5]:
                leaver, watcher = self._windows_of(name), self._windows_of(NAMES[0])
                mark = watcher.mark
                self._does(leaver, steps)
                new = watcher.text[mark:]
                told.append(
                    [
                        line
                        for line in self._lines(new, {"name": name}, NAMES)
                        if "{name}" in line and not self._is_message(line)
                    ]
                )
                if not self._server.terminal.is_alive:
                    return False
                if leaver.terminal.is_alive:
                    text = self._say_to_all(watcher)
                    if not told[-1] or not text or text in leaver.text:
                        return False
                self._forget(leaver)
            self._show(self._windows_of(NAMES[0]), self._server)
            self.steps["leave"] = list(steps)
            self._note(
                "leave", _steps_shown(steps), _("two programs ended, or the others were told")
            )
            return True

        question = _("What is typed to leave the chat?")
        self._find("leave", NAMES[3], question, works)
        if len(told) == 2:
            values = [
                value
                for value in common(*told, need=("{name}",), prompt=self._let_in[0].idle)
                if not holds(value, self._arrivals, {"name": NAMES[1]})
            ]
            why = _("the others saw it when two left, and not when others came")
            self._sign("left", values, why, _("What do the others see when somebody leaves?"))

    def _is_message(self, line: str) -> bool:
        """Tell whether the template *line* could be something that was said to all."""
        message = self.signs.get("message", "{name}: {text}")
        before = (message if isinstance(message, str) else message["re"]).partition("{text}")[0]
        return before.strip() in line

    def _find_log(self) -> None:
        for path in own_files(self._sandbox.folder):
            name = path.relative_to(self._sandbox.folder).as_posix()
            if (self._folder / name).exists() and path.stat().st_size == (
                self._folder / name
            ).stat().st_size:
                continue
            data = path.read_bytes().decode(errors="replace")
            if sum(text in data for text in self._said) > 1:
                self.log = name
                self._note("log", name, _("two texts that were said stand in it"))
                return
        self._say(_("  – log: no file was found in which what was said stands"))

    def _find_stopped(self) -> None:
        watchers = [self._windows_of(name) for name in NAMES[:2]]
        marks = [watcher.mark for watcher in watchers]
        before = [watcher.text for watcher in watchers]
        words = [one.word for one in self._offers if one.rank("stop") >= 3]
        told_to = [word for word in words if word in self._server.text]
        ways: list[Step] = [*told_to, {"key": "ctrl-c"}, *words]
        for way in ways:
            with contextlib.suppress(ScreenTimeout):
                self._server.terminal.type(
                    KEYS[way["key"]] if isinstance(way, dict) else way + "\r"
                )
            self._wait(self._server, lambda: not self._server.terminal.is_alive)
            if not self._server.terminal.is_alive:
                if isinstance(way, str):
                    self.steps["stop"] = [way]
                break
        else:
            self._note("stopped", "")
            self.questions["stopped"] = _("How is the server shut down? Ctrl-C does not end it.")
            return
        self._calm()
        lines = [
            self._lines(watcher.text[mark:], {"name": watcher.name}, NAMES)
            for watcher, mark in zip(watchers, marks, strict=True)
        ]
        values = [
            value
            for value in common(*lines, prompt=watchers[0].idle)
            if not any(holds(value, text, {}) for text in before)
        ]
        why = _("two saw it when the server was shut down, and not before")
        self._sign("stopped", values, why, _("What do users see when the server is shut down?"))

    # Tools

    def _find(
        self,
        key: str,
        name: str,
        question: str,
        works: Callable[[Sequence[Step]], bool],
        first: Sequence[Sequence[Step]] = (),
    ) -> None:
        """Let *name* try for *key* what is likely, the likely first, until something *works*."""
        tried: list[Sequence[Step]] = []
        for candidate in self._likely(key, first):
            if len(tried) >= _MOST_TRIES or self._sandbox.time_left() <= 0:
                break
            if candidate in tried:
                continue
            tried.append(candidate)
            self._back(self._windows_of(name))
            if works(candidate):
                return
            # A prompt that came of it may ask for the rest.
            asked = self._asked_for(self._windows_of(name), candidate, key)
            if asked and asked not in tried:
                self._back(self._windows_of(name))
                tried.append(asked)
                if works(asked):
                    return
        self._show(self._windows_of(name), self._server)
        while answer := self._ask(question):
            steps: list[Step] = [part.strip() for part in answer.split(STEP)]
            self._back(self._windows_of(name))
            if works(steps):
                return
            self._say(_("  That did not work."))
            self._show(self._windows_of(name), self._server)
        self._question(key, question, "")

    def _likely(self, key: str, first: Sequence[Sequence[Step]]) -> Iterator[list[Step]]:
        yield from map(list, first)
        taken = [steps[0] for steps in self.steps.values() if len(steps) == 1]
        free = [one for one in self._offers if one.word not in taken]
        ranked = sorted((one for one in free if one.rank(key)), key=lambda one: -one.rank(key))
        leaving = [one for one in ranked if one.rank("leave") >= 3 and key != "leave"]
        rest = [one for one in free if not one.rank(key) and not one.rank("leave")]
        named = [one.word for one in [*ranked, *rest] if one not in leaving]
        forms = FORMS.get(key, ())
        for words in (named, USUAL[key], [one.word for one in leaving]):
            for word in words:
                if word.isdigit() or not forms:
                    yield [word]
                for form in forms if not word.isdigit() else ():
                    if key == "private" or word != "@":
                        yield [form.format(word=word)]
                if forms and not word.isdigit():
                    yield [word]  # it may ask for the rest
        if key == "private":
            yield ["{to}: {text}"]

    def _asked_for(self, window: Window, steps: Sequence[Step], key: str) -> list[Step]:
        """Go on where *steps* have led to prompts; return all steps, none without prompts."""
        if len(steps) != 1 or "{" in str(steps[0]):
            return []
        found: list[Step] = list(steps)
        for _number in range(3):
            prompt = window.terminal.line_before_cursor.strip()
            if not window.terminal.is_alive or not prompt or prompt == window.idle:
                break
            what = clues.wanted(prompt)
            if what == "{name}" and key == "private":
                what = "{to}"
            if what not in ("{to}", "{text}"):
                break
            if what == "{to}" and key == "all":
                what = clues.for_all(prompt)
            found += [{"wait": _prompt_sign(prompt, self._fields(window.name))}, what]
            self._types(window, fill(what, {"to": NAMES[1], "text": "-"}))
        return found if len(found) > 1 else []

    def _does(self, window: Window, steps: Sequence[Step], **fields: str) -> None:
        for step in steps:
            if isinstance(step, str):
                self._types(window, fill(step, self._fields(window.name) | fields))
            elif "key" in step:
                with contextlib.suppress(ScreenTimeout):
                    window.terminal.type(KEYS[step["key"]])
                self._calm()

    def _back(self, window: Window) -> Window:
        """Return *window* where the chat waits for anything, or another in its place."""
        for _number in range(2):
            line = window.terminal.line_before_cursor.strip()
            if not window.terminal.is_alive:
                break
            if line in ("", window.idle) or not clues.wanted(line):
                return window
            self._types(window, "")
        self._forget(window)
        return self._windows_of(window.name)

    def _windows_of(self, name: str) -> Window:
        """Return the window of *name*, who enters if they are not in the chat (any more)."""
        self._revive()
        window = self._windows.get(name)
        if window is None or not window.terminal.is_alive:
            if window is not None:
                self._forget(window)
            self._calm()
            window = self._enter(name)
        return window

    def _people(self) -> list[Window]:
        """Return the windows of the first three, who are all in the chat."""
        for name in (*NAMES[:3], *NAMES[:3]):  # one who came may have brought the server down
            self._windows_of(name)
        missing = [name for name in NAMES[:3] if name not in self._windows]
        if missing:
            raise NotFoundError(_("The server does not go on when three users come."))
        return [self._windows[name] for name in NAMES[:3]]

    def _forget(self, window: Window) -> None:
        window.terminal.close()
        if self._windows.get(window.name) is window:
            del self._windows[window.name]

    def _say_to_all(self, window: Window) -> str:
        """Let *window* say something new to everybody; return it, nothing if that is not known."""
        if "all" not in self.steps:
            return ""
        text = self._text()
        self._does(self._back(window), self.steps["all"], text=text)
        return text

    def _lines(self, text: str, fields: dict[str, str], others: Sequence[str]) -> list[str]:
        """Return the lines of *text* as templates, each once."""
        rest = [name for name in others if name not in fields.values()]
        rows = [
            part
            for row in text.splitlines()
            for part in (row[2:-1].split("\\n") if re.fullmatch(r"b(['\"]).*\1", row) else [row])
        ]
        lines = [template(row, fields, rest) for row in rows if row.strip()]
        return list(dict.fromkeys(line for line in lines if line.strip(VARIES + " ")))

    def _lines_with(self, window: Window, text: str, fields: dict[str, str]) -> list[str]:
        """Return the lines with *text*, and where the name stands on the line before, both."""
        rows = window.text.splitlines()
        found = []
        for number, row in enumerate(rows):
            if text in row:
                if fields["name"] not in row and number:
                    row = f"{rows[number - 1]} {row}"  # noqa: PLW2901
                found += self._lines(row, fields, NAMES)
        return found

    def _sign(self, key: str, values: Sequence[Value], why: str, question: str) -> None:
        if values:
            self.signs[key] = values[0]
            self._note(key, values[0] if isinstance(values[0], str) else values[0]["re"], why)
        elif question:
            self._question(key, question, "")

    def _question(self, key: str, question: str, value: str | None) -> None:
        self.questions[key] = question
        self._note(key, value or "", question)

    def _note(self, key: str, value: str, why: str = "") -> None:
        reason = f"  ({why})" if why else ""
        self._say(f"  {'✓' if value else '?'} {key}: {value}{reason}")

    def _text(self) -> str:
        self._said.append(f"text{len(self._said) + 101}")
        return self._said[-1]

    def _types(self, window: Window, line: str) -> None:
        """Type *line* and wait until nobody is busy any more."""
        if window.terminal.is_alive:
            with contextlib.suppress(ScreenTimeout):
                window.terminal.enter(line)
        self._calm()

    def _calm(self) -> None:
        """Wait until nobody is busy; not for long if that never comes."""
        self._sandbox.wait_until_calm(PATIENCE)

    def _wait(self, window: Window, condition: Callable[[], bool]) -> None:
        """Wait until *condition*, or until nothing goes on that could bring it about."""
        since = 0.0

        def is_over() -> bool:
            nonlocal since
            if condition() or not window.terminal.is_alive:
                return True
            if not self._sandbox.is_blocked():
                since = 0.0
                return False
            since = since or time.monotonic()
            return self._sandbox.is_calm() and time.monotonic() - since > _BLOCKED_SECONDS

        self._sandbox.begin_calm()
        wait_for_all(is_over, PATIENCE)


def _enters(choice: Offer) -> int:
    """Return how well an item of a menu fits somebody who wants to enter a chat."""
    return 2 * choice.rank("client") + choice.rank("enter")


def _without_port(command: Sequence[str]) -> list[str]:
    """Return *command* without the port, and the option for it, that it takes no notice of."""
    kept: list[str] = []
    for word in command:
        if word == "{port}":
            if kept and kept[-1].startswith("-"):
                kept.pop()
            continue
        kept.append(word)
    return kept


def _prompt_sign(prompt: str, fields: dict[str, str]) -> str:
    """Return the last part of *prompt* that is the same every time."""
    parts = template(prompt, {"name": fields["name"]} if fields["name"] else {}).split(VARIES)
    return parts[-1].strip()


def _steps_shown(steps: Sequence[Step]) -> str:
    return f" {STEP} ".join(
        step if isinstance(step, str) else f"({next(iter(step.values()))})" for step in steps
    )
