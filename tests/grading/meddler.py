"""A peer that misbehaves on the network, within what TCP allows anybody.

``python meddler.py PORT HOST`` obeys commands, a line each on its input, and answers each with a
line:

``silence``         connect and say nothing, until the end
``garbage``         connect again and again, send what is no text, and end in an orderly way
``abrupt``          connect and hang up in every way, with a reset too, before and after a few bytes
``relay``           listen, and pass everything on to PORT and back; answers with the port it is on
``slice``           from now on, pass on one byte at a time, each when the last has been read
``inject HEX``      say these bytes to the server in the name of the relay's last client

It knows no chat's protocol. It needs the standard library alone.
"""

import contextlib
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path

HOST = "127.0.0.1"
PATIENCE = 10.0  # seconds for any one step
SHORT = 0.3  # seconds for what a server need not do

GARBAGE = (
    b"\xff\xfe\xfd\n",  # no UTF-8
    b"\xd0",  # half a letter, and then nothing
    b"\n\n\n",
    b"\r\n",
    b"\x00" * 64 + b"\n",
    b'{"type": \n',
    b"[" * 5000 + b"\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\xff\xff\xff\xff" + b"x" * 100,  # a length of 4 GB, for who expects a length
    bytes(range(0xA0, 0x100)) * 20,  # the same every time, and no orders to a terminal
    b"A" * 100_000,  # a line without end
)


def connect(port: int) -> socket.socket:
    """Return a new connection to *port*."""
    return socket.create_connection((sys.argv[2], port), timeout=PATIENCE)


def reset(sock: socket.socket) -> None:
    """Close *sock* with a reset instead of a FIN (socket(7), SO_LINGER)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def say(sock: socket.socket, data: bytes) -> None:
    """Send *data*, as far as the peer takes it."""
    sock.settimeout(1.0)
    with contextlib.suppress(OSError):
        sock.sendall(data)


def garbage(port: int) -> None:
    """Send each kind of garbage over a connection of its own, which ends with FIN.

    What the server answers is read: to close a socket with unread bytes sends a reset (RFC 2525,
    section 2.17), and then it would depend on the answer's speed which of the two the server gets.
    """
    for data in GARBAGE:
        with contextlib.suppress(OSError), connect(port) as sock:
            say(sock, data)
            wait_until_read(sock, SHORT)
            sock.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + SHORT
            while (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                if not sock.recv(65536):
                    break


def finish(sock: socket.socket) -> None:
    """Close *sock*, with a FIN before the reset that unread bytes cause."""
    sock.shutdown(socket.SHUT_WR)
    sock.close()


def reset_when_read(sock: socket.socket) -> None:
    """Close *sock* with a reset, when the server has read what was sent."""
    wait_until_read(sock, SHORT)
    reset(sock)


def abrupt(port: int) -> None:
    """Connect and hang up, with FIN and with reset, before and after a few bytes."""
    for first in (b"", b"x", b"a name\n"):
        for _number in range(4):
            for end in (finish, reset, reset_when_read):
                with contextlib.suppress(OSError):
                    sock = connect(port)
                    say(sock, first)
                    end(sock)


class Relay:
    """Stands between clients and the server. Threads: one that accepts, two a connection."""

    def __init__(self, port: int) -> None:
        """Listen on a free port, and pass on to *port*."""
        self._target = port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.slicing = False
        self._upstream: socket.socket | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def inject(self, data: bytes) -> None:
        """Say *data* to the server in the name of the client that came last."""
        assert self._upstream is not None
        say(self._upstream, data)

    def _accept(self) -> None:
        while True:
            client, _address = self._listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                server = connect(self._target)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._upstream = server
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.slicing:
                    for byte in data:
                        target.sendall(bytes([byte]))
                        wait_until_read(target)
                else:
                    target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def wait_until_read(sock: socket.socket, patience: float = PATIENCE) -> None:
    """Wait until the peer of *sock*, on this machine, has read all that was sent to it.

    Its receive queue is in the table of sockets (proc(5), /proc/net/tcp). Gives up after
    *patience* seconds: a peer need not read.
    """
    ends = [sock.getpeername(), sock.getsockname()]
    wanted = [_hexadecimal(*end) for end in ends]
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1:3] == wanted:
                if fields[4].endswith(":00000000"):
                    return
                break
        else:
            return
        os.sched_yield()


def _hexadecimal(host: str, port: int) -> str:
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{number:08X}:{port:04X}"


def main() -> None:
    """Obey until the end of input."""
    port = int(sys.argv[1])
    kept = []
    relay: Relay | None = None
    for line in sys.stdin:
        command, *rest = line.split()
        answer = "ok"
        try:
            if command == "silence":
                kept.append(connect(port))
            elif command == "garbage":
                garbage(port)
            elif command == "abrupt":
                abrupt(port)
            elif command == "relay":
                relay = Relay(port)
                answer = str(relay.port)
            elif command == "slice" and relay is not None:
                relay.slicing = True
            elif command == "inject" and relay is not None:
                relay.inject(bytes.fromhex(rest[0]))
            else:
                answer = "unknown"
        except OSError as error:
            answer = f"error {error}"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
