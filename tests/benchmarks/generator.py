"""The load: one process that plays all the clients of one server, and counts what reaches them.

A job comes in on stdin and a result goes out on stdout, both JSON. One thread waits for all sockets
at once, and what has arrived is counted by its marks (`protocols`), not understood, so
that a server written in C is busy before this program is. How much of the time it was busy itself
stands in the result (``busy``, 0 to 1).

The same rule for every server: a message is *on its way* from the moment it is said until the
slowest client has it. A window of W means that at most W messages are on their way.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import random
import re
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import psutil

from chat.core.timing import Deadline
from tests.benchmarks.protocols import MARK, PROTOCOLS, Protocol

Job = dict[str, Any]
Result = dict[str, Any]

TEXT_CHARS = 40
RECEIVE_BYTES = 256 * 1024
ENTER_TIMEOUT = 60.0
"""Seconds that all clients of a job have to enter."""

PATIENCE = 10.0
"""Seconds that the last messages of a job have to arrive."""

QUIET = 0.05
"""Seconds without a byte after which nothing more is expected."""

BUCKET = 0.1
"""Seconds between two looks at how much has arrived."""

WITNESSES = 3
"""How many clients listen for who leaves: one could have the word cut in two by its reads."""

_MARK = MARK[0]
_FEW_BYTES = 2048  # below, bytes.count is faster than a vector comparison


class LoadError(Exception):
    """The server did not do what was asked of it; the text says what."""


@dataclass
class _Newcomer:
    """A client on its way in: what it still has to say, and what it waits for."""

    nick: str
    steps: Iterator[tuple[bytes, bytes]]
    awaited: bytes = b""
    heard: bytearray = field(default_factory=bytearray)


class Crowd:
    """All clients of one server, in one thread. A context manager that closes them."""

    def __init__(self, address: tuple[str, int], protocol: Protocol) -> None:
        """Prepare to talk to the server at *address*; nobody is connected yet."""
        self.nicks: dict[int, str] = {}
        """Who has entered, by descriptor, in the order of entering."""

        self.has: dict[int, int] = {}
        """How many of the messages said each client has: its own, and what it got."""

        self.said = 0
        """Messages said to everybody, by all together."""

        self.departed = False
        """Whether somebody was heard to have left, after `enter_apart`."""

        self.streams: dict[int, bytearray] | None = None
        """What each client gets, byte for byte, when this is set."""

        self._address = address
        self._protocol = protocol
        self._sockets: dict[int, socket.socket] = {}
        self._own: dict[int, int] = {}  # messages said, by descriptor
        self._newcomers: dict[int, _Newcomer] = {}
        self._epoll = select.epoll()
        self._buffer = bytearray(RECEIVE_BYTES)
        self._vector = np.frombuffer(self._buffer, dtype=np.uint8)
        self._slowest = 0
        self._slow_clients = 0
        self._witnesses: set[int] = set()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_exception: object) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._epoll.close()

    # Entering

    def enter(self, nicks: Sequence[str], *, at_once: int) -> None:
        """Connect and enter under *nicks*, *at_once* at a time; raise `LoadError` if one cannot."""
        refused, late = self.storm_in(nicks, at_once=at_once, timeout=ENTER_TIMEOUT)
        if refused or late:
            raise LoadError(f"of {len(nicks)} clients {refused} were refused, {late} were late")

    def storm_in(self, nicks: Sequence[str], *, at_once: int, timeout: float) -> tuple[int, int]:
        """Connect and enter under *nicks*, *at_once* at a time.

        Returns how many were refused, and how many were not in after *timeout* seconds.
        """
        deadline = Deadline(timeout)
        waiting = deque(nicks)
        refused = 0
        with contextlib.suppress(TimeoutError):
            while waiting or self._newcomers:
                while waiting and len(self._newcomers) < at_once:
                    self._connect(waiting.popleft())
                for fd, _events in self._epoll.poll(deadline.remaining()):
                    if fd in self._newcomers:
                        refused += not self._step(fd)
                    else:
                        self._receive(fd)
        return refused, len(waiting) + len(self._newcomers)

    def enter_apart(self, nick: str) -> int:
        """Let *nick* enter, who reads but is neither counted nor waited for; return the descriptor.

        From now on some of the others listen for who leaves: not all, for that takes time.
        """
        self.enter([nick], at_once=1)
        [*_others, fd] = self.nicks
        del self.nicks[fd], self.has[fd], self._own[fd]
        self._slow_clients = 0  # to be counted anew
        self._witnesses = {*islice(self.nicks, WITNESSES)}
        return fd

    def fall_asleep(self, fd: int) -> None:
        """Let the client *fd* read no more."""
        self._epoll.unregister(fd)

    def _connect(self, nick: str) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        failure = sock.connect_ex(self._address)
        if failure not in (0, errno.EINPROGRESS):
            sock.close()
            raise LoadError(f"cannot connect: {errno.errorcode[failure]}")
        fd = sock.fileno()
        self._sockets[fd] = sock
        self._newcomers[fd] = _Newcomer(nick, iter(self._protocol.entering(nick)))
        self._epoll.register(fd, select.EPOLLOUT)

    def _step(self, fd: int) -> bool:
        """Take the next step of entering, if it is time; False when the server refuses."""
        newcomer = self._newcomers[fd]
        sock = self._sockets[fd]
        if not newcomer.awaited:
            self._epoll.modify(fd, select.EPOLLIN)
        else:
            try:
                data = sock.recv(RECEIVE_BYTES)
            except OSError:
                data = b""
            newcomer.heard += data
            if not data or any(word in newcomer.heard for word in self._protocol.refusals):
                self._leave(fd)
                return False
            if newcomer.awaited not in newcomer.heard:
                return True
        step = next(newcomer.steps, None)
        if step is None:
            del self._newcomers[fd]
            self.nicks[fd] = newcomer.nick
            self.has[fd] = self.said
            self._own[fd] = 0
            if self.streams is not None:
                self.streams[fd] = newcomer.heard
            return True
        to_send, newcomer.awaited = step
        with contextlib.suppress(OSError):  # refused: reading will tell
            sock.send(to_send)
        return True

    def _leave(self, fd: int) -> None:
        self._newcomers.pop(fd)
        self._sockets.pop(fd).close()

    # Talking

    @property
    def delivered(self) -> int:
        """How many deliveries there were so far."""
        return sum(self.has.values()) - self.said

    def slowest(self) -> int:
        """Return how many messages the client has that has the fewest."""
        if not self._slow_clients:
            counts = list(self.has.values())
            self._slowest = min(counts)
            self._slow_clients = counts.count(self._slowest)
        return self._slowest

    def say(self, fd: int, text: str, count: int = 1) -> None:
        """Say *text* to everybody, *count* times in one go."""
        first = self._own[fd] + 1
        data = self._protocol.burst(text, first, count)
        if self._sockets[fd].send(data) != len(data):
            raise LoadError("the server does not read what is sent to it")
        self._own[fd] += count
        self.said += count
        self._gain(fd, count)

    def receive(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds; take what has come. False when nothing has."""
        events = self._epoll.poll(timeout)
        for fd, _events in events:
            self._receive(fd)
        return bool(events)

    def settle(self, seconds: float = QUIET) -> None:
        """Take what comes until nothing has come for a while."""
        deadline = Deadline(PATIENCE)
        while self.receive(seconds):
            _remaining(deadline, "the server does not come to rest")

    def chunks(self, timeout: float) -> Iterator[tuple[float, int, bytes]]:
        """Wait up to *timeout* seconds; yield when which client got what."""
        for fd, _events in self._epoll.poll(timeout):
            yield time.perf_counter(), fd, self._sockets[fd].recv(RECEIVE_BYTES)

    def _receive(self, fd: int) -> None:
        try:
            size = self._sockets[fd].recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError as error:
            raise LoadError(f"a client was cut off: {error.strerror}") from error
        if not size:
            raise LoadError("the server has hung up on a client")
        if self.streams is not None:
            self.streams[fd] += self._buffer[:size]
        if fd in self._witnesses and self._buffer.find(self._protocol.departure, 0, size) >= 0:
            self.departed = True
        if size < _FEW_BYTES:
            count = self._buffer.count(_MARK, 0, size)
        else:
            count = int(np.count_nonzero(self._vector[:size] == _MARK))
        if count and fd in self.has:
            self._gain(fd, count)

    def _gain(self, fd: int, count: int) -> None:
        if self.has[fd] == self._slowest:
            self._slow_clients -= 1
        self.has[fd] += count


def _remaining(deadline: Deadline, complaint: str) -> float:
    try:
        return deadline.remaining()
    except TimeoutError:
        raise LoadError(complaint) from None


def _nicks(count: int) -> list[str]:
    return [f"u{number}" for number in range(count)]


def _text(author: int, number: int = 0) -> str:
    return f"{MARK.decode()}{author:02d} {number:08d} ".ljust(TEXT_CHARS, "x")


class _Cores:
    """Who keeps the cores busy, from now on: us, the server, or others who disturb both."""

    def __init__(self, server: int) -> None:
        self._server = psutil.Process(server)
        self._start = self._now()

    def _now(self) -> tuple[float, float, float, float]:
        server, everybody = self._server.cpu_times(), psutil.cpu_times()
        idle = everybody.idle + everybody.iowait + everybody.guest + everybody.guest_nice
        return (
            time.perf_counter(),
            time.process_time(),
            server.user + server.system,
            sum(everybody) - idle,
        )

    def busy(self) -> dict[str, float]:
        """Return the seconds of a core that each has used in a second."""
        pairs = zip(self._now(), self._start, strict=True)
        seconds, own, server, everybody = (now - start for now, start in pairs)
        return {
            "busy": own / seconds,
            "server_busy": server / seconds,
            "others_busy": max(0.0, everybody - own - server) / seconds,
        }


# --- as fast as it goes --------------------------------------------------------------------------


class _Speakers:
    """Those who speak, in turn, so that the window is always full."""

    def __init__(self, crowd: Crowd, count: int, window: int) -> None:
        self._crowd = crowd
        self._window = window
        self._texts = [(fd, _text(number)) for number, fd in enumerate([*crowd.nicks][:count])]

    def fill_window(self) -> None:
        """Say as many messages as the window has room for, shared out among the speakers."""
        room = self._window - (self._crowd.said - self._crowd.slowest())
        if room <= 0:
            return
        share, rest = divmod(room, len(self._texts))
        for position, (fd, text) in enumerate(self._texts):
            count = share + (position < rest)
            if count:
                self._crowd.say(fd, text, count)
        self._texts = self._texts[rest:] + self._texts[:rest]


def throughput(crowd: Crowd, job: Job) -> Result:
    """Keep *window* messages on their way for *seconds*; count the deliveries.

    With *stalled*, somebody else is there as well and reads, until half a second has been
    measured; the rate is then that of the others from this moment until the server drops it,
    for which a busy machine gets more time.
    """
    crowd.enter(_nicks(job["clients"]), at_once=job["at_once"])
    sleeper = _Sleeper(crowd) if job["stalled"] else None
    crowd.settle()
    speakers = _Speakers(crowd, job["senders"], job["window"])

    start = time.perf_counter() + job["warmup"]
    while time.perf_counter() < start:
        speakers.fill_window()
        crowd.receive(BUCKET)
    said, delivered = crowd.said, crowd.delivered
    cores = _Cores(job["pid"])
    start = now = time.perf_counter()
    timeline = [(0.0, 0)]
    end = start + job["seconds"]
    while now < end or (sleeper is not None and sleeper.is_here and now < end + 4 * PATIENCE):
        speakers.fill_window()
        crowd.receive(BUCKET)
        now = time.perf_counter()
        if now - start >= len(timeline) * BUCKET:
            timeline.append((round(now - start, 4), crowd.delivered - delivered))
        if sleeper is not None:
            sleeper.look(now - start, crowd.delivered - delivered)
    seconds = now - start
    result = {
        "deliveries": crowd.delivered - delivered,
        "messages": crowd.said - said,
        "seconds": seconds,
        "rate": (crowd.delivered - delivered) / seconds,
        "timeline": timeline,
        **cores.busy(),
    }
    _finish(crowd)
    return result if sleeper is None else result | sleeper.result()


class _Sleeper:
    """Somebody who falls asleep while the others are counted, until the server drops it."""

    AFTER = 0.5
    """Seconds."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._fd = crowd.enter_apart("sleeper")
        self._moments: list[tuple[float, int]] = []

    @property
    def is_here(self) -> bool:
        """Whether the server has not dropped it yet."""
        return len(self._moments) < 2

    def look(self, now: float, delivered: int) -> None:
        """Take note of how many deliveries there were when it fell asleep, and was dropped."""
        if not self._moments:
            if now >= self.AFTER:
                self._crowd.fall_asleep(self._fd)
                self._moments.append((now, delivered))
        elif len(self._moments) == 1 and self._crowd.departed:
            self._moments.append((now, delivered))

    def result(self) -> Result:
        """Return when it slept, and the rate meanwhile; raise `LoadError` if it is still there."""
        if self.is_here:
            raise LoadError("the server has not dropped the client that does not read")
        (asleep, before), (dropped, after) = self._moments
        rate = (after - before) / (dropped - asleep)
        return {"asleep": [asleep, dropped], "rate": rate}


def _finish(crowd: Crowd) -> None:
    """Take the last messages; raise `LoadError` unless everybody has exactly what was said."""
    deadline = Deadline(PATIENCE)
    while crowd.slowest() < crowd.said:
        crowd.receive(_remaining(deadline, f"{crowd.said - crowd.slowest()} messages are missing"))
    crowd.settle()
    if set(crowd.has.values()) != {crowd.said}:
        raise LoadError("somebody got more messages than were said")


# --- at a steady pace ----------------------------------------------------------------------------

_NUMBER = re.compile(re.escape(MARK) + rb"\d\d (\d{8}) ")


def latency(crowd: Crowd, job: Job) -> Result:
    """Say *pace* messages a second for *seconds*, and time every delivery.

    The pace does not slow down when the server does. Times of arrival are taken at once, what
    has arrived is read afterwards.
    """
    crowd.enter(_nicks(job["clients"]), at_once=job["at_once"])
    crowd.settle()
    authors = [*crowd.nicks][: job["senders"]]
    warmup = max(5, round(job["pace"] * job["warmup"]))
    messages = warmup + round(job["pace"] * job["seconds"])
    awaited = messages * (job["clients"] - 1)
    said_at: list[float] = []
    arrivals: list[tuple[float, int, bytes]] = []
    cores, start = _Cores(job["pid"]), time.perf_counter()
    end = Deadline(messages / job["pace"] + PATIENCE)
    while awaited > 0 or len(said_at) < messages:
        timeout = _remaining(end, f"{awaited} deliveries are missing")
        if len(said_at) < messages:
            timeout = start + len(said_at) / job["pace"] - time.perf_counter()
            if timeout <= 0:
                number = len(said_at)
                author = number % len(authors)
                said_at.append(time.perf_counter())
                crowd.say(authors[author], _text(author, number))
                continue
        for arrival in crowd.chunks(timeout):
            arrivals.append(arrival)
            awaited -= arrival[2].count(MARK)
    busy = cores.busy()
    latencies = sorted(_latencies(arrivals, said_at, warmup))
    if len(latencies) != (messages - warmup) * (job["clients"] - 1):
        raise LoadError("a delivery was damaged")
    shares = [share / 1000 for share in (1, *range(10, 1000, 10), 995, 999)]
    return {
        "deliveries": len(latencies),
        "p50": quantile(latencies, 0.5),
        "p99": quantile(latencies, 0.99),
        "quantiles": [(share, round(quantile(latencies, share), 7)) for share in shares],
        **busy,
    }


def _latencies(
    arrivals: Sequence[tuple[float, int, bytes]], said_at: Sequence[float], warmup: int
) -> Iterator[float]:
    rests: dict[int, bytes] = {}
    for moment, fd, chunk in arrivals:
        stream = rests.get(fd, b"") + chunk
        end = 0
        for match in _NUMBER.finditer(stream):
            end = match.end()
            if int(match[1]) >= warmup:
                yield moment - said_at[int(match[1])]
        rests[fd] = stream[end:]


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value within which this *share* (0 to 1) of the *ordered* values lies."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


# --- coming in, and being there ------------------------------------------------------------------


def storm(crowd: Crowd, job: Job) -> Result:
    """Let *clients* connect and enter all at once; time it until the last is in."""
    cores, start = _Cores(job["pid"]), time.perf_counter()
    refused, late = crowd.storm_in(
        _nicks(job["clients"]), at_once=job["clients"], timeout=job["seconds"]
    )
    seconds = time.perf_counter() - start
    entered = len(crowd.nicks)
    return {
        "entered": entered,
        "refused": refused,
        "late": late,
        "seconds": seconds,
        "rate": entered / seconds,
        **cores.busy(),
    }


def memory(crowd: Crowd, job: Job) -> Result:
    """Let ever more clients enter, up to each of *steps*, and look at the server's memory.

    Resident bytes: what the kernel holds for the sockets is not in them.
    """
    server = psutil.Process(job["pid"])
    points = [(0, int(server.memory_info().rss))]
    nicks = _nicks(max(job["steps"]))
    for step in job["steps"]:
        crowd.enter(nicks[len(crowd.nicks) : step], at_once=job["at_once"])
        crowd.settle()
        points.append((step, int(server.memory_info().rss)))
    (_nobody, empty), (many, full) = points[0], points[-1]
    return {"points": points, "bytes_per_connection": (full - empty) / many}


# --- is it right? --------------------------------------------------------------------------------

_ALPHABETS = ("abc XYZ 019 .,:;!?", "quotes \" \\ ' / <&>", "привет, мир ёж", "日本語 😀 👩‍🚀 é")


def correctness(crowd: Crowd, job: Job) -> Result:
    """Say *messages* of many kinds, and look at every byte that arrives; see `judge`."""
    crowd.streams = {}
    crowd.enter(_nicks(job["clients"]), at_once=job["at_once"])
    crowd.settle()
    chance = random.Random(job["seed"])
    authors = [*crowd.nicks][: job["senders"]]
    said: dict[str, list[str]] = {crowd.nicks[fd]: [] for fd in authors}
    with contextlib.suppress(TimeoutError):  # what is missing then, `judge` will say
        deadline = Deadline(job["seconds"])
        while crowd.slowest() < job["messages"]:
            while crowd.said < min(job["messages"], crowd.slowest() + job["window"]):
                fd = chance.choice(authors)
                text = _any_text(chance, authors.index(fd), crowd.said)
                crowd.say(fd, text)
                said[crowd.nicks[fd]].append(text)
            crowd.receive(min(BUCKET, deadline.remaining()))
    crowd.settle(4 * QUIET)  # for what should not come: a message too many
    got = {}
    problems = []
    for fd, stream in crowd.streams.items():
        try:
            got[crowd.nicks[fd]] = PROTOCOLS[job["protocol"]].deliveries(bytes(stream))
        except ValueError as error:
            problems.append(f"{crowd.nicks[fd]}: {error}")
    problems += judge(said, got)
    return {
        "messages": crowd.said,
        "deliveries": sum(map(len, got.values())),
        "one_order": not problems and in_one_order(got, set(said)),
        "problems": problems[:5],
    }


def _any_text(chance: random.Random, author: int, number: int) -> str:
    letters = chance.choice(_ALPHABETS)
    length = chance.choice((0, 1, 20, 60))
    return _text(author, number) + "".join(chance.choices(letters, k=length)) + "."


def judge(
    said: Mapping[str, Sequence[str]], got: Mapping[str, Sequence[tuple[str, str]]]
) -> list[str]:
    """Return what is wrong: everybody must have got what each other said, once, in order, whole.

    *said* is what each author said, *got* which author's texts each client got.
    """
    problems = []
    for client, deliveries in got.items():
        texts: dict[str, list[str]] = {author: [] for author in said}
        for author, text in deliveries:
            texts.setdefault(author, []).append(text)
        for author, heard in texts.items():
            wanted = [] if author == client else list(said.get(author, ()))
            if heard != wanted:
                problems.append(f"{client} from {author}: {_difference(wanted, heard)}")
    return problems


def _difference(wanted: Sequence[str], heard: Sequence[str]) -> str:
    if strange := set(heard) - set(wanted):
        return f"never said: {sorted(strange)[0]!r}"
    if lost := set(wanted) - set(heard):
        return f"{len(lost)} messages lost, the first is {min(lost, key=wanted.index)!r}"
    if len(heard) > len(set(heard)):
        return f"{len(heard) - len(set(heard))} messages too many"
    return "in another order"


def in_one_order(got: Mapping[str, Sequence[tuple[str, str]]], authors: set[str]) -> bool:
    """Tell whether all have got the messages in one order, taken from who only listens."""
    [witness, *_others] = [client for client in got if client not in authors]
    place = {delivery: index for index, delivery in enumerate(got[witness])}
    places = [[place[delivery] for delivery in deliveries] for deliveries in got.values()]
    return all(row == sorted(row) for row in places)


JOBS: dict[str, Callable[[Crowd, Job], Result]] = {
    job.__name__: job for job in (throughput, latency, storm, memory, correctness)
}


def main() -> int:
    """Do the job on stdin; print its result. A server's failure goes to stderr, status 1."""
    job = json.load(sys.stdin)
    gc.disable()  # a job is short, and its garbage has no cycles
    try:
        with Crowd((job["host"], job["port"]), PROTOCOLS[job["protocol"]]) as crowd:
            result = JOBS[job["kind"]](crowd, job)
    except LoadError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
