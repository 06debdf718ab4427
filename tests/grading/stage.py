"""The stage: one server and its users at real terminals, who type and wait as people do.

Nothing here waits for a fixed time. What is waited for is given up when all programs of the
submission have stood still for the rubric's ``patience``: on a busy machine programs wait for the
processor, which is not standing still, and they get the time that they need. That somebody did
*not* get a message is never concluded from silence: see `Stage.settle`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from chat.app.i18n import gettext as _
from chat.lab.terminal import ScreenTimeout, Terminal

from .rubric import Rubric
from .sandbox import Sandbox, port_of
from .submission import KEYS, Sign, Steps, Submission, fill, sign

_MEDDLER = str(Path(__file__).with_name("meddler.py"))
_PORT = 9100  # on a network of its own; otherwise the system chooses
_TYPED_SHOWN = 6
_ROWS_SHOWN = 14
_ESTABLISHED = "01"  # <linux/tcp_states.h>

MESSAGE = Sign((("{name}.*{text}", True),))
"""How a message looks unless the submission says otherwise: who, and on the same line what."""


class Missed(Exception):  # noqa: N818 - no error of ours
    """A requirement is not fulfilled: what was typed, expected, and seen."""


class CannotTell(Exception):  # noqa: N818
    """A requirement cannot be judged here; the text is the reason."""


class Player:
    """Somebody at a terminal: who runs the server, or a user."""

    def __init__(self, stage: Stage, title: str, terminal: Terminal) -> None:
        """Sit down at *terminal*, known to the reader of a grade as *title*."""
        self.title = title
        self.name = ""
        self.terminal = terminal
        self._stage = stage

    @property
    def mark(self) -> int:
        """Where on the screen that will stand which is not there yet."""
        return self.terminal.cursor_row_begin

    def text(self, since: int = 0) -> str:
        """Return what the screen shows from *since* on, and has shown."""
        text = self.terminal.text
        return text[since:] if len(text) >= since else text

    def does(self, steps: Steps, **fields: str) -> int:
        """Carry out *steps*; return the mark from before. Raises `Missed`."""
        mark = self.mark
        fields = {"name": self.name} | fields
        for step in steps:
            if step.kind == "wait":
                assert step.sign is not None
                self.sees(step.sign, mark, **fields)
            elif step.kind == "key":
                self._press(KEYS[step.text], step.text)
            else:
                line = fill(step.text, fields)
                self._press(line + "\r", line)
        return mark

    def types(self, line: str) -> int:
        """Type *line* and press Enter; return the mark from before. Raises `Missed`."""
        mark = self.mark
        self._press(line + "\r", line)
        return mark

    def sees(self, what: Sign, since: int = 0, **fields: str) -> re.Match[str]:
        """Wait until *what* stands on the screen after *since*; return where. Raises `Missed`."""
        fields = {"name": self.name} | fields
        pattern, words = what.pattern(**fields), what.words(**fields)
        self.waits(lambda: pattern.search(self.text(since)) is not None, words)
        found = pattern.search(self.text(since))
        assert found is not None
        return found

    def waits(self, condition: Callable[[], bool], expected: str) -> None:
        """Wait until *condition*, which is said as *expected*. Raises `Missed`."""
        self._stage.wait(self, condition, expected)

    def must_not_show(self, text: str, since: int, reason: str) -> None:
        """Raise `Missed`, for *reason*, if *text* stands on the screen after *since*."""
        if text in squeezed(self.text(since)) or text in self.text(since):
            raise Missed(self._stage.complaint(self, reason))

    def ends(self) -> None:
        """Wait until the program has ended. Raises `Missed`."""
        self.waits(lambda: not self.terminal.is_alive, _("the end of the program"))

    def stop(self) -> None:
        """Let the program stand still: it neither reads nor writes (SIGSTOP)."""
        self._stage.typed.append((self.title, _("(the program is stopped)")))
        os.killpg(self.terminal.foreground, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the program go on (SIGCONT)."""
        self._stage.typed.append((self.title, _("(the program goes on)")))
        os.killpg(self.terminal.foreground, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the program: it can say nothing to anybody (SIGKILL)."""
        self._stage.typed.append((self.title, _("(the program is killed)")))
        os.killpg(self.terminal.foreground, signal.SIGKILL)

    def _press(self, keys: str, shown: str) -> None:
        self._stage.typed.append((self.title, shown))
        try:
            self.terminal.type(keys)
        except ScreenTimeout as error:
            raise Missed(
                self._stage.complaint(self, _("the program to take what is typed"))
            ) from error


class Stage:
    """One server of a submission and its users. A context manager that ends all programs.

    It belongs to one thread.
    """

    def __init__(self, sandbox: Sandbox, submission: Submission, rubric: Rubric) -> None:
        """Play *submission* in *sandbox*, which has been entered, as *rubric* says."""
        self.submission = submission
        self.sandbox = sandbox
        self.typed: list[tuple[str, str]] = []
        """What was done, in order: the window's title, and the line."""
        self._rubric = rubric
        self._programs = ExitStack()
        self._numbers = itertools.count(101)
        self.port = 0
        self.server: Player
        self.users: list[Player] = []
        """Who is in the chat."""

    def __enter__(self) -> Self:
        """Clear the stage: fresh files, a fresh network."""
        self.sandbox.renew()
        self.port = self.submission.port or self._free_port()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all programs."""
        self._programs.close()
        self.sandbox.clear()

    # Who is there

    def name(self, number: int) -> str:
        """Return the name of user *number*, from 0."""
        return self.submission.names[number]

    def steps(self, name: str) -> Steps:
        """Return how the submission does *name*. Raises `Missed` if its file does not say."""
        steps = self.submission.steps.get(name)
        if steps is None:
            raise Missed(
                _("{file} does not say how to do this: {name} is missing under [client].").format(
                    file=self.submission.path.name, name=name
                )
            )
        return steps

    def sign(self, name: str, default: Sign | None = None) -> Sign:
        """Return the sign *name* of the submission. Raises `Missed` if its file does not say."""
        found = self.submission.signs.get(name, default)
        if found is None:
            raise Missed(
                _("{file} does not say what to wait for: {name} is missing.").format(
                    file=self.submission.path.name, name=name
                )
            )
        return found

    def start_server(self) -> Player:
        """Start the server and wait until one can connect to it. Raises `Missed`."""
        command = self._command(self.submission.server_command, self.port)
        self.server = self._player(_("server"), command)
        ready = self.submission.signs.get("server_ready")
        if ready is not None:
            self.server.sees(ready, port=str(self.port))
        self.server.waits(
            self._is_listening, _("a server that listens on port {port}").format(port=self.port)
        )
        return self.server

    def launch(self, number: int, *, title: str | None = None, port: int | None = None) -> Player:
        """Start a client for user *number*, and go no further."""
        name = self.name(number)
        command = self._command(self.submission.client_command, port or self.port, name)
        player = self._player(title or name, command)
        player.name = name
        return player

    def enter(self, *numbers: int, port: int | None = None) -> list[Player]:
        """Let users *numbers* into the chat, one after another. Raises `Missed`."""
        players = []
        for number in numbers:
            players.append(self.launch(number, port=port))
            self.log_in(players[-1])
        return players

    def log_in(self, player: Player, name: str | None = None) -> None:
        """Give *name*, else the player's own, and wait until it is accepted. Raises `Missed`."""
        player.name = name or player.name
        mark = player.does(self.submission.steps.get("login", ()))
        player.sees(self.sign("ready"), 0 if name is None else mark)
        self.users.append(player)

    def open(self, number: int = 3) -> list[Player]:
        """Start the server and let *number* users in; return these. Raises `Missed`."""
        self.start_server()
        return self.enter(*range(number))

    # What they do together

    def new_text(self) -> str:
        """Return a text that nobody has said yet."""
        return f"text{next(self._numbers)}"

    def broadcasts(self, player: Player, text: str | None = None) -> str:
        """Let *player* say *text*, else something new, to everybody; return it."""
        text = text or self.new_text()
        player.does(self.steps("all"), text=text)
        return text

    def hears(self, listener: Player, speaker: Player, text: str, since: int = 0) -> None:
        """Wait until *listener* reads *text* from *speaker*. Raises `Missed`."""
        listener.sees(self.sign("message", MESSAGE), since, name=speaker.name, text=text)

    def settle(self, *players: Player) -> None:
        """Wait until all that was said before has arrived wherever it was sent.

        Everybody says something to all, twice. A server works through what one user sends in
        order, and so does a client with what it receives: when everybody has the others' second
        sentence, what was said before the first has nowhere to be any more. Raises `Missed`.
        """
        players = players or tuple(self.users)
        for _round in range(2):
            for player in players:
                text = self.broadcasts(player)
                for other in players:
                    if other is not player:
                        other.sees(sign(text))

    def calm(self) -> None:
        """Wait until nobody has anything to do any more; not for long if that never comes.

        After something that shows on no screen: what is done next does not meet it on its way.
        """
        self.sandbox.begin_calm()
        with contextlib.suppress(ScreenTimeout):
            self.server.terminal.wait_until(
                lambda _terminal: self.sandbox.is_calm() and not self.bytes_waiting(),
                "",
                self._rubric.patience,
            )

    def leaves(self, player: Player) -> None:
        """Let *player* leave the chat by command. Raises `Missed`."""
        self.users.remove(player)
        player.does(self.steps("leave"))

    def list_users(self, player: Player) -> int:
        """Let *player* ask for the list of users; return the mark from before."""
        return player.does(self.steps("users"))

    # Trouble

    def meddler(self) -> Meddler:
        """Return somebody who misbehaves on the network."""
        return self._programs.enter_context(Meddler(self.sandbox, self.port))

    def bytes_waiting(self) -> int:
        """Return how many bytes the server's sockets have received and it has not read."""
        return sum(
            int(fields[4].rpartition(":")[2], 16)
            for fields in self.sandbox.sockets()
            if port_of(fields[1]) == self.port and fields[3] == _ESTABLISHED
        )

    # Waiting

    def wait(self, player: Player, condition: Callable[[], bool], expected: str) -> None:
        """Wait in front of the screen of *player*. Raises `Missed`."""
        if self.sandbox.time_left() <= 0:
            raise Missed(_("The time for this submission was over before this was checked."))
        longest = min(self._rubric.longest_wait, self.sandbox.time_left())
        still = 0.0
        last = time.monotonic()
        met = False

        def look(_terminal: Terminal) -> bool:
            nonlocal still, last, met
            met = condition()
            now = time.monotonic()
            if not self.sandbox.is_busy():
                still += min(now - last, 0.1)  # we may have slept ourselves
            last = now
            return met or still >= self._rubric.patience

        try:
            player.terminal.wait_until(look, expected, longest)
        except ScreenTimeout:
            met = met or condition()
        if not met:
            raise Missed(self.complaint(player, expected))

    def complaint(self, player: Player, expected: str) -> str:
        """Return what was typed, what was *expected* on the screen of *player*, what it shows."""
        typed = [f"{title}: «{_short(line)}»" for title, line in self.typed[-_TYPED_SHOWN:]]
        rows = player.terminal.screen_text.split("\n")
        lines = []
        if typed:
            lines.append(_("Typed: {typed}.").format(typed="; ".join(typed)))
        lines.append(
            _("Expected in the window “{title}”: {what}.").format(title=player.title, what=expected)
        )
        if player.terminal.is_too_loud:
            lines.append(_("The program printed more than it may, and was ended."))
        elif not player.terminal.is_alive:
            lines.append(_("The program has ended."))
        if player is not getattr(self, "server", player) and not self.server.terminal.is_alive:
            lines.append(_("The server has ended. Its window shows:"))
            lines += _framed(self.server.terminal.screen_text.split("\n"))
        lines.append(_("The window “{title}” shows:").format(title=player.title))
        return "\n".join(lines + _framed(rows))

    def _player(self, title: str, command: Sequence[str]) -> Player:
        terminal = self.sandbox.terminal(
            command, title, self.submission.columns, self.submission.rows
        )
        self._programs.enter_context(terminal)
        return Player(self, title, terminal)

    def _command(self, words: Sequence[str], port: int, name: str = "") -> list[str]:
        fields = {"port": str(port), "name": name, "python": sys.executable}
        command = [fill(word, fields) for word in words]
        if command[0] in ("python", "python3"):
            command[0] = sys.executable
        return command

    def _free_port(self) -> int:
        if self.sandbox.has_network:
            return _PORT
        with socket.create_server(("127.0.0.1", 0)) as taken:
            return int(taken.getsockname()[1])

    def _is_listening(self) -> bool:
        return self.port in self.sandbox.listening_ports()


class Meddler:
    """Somebody who misbehaves on a submission's network; see ``meddler.py``."""

    def __init__(self, sandbox: Sandbox, port: int) -> None:
        """Misbehave towards whoever listens on *port*."""
        self._process: subprocess.Popen[str] = sandbox.process(
            [sys.executable, "-I", "-S", _MEDDLER, str(port)]
        )

    def __enter__(self) -> Self:
        """Return the meddler."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def ask(self, command: str) -> str:
        """Give it a *command*; return its answer when it is done. Raises `Missed`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer or answer.startswith(("error", "unknown")):
            raise Missed(
                _("A bare connection to the server did not work: {reason}.").format(
                    reason=answer.removeprefix("error ") or "?"
                )
            )
        return answer


def squeezed(text: str) -> str:
    """Return *text* without blanks: a long line may be broken anywhere."""
    return "".join(text.split())


def _short(line: str) -> str:
    return line if len(line) <= 60 else f"{line[:40]}… ({len(line)})"


def _framed(rows: list[str]) -> list[str]:
    return [f"│ {row}" for row in rows[-_ROWS_SHOWN:]]
