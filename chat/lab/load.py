"""Load on a server: one process that plays many users, and times what reaches them.

The users live in a process of their own, so that they and the server do not share an interpreter
and its lock. One of them speaks to everyone; all the others listen. The one thread waits in a
selector for whoever has received something, because a thread for each would measure the threads.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from chat.app.i18n import gettext as _
from chat.core.protocol import FrameDecoder, Limits, Message, decode, encode
from chat.core.timing import Deadline

TIME_LIMIT = 60.0
"""Seconds that a measurement may take before it counts as failed."""

_MESSAGE = encode({"type": "message"})[:-2]  # how the frame of a message begins
_ERROR = encode({"type": "error"})[:-2]  # how that of a refusal begins


@dataclass(frozen=True)
class Load:
    """What was measured: *messages* were said to everyone, and each of *listeners* heard each."""

    listeners: int
    messages: int
    seconds: float
    """From the first message said to the last one heard."""

    latencies: Sequence[float]
    """Seconds from saying a message to hearing it, for every message and listener."""

    @property
    def deliveries_per_second(self) -> float:
        """Messages heard in a second, by all listeners together."""
        return self.listeners * self.messages / self.seconds

    def latency(self, share: float) -> float:
        """Return the seconds within which this *share* (0 to 1) of all deliveries was made."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def measure(
    address: tuple[str, int],
    *,
    listeners: int,
    messages: int,
    window: int = 64,
    interval: float = 0.0,
    also: Sequence[tuple[str, int]] = (),
) -> Load:
    """Put load on the server at *address* from a new process, and return what it measured.

    The listeners are shared out over that server and those of the same chat at *also*.

    Without an *interval* messages are said as fast as they are heard: at most *window* of them are
    on their way to the slowest listener. With one, a message is said every *interval* seconds,
    however the server does. Raises `RuntimeError`, which says why, when that fails or takes longer
    than `TIME_LIMIT` seconds.
    """
    command = [sys.executable, "-m", "chat.lab.load", *map(str, address)]
    command += [str(number) for number in (listeners, messages, window, interval)]
    command += [str(part) for other in also for part in other]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, timeout=2 * TIME_LIMIT
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
    return Load(**json.loads(done.stdout))


# The process of the users


@dataclass(frozen=True)
class _Plan:
    """How many users listen to how many messages, and when the next one is due."""

    listeners: int
    messages: int
    window: int
    interval: float

    def due(self, said: int, heard: int, elapsed: float) -> int:
        """Return how many messages are to be said now, *elapsed* seconds after the start."""
        if self.interval:
            return min(self.messages, int(elapsed / self.interval) + 1) - said
        return min(self.messages, heard + self.window) - said

    def pause(self, said: int, elapsed: float) -> float | None:
        """Return the seconds until the next message, None when it waits for listeners."""
        if not self.interval or said == self.messages:
            return None
        return max(0.0, said * self.interval - elapsed)


class _User:
    """A registered user: a socket that does not wait, and what came from it."""

    def __init__(self, address: tuple[str, int], nick: str) -> None:
        self.socket = socket.create_connection(address, timeout=TIME_LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = 0
        self.last: Message = {}
        self._decoder = FrameDecoder(Limits.answer_bytes)
        self.socket.sendall(encode({"type": "register", "nick": nick}))
        while self.last.get("type") != "welcome":
            for frame in self.receive():
                self.last = decode(frame)
                if self.last["type"] == "error":
                    raise ConnectionError(self.last["code"])
        self.socket.setblocking(False)

    def receive(self) -> list[bytes]:
        """Return the frames that have come."""
        chunk = self.socket.recv(256 * 1024)
        if not chunk:
            raise ConnectionError("the server has closed the connection")
        return list(self._decoder.receive(chunk))

    def check(self) -> None:
        """Take what has come. Raises `ConnectionError` when something said was refused."""
        for frame in self.receive():
            if frame.startswith(_ERROR):
                raise ConnectionError(decode(frame)["code"])

    def hear(self, said_at: Sequence[float], latencies: list[float]) -> None:
        """Count the messages that have come, and note how long each was on its way."""
        frames = [frame for frame in self.receive() if frame.startswith(_MESSAGE)]
        now = time.monotonic()
        # One speaker, and the order is kept: the n-th message heard is the n-th one said.
        latencies += [now - moment for moment in said_at[self.heard : self.heard + len(frames)]]
        self.heard += len(frames)
        if frames:
            self.last = decode(frames[-1])


def _fan_out(addresses: Sequence[tuple[str, int]], plan: _Plan) -> Load:
    crowd = [
        _User(addresses[number % len(addresses)], f"listener-{number}")
        for number in range(plan.listeners)
    ]
    speaker = _User(addresses[0], "speaker")
    latencies: list[float] = []
    said_at: list[float] = []
    deadline = Deadline(TIME_LIMIT)
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for user in (speaker, *crowd):
            stack.enter_context(user.socket)
            selector.register(user.socket, selectors.EVENT_READ, user)
        start = time.monotonic()
        while (heard := min(user.heard for user in crowd)) < plan.messages:
            elapsed = time.monotonic() - start
            due = plan.due(len(said_at), heard, elapsed)
            if due:
                said_at += [time.monotonic()] * due
                _say(speaker, range(len(said_at) - due, len(said_at)))
            pause = plan.pause(len(said_at), elapsed)
            if not deadline.left:
                raise TimeoutError(_missing(heard, plan))
            timeout = deadline.left if pause is None else min(pause, deadline.left)
            for key, _events in selector.select(timeout):
                if key.data is speaker:
                    speaker.check()
                else:
                    key.data.hear(said_at, latencies)
        seconds = time.monotonic() - start
    for user in crowd:
        if (user.heard, user.last["text"]) != (plan.messages, str(plan.messages - 1)):
            raise AssertionError(_missing(user.heard, plan))
    return Load(
        plan.listeners, plan.messages, seconds, [round(latency, 7) for latency in latencies]
    )


def _missing(heard: int, plan: _Plan) -> str:
    sentence = _("A listener has heard {n} of {all} messages within {seconds:g} s.")
    return sentence.format(n=heard, all=plan.messages, seconds=TIME_LIMIT)


def _say(speaker: _User, numbers: range) -> None:
    frames = [encode({"type": "message", "text": str(n), "id": n}) for n in numbers]
    speaker.socket.setblocking(True)
    speaker.socket.sendall(b"".join(frames))
    speaker.socket.setblocking(False)


def main() -> None:
    """Measure what the command line says, and print the result as JSON."""
    parser = argparse.ArgumentParser(prog="chat.lab.load", description="Load on a chat server.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("listeners", type=int)
    parser.add_argument("messages", type=int)
    parser.add_argument("window", type=int)
    parser.add_argument("interval", type=float)
    parser.add_argument("also", nargs="*", help="host and port of further servers")
    wanted = parser.parse_args()
    plan = _Plan(wanted.listeners, wanted.messages, wanted.window, wanted.interval)
    others = zip(wanted.also[::2], map(int, wanted.also[1::2]), strict=True)
    json.dump(asdict(_fan_out([(wanted.host, wanted.port), *others], plan)), sys.stdout)


if __name__ == "__main__":
    main()
