"""Servers that are not ours: they say whatever a test has them say."""

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from tests.wire import PATIENCE

Message = dict[str, Any]

REGISTER: Message = {"type": "register", "protocol": 1, "limits": {}}
WELCOME: Message = {"type": "welcome", "nick": "Аня", "users": ["Боря"], "seq": 0}


class FakeServer:
    """Listens on a free port and talks to one client, one step at a time, in the test's thread."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self._peer: socket.socket | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.hang_up()
        self._listener.close()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()
        return host, port

    def accept(self) -> None:
        self._peer, _address = self._listener.accept()
        self._peer.settimeout(PATIENCE)

    def send(self, *messages: Message) -> None:
        self.send_raw(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def send_raw(self, data: bytes) -> None:
        assert self._peer is not None
        self._peer.sendall(data)

    def receive(self) -> Message:
        """Return the client's next message. Raises `EOFError` when it has hung up."""
        assert self._peer is not None
        while b"\n" not in self._rest:
            chunk = self._peer.recv(65536)
            if not chunk:
                raise EOFError
            self._rest += chunk
        frame, _border, self._rest = self._rest.partition(b"\n")
        message: Message = json.loads(frame)
        return message

    def is_quiet(self, seconds: float = 0.2) -> bool:
        """Tell whether the client says nothing for so long."""
        assert self._peer is not None
        readable, _, _ = select.select([self._peer], [], [], seconds)
        return not (readable or self._rest)

    def admit(self, limits: Message | None = None) -> None:
        """Accept a client, tell it the *limits* and let it in."""
        self.accept()
        self.send(REGISTER | {"limits": limits or {}})
        request = self.receive()
        assert request["type"] == "register"
        self.send(WELCOME | {"nick": request["nick"]})

    @contextmanager
    def admitting(self, limits: Message | None = None) -> Iterator[None]:
        """Admit a client that enters in the block."""
        thread = threading.Thread(target=self.admit, args=[limits])
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def hang_up(self) -> None:
        if self._peer is not None:
            self._peer.close()


@contextmanager
def served(*steps: bytes) -> Iterator[tuple[str, int]]:
    """Serve one client in a thread: send *steps*, then hang up; yield the address."""
    with FakeServer() as server:

        def serve() -> None:
            server.accept()
            for step in steps:
                server.send_raw(step)
            server.hang_up()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.address
        finally:
            thread.join()
