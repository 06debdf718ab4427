"""The stage: one server and its users at real terminals, who type and wait as people do.

Nothing here waits for a fixed time. What is waited for is given up when all programs of the
submission have stood still for the rubric's ``patience``: on a busy machine programs wait for the
processor, which is not standing still, and they get the time that they need. That somebody did
*not* get a message is never concluded from silence: see `Stage.settle`.
"""

from __future__ import annotations

import itertools
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from chat.app.i18n import gettext as _
from chat.lab.terminal import ScreenTimeout, Terminal

from .rubric import Rubric
from .sandbox import ESTABLISHED, Patience, PortTakenError, Sandbox, port_of
from .submission import KEYS, PASSWORD, Sign, Steps, Submission, fill, sign

_MEDDLER = str(Path(__file__).with_name("meddler.py"))
_PORT = 9100  # on a network of its own; otherwise the system chooses
HOST = "127.0.0.1"
_TYPED_SHOWN = 6
_EVENTS_SHOWN = 16
_ROWS_SHOWN = 14

MESSAGE = Sign((("{name}.*{text}", True),))
"""How a message looks unless the submission says otherwise: who, and on the same line what."""


@dataclass(frozen=True)
class Event:
    """Something that happened in a window: a moment of the exchange."""

    seconds: float
    """Since the server was started."""

    window: str
    text: str
    kind: str = "shown"
    """``typed`` by a person, ``shown`` by the program, ``done`` to it, or what was ``expected``."""


class Missed(Exception):  # noqa: N818 - no error of ours
    """A requirement is not fulfilled: what was typed, expected, and seen."""

    def __init__(
        self, reason: str, *, exchange: Sequence[Event] = (), sign: str = "", crash: str = ""
    ) -> None:
        """Say the *reason*; *exchange* is what led to it, in order of time.

        *sign* is what was waited for in vain, as it is called in the submission's file, and
        *crash* names the program that has ended by itself and its last words.
        """
        super().__init__(reason)
        self.exchange = tuple(exchange)
        self.sign = sign
        self.crash = crash


class CannotTell(Exception):  # noqa: N818
    """A requirement cannot be judged here; the text is the reason."""


class Player:
    """Somebody at a terminal: who runs the server, or a user."""

    def __init__(self, stage: Stage, title: str, terminal: Terminal) -> None:
        """Sit down at *terminal*, known to the reader of a grade as *title*."""
        self.title = title
        self.name = ""
        self.port = stage.port
        self.terminal = terminal
        self.told = 0
        """How much of what the screen has shown stands in the exchange."""

        self.killed = False
        """Whether somebody has killed the program here."""

        self._stage = stage
        self._printed = -1
        self._text = ""
        self._mark = 0

    @property
    def mark(self) -> int:
        """Where in `text` that will stand which is not there yet."""
        self._look()
        return self._mark

    def text(self, since: int = 0) -> str:
        """Return what the screen shows from *since* on, and has shown, even if it was erased."""
        self._look()
        return self._text[since:] if len(self._text) >= since else self._text

    def _look(self) -> None:
        """Read the screen, if it has changed since it was read last."""
        if self._printed != self.terminal.bytes_printed:
            self._printed = self.terminal.bytes_printed
            self._text = self.terminal.transcript
            self._mark = self.terminal.transcript_row_begin

    def fields(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Return what stands for the ``{fields}`` in what this player types and waits for."""
        address = {"port": str(self.port), "host": self._stage.host, "password": PASSWORD}
        return address | {"name": self.name} | dict(fields)

    def does(self, steps: Steps, **fields: str) -> int:
        """Carry out *steps*; return the mark from before. Raises `Missed`."""
        mark = self.mark
        fields = self.fields(fields)
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

    def sees(self, what: Sign, since: int = 0, *, sign: str = "", **fields: str) -> re.Match[str]:
        """Wait until *what* stands on the screen after *since*; return where. Raises `Missed`.

        *sign* is what the submission's file calls it.
        """
        fields = self.fields(fields)
        pattern, words = what.pattern(**fields), what.words(**fields)
        self.waits(lambda: pattern.search(self.text(since)) is not None, words, sign)
        found = pattern.search(self.text(since))
        assert found is not None
        return found

    def waits(self, condition: Callable[[], bool], expected: str, sign: str = "") -> None:
        """Wait until *condition*, which is said as *expected*. Raises `Missed`."""
        self._stage.wait(self, condition, expected, sign)

    def must_not_show(self, text: str, since: int, reason: str) -> None:
        """Raise `Missed`, for *reason*, if *text* stands on the screen after *since*."""
        if text in squeezed(self.text(since)) or text in self.text(since):
            raise self._stage.missed(self, reason)

    def ends(self) -> None:
        """Wait until the program has ended. Raises `Missed`."""
        self.waits(lambda: not self.terminal.is_alive, _("the end of the program"))

    def stop(self) -> None:
        """Let the program stand still: it neither reads nor writes (SIGSTOP)."""
        self._signal(signal.SIGSTOP, _("(the program is stopped)"))

    def go_on(self) -> None:
        """Let the program go on (SIGCONT)."""
        self._signal(signal.SIGCONT, _("(the program goes on)"))

    def kill(self) -> None:
        """Kill the program: it can say nothing to anybody (SIGKILL)."""
        self.killed = True
        self._signal(signal.SIGKILL, _("(the program is killed)"))

    def _signal(self, number: signal.Signals, shown: str) -> None:
        self._stage.note(self.title, shown)
        self.terminal.kill(number)

    def _press(self, keys: str, shown: str) -> None:
        self._stage.note(self.title, shown, "typed")
        try:
            self.terminal.type(keys)
        except ScreenTimeout as error:
            raise self._stage.missed(self, _("the program to take what is typed")) from error


class Stage:
    """One server of a submission and its users. A context manager that ends all programs.

    It belongs to one thread.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        submission: Submission,
        rubric: Rubric,
        *,
        python: str = sys.executable,
        external_port: int | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Play *submission* in *sandbox*, which has been entered, as *rubric* says.

        Its programs are run by *python*. With *external_port* the server is not started: it runs
        already, there, and may know the submission's names from before, so that the users are
        called *names*.
        """
        self.submission = submission
        self.sandbox = sandbox
        self.exchange: list[Event] = []
        """What was done and shown, in order."""

        self.external_port = external_port
        self._names = names or submission.names
        self._python = python
        self._rubric = rubric
        self._programs = ExitStack()
        self._players: list[Player] = []
        self._numbers = itertools.count(101)
        self._started = time.monotonic()
        self._stopping = False
        self.port = 0
        self.host = HOST
        self.server: Player
        self.users: list[Player] = []
        """Who is in the chat."""

    def __enter__(self) -> Self:
        """Clear the stage: fresh files, a fresh network."""
        self.sandbox.renew()
        self.port = self.external_port or self.submission.port or self._free_port()
        if self.external_port is None and self.submission.port is not None:
            try:
                self.sandbox.reserve(self.port)
            except PortTakenError as error:
                raise CannotTell(str(error)) from error
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all programs."""
        self._programs.close()
        self.sandbox.clear()

    # Who is there

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
        if self.external_port is not None:
            return self._find_server()
        command = self._command(self.submission.server_command, self.port)
        self.server = self._player(_("server"), command)
        self.server.does(self.submission.steps.get("start", ()))
        ready = self.submission.signs.get("server_ready")
        try:
            if ready is not None:
                self.server.sees(ready, sign="[server] ready")
            self.server.waits(
                self.is_listening, _("a server that listens on port {port}").format(port=self.port)
            )
        except Missed as missed:
            if self.server.terminal.is_alive and (other := self.sandbox.other_sockets()):
                sentence = _("The server has opened {socket} and listens on no TCP port.")
                raise Missed(
                    f"{sentence.format(socket=other)}\n{missed}", exchange=missed.exchange
                ) from missed
            raise
        self.host = self.sandbox.listening_ports().get(self.port, HOST)
        return self.server

    def _find_server(self) -> Player:
        """Find the server that runs outside. Raises `Missed` when nobody listens on its port."""
        shown = _("(the server runs outside, on port {port})").format(port=self.port)
        program = "import sys; print(sys.argv[1]); sys.stdin.read()"
        self.server = self._player(_("server"), [sys.executable, "-I", "-S", "-c", program, shown])
        self.sandbox.outsider = self.sandbox.listener(self.port)
        if self.sandbox.outsider is None:
            raise self.missed(
                self.server, _("a server that listens on port {port}").format(port=self.port)
            )
        return self.server

    @property
    def server_pid(self) -> int:
        """The process id of the server."""
        return self.sandbox.outsider or self.server.terminal.pid

    def launch(
        self,
        number: int,
        *,
        title: str | None = None,
        port: int | None = None,
        name: str | None = None,
    ) -> Player:
        """Start a client for user *number*, called *name*, and go no further. Raises `Missed`."""
        if not self.is_listening():  # whoever answers on its port now is somebody else
            raise self.missed(
                self.server, _("a server that listens on port {port}").format(port=self.port)
            )
        name = name or self._names[number]
        command = self._command(self.submission.client_command, port or self.port, name)
        player = self._player(title or name, command)
        player.name, player.port = name, port or self.port
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
        ready = self.submission.signs.get("ready")
        if ready is not None:
            player.sees(ready, 0 if name is None else mark, sign="ready")
        else:  # the client says nothing when it has been let in
            self.calm()
            if not player.terminal.is_alive or not self.is_listening():
                raise self.missed(player, _("a client that goes on after it was told the name"))
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
        listener.sees(
            self.sign("message", MESSAGE), since, sign="message", name=speaker.name, text=text
        )

    def settle(self, *players: Player) -> None:
        """Wait until all that was said before has arrived wherever it was sent.

        Everybody says something to all, twice. A server works through what one user sends in
        order, and so does a client with what it receives: when everybody has the others' second
        sentence, what was said before the first has nowhere to be any more. Of one alone nothing
        is heard, so then the programs are waited for. Raises `Missed`.
        """
        players = players or tuple(self.users)
        if len(players) == 1:
            self.calm()
            return
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
        self.sandbox.wait_until_calm()

    def leaves(self, player: Player) -> None:
        """Let *player* leave the chat, by command if there is one. Raises `Missed`."""
        self.users.remove(player)
        if "leave" in self.submission.steps:
            player.does(self.steps("leave"))
        else:
            player.kill()

    def stop_server(self) -> None:
        """Shut the server down as its file says. Raises `Missed`."""
        self._stopping = True
        self.server.does(self.steps("stop"))

    # Trouble

    def meddler(self) -> Meddler:
        """Return somebody who misbehaves on the network."""
        return self._programs.enter_context(Meddler(self.sandbox, self.port, self.host))

    def bytes_waiting(self) -> int:
        """Return how many bytes the server's sockets have received and it has not read."""
        return sum(
            int(fields[4].rpartition(":")[2], 16)
            for fields in self.sandbox.sockets()
            if port_of(fields[1]) == self.port and fields[3] == ESTABLISHED
        )

    # Waiting

    def wait(
        self, player: Player, condition: Callable[[], bool], expected: str, sign: str = ""
    ) -> None:
        """Wait in front of the screen of *player*. Raises `Missed`.

        What is waited for is given up when the rubric's patience with the programs is over.
        """
        if self.sandbox.time_left() <= 0:
            raise Missed(_("The time for this submission was over before this was checked."))
        patience = Patience(self.sandbox, self._rubric.patience)
        longest = min(self._rubric.longest_wait, self.sandbox.time_left())
        met = False

        def look(_terminal: Terminal) -> bool:
            nonlocal met
            met = condition()
            return met or patience.is_over()

        try:
            player.terminal.wait_until(look, expected, longest)
        except ScreenTimeout:
            met = met or condition()
        self.observe()
        if not met:
            missed = self.missed(player, expected, sign)
            if patience.was_busy:
                missed.args = (_("A program was busy all the time.") + f"\n{missed}",)
            raise missed

    # What is told of it

    def note(self, window: str, text: str, kind: str = "done") -> None:
        """Remember that somebody typed *text*, or that it was done, in *window*."""
        self.observe()
        self.exchange.append(Event(time.monotonic() - self._started, window, text, kind))

    def observe(self, *, whole: bool = False) -> None:
        """Remember what the windows show that they did not show before; all rows when *whole*."""
        for player in self._players:
            end = len(player.text()) if whole else player.mark
            new = player.text()[player.told : end]
            player.told = max(player.told, end)
            typed = [one.text for one in self.exchange if one.window == player.title][-3:]
            for line in new.splitlines():
                if line.strip() and not any(text and line.endswith(text) for text in typed):
                    event = Event(time.monotonic() - self._started, player.title, line.rstrip())
                    self.exchange.append(event)

    def missed(self, player: Player, expected: str, sign: str = "") -> Missed:
        """Return that *expected* did not come on the screen of *player*, and all about it."""
        self.observe(whole=True)
        end = Event(time.monotonic() - self._started, player.title, expected, "expected")
        return Missed(
            self._complaint(player, expected),
            exchange=[*self.exchange[-_EVENTS_SHOWN:], end],
            sign=sign,
            crash=self._crash(),
        )

    def _complaint(self, player: Player, expected: str) -> str:
        """Return what was typed, what was *expected* on the screen of *player*, what it shows."""
        typed = [
            f"{one.window}: «{_short(one.text)}»" for one in self.exchange if one.kind != "shown"
        ][-_TYPED_SHOWN:]
        rows = player.terminal.screen_text.split("\n")
        lines = []
        if typed:
            lines.append(_("Typed: {typed}.").format(typed="; ".join(typed)))
        lines.append(
            _("Expected in the window “{title}”: {what}.").format(title=player.title, what=expected)
        )
        if ending := _ending(player, self._rubric):
            lines.append(ending)
        for other in (getattr(self, "server", player), *self.users):
            if other is not player and (ending := _ending(other, self._rubric)):
                sentence = _("The window “{title}”: {what} It shows:")
                lines.append(sentence.format(title=other.title, what=ending))
                lines += _framed(other.terminal.screen_text.split("\n"))
        lines.append(_("The window “{title}” shows:").format(title=player.title))
        return "\n".join(lines + _framed(rows))

    def _crash(self) -> str:
        """Return which program has ended with an error, and its last words; nothing if none has."""
        for player in self._players:
            rows = [row for row in player.text().splitlines() if row.strip()]
            if "Traceback (most recent call last)" in player.text():
                errors = [row for row in rows if re.match(r"[\w.]*(Error|Exception)\b", row)]
                return f"{player.title}: {(errors or rows)[-1].strip()}"
            if reason := _killed_by(player, self._rubric):
                return f"{player.title}: {reason}"
            if player.title == _("server") and not player.terminal.is_alive and not self._stopping:
                rows = rows or [_("The program has ended.")]
                return f"{player.title}: {rows[-1].strip()}"
        return ""

    def _player(self, title: str, command: Sequence[str]) -> Player:
        terminal = self.sandbox.terminal(
            command, title, self.submission.columns, self.submission.rows
        )
        self._players.append(Player(self, title, terminal))
        return self._players[-1]

    def _command(self, words: Sequence[str], port: int, name: str = "") -> list[str]:
        if not words:
            raise Missed(
                _("{file} does not say what starts the server or the client.").format(
                    file=self.submission.path.name
                )
            )
        fields = {"port": str(port), "host": self.host, "name": name, "password": PASSWORD}
        command = [fill(word, fields | {"python": self._python}) for word in words]
        if command[0] in ("python", "python3"):
            command[0] = self._python
        return command

    def _free_port(self) -> int:
        if self.sandbox.has_network:
            return _PORT
        with socket.create_server(("127.0.0.1", 0)) as taken:
            return int(taken.getsockname()[1])

    def is_listening(self) -> bool:
        """Tell whether a process of the submission listens on the port."""
        return self.port in self.sandbox.listening_ports()


class Meddler:
    """Somebody who misbehaves on a submission's network; see ``meddler.py``."""

    def __init__(self, sandbox: Sandbox, port: int, host: str) -> None:
        """Misbehave towards whoever listens on *port* of *host*."""
        self._process: subprocess.Popen[str] = sandbox.process(
            [sys.executable, "-I", "-S", _MEDDLER, str(port), host]
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


def _killed_by(player: Player, rubric: Rubric) -> str:
    """Return what has ended the program of *player* against its will, nothing if nothing has."""
    terminal = player.terminal
    if terminal.is_too_loud:
        return _("It printed more than {n} MB, and was ended.").format(n=rubric.limits.output_mb)
    number = -(terminal.status or 0)
    if number == signal.SIGXCPU:
        return _("It used more than {n} s of processor time, and was ended.").format(
            n=rubric.limits.cpu_seconds
        )
    if number == signal.SIGXFSZ:
        return _("It wrote more than {n} MB to a file, and was ended.").format(
            n=rubric.limits.output_mb
        )
    if number > 0 and not player.killed:
        return _("The program was ended by {name}.").format(name=signal.Signals(number).name)
    return ""


def _ending(player: Player, rubric: Rubric) -> str:
    """Return how the program of *player* has ended, nothing if it has not."""
    alive = player.terminal.is_alive
    return _killed_by(player, rubric) or ("" if alive else _("The program has ended."))


def _framed(rows: list[str]) -> list[str]:
    return [f"│ {row}" for row in rows[-_ROWS_SHOWN:]]
