"""Strangers who do their worst, as a process of its own: the server is busy, the tests are not.

``python -m tests.faults.strangers KIND COUNT HOST PORT``, until it is killed; each of them is a
thread that does one thing in a loop, as fast as the server lets it.
"""

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Address = tuple[str, int]


def _line(**keys: object) -> bytes:
    return json.dumps(keys).encode() + b"\n"


JUNK = _line(type="users", **{f"key-{number}": "x" * 20 for number in range(700)})
"""A frame almost as long as may be, of keys that nobody knows."""

TALK: dict[str, bytes] = {
    "garbage": b"\x00{[}]\n" * 50,
    "refusals": _line(type="message", text="x", to="nobody") * 20,
    "history": _line(type="history") * 5,
    "missed": _line(type="history", after=0) * 5,
    "users": _line(type="users") * 20,
    "repeats": _line(type="message", text="x", id=1) * 20,
    "pings": _line(type="ping") * 20,
    "passwords": _line(type="admin", password="wrong") * 5,
    "junk keys": JUNK,
    "messages": _line(type="message", text="x" * 500) * 20,
    "long recipients": _line(type="message", text="x", to="а\u0301\u0323" * 5000),
    "marks": _line(type="message", text="а" + "\u0301\u0323" * 900),
}
"""What those send who have a nickname."""


def _connecting(address: Address, _nick: str) -> None:
    with socket.create_connection(address, timeout=1):
        pass


def _joining(address: Address, nick: str) -> None:
    with socket.create_connection(address, timeout=2) as sock:
        sock.sendall(_line(type="register", nick=nick) + _line(type="quit"))
        while sock.recv(65536):
            pass


def _rejoining(address: Address, nick: str) -> None:
    """Come, and be gone with a reset."""
    with socket.create_connection(address, timeout=2) as sock:
        sock.sendall(_line(type="register", nick=nick))
        sock.recv(65536)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _outside(address: Address, _nick: str) -> None:
    """Send garbage without a nickname."""
    with socket.create_connection(address, timeout=2) as sock:
        for _round in range(100):
            sock.sendall(TALK["garbage"])


VISITS: dict[str, Callable[[Address, str], None]] = {
    "connecting": _connecting,
    "joining": _joining,
    "resetting": _rejoining,
    "garbage outside": _outside,
}
"""What those do who come again and again."""

KINDS = [*VISITS, *TALK]


def _talk(address: Address, nick: str, data: bytes) -> None:
    """Enter, and send *data* over and over; read whatever comes. Ends when the server ends it."""
    with socket.create_connection(address, timeout=5) as sock:
        sock.sendall(_line(type="register", nick=nick))
        sock.setblocking(False)
        rest = data
        while True:
            readable, writable, _ = select.select([sock], [sock], [], 1)
            if readable and not sock.recv(65536):
                return
            if writable:
                rest = rest[sock.send(rest) :] or data


def be(kind: str, address: Address, nick: str, over: Callable[[], object]) -> None:
    """Be a stranger of that *kind* until it is *over*."""
    while not over():
        with contextlib.suppress(OSError):
            if kind in VISITS:
                VISITS[kind](address, nick)
            else:
                _talk(address, nick, TALK[kind])
        time.sleep(0.001)  # refused at once: others must be able to run, too


@contextmanager
def strangers(kind: str, count: int, address: Address) -> Iterator[int]:
    """Have *count* strangers of that *kind* at the server at *address*; yield their process."""
    command = [sys.executable, "-m", "tests.faults.strangers", kind, str(count)]
    with subprocess.Popen([*command, *map(str, address)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def main(kind: str, count: str, host: str, port: str) -> None:
    """Be so many strangers until killed."""
    # They stand for other people's machines, which take no time of ours.
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    print("here", flush=True)
    for number in range(int(count)):
        nick = f"Чужой-{number}"
        arguments = (kind, (host, int(port)), nick, lambda: False)
        threading.Thread(target=be, args=arguments, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
