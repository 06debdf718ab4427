"""The chat client: `ChatClient`, a socket and a listener thread, and the script.

As a library::

    with ChatClient(server.address, "Аня", on_event=print) as anya:
        anya.say("привет")
        anya.say("шёпот", to="Боря")

Two threads: the caller's asks, the listener reads what comes and hands every message to
*on_event*. Neither waits for the other. When the connection is lost, the listener makes a new one:
what was not acknowledged is sent again, what was missed is asked for, and *on_event* gets every
message once and in order.
"""

import contextlib
import random
import socket
import ssl
import threading
import typing
from collections.abc import Callable, Iterable

from chat.core.connection import Connection
from chat.core.protocol import (
    FrameDecoder,
    Limits,
    Message,
    ProtocolError,
    check_server_message,
    check_text,
    decode,
    encode,
    nick_key,
)
from chat.core.sender import Sender
from chat.core.timing import Deadline, TokenBucket
from chat.promises.resume import Place, Unacknowledged
from chat.promises.tls import TlsConnection, TlsError

WINDOW_BYTES = 256 * 1024
"""Bytes of messages not yet acknowledged, beyond which `ChatClient.say` waits."""

OFFLINE_MESSAGES = 20
"""Messages that wait for a new connection, beyond which `ChatClient.say` waits as well."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before another try to come back: at most so many, twice as many each time, up to."""

_CURABLE = frozenset({"lost", "timeout", "slow"})
"""Ends of a connection after which it makes sense to come back."""

_PASSING = frozenset({"server_full", "register_timeout", "too_fast", "unavailable"})
"""Refusals that may be over a moment later."""

_OUR_EVENTS = frozenset({"closed", "reconnecting", "reconnected", "untrusted", "gap"})
"""Events that are for us to say, not for a server."""


class RefusedError(Exception):
    """The server said no; `code` is the protocol's error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ConnectionClosedError(ConnectionError):
    """The connection has ended, by the server or on the way."""


class Cipher(typing.Protocol):
    """Hides texts from the server: `chat.promises.encryption.Cipher`."""

    def seal(self, text: str, sender: str, to: str | None) -> str:
        """Return the cipher of what *sender* says to *to*, None for everyone."""

    def open(self, sealed: str, sender: str, to: str | None) -> str:
        """Return the text. Raises `ValueError` under another passphrase."""


class ChatClient:
    """A user's end of the chat. A context manager: in the chat from enter to exit.

    Any thread may call its methods; *on_event* runs in the listener thread, one event at a time.
    Events are the server's messages, and our own: ``{"type": "reconnecting", "reason": …,
    "attempt": …, "delay": seconds}`` when the connection is lost, ``{"type": "reconnected"}`` when
    there is another one and what was missed follows, ``{"type": "untrusted", "why": …}`` when who
    answers in TLS cannot be believed, and ``{"type": "closed", "reason": …}`` as the last.
    """

    def __init__(
        self,
        address: tuple[str, int],
        nick: str | None = None,
        *,
        on_event: Callable[[Message], None] | None = None,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        cipher: Cipher | None = None,
        reconnect: bool = True,
        also: Iterable[tuple[str, int]] = (),
    ) -> None:
        """Prepare a client of the server at *address*, to be called *nick* on entering.

        The same chat is to be found at the addresses *also*, should that server not answer.
        """
        self.nick = nick or ""
        """The nickname as the server accepted it."""
        self.text_chars = (limits or Limits()).text_chars
        """Longest text that the server takes, in characters."""
        self._on_event = on_event or (lambda _event: None)
        self._limits = limits or Limits()
        self._tls = tls
        self._cipher = cipher
        self._reconnect = reconnect
        self._sender = Sender(self._limits)
        self._thread = threading.Thread(target=self._listen, name="chat listener")
        self._leaving = threading.Event()
        # The listener's, and before it starts the caller's.
        self._addresses = [address, *also]
        self._arrived: list[Message] = []  # decoded and not handed on yet
        self._place = Place()
        # Guards everything below.
        self._lock = threading.Lock()
        self._acknowledged = threading.Condition(self._lock)
        self._connection: Connection | None = None
        self._online = False
        self._users: dict[str, str] = {}
        self._pace = TokenBucket(0, 0)
        self._window = self._limits.window_messages
        self._unacknowledged = Unacknowledged()
        self._closed = False

    def __enter__(
        self,
    ) -> "typing.Self":  # quoted: Python 3.10, which has none, is to be told so in words
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
        deadline = Deadline(self._limits.connect_timeout)
        self._dial(deadline)
        self._decoder = FrameDecoder(self._limits.answer_bytes)
        self._arrived.clear()
        request = self._expect("register", deadline)
        self._keep_to(request["limits"])
        return request

    def register(self, nick: str) -> Message:
        """Ask for *nick* and return the server's ``welcome``.

        Raises `RefusedError` (after ``bad_nick`` and ``nick_taken`` try another one on the same
        connection) and `ConnectionClosedError`.
        """
        self._send(self._place.registration(nick))
        welcome = self._expect("welcome", Deadline(self._limits.connect_timeout))
        if nick_key(welcome["nick"]) != nick_key(nick):  # what we seal would be somebody else's
            raise ConnectionClosedError
        self.nick = welcome["nick"]
        self._set_users(welcome["users"])
        question = self._place.enter(welcome)
        with self._lock:
            self._online = True
            for frame in self._unacknowledged.frames():
                self._post(frame)
        if question is not None:
            self._post(encode(question))
        self._sender.flush()
        return welcome

    def listen(self) -> None:
        """Start the listener thread: from now on everything that comes is an event."""
        self._thread.start()

    # In the chat

    @property
    def users(self) -> list[str]:
        """The nicknames of the others, sorted."""
        with self._lock:
            return sorted(self._users.values(), key=str.casefold)

    @property
    def unacknowledged(self) -> list[Message]:
        """What was said and has no answer yet, oldest first."""
        with self._lock:
            return self._unacknowledged.messages()

    @property
    def closed(self) -> bool:
        """Whether the connection has ended for good."""
        return self._closed

    def say(self, text: str, to: str | None = None) -> int:
        """Send *text* to everyone, or to the one called *to*; return the message's ``id``.

        Without a connection it is sent when there is one again. Waits while `WINDOW_BYTES` are
        unacknowledged or the server's rate asks for it, except in *on_event*. An event with that
        id follows: ``ack``, or ``error``, to which the ``message`` refused is added. Raises
        `ConnectionClosedError`, `TimeoutError` when the server acknowledges nothing for
        `Limits.answer_timeout` seconds, and `RefusedError` for what a cipher would hide from the
        server, which would refuse it.
        """
        sealed = self._seal(text, to)
        with self._lock:
            if threading.current_thread() is not self._thread:
                self._wait_ready()
            if self._closed or not (self._online or self._thread.is_alive()):
                raise ConnectionClosedError
            self._pace.take()
            message_id, frame = self._unacknowledged.add(text, to, sealed)
            if self._online:
                self._post(frame)
        self._sender.flush()
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
        self._ask({"type": "users"})

    def request_history(self, limit: int | None = None, before: int | None = None) -> None:
        """Ask for the last *limit* messages before number *before*; a ``history`` event follows."""
        wanted = {"limit": limit, "before": before}
        known = {key: value for key, value in wanted.items() if value is not None}
        self._ask({"type": "history"} | known)

    def ping(self) -> None:
        """Ask whether the server is there; a ``pong`` event follows."""
        self._ask({"type": "ping"})

    def become_admin(self, password: str) -> None:
        """Show the admin's *password*; an ``admin`` event follows, or the error ``not_admin``."""
        self._ask({"type": "admin", "password": password})

    def shut_server_down(self) -> None:
        """Stop the server. Admins only."""
        self._ask({"type": "shutdown"})

    def kick(self, nick: str) -> None:
        """Remove *nick* from the chat. Admins only."""
        self._ask({"type": "kick", "nick": nick})

    def close(self) -> None:
        """Leave the chat: say so, wait for the end, leave no thread and no socket."""
        self._leaving.set()
        with self._lock:
            connection, online = self._connection, self._online
        if self._thread is threading.current_thread():  # in on_event: the listener ends after it
            if connection is not None:
                connection.abort("quit")
            return
        if connection is not None and online:
            self._sender.post((connection,), encode({"type": "quit"}))
            self._sender.finish((connection,))
            self._sender.flush()
        elif connection is not None:
            connection.abort("quit")
        if self._thread.is_alive():
            self._thread.join(self._limits.drain_timeout)
            if connection is not None:
                connection.abort("quit")
            self._thread.join()
        self._hang_up()
        self._sender.stop()

    # The listener thread

    def _listen(self) -> None:
        reason = "lost"
        try:
            reason = self._converse()
            # Where one server closes, there may be others.
            curable = _CURABLE | {"shutdown"} if len(self._addresses) > 1 else _CURABLE
            while self._reconnect and reason in curable and not self._leaving.is_set():
                if failure := self._come_back(reason):
                    reason = failure
                    break
                reason = self._converse()
        finally:
            if self._connection is not None:
                self._connection.abort("lost")  # our FIN: the server need not wait for us
            with self._lock:
                self._closed = True
                self._online = False
                self._acknowledged.notify_all()
            reason = "quit" if self._leaving.is_set() else reason
            self._on_event({"type": "closed", "reason": reason})

    def _converse(self) -> str:
        """Hand on what comes, until the connection ends; return why it did."""
        reason = "lost"
        try:
            while True:
                event = self._next_event()
                kind = event["type"]
                if kind in _OUR_EVENTS:
                    continue
                if kind == "shutdown":
                    reason = "shutdown"
                elif kind == "left" and event.get("nick") == self.nick:
                    reason = event.get("reason", reason)
                self._note(event)
                self._hand_on(event)
        except ConnectionClosedError:
            pass
        except TimeoutError:
            reason = "timeout"
        except ProtocolError:
            reason = "bad_frame"
        finally:
            with self._lock:
                self._online = False
        return reason

    def _next_event(self) -> Message:
        """Return the next message; after silence, ask whether the server is still there."""
        try:
            return self._next(Deadline(self._limits.ping_after))
        except TimeoutError:
            self._send({"type": "ping"})
            return self._next(Deadline(self._limits.answer_timeout))

    def _come_back(self, reason: str) -> str | None:
        """Connect and register again; return None, or why that is not to be."""
        deadline = Deadline(self._limits.reconnect_timeout)
        pause, attempt = FIRST_PAUSE, 0
        with contextlib.suppress(TimeoutError):
            while deadline.remaining():
                attempt += 1
                # A random part of the pause: many who lost one server must not come all at once.
                delay, pause = random.uniform(0, pause), min(2 * pause, LONGEST_PAUSE)
                again = {"reason": reason, "attempt": attempt, "delay": delay}
                self._on_event({"type": "reconnecting"} | again)
                if self._leaving.wait(delay):
                    return "quit"
                try:
                    self.connect()
                    self.register(self.nick)
                except RefusedError as error:
                    if error.code not in _PASSING:
                        return error.code
                except TlsError as error:  # not to be tried until somebody gives in
                    self._on_event({"type": "untrusted", "why": str(error)})
                    return "untrusted"
                except OSError:
                    pass
                else:
                    self._on_event({"type": "reconnected"})
                    return None
                self._addresses.append(self._addresses.pop(0))
        return reason

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
            message = self._unacknowledged.settle(event.get("id"))
            self._acknowledged.notify_all()
        if event["type"] == "error" and message is not None:
            event["message"] = message

    def _hand_on(self, event: Message) -> None:
        """Hand *event* on, every message in its turn and readable."""
        kind = event["type"]
        if kind == "message":
            self._hand_on_all(self._place.hear(event))
        elif kind == "history" and "after" in event and self._place.catching_up:
            if event.get("gap") is True:
                self._on_event({"type": "gap"})
            self._hand_on_all(self._place.catch_up(event))
            if question := self._place.next_question():
                self._send(question)
        else:
            for message in event["messages"] if kind == "history" else ():
                self._open(message)
            self._on_event(event)

    def _hand_on_all(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._open(message)
            self._on_event(message)

    def _seal(self, text: str, to: str | None) -> str | None:
        if self._cipher is None:
            return None
        try:
            return self._cipher.seal(check_text(text, self._limits), self.nick, to)
        except ProtocolError as error:
            raise RefusedError(error.code) from error

    def _open(self, message: Message) -> None:
        """Make the text of a sealed *message* readable, or None."""
        if message.get("sealed") is not True:
            return
        text, message["text"] = message["text"], None
        if self._cipher is not None:
            with contextlib.suppress(ValueError):
                message["text"] = self._cipher.open(text, message["from"], message["to"])

    # Whichever thread reads: the caller's while entering, the listener's afterwards

    def _dial(self, deadline: Deadline) -> None:
        """Connect to the first of the server's addresses that answers. Raises `OSError`."""
        self._hang_up()
        failure: OSError = ConnectionClosedError()
        for host, port in self._addresses:
            try:
                return self._dial_one(host, port, deadline)
            except OSError as error:
                failure = error
        raise failure

    def _dial_one(self, host: str, port: int, deadline: Deadline) -> None:
        failure: OSError = ConnectionClosedError()
        for family, kind, number, _name, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, number)
            tls = self._tls
            connection = TlsConnection(sock, tls, server_hostname=host) if tls else Connection(sock)
            with self._lock:
                self._connection = connection
            if self._leaving.is_set():  # `close` may have looked before there was anything to see
                connection.abort("quit")
            try:
                connection.connect(address, deadline)
                connection.handshake(deadline)
            except OSError as error:
                failure = error
                self._hang_up()
            else:
                connection.notice_silence(self._limits.ping_after + self._limits.answer_timeout)
                return
        raise failure

    def _next(self, deadline: Deadline) -> Message:
        """Return the next message from the server.

        Raises `ConnectionClosedError`, `TimeoutError`, and `ProtocolError` for what is no message.
        """
        connection = self._connection
        while not self._arrived:
            if connection is None:
                raise ConnectionClosedError
            chunk = connection.receive(deadline.remaining())
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
            self.text_chars = int(limits["text_chars"])
            rate, burst = float(limits["rate"]), float(limits["burst"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return  # the server does not say, or not so that it makes sense
        if rate >= 0 and burst >= 1:
            half = max(1, burst / 2)
            self._pace = TokenBucket(rate, half)
            # What is not acknowledged is sent again after a loss, all at once.
            most = self._limits.window_messages
            self._window = int(min(half, most)) if rate else most

    def _set_users(self, nicks: list[str]) -> None:
        with self._lock:
            self._users = {nick_key(nick): nick for nick in nicks}

    def _wait_ready(self) -> None:
        self._wait(self._has_room)
        pause = min(self._pace.wait_time(), self._limits.answer_timeout)
        self._acknowledged.wait_for(lambda: self._closed, pause)

    def _has_room(self) -> bool:
        most = self._window if self._online else min(self._window, OFFLINE_MESSAGES)
        return self._unacknowledged.size < WINDOW_BYTES and len(self._unacknowledged) < most

    def _wait(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        timeout = self._limits.answer_timeout if timeout is None else timeout
        if not self._acknowledged.wait_for(lambda: condition() or self._closed, timeout):
            raise TimeoutError
        if not condition():
            raise ConnectionClosedError

    def _ask(self, message: Message) -> None:
        if not self._online:
            raise ConnectionClosedError
        self._send(message)

    def _send(self, message: Message) -> None:
        self._post(encode(message))
        self._sender.flush()

    def _post(self, frame: bytes) -> None:
        connection = self._connection
        if connection is None or self._closed:
            raise ConnectionClosedError
        self._sender.post((connection,), frame)

    def _hang_up(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            self._sender.close(connection)
