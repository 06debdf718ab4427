"""The stage of a scenario: people at terminals, who type commands and wait for what they show.

Every window runs a shell, as on a student's desk: the commands that start the programs are typed
there too, and what the shell says when a program has ended can be seen.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import chat
from chat.app.i18n import gettext as _
from chat.app.i18n import language
from chat.lab.terminal import ScreenTimeout, Snapshot, Terminal

from .draw import HALF_COLUMNS, SINGLE_COLUMNS

Picture = list[list[Snapshot]]
"""Windows from top to bottom, from left to right."""

ROWS = 24
FULL_SCREEN_ROWS = 11  # all of them are drawn
PATIENCE = 20.0  # seconds: programs start slowly on a busy machine
PROMPT = "$ "
ADMIN_PASSWORD = "correct horse battery staple"

_REPOSITORY = Path(chat.__file__).resolve().parent.parent


def says(template: str, **fields: str) -> str:
    """Return a regular expression for what a program says by *template*.

    *fields* are regular expressions for its ``{fields}``; the others may hold anything. Where
    the template has a blank, the screen may have a line's end.
    """
    parts = re.split(r"\{(\w+)[^}]*\}", template)
    for index in range(0, len(parts), 2):
        parts[index] = r"\s+".join(map(re.escape, re.split(r"\s+", parts[index])))
    for index in range(1, len(parts), 2):
        parts[index] = fields.get(parts[index], ".+?")
    return "".join(parts)


class Person:
    """Somebody at a terminal, in front of a shell."""

    at_rest = re.compile(re.escape(PROMPT))
    """What stands before the cursor when the window waits for its person."""

    def __init__(self, stage: Stage, terminal: Terminal) -> None:
        """Sit down at *terminal*."""
        self.terminal = terminal
        self._stage = stage

    def enter(self, line: str) -> None:
        """Wait for an empty prompt, type *line*, press Enter."""
        self.rests()
        self.answer(line)

    def answer(self, line: str) -> None:
        """Type *line* and press Enter at once; the scenario's list of commands gets it."""
        self._stage.typed.append((self.terminal.title, line))
        self.terminal.enter(line)

    def press(self, name: str, keys: str) -> None:
        """Press the key called *name*, for which the terminal sends *keys*."""
        self._stage.typed.append((self.terminal.title, name))
        self.terminal.type(keys)

    def begin(self, line: str) -> None:
        """Type *line* without Enter; the list of commands gets it with three dots."""
        self._stage.typed.append((self.terminal.title, f"{line}…"))
        self.terminal.type(line)

    def enter_secret(self, secret: str) -> None:
        """Type a password, which neither the screen nor the list of commands shows."""
        self._stage.typed.append((self.terminal.title, "•" * len(secret)))
        self.terminal.enter(secret)

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C."""
        self._stage.typed.append((self.terminal.title, "Ctrl-C"))
        self.terminal.interrupt()

    def sees(self, *sentences: str) -> re.Match[str]:
        """Wait until *sentences*, made by `says`, stand on the screen in this order."""
        pattern = re.compile(".*?".join(sentences), re.DOTALL)
        return self.terminal.wait_for(pattern, PATIENCE)

    def rests(self) -> None:
        """Wait until the window has nothing more to say and waits for its person."""
        self.terminal.wait_until(
            lambda terminal: bool(self.at_rest.fullmatch(terminal.line_before_cursor)),
            _("an empty line for input"),
            PATIENCE,
        )

    def is_back_in_the_shell(self) -> None:
        """Wait until the program has ended and the shell asks for a command."""
        self.terminal.wait_until(
            lambda terminal: terminal.line_before_cursor == PROMPT, repr(PROMPT), PATIENCE
        )

    def asks_status(self, status: int) -> None:
        """Ask the shell how the last program has ended; it must be *status*."""
        self.is_back_in_the_shell()
        self.enter("echo $?")
        self.sees(r"echo \$\?", rf"\n{status}\s")
        self.is_back_in_the_shell()

    def has_not_seen(self, text: str) -> None:
        """Check that *text* is not on the screen; something later than it must have come."""
        if self.terminal.find(text) is not None:
            raise ScreenTimeout(
                _("In the window “{title}” nobody was meant to see “{text}”.").format(
                    title=self.terminal.title, text=text
                )
            )


class Server(Person):
    """Somebody who runs a server."""

    at_rest = re.compile(rf"({re.escape(PROMPT)})?")  # a running server writes whole lines
    port = 0
    """The port that the server has taken."""

    def start(self, *options: str) -> None:
        """Start the server with *options* and wait for its address."""
        self.enter(" ".join(["python -m chat.server --port 0", *options]))
        self.port = int(self.sees(says(_("The server is listening on {address}")), r":(\d+)")[1])
        self.users: list[User] = []
        self._entries: Counter[str] = Counter()
        self._messages = 0

    def notes_an_entry(self, nick: str) -> None:
        """Wait for the line about one more user who has entered as *nick*."""
        self._entries[nick] += 1
        line = says(_("{nick} has joined"), nick=rf"{nick} \(\S+\)")
        self.sees(*[line] * self._entries[nick])

    def notes_a_message(self) -> None:
        """Wait for the line about one more message."""
        self._messages += 1
        self.sees(*["→"] * self._messages)


class User(Person):
    """Somebody with a client that writes lines."""

    at_rest = re.compile(rf"\[\S+\] |{re.escape(PROMPT)}")
    command = "python -m chat.client --plain"
    nick = ""

    def start(self, server: Server, *options: str) -> None:
        """Start the client with *options*."""
        self.enter(" ".join([f"{self.command} --port {server.port}", *options]))

    def gives_nick(self, nick: str) -> None:
        """Wait until the client asks for a nickname, and type *nick*."""
        self.sees(says(_("Your nickname: ").strip()))
        self.answer(nick)

    def is_in(self, server: Server, nick: str) -> None:
        """Wait until the chat has let *nick* in and everybody there has been told."""
        self.nick = nick
        self.sees(says(_("You are in the chat as {nick}."), nick=nick))
        self.sees(says(_("/help lists the commands.")))
        self.rests()
        server.notes_an_entry(nick)
        for other in server.users:
            other.sees(says(_("{nick} is in the chat now"), nick=nick))
        self._server = server
        server.users.append(self)

    def say(self, line: str) -> None:
        """Type *line*, a message, and wait until the server has passed it on."""
        self.enter(line)
        self.sees(says(line))
        self.rests()
        self._server.notes_a_message()

    def has_left(self, sentence: str) -> None:
        """Wait until the others have read *sentence* about this user's end, and the server too."""
        server = self._server
        server.users.remove(self)
        server.sees(
            says(sentence, nick=rf"{self.nick}( \(\S+\))?"),
            says(_("{address} has disconnected")),
        )
        for other in server.users:
            other.sees(says(sentence, nick=self.nick))


class FullScreenUser(User):
    """Somebody with the full-screen client."""

    command = "python -m chat.client"

    def rests(self) -> None:
        """Wait until nothing is typed, and the cursor, which the program draws, is to be seen."""

        def at_rest(terminal: Terminal) -> bool:
            if terminal.line_before_cursor == PROMPT:  # the program has not been started yet
                return True
            screen = terminal.snapshot()
            last = screen.text(len(screen.rows) - 1)
            place = len(last) + 1  # one blank behind the prompt
            return bool(re.fullmatch(r"\[\S+\]", last)) and screen.rows[-1][place].reverse

        self.terminal.wait_until(at_rest, _("an empty line for input"), PATIENCE)

    def shows(self) -> Snapshot:
        """Return the screen as it is once it is at rest."""
        self.rests()
        return self.terminal.snapshot()


class Stage:
    """All terminals of one scenario. A context manager; at its end every program has ended."""

    def __init__(self, folder: Path) -> None:
        """Let everybody work in *folder*, which is their home as well."""
        self.folder = folder
        self.typed: list[tuple[str, str]] = []
        """What was typed, in order: the window's title and the line."""
        self._terminals = ExitStack()

    def __enter__(self) -> Self:
        """Return the stage."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all programs."""
        self._terminals.close()

    def person(self, title: str, columns: int = HALF_COLUMNS) -> Person:
        """Return somebody at a new window named *title*, in front of a shell."""
        return Person(self, self._window(title, columns))

    def server(
        self, *options: str, columns: int = HALF_COLUMNS, title: str | None = None
    ) -> Server:
        """Start a server with *options* in a new window."""
        server = Server(self, self._window(title or _("Server"), columns))
        server.start(*options)
        return server

    def newcomer(self, title: str, columns: int = HALF_COLUMNS) -> User:
        """Return somebody who has not started their client yet."""
        return User(self, self._window(title, columns))

    def user(
        self, server: Server, nick: str, columns: int = HALF_COLUMNS, title: str | None = None
    ) -> User:
        """Let *nick* into the chat of *server* from a new window."""
        user = self.newcomer(title or nick, columns)
        user.start(server)
        user.gives_nick(nick)
        user.is_in(server, nick)
        return user

    def full_screen_user(self, server: Server, nick: str) -> FullScreenUser:
        """Let *nick* into the chat of *server* from a new window, with the full-screen client."""
        window = self._window(nick, SINGLE_COLUMNS, FULL_SCREEN_ROWS)
        user = FullScreenUser(self, window)
        user.start(server, f"--nick {nick}")
        user.is_in(server, nick)
        return user

    def users(self, server: Server, *nicks: str, columns: int = HALF_COLUMNS) -> list[User]:
        """Let *nicks* in, one after another."""
        return [self.user(server, nick, columns) for nick in nicks]

    def picture(self, *rows: list[Person]) -> Picture:
        """Return what the windows of *rows* show once all of them are at rest."""
        for row in rows:
            for person in row:
                person.rests()
        return [[person.terminal.snapshot() for person in row] for row in rows]

    def _window(self, title: str, columns: int, rows: int = ROWS) -> Terminal:
        terminal = Terminal(
            ["bash", "--noprofile", "--norc"],
            title=title,
            columns=columns,
            rows=rows,
            cwd=self.folder,
            env={
                "HOME": str(self.folder),
                "LANGUAGE": language(),
                "PS1": rf"\[\e[1;32m\]{PROMPT.strip()}\[\e[0m\] ",
                "PYTHONPATH": str(_REPOSITORY),
            },
        )
        self._terminals.enter_context(terminal)
        terminal.wait_until(
            lambda shell: shell.line_before_cursor == PROMPT, repr(PROMPT), PATIENCE
        )
        return terminal
