"""Faults on purpose, and what the chat promises in spite of them.

::

    Аня ───────────▶ server, a process of its own, with a history in a file
    Боря ──────────▶
    Вера ──▶ tap ──▶

Three people talk, to everyone and in private, while something breaks: Вера's connection, the
server, the disk, the clock. `Chat` keeps the books, what each of them has said, what the server has
acknowledged, what each has heard, and `Chat.broken_promises` compares them when it is over.
`matrix` does so for every fault of `FAULTS`; each promise is a column of its table.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from chat.app.i18n import gettext as _
from chat.core.client import ConnectionClosedError
from chat.core.protocol import Limits, Message
from chat.lab import waiting
from chat.lab.background import LOOPBACK, RecordingClient
from chat.lab.terminal import clean_environment, with_default_signals
from chat.lab.wiretap import Direction, Wiretap
from chat.promises.resume import ResumingClient

PATIENCE = 20.0
"""Seconds after a fault within which everything must be as it was before."""

UNNOTICED = 1.0
"""Seconds that a message between two others may take while somebody's connection is broken."""

ROOT = Path(__file__).resolve().parents[2]

WEIGHTY = "…" * 500
"""What makes a message heavy enough to fill somebody's queue: 1500 bytes."""


class ServerProcess:
    """The server as a process that can be killed and started again; a context manager.

    Its options are those of ``python -m chat.server``; it starts on a free port each time.
    """

    def __init__(
        self,
        *options: str,
        program: Iterable[str] = (),
        setup: Iterable[str] = (),
        develop: bool = True,
    ) -> None:
        """Prepare it; *setup* is a command that runs it, *program* stands for ``-m chat.server``.

        With *develop* it warns of everything, and each warning is an error of its own; that is
        slow.
        """
        server = [*program] or ["-m", "chat.server"]
        interpreter = [sys.executable, *(["-X", "dev", "-W", "error"] if develop else []), "-u"]
        self._command = [*setup, *interpreter, *server, "--port", "0", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self.address: tuple[str, int] = (LOOPBACK, 0)
        """Where it listens now."""

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Kill it."""
        self.kill()
        self._errors.close()

    @property
    def pid(self) -> int:
        """The number of the process. Raises `RuntimeError` when there is none."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens. Raises `RuntimeError` with its complaint."""
        environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            with_default_signals(self._command),
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            process_group=0,
        )
        assert self._process.stdout is not None
        with self._process.stdout as output:
            readable, _, _ = select.select([output], [], [], PATIENCE)
            line = output.readline().decode() if readable else ""
        # From here on its output goes nowhere: nobody reads the pipe.
        if not line:
            self.kill()
            raise RuntimeError(self.complaints())
        host, _colon, port = line.split()[-1].rpartition(":")
        self.address = (host, int(port))

    def kill(self) -> None:
        """End it at once, as the system does for want of memory: SIGKILL."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM, timeout: float = PATIENCE) -> int:
        """Send it a signal and wait for its end; return its status, 0 when it is not running."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None

    def complaints(self) -> str:
        """Return what it has written to stderr, in all its lives."""
        self._errors.seek(0)
        return self._errors.read().decode()


class Person:
    """Somebody in the chat who talks in a thread of their own, and the books of what they heard.

    A context manager: in the chat from enter to exit.
    """

    def __init__(
        self,
        address: tuple[str, int],
        nick: str,
        limits: Limits | None = None,
        also: Iterable[tuple[str, int]] = (),
    ) -> None:
        """Prepare to enter the chat at *address* as *nick*; it is to be found at *also* too."""
        self.nick = nick
        self.client = ResumingClient(
            address, nick, on_event=self._hear, limits=limits or Limits(), also=list(also)
        )
        self.said: dict[int, tuple[str, str | None]] = {}
        """Texts and recipients by the messages' ids."""
        self.said_at: dict[str, float] = {}
        self.acknowledged: dict[int, int] = {}
        """Numbers in the history by the messages' ids."""
        self.refused: dict[int, str] = {}
        self.heard: list[Message] = []
        self.heard_at: dict[str, float] = {}
        self.events: list[Message] = []
        """Everything else."""
        self._happened = threading.Condition()  # guards the lists and dictionaries above
        self._quiet = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        waiting.witnesses.add(self)

    def __enter__(self) -> Self:
        """Enter the chat."""
        self.client.__enter__()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Be quiet and leave; raise what went wrong while talking."""
        self._quiet.set()
        self.client.close()
        if self._thread is not None:
            self._thread.join()

    def talk(self, to: Iterable[str | None], pause: float, size: str = "") -> None:
        """Say one thing after the other until `hush`, *pause* seconds apart, to each of *to*."""
        self._quiet.clear()
        self._thread = threading.Thread(target=self._talk, args=[[*to], pause, size])
        self._thread.start()

    def hush(self) -> None:
        """Stop talking; raise what went wrong meanwhile."""
        self._quiet.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error

    def say(self, text: str, to: str | None = None) -> None:
        """Say *text* and write it down."""
        moment = time.monotonic()
        message_id = self.client.say(text, to)
        with self._happened:
            self.said[message_id] = (text, to)
            self.said_at[text] = moment

    def wait_for(self, condition: Callable[[], object], timeout: float = PATIENCE) -> None:
        """Wait until *condition* holds, looked at after each event. Raises `TimeoutError`."""
        with self._happened:
            came = self._happened.wait_for(condition, timeout)
        if not came:
            raise TimeoutError(
                waiting.complaint(waiting.source(condition), timeout, waiting.values(condition))
            )

    def unanswered(self) -> list[int]:
        """Return the ids of what was said, and neither acknowledged nor refused yet."""
        return sorted(set(self.said) - set(self.acknowledged) - set(self.refused))

    def story(self) -> list[Message]:
        """Return what was neither a message nor an acknowledgement so far. Any thread."""
        with self._happened:
            refused = [
                {"type": "error", "code": code, "id": message_id}
                for message_id, code in self.refused.items()
            ]
            return refused + self.events

    def count(self, type: str) -> int:
        """Return how many events of that *type* there were, messages aside."""
        with self._happened:
            return sum(event["type"] == type for event in self.events)

    def _talk(self, to: list[str | None], pause: float, size: str) -> None:
        try:
            while not self._quiet.wait(pause):
                number = len(self.said)
                self.say(f"{self.nick} {number}{size}", to[number % len(to)])
        except ConnectionClosedError as error:
            if not self._quiet.is_set():
                self._error = error
        except Exception as error:  # noqa: BLE001 - raised again by hush()
            self._error = error

    def _hear(self, event: Message) -> None:
        kind = event["type"]
        with self._happened:
            if kind == "message":
                self.heard.append(event)
                self.heard_at[event["text"]] = time.monotonic()
            elif kind == "ack":
                self.acknowledged[event["id"]] = event["seq"]
            elif kind == "error" and "id" in event:
                self.refused[event["id"]] = event["code"]
            else:
                self.events.append(event)
            self._happened.notify_all()


class Chat:
    """People who talk, and the comparison of their books. Enter the people first."""

    def __init__(self, people: Collection[Person]) -> None:
        """Watch *people*: all who are in the chat, each from before the first word to the last."""
        self.people = people

    def settle(self) -> None:
        """Hush everybody and wait until everything is acknowledged and heard.

        Raises `TimeoutError` after `PATIENCE` seconds without that.
        """
        for person in self.people:
            person.hush()
        for person in self.people:
            person.client.wait_acknowledged(PATIENCE)
            # The client knows of an answer a moment before it tells the person.
            person.wait_for(lambda p=person: not p.unanswered())  # type: ignore[misc]
        for person in self.people:
            wanted = self.meant_for(person)
            # What comes next would be too much: `broken_promises` sees that by the numbers.
            with contextlib.suppress(TimeoutError):
                person.wait_for(lambda p=person, w=wanted: w <= {m["text"] for m in p.heard})  # type: ignore[misc]

    def meant_for(self, person: Person) -> set[str]:
        """Return the texts that the server has acknowledged and *person* is entitled to."""
        return {
            text
            for other in self.people
            if other is not person
            for message_id, (text, to) in list(other.said.items())
            if to in (None, person.nick) and message_id in other.acknowledged
        }

    def losses(self) -> list[str]:
        """Say who has not heard exactly once what was acknowledged and meant for them."""
        problems = []
        for person in self.people:
            texts = [message["text"] for message in person.heard]
            wanted = self.meant_for(person)
            doubles = {text for text in texts if texts.count(text) > 1} if _twice(texts) else set()
            for what, found in {
                "lost": wanted - set(texts),
                "heard twice": doubles,
                "not meant for them, or refused": set(texts) - wanted,
            }.items():
                if found:
                    problems.append(f"{person.nick}: {what}: {sorted(found)[:5]} ({len(found)})")
            if unanswered := person.unanswered():
                problems.append(f"{person.nick}: no answer for {unanswered[:5]}")
            if person.count("gap"):
                problems.append(f"{person.nick}: a gap in the history")
        return problems

    def disorder(self) -> list[str]:
        """Say where two have heard things in different orders, or one in another than was said."""
        problems = []
        order: dict[int, str] = {}
        for person in self.people:
            numbers = [message["seq"] for message in person.heard]
            if numbers != sorted(set(numbers)):
                problems.append(f"{person.nick}: not in the order of the history")
            mine = {
                seq: person.said[message_id][0] for message_id, seq in person.acknowledged.items()
            }
            for earlier, later in pairwise(sorted(person.acknowledged)):
                if person.acknowledged[earlier] > person.acknowledged[later]:
                    pair = [person.said[earlier], person.said[later]]
                    problems.append(f"{person.nick}: recorded in another order than said: {pair}")
            for seq, text in [*mine.items(), *((m["seq"], m["text"]) for m in person.heard)]:
                if order.setdefault(seq, text) != text:
                    problems.append(f"number {seq} is {order[seq]!r} and {text!r}")
        return problems

    def slowest(self, people: Collection[Person]) -> float:
        """Return the longest time in seconds that a message between two of *people* took."""
        return max(
            (
                other.heard_at[text] - moment
                for person in people
                for other in people
                for text, moment in person.said_at.items()
                if text in other.heard_at
            ),
            default=0.0,
        )


def _twice(texts: list[str]) -> bool:
    return len(texts) != len(set(texts))


# --- the matrix of faults and promises -----------------------------------------------------------


@dataclass
class Row:
    """What one fault has shown. A promise is True when kept, None when it says nothing here."""

    fault: str
    seed: int
    acknowledged: int = 0
    """Messages that the server has acknowledged."""
    slowest: float | None = None
    """Seconds: the longest that a message between the two unharmed took."""
    seconds: float = 0.0
    exactly_once: bool | None = None
    one_order: bool | None = None
    nobody_delayed: bool | None = None
    nickname: bool | None = None
    serving: bool | None = None
    problems: list[str] = field(default_factory=list)
    skipped: str | None = None
    """Why the experiment cannot be made on this machine."""

    @property
    def kept(self) -> bool:
        """Whether no promise was broken."""
        promises = (
            self.exactly_once,
            self.one_order,
            self.nobody_delayed,
            self.nickname,
            self.serving,
        )
        return False not in promises and not self.problems


class Scene:
    """A server, a tap before it, and the three people: where a fault happens."""

    def __init__(
        self, server: ServerProcess, tap: Wiretap, people: list[Person], seed: int
    ) -> None:
        """Put them together; *seed* makes the random moments."""
        self.server = server
        self.tap = tap
        self.anya, self.borya, self.vera = people
        self.chat = Chat(people)
        self.random = random.Random(seed)
        self.stranger_nick: str | None = None
        """Who has left for good because of the fault, and whose nickname must be free."""

    def pause(self, shortest: float, longest: float) -> None:
        """Let the conversation go on for a random time, in seconds."""
        time.sleep(self.random.uniform(shortest, longest))

    def wait_for_more(self, messages: int = 5) -> None:
        """Wait until everybody has been acknowledged so many messages more."""
        for person in self.chat.people:
            enough = len(person.acknowledged) + messages
            person.wait_for(lambda p=person, n=enough: len(p.acknowledged) >= n)  # type: ignore[misc]

    def wait_for_return(self, before: int) -> None:
        """Wait until Вера has come back more than *before* times."""
        self.vera.wait_for(lambda: self.vera.count("reconnected") > before)


def _cut(scene: Scene) -> None:
    for _time in range(4):
        before = scene.vera.count("reconnected")
        direction = scene.random.choice([*Direction])
        scene.tap.cut_after(scene.random.randint(1, 2000), direction=direction)
        scene.wait_for_return(before)


def _reset(scene: Scene) -> None:
    for _time in range(3):
        before = scene.vera.count("reconnected")
        scene.tap.reset()
        scene.wait_for_return(before)


def _half_close(scene: Scene) -> None:
    for direction in Direction:
        before = scene.vera.count("reconnected")
        scene.tap.half_close(direction)
        scene.wait_for_return(before)


def _delay(scene: Scene) -> None:
    scene.tap.delay(0.2)
    scene.wait_for_more()


def _single_bytes(scene: Scene) -> None:
    scene.tap.split(1)
    scene.wait_for_more()


def _merge(scene: Scene) -> None:
    scene.tap.merge(quiet=0.1, size=4096)
    scene.wait_for_more()


def _stall(scene: Scene) -> None:
    scene.tap.stall(direction=Direction.TO_CLIENT)
    scene.borya.hush()
    most = scene.borya.client.text_chars - 50  # beside the nickname and the number
    scene.borya.talk([None], 0.0, WEIGHTY[: max(0, most)])
    scene.anya.wait_for(lambda: _left(scene.anya, scene.vera.nick, "slow"))
    scene.borya.hush()
    scene.tap.heal()
    scene.wait_for_return(0)


def _left(watcher: Person, nick: str, reason: str) -> bool:
    wanted = {"type": "left", "nick": nick, "reason": reason}
    return any(wanted.items() <= event.items() for event in watcher.events)


def _kill_server(scene: Scene) -> None:
    for _time in range(2):
        scene.pause(0.05, 0.3)
        scene.server.kill()
        scene.server.start()
        scene.tap.upstream = scene.server.address
        scene.wait_for_more(1)


def _kill_client(scene: Scene) -> None:
    address = [str(part) for part in scene.server.address]
    nick = scene.stranger_nick = "Глеб"
    command = [sys.executable, "-m", "chat.client", "--host", address[0], "--port", address[1]]
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, "--nick", nick],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=environment,
    ) as client:
        try:
            scene.anya.wait_for(lambda: nick in scene.anya.client.users)
        finally:
            client.kill()
    scene.anya.wait_for(lambda: _left(scene.anya, nick, "lost"))


def _fill_disk(scene: Scene) -> None:
    with _no_room(scene.server.pid):
        for person in scene.chat.people:
            person.wait_for(lambda p=person: "not_recorded" in p.refused.values())  # type: ignore[misc]


@contextlib.contextmanager
def _no_room(pid: int) -> Iterator[None]:
    """Let no file of process *pid* grow while the block lasts: each write fails (prlimit(2))."""
    if not hasattr(resource, "prlimit"):
        raise NotPossibleError(_("only Linux can limit the files of another process"))
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)


def _set_clock_back(scene: Scene) -> None:
    before = scene.anya.heard[-1]["time"]
    os.kill(scene.server.pid, signal.SIGUSR1)
    scene.anya.wait_for(lambda: scene.anya.heard[-1]["time"] < before - 3000)
    scene.wait_for_more()


_ADJUSTABLE = """
import signal, time
real, behind = time.time, [0.0]
time.time = lambda: real() - behind[0]
signal.signal(signal.SIGUSR1, lambda number, frame: behind.append(behind.pop() + 3600.0))
from chat.server import main
raise SystemExit(main())
"""
"""A server whose wall clock goes back by an hour on SIGUSR1."""

_UNHINDERED = """
from chat.promises import limits
limits.BYTES = (1e9, 1e9)
from chat.server import main
raise SystemExit(main())
"""
"""A server whose users may send megabytes at once: so much fits into the kernel's buffers."""


class NotPossibleError(Exception):
    """The machine does not allow the experiment; the text says why."""


@dataclass(frozen=True)
class Fault:
    """How something is broken on purpose."""

    title: Callable[[], str]
    inflict: Callable[[Scene], None]
    hits: str = "one"
    """Whom: one of the people, or all of them."""
    program: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


FAULTS: dict[str, Fault] = {
    "cut": Fault(lambda: _("the connection is cut, anywhere in the stream"), _cut),
    "delay": Fault(lambda: _("every chunk of bytes is 200 ms late"), _delay),
    "single bytes": Fault(lambda: _("the stream comes byte by byte"), _single_bytes),
    "merged": Fault(lambda: _("many frames come at once"), _merge),
    "half-close": Fault(lambda: _("one direction of the connection has ended"), _half_close),
    "reset": Fault(lambda: _("the connection is reset (RST)"), _reset),
    "stalled": Fault(
        lambda: _("somebody does not read any more"),
        _stall,
        program=("-c", _UNHINDERED),
        options=("--queue-bytes", "524288"),
    ),
    "server killed": Fault(lambda: _("the server is killed (kill -9)"), _kill_server, "all"),
    "client killed": Fault(lambda: _("a client is killed (kill -9)"), _kill_client),
    "disk full": Fault(lambda: _("no room for the history"), _fill_disk, "all"),
    "clock back": Fault(
        lambda: _("the clock is set back by an hour"), _set_clock_back, program=("-c", _ADJUSTABLE)
    ),
}


def matrix(faults: Iterable[str] = tuple(FAULTS), seed: int | None = None) -> list[Row]:
    """Break everything in turn, and return a row for each of *faults*; about a second each."""
    chosen = random.randrange(1 << 32) if seed is None else seed
    return [suffer(fault, chosen) for fault in faults]


def suffer(name: str, seed: int) -> Row:
    """Let the fault called *name* happen in a conversation, and see which promises are kept."""
    fault = FAULTS[name]
    row = Row(name, seed)
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = ServerProcess(
            *("--history", str(Path(folder) / "history.db"), "--rate", "0", *fault.options),
            program=fault.program,
        )
        stack.enter_context(server)
        tap = stack.enter_context(Wiretap(server.address, keep_bytes=False))
        scene = _furnish(stack, server, tap, fault, seed)
        try:
            _observe(scene, fault, row)
        except NotPossibleError as error:
            row.skipped = str(error)
        except (TimeoutError, ConnectionError, RuntimeError) as error:
            row.problems.append(f"{type(error).__name__}: {error}")
        row.problems += [server.complaints()] if server.complaints() else []
    row.seconds = round(time.monotonic() - start, 3)
    return row


def _furnish(
    stack: contextlib.ExitStack, server: ServerProcess, tap: Wiretap, fault: Fault, seed: int
) -> Scene:
    # When the server itself is hit and comes back elsewhere, everybody must find it there.
    near = tap.address if fault.hits == "all" else server.address
    people = [
        stack.enter_context(Person(address, nick))
        for address, nick in [(near, "Аня"), (near, "Боря"), (tap.address, "Вера")]
    ]
    return Scene(server, tap, people, seed)


def _observe(scene: Scene, fault: Fault, row: Row) -> None:
    nicks = [person.nick for person in scene.chat.people]
    for person in scene.chat.people:
        others = [nick for nick in nicks if nick != person.nick]
        person.talk([None, None, *others], 0.01)
    scene.wait_for_more(3)
    fault.inflict(scene)
    scene.tap.heal()
    scene.chat.settle()
    losses, disorder = scene.chat.losses(), scene.chat.disorder()
    row.acknowledged = sum(len(person.acknowledged) for person in scene.chat.people)
    row.exactly_once, row.one_order = not losses, not disorder
    row.problems += losses + disorder
    if fault.hits == "one":
        slowest = scene.chat.slowest([scene.anya, scene.borya])
        row.slowest = round(slowest, 4)
        row.nobody_delayed = slowest < UNNOTICED
    row.nickname = _nicknames_are_right(scene)
    row.serving = _serves(scene)


def _nicknames_are_right(scene: Scene) -> bool:
    """Tell whether everybody is there under their own nickname, and a dead one's is free."""
    nicks = sorted(person.nick for person in scene.chat.people)
    with RecordingClient(scene.server.address, scene.stranger_nick or "Новенький") as newcomer:
        return sorted(newcomer.users) == nicks and all(
            person.client.nick == person.nick for person in scene.chat.people
        )


def _serves(scene: Scene) -> bool:
    """Tell whether a newcomer can enter, say something and be heard by everybody."""
    with RecordingClient(scene.server.address, "Гость") as guest:
        guest.say("здравствуйте")
        guest.wait_for("ack")
        for person in scene.chat.people:
            person.wait_for(lambda p=person: "здравствуйте" in p.heard_at)  # type: ignore[misc]
    return True


# --- what the report shows -----------------------------------------------------------------------


def table(rows: Iterable[Row]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table for a reader: what `show.table` takes."""
    header = [
        _("Fault"),
        _("Exactly once"),
        _("One order"),
        _("Others not held up"),
        _("Nicknames right"),
        _("Server still works"),
        _("Messages"),
    ]
    return header, [_cells(row) for row in rows]


def _cells(row: Row) -> list[str]:
    title = FAULTS[row.fault].title()
    if row.skipped:
        return [title, _("skipped: {reason}").format(reason=row.skipped), *[""] * 5]
    delayed = _answer(row.nobody_delayed)
    if row.slowest is not None:
        delayed += " " + _("({n} ms)").format(n=round(row.slowest * 1000))
    promises = [_answer(row.exactly_once), _answer(row.one_order), delayed]
    promises += [_answer(row.nickname), _answer(row.serving)]
    return [title, *promises, str(row.acknowledged)]


def _answer(kept: bool | None) -> str:
    return "–" if kept is None else _("yes") if kept else _("NO")


def save(rows: Iterable[Row], path: Path) -> None:
    """Write *rows* to the file at *path* (JSON); rows of other faults that are there stay."""
    known = {row.fault: row for row in load(path)} if path.exists() else {}
    known |= {row.fault: row for row in rows}
    order = [fault for fault in FAULTS if fault in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    data = [asdict(known[fault]) for fault in order]
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> list[Row]:
    """Read rows from the file at *path*."""
    found: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [Row(**row) for row in found]
