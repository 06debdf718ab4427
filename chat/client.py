"""The chat client: `ChatClient`, a socket and a listener thread, and the script.

Run it with ``python -m chat.client`` or ``python chat/client.py``; ``--help`` lists the options.
As a library::

    with ChatClient(server.address, "Аня", on_event=print) as anya:
        anya.say("привет")
        anya.say("шёпот", to="Боря")

Two threads: the caller's asks, the listener reads what comes and hands every message to
*on_event*. Neither waits for the other.
"""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

if not __package__:  # python chat/client.py: make the package importable, and hide its folder
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from chat.connection import Connection, Deadline, Sender, TokenBucket
from chat.protocol import (
    FrameDecoder,
    Limits,
    Message,
    ProtocolError,
    check_server_message,
    decode,
    encode,
    nick_key,
)

WINDOW_BYTES = 256 * 1024
"""Bytes of messages not yet acknowledged, beyond which `ChatClient.say` waits."""


class RefusedError(Exception):
    """The server said no; `code` is the protocol's error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ConnectionClosedError(ConnectionError):
    """The connection has ended, by the server or on the way."""


class ChatClient:
    """A user's end of the chat. A context manager: in the chat from enter to exit.

    Any thread may call its methods; *on_event* runs in the listener thread, one event at a time.
    The last event is ``{"type": "closed", "reason": …}``.
    """

    def __init__(
        self,
        address: tuple[str, int],
        nick: str | None = None,
        *,
        on_event: Callable[[Message], None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare a client of the server at *address*, to be called *nick* on entering."""
        self.nick = nick or ""
        """The nickname as the server accepted it."""
        self._address = address
        self._on_event = on_event or (lambda _event: None)
        self._limits = limits or Limits()
        self._sender = Sender(self._limits)
        self._connection: Connection | None = None
        self._arrived: list[Message] = []  # decoded and not handed on yet
        self._thread = threading.Thread(target=self._listen, name="chat listener")
        # Guards everything below.
        self._lock = threading.Lock()
        self._acknowledged = threading.Condition(self._lock)
        self._users: dict[str, str] = {}
        self._last_id = 0
        self._pace = TokenBucket(0, 0)
        self._unacknowledged: dict[int, Message] = {}
        self._unacknowledged_bytes = 0
        self._closed = False
        self._quitting = False

    def __enter__(self) -> Self:
        """Connect, register under the nickname, listen."""
        try:
            self.connect()
            self.register(self.nick)
            self.listen()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        """Leave the chat."""
        self.close()

    # Entering, step by step

    def connect(self) -> Message:
        """Connect, and return the server's request for a name.

        May be called again after the connection was lost. Raises `OSError` when nobody listens,
        `RefusedError` when the server refuses, `ConnectionClosedError` when it is no chat server.
        """
        self._hang_up()
        timeout = self._limits.connect_timeout
        sock = socket.create_connection(self._address, timeout=timeout)
        self._connection = Connection(sock)
        self._decoder = FrameDecoder(self._limits.answer_bytes)
        self._arrived.clear()
        request = self._expect("register", Deadline(timeout))
        self._keep_to(request["limits"])
        return request

    def register(self, nick: str) -> Message:
        """Ask for *nick* and return the server's ``welcome``.

        Raises `RefusedError` (after ``bad_nick`` and ``nick_taken`` try another one on the same
        connection) and `ConnectionClosedError`.
        """
        self._send({"type": "register", "nick": nick})
        welcome = self._expect("welcome", Deadline(self._limits.connect_timeout))
        self.nick = welcome["nick"]
        self._set_users(welcome["users"])
        return welcome

    def listen(self) -> None:
        """Start the listener thread: from now on everything that comes is an event."""
        self._thread.start()

    # In the chat

    @property
    def users(self) -> list[str]:
        """The nicknames of the others, sorted."""
        with self._lock:
            return [self._users[key] for key in sorted(self._users)]

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed

    def say(self, text: str, to: str | None = None) -> int:
        """Send *text* to everyone, or to the one called *to*; return the message's ``id``.

        Waits while `WINDOW_BYTES` are unacknowledged or the server's rate asks for it, except
        in *on_event*. An event with that id
        follows: ``ack``, or ``error``, to which the ``message`` refused is added. Raises
        `ConnectionClosedError`, and `TimeoutError` when the server acknowledges nothing for
        `Limits.answer_timeout` seconds.
        """
        with self._lock:
            if threading.current_thread() is not self._thread:
                self._wait_ready()
            self._pace.take()
            self._last_id = message_id = self._last_id + 1
            message: Message = {"type": "message", "id": message_id, "text": text}
            if to is not None:
                message["to"] = to
            frame = encode(message)
            self._unacknowledged[message_id] = message
            self._unacknowledged_bytes += len(frame)
        self._post(frame)
        return message_id

    def wait_ready(self) -> None:
        """Wait until `say` need not wait. Raises as `say` does."""
        with self._lock:
            self._wait_ready()

    def wait_acknowledged(self, timeout: float | None = None) -> None:
        """Wait until the server has answered for every message. Raises as `say` does."""
        with self._lock:
            self._wait(lambda: not self._unacknowledged, timeout)

    def request_users(self) -> None:
        """Ask who is here; a ``users`` event follows."""
        self._send({"type": "users"})

    def request_history(self, limit: int | None = None, before: int | None = None) -> None:
        """Ask for the last *limit* messages before number *before*; a ``history`` event follows."""
        wanted = {"limit": limit, "before": before}
        known = {key: value for key, value in wanted.items() if value is not None}
        self._send({"type": "history"} | known)

    def ping(self) -> None:
        """Ask whether the server is there; a ``pong`` event follows."""
        self._send({"type": "ping"})

    def become_admin(self, password: str) -> None:
        """Show the admin's *password*; an ``admin`` event follows, or the error ``not_admin``."""
        self._send({"type": "admin", "password": password})

    def shut_server_down(self) -> None:
        """Stop the server. Admins only."""
        self._send({"type": "shutdown"})

    def kick(self, nick: str) -> None:
        """Remove *nick* from the chat. Admins only."""
        self._send({"type": "kick", "nick": nick})

    def close(self) -> None:
        """Leave the chat: say so, wait for the end, leave no thread and no socket."""
        connection = self._connection
        if connection is None:
            return
        self._quitting = True
        if self._thread is threading.current_thread():  # in on_event: the listener ends after it
            connection.abort("quit")
            return
        with contextlib.suppress(ConnectionClosedError):
            self._send({"type": "quit"})
        self._sender.finish([connection])
        self._sender.flush()
        if self._thread.is_alive():
            self._thread.join(self._limits.drain_timeout)
            connection.abort("quit")
            self._thread.join()
        self._hang_up()
        self._sender.stop()

    # The listener thread

    def _listen(self) -> None:
        reason = "lost"
        try:
            while True:
                event = self._next(None)
                if event["type"] == "closed":
                    continue  # that is for us to say
                if event["type"] == "shutdown":
                    reason = "shutdown"
                elif event["type"] == "left" and event.get("nick") == self.nick:
                    reason = event.get("reason", reason)
                self._note(event)
                self._on_event(event)
        except ConnectionClosedError:
            pass
        except ProtocolError:
            reason = "bad_frame"
        finally:
            if self._connection is not None:
                self._connection.abort("lost")  # our FIN: the server need not wait for us
            with self._lock:
                self._closed = True
                self._acknowledged.notify_all()
            self._on_event({"type": "closed", "reason": "quit" if self._quitting else reason})

    def _note(self, event: Message) -> None:
        """Keep the list of users and of unacknowledged messages up to date with *event*."""
        kind = event["type"]
        if kind == "ping":
            with contextlib.suppress(ConnectionClosedError):
                self._send({"type": "pong"})
        elif kind == "users":
            self._set_users(event["users"])
        elif kind in ("ack", "error"):
            self._settle(event)
        elif kind in ("joined", "left"):
            with self._lock:
                self._users.pop(nick_key(event["nick"]), None)
                if kind == "joined":
                    self._users[nick_key(event["nick"])] = event["nick"]

    def _settle(self, event: Message) -> None:
        event.pop("message", None)  # that is for us to add
        with self._lock:
            message = self._unacknowledged.pop(event.get("id", 0), None)
            if message is None:
                return
            self._unacknowledged_bytes -= len(encode(message))
            self._acknowledged.notify_all()
        if event["type"] == "error":
            event["message"] = message

    # Whichever thread reads: the caller's while entering, the listener's afterwards

    def _next(self, deadline: Deadline | None) -> Message:
        """Return the next message from the server.

        Raises `ConnectionClosedError`, `TimeoutError`, and `ProtocolError` for what is no message.
        """
        connection = self._connection
        while not self._arrived:
            if connection is None:
                raise ConnectionClosedError
            chunk = connection.receive(deadline.remaining() if deadline else None)
            if not chunk:
                raise ConnectionClosedError
            for frame in self._decoder.receive(chunk):
                self._arrived.append(check_server_message(decode(frame)))
        return self._arrived.pop(0)

    def _expect(self, kind: str, deadline: Deadline) -> Message:
        try:
            while True:
                message = self._next(deadline)
                if message["type"] == kind:
                    return message
                if message["type"] == "error":
                    raise RefusedError(message.get("code", "bad_frame"))
        except ProtocolError as error:
            raise ConnectionClosedError(error.code) from error

    # Any thread

    def _keep_to(self, limits: Message) -> None:
        """Set our own pace by the server's, half its burst: on the way messages bunch up."""
        try:
            rate, burst = float(limits["rate"]), float(limits["burst"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return  # the server does not say, or not so that it makes sense
        if rate >= 0 and burst >= 1:
            self._pace = TokenBucket(rate, max(1, burst / 2))

    def _set_users(self, nicks: list[str]) -> None:
        with self._lock:
            self._users = {nick_key(nick): nick for nick in nicks}

    def _wait_ready(self) -> None:
        self._wait(lambda: self._unacknowledged_bytes < WINDOW_BYTES)
        pause = min(self._pace.wait_time(), self._limits.answer_timeout)
        self._acknowledged.wait_for(lambda: self._closed, pause)

    def _wait(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        timeout = self._limits.answer_timeout if timeout is None else timeout
        if not self._acknowledged.wait_for(lambda: condition() or self._closed, timeout):
            raise TimeoutError
        if not condition():
            raise ConnectionClosedError

    def _send(self, message: Message) -> None:
        self._post(encode(message))

    def _post(self, frame: bytes) -> None:
        if self._connection is None or self._closed:
            raise ConnectionClosedError
        self._sender.post([self._connection], frame)
        self._sender.flush()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def main(arguments: list[str] | None = None) -> int:
    """Run the client from the command line; return the exit status."""
    from chat import console  # noqa: PLC0415 - the face stands above the library

    return console.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
