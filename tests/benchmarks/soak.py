"""A server under people for a long time is at the end as it was at the start.

``python -m tests.benchmarks.soak`` takes ten minutes and writes `RECORDED`: 200 clients join,
talk, and go, each in a way of its own choosing: some say goodbye, some hang up, some vanish with
a reset. When all have left after half of the time, and again at the end, the server's memory,
threads and descriptors are counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import socket
import struct
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from chat.core.protocol import Limits, Message, encode
from chat.core.timing import Deadline
from chat.lab import machine
from chat.lab.faults import ServerProcess
from chat.lab.waiting import wait_until

RECORDED = Path(__file__).with_name("soak.json")

PEOPLE = 200
MINUTES = 10.0
WARM_UP = 0.5
"""Share of the time after which the first count is taken: the history fills, and malloc takes in
stock what so many threads ask for at once."""

PATIENCE = 30.0

MESSAGE = b'{"type":"message"'
"""How the frame of a message begins."""


@dataclass(frozen=True)
class Count:
    """What the server holds when nobody is there."""

    memory: int
    """Bytes of its own: what nobody else would keep if it ended (USS)."""

    threads: int
    descriptors: int


@dataclass
class Result:
    """What has happened."""

    people: int
    minutes: float
    start: Count
    end: Count
    joined: int = 0
    said: int = 0
    heard: int = 0
    goodbyes: int = 0
    hang_ups: int = 0
    resets: int = 0
    machine: dict[str, Any] = field(default_factory=machine.describe)
    """Where: see `chat.lab.machine.describe`."""

    @property
    def growth(self) -> float:
        """By what part of itself the server's memory has grown."""
        return self.end.memory / self.start.memory - 1


class Crowd:
    """People who come and go, a thread each, until they are called off."""

    def __init__(self, address: tuple[str, int], people: int) -> None:
        """Prepare *people* of them, for the server at *address*."""
        self._address = address
        self._over = threading.Event()
        self._lock = threading.Lock()  # guards the counts
        self.counts = dict.fromkeys(
            ("joined", "said", "heard", "goodbyes", "hang_ups", "resets"), 0
        )
        self._threads = [
            threading.Thread(target=self._live, args=[number]) for number in range(people)
        ]

    def __enter__(self) -> Crowd:
        """Let them come."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Call them off and wait until they are gone."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _live(self, number: int) -> None:
        dice = random.Random(number)
        while not self._over.wait(dice.expovariate(1)):
            with contextlib.suppress(ConnectionError):  # the server may be faster in hanging up
                self._visit(f"Гость-{number}", dice)

    def _visit(self, nick: str, dice: random.Random) -> None:
        with socket.create_connection(self._address, timeout=PATIENCE) as sock:
            sock.sendall(encode({"type": "register", "nick": nick}))
            self._count("joined")
            for _word in range(int(dice.expovariate(1 / 10))):
                if self._over.is_set() or not self._listen(sock, dice.expovariate(2)):
                    break
                message: Message = {"type": "message", "text": "слово " * dice.randint(1, 40)}
                if dice.random() < 0.3:
                    message["to"] = f"Гость-{dice.randrange(len(self._threads))}"
                sock.sendall(encode(message))
                self._count("said")
            self._go(sock, dice.choice(["goodbyes", "hang_ups", "resets"]))

    def _listen(self, sock: socket.socket, seconds: float) -> bool:
        """Hear what is said for so long; False when the server has hung up."""
        deadline = Deadline(seconds)
        while left := deadline.left:
            sock.settimeout(left)
            try:
                chunk = sock.recv(256 * 1024)
            except TimeoutError:
                break
            if not chunk:
                return False
            self._count("heard", chunk.count(MESSAGE))
        sock.settimeout(PATIENCE)
        return True

    def _go(self, sock: socket.socket, way: str) -> None:
        """Leave by saying so, by hanging up without a word, or with a reset."""
        self._count(way)
        if way == "goodbyes":
            sock.sendall(encode({"type": "quit"}))
            while sock.recv(256 * 1024):
                pass
        elif way == "resets":  # SO_LINGER of 0 seconds: close() sends RST (socket(7))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number


def soak(minutes: float = MINUTES, people: int = PEOPLE) -> Result:
    """Run it and return what has happened."""
    options = ("--rate", "0", "--max-clients", str(people))
    with ServerProcess(*options, develop=False) as server:
        process = psutil.Process(server.pid)
        # One thread of the server comes when it is first needed, and stays.
        with Crowd(server.address, people):
            _wait(minutes * 60 * WARM_UP)
        start = _count(process)
        with Crowd(server.address, people) as crowd:
            _wait(minutes * 60 * (1 - WARM_UP))
        result = Result(people, minutes, start, _count(process))
    for name, number in crowd.counts.items():
        setattr(result, name, number)
    return result


def _wait(seconds: float) -> None:
    deadline = Deadline(seconds)
    while deadline.left:
        time.sleep(min(1.0, deadline.left))  # the crowd does the work; nothing is waited for
        print(".", end="", flush=True)


def _count(process: psutil.Process) -> Count:
    """Count when the last connection is gone, and so long after that as its thread may take."""
    wait_until(lambda: len(process.net_connections("tcp")) == 1, timeout=PATIENCE)
    _wait(Limits.drain_timeout + 1)
    return Count(process.memory_full_info().uss, process.num_threads(), process.num_fds())


def save(result: Result, path: Path = RECORDED) -> None:
    """Write *result* to the file at *path*."""
    path.write_text(json.dumps(asdict(result), ensure_ascii=False, indent=1) + "\n", "utf-8")


def recorded(path: Path = RECORDED) -> Result:
    """Return what was written to the file at *path*."""
    data = json.loads(path.read_text("utf-8"))
    return Result(**data | {"start": Count(**data["start"]), "end": Count(**data["end"])})


def main() -> None:
    """Soak for as long as the command line says, and write the result down."""
    parser = argparse.ArgumentParser(
        prog="tests.benchmarks.soak", description="A server for a long time."
    )
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--people", type=int, default=PEOPLE)
    options = parser.parse_args()
    result = soak(options.minutes, options.people)
    save(result)
    print(f"\n{result}\n{result.growth:+.1%}")


if __name__ == "__main__":
    main()
