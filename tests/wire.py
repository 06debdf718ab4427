"""A raw client for the tests: frames over a blocking socket, every wait with a deadline.

It knows the protocol no better than a stranger does: what it sends may be wrong on purpose, and
what it receives is looked at, not believed.
"""

import itertools
import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Self

Message = dict[str, Any]

PATIENCE = 30.0
"""Seconds that anything may take before a test fails: many times what it takes anywhere."""


class Wire:
    """One connection to a chat server. A context manager that closes it."""

    def __init__(
        self,
        address: tuple[str, int],
        nick: str | None = None,
        *,
        receive_buffer: int | None = None,
    ) -> None:
        """Connect to *address*; enter the chat as *nick* if there is one.

        *receive_buffer* is SO_RCVBUF in bytes: a small one makes a slow reader.
        """
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._rest = b""
        self._numbers = itertools.count(1)
        self.frames: list[bytes] = []
        """Every frame received, as it came."""
        try:
            if receive_buffer is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.settimeout(PATIENCE)
            self.socket.connect(address)
            self.welcome = self.enter(nick) if nick is not None else {}
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def local_address(self) -> tuple[str, int]:
        """Our end of the connection: what the server sees as the client's address."""
        host, port = self.socket.getsockname()
        return host, port

    def close(self) -> None:
        self.socket.close()

    # Sending

    def send(self, *messages: Message) -> None:
        """Send *messages*, all in one call."""
        self.send_raw(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def say(self, text: str, to: str | None = None, *, number: int | None = None) -> int:
        """Send a message with id *number* (or the next) and wait for its ack; return its ``seq``.

        With the ack the message is in the queue of everyone whom it was meant for.
        """
        number = next(self._numbers) if number is None else number
        message: Message = {"type": "message", "text": text, "id": number}
        self.send(message if to is None else message | {"to": to})
        seq: int = self.expect("ack", id=number)["seq"]
        return seq

    def request(self, type: str, **keys: object) -> Message:
        """Send a message and return the next one that comes back, whatever it is."""
        self.send({"type": type} | keys)
        return self.next()

    def end_sending(self) -> None:
        """Send FIN; receiving goes on."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST instead of FIN, as the system does for a process killed amid reading."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # Receiving

    def next(self) -> Message:
        """Return the next message. Raises `EOFError` at the end, `TimeoutError`."""
        while b"\n" not in self._rest:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise EOFError(f"the stream has ended after {self._rest!r}")
            self._rest += chunk
        frame, _border, self._rest = self._rest.partition(b"\n")
        self.frames.append(frame)
        message = json.loads(frame)
        assert isinstance(message, dict)
        return message

    def expect(self, type: str, **keys: object) -> Message:
        """Return the next message, which must be of that *type* and have those *keys*.

        The key ``from``, a word of Python's own, is written ``from_``.
        """
        message = self.next()
        wanted = {"type": type} | {name.rstrip("_"): value for name, value in keys.items()}
        found = {name: message.get(name) for name in wanted}
        assert found == wanted, message
        return message

    def expect_silence(self) -> None:
        """Check that nothing was queued for us before now: the next thing to come is our pong."""
        self.send({"type": "ping"})
        self.expect("pong")

    def expect_end(self) -> None:
        """Check that the server ends the stream, and says nothing more before."""
        try:
            message = self.next()
        except (EOFError, ConnectionResetError):
            assert not self._rest
        else:
            raise AssertionError(message)

    def skip_to(self, type: str, **keys: object) -> Message:
        """Return the next message of that *type* and with those *keys*, whatever comes before."""
        wanted = {"type": type} | {name.rstrip("_"): value for name, value in keys.items()}
        while True:
            message = self.next()
            if wanted.items() <= message.items():
                return message

    # Entering

    def enter(self, nick: str) -> Message:
        """Register as *nick*; return the server's ``welcome``."""
        self.expect("register", protocol=1)
        self.send({"type": "register", "nick": nick})
        return self.expect("welcome")


def eventually(condition: Callable[[], object], *, timeout: float = PATIENCE) -> None:
    """Return as soon as *condition* holds; fail after *timeout* seconds.

    For what other threads and the kernel do and tell nobody: it looks every few milliseconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not so after {timeout} s"
        time.sleep(0.002)
