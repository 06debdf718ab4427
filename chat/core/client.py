"""The chat client as a library: `ChatClient`, a socket, a listener thread and the writer's.

::

    with ChatClient(server.address, "Аня", on_event=print) as anya:
        anya.say("привет")
        anya.say("шёпот", to="Боря")

The caller asks, the listener reads what comes and hands every message to *on_event*, the writer
sends. None of them waits for another. When the connection is lost, it is over;
`chat.promises.resume` has a client that comes back.
"""

import contextlib
import socket
import threading
import typing
from collections import deque
from collections.abc import Callable, Iterable

from chat.core.connection import Connection, Transport
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
from chat.core.timing import Deadline, TokenBucket
from chat.core.writer import Writer

WINDOW_BYTES = 256 * 1024
"""Bytes of messages not yet acknowledged, beyond which `ChatClient.say` waits."""

_OUR_EVENTS = frozenset({"closed", "held", "reconnecting", "reconnected", "untrusted", "gap"})
"""Events that are for us to say, not for a server."""


class RefusedError(Exception):
    """The server said no; `code` is the protocol's error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ConnectionClosedError(ConnectionError):
    """The connection has ended, by the server or in transit."""


class Cipher(typing.Protocol):
    """Hides texts from the server: `chat.promises.encryption.Cipher`."""

    def seal(self, text: str, sender: str, to: str | None) -> str:
        """Return *text*, said by *sender* to *to* (None: everyone), encrypted."""

    def open(self, sealed: str, sender: str, to: str | None) -> str:
        """Return the text. Raises `ValueError` under another passphrase."""


class Outbox:
    """Messages that the server has not answered for, by their ids, the oldest first."""

    def __init__(self) -> None:
        """Begin with none."""
        self.size = 0
        """How long their frames are, in bytes."""

        self._last_id = 0
        self._messages: dict[int, tuple[Message, bytes]] = {}
        self._unsent: deque[int] = deque()  # ids of those that wait for the window

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._messages)

    def add(self, message: Message, cover: Message) -> int:
        """Number *message* and keep it; return its id. In its frame, *cover* goes before."""
        self._last_id += 1
        message = {"type": "message", "id": self._last_id} | message
        frame = encode(message | cover)
        self._messages[self._last_id] = message, frame
        self._unsent.append(self._last_id)
        self.size += len(frame)
        return self._last_id

    def take_unsent(self, window: int) -> list[bytes]:
        """Return the frames that are to be sent now: no more than *window* are in transit."""
        frames = []
        while self._unsent and len(self._messages) - len(self._unsent) < window:
            frames.append(self._messages[self._unsent.popleft()][1])
        return frames

    def send_again(self) -> None:
        """Take all of them for unsent: there is another connection."""
        self._unsent = deque(self._messages)

    def settle(self, message_id: object) -> Message | None:
        """Strike off and return what the server has answered for; None if it is not here."""
        if not isinstance(message_id, int) or message_id not in self._messages:
            return None
        message, frame = self._messages.pop(message_id)
        if self._unsent and message_id >= self._unsent[0]:  # a server answers before it is asked
            self._unsent.remove(message_id)
        self.size -= len(frame)
        return message

    def messages(self) -> list[Message]:
        """Return all messages, readable, in their order."""
        return [message for message, _frame in self._messages.values()]


class ChatClient:
    """A user's end of the chat. A context manager: in the chat from enter to exit.

    Any thread may call its methods; *on_event* runs in the listener thread, one event at a time.
    Events are the server's messages, and ``{"type": "closed", "reason": …}`` as the last.
    """

    def __init__(
        self,
        address: tuple[str, int],
        nick: str | None = None,
        *,
        on_event: Callable[[Message], None] | None = None,
        limits: Limits | None = None,
        cipher: Cipher | None = None,
        transport: Callable[[socket.socket, str], Transport] | None = None,
        also: Iterable[tuple[str, int]] = (),
    ) -> None:
        """Prepare a client of the server at *address*, to be called *nick* on entering.

        The same chat is to be found at the addresses *also*, should that server not answer.
        *transport* makes the transport to a host, from a socket.
        """
        self.nick = nick or ""
        """The nickname as the server accepted it."""
        self.text_chars = (limits or Limits()).text_chars
        """Longest text that the server takes, in characters."""
        self._on_event = on_event or (lambda _event: None)
        self._limits = limits or Limits()
        self._cipher = cipher
        self._transport = transport or (lambda sock, _host: Transport(sock))
        self._writer = Writer(self._limits, name="chat writer")
        self._thread = threading.Thread(target=self._listen, name="chat listener")
        self._leaving = threading.Event()
        # The listener's, and before it starts the caller's.
        self._addresses = [address, *also]
        self._arrived: deque[Message] = deque()  # decoded and not handed on yet
        # Guards everything below.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # an answer has come, or the end
        self._connection: Connection | None = None
        self._online = False
        self._users: dict[str, tuple[str, str | None]] = {}  # nicknames and persons, by their keys
        self._pace = TokenBucket(0, 0)
        self._window = self._limits.window_messages
        self._outbox = Outbox()
        self._opened = False
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
        if not self._opened:
            self._writer.open()
            self._opened = True
        request = self._dial()
        self._keep_to(request["limits"], request.get("window"))
        return request

    def register(self, nick: str) -> Message:
        """Ask for *nick* and return the server's ``welcome``.

        Raises `RefusedError` (after ``bad_nick`` and ``nick_taken`` try another one on the same
        connection) and `ConnectionClosedError`.
        """
        self._send(self._registration(nick))
        welcome = self._expect("welcome", Deadline(self._limits.connect_timeout))
        if nick_key(welcome["nick"]) != nick_key(nick):  # what we seal would be somebody else's
            raise ConnectionClosedError
        self.nick = welcome["nick"]
        self._set_users(welcome["users"], welcome.get("persons"))
        with self._lock:
            self._online = True
            self._outbox.send_again()
            self._post_unsent()
        self._entered(welcome)
        self._writer.ring()
        return welcome

    def listen(self) -> None:
        """Start the listener thread: from now on everything that comes is an event."""
        self._thread.start()

    # In the chat

    @property
    def users(self) -> list[str]:
        """The nicknames of the others, sorted."""
        with self._lock:
            nicks = [nick for nick, _person in self._users.values()]
        return sorted(nicks, key=str.casefold)

    @property
    def unacknowledged(self) -> list[Message]:
        """What was said and has no answer yet, oldest first."""
        with self._lock:
            return self._outbox.messages()

    @property
    def closed(self) -> bool:
        """Whether the connection has ended for good."""
        return self._closed

    def say(self, text: str, to: str | None = None) -> int:
        """Send *text* to everyone, or to the one called *to*; return the message's ``id``.

        Without a connection it is sent when there is one again. Waits while as much is
        unacknowledged as the server wants at most, or its rate asks for it; in *on_event* it does
        not wait, and what is too much is sent later. An event with that id follows: ``ack``, or
        ``error``, to which the ``message`` refused is added, or ``held`` likewise, when the
        nickname belongs to another person by now. Raises `ConnectionClosedError`, `TimeoutError`
        when the server acknowledges nothing for `Limits.answer_timeout` seconds, and
        `RefusedError` for what a cipher would hide from the server, which would refuse it.
        """
        sealed = self._seal(text, to)
        message: Message = {"text": text}
        cover: Message = {} if sealed is None else {"text": sealed, "sealed": True}
        if to is not None:
            message["to"] = to
        with self._lock:
            if threading.current_thread() is not self._thread:
                self._wait_ready()
            if self._closed or not (self._online or self._thread.is_alive()):
                raise ConnectionClosedError
            person = None if to is None else self._users.get(nick_key(to), ("", None))[1]
            if person is not None:  # if that is somebody else by then, it is not for them
                cover["person"] = person
            self._pace.take()
            message_id = self._outbox.add(message, cover)
            self._post_unsent()
        self._writer.ring()
        return message_id

    def wait_ready(self) -> None:
        """Wait until `say` need not wait. Raises as `say` does."""
        with self._lock:
            self._wait_ready()

    def wait_acknowledged(self, timeout: float | None = None) -> None:
        """Wait until the server has answered for every message. Raises as `say` does."""
        with self._lock:
            self._wait(lambda: not self._outbox, timeout)

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
                self._writer.abort(connection, "quit")
                self._writer.ring()
            return
        if connection is not None:
            if online:
                self._writer.post(encode({"type": "quit"}), connection)
                self._writer.finish(connection)
            else:
                self._writer.abort(connection, "quit")
            self._writer.ring()
        if self._thread.is_alive():
            self._thread.join(self._limits.drain_timeout)
            if connection is not None:
                self._writer.abort(connection, "quit")
                self._writer.ring()
            self._thread.join()
        self._hang_up()
        self._writer.end()

    # What a client that comes back does otherwise

    def _registration(self, nick: str) -> Message:
        """Return the message that asks for *nick*."""
        return {"type": "register", "nick": nick}

    def _entered(self, _welcome: Message) -> None:
        """Do what is to be done on entering."""

    def _recover(self, reason: str) -> str | None:
        """Make another connection after *reason*; return None, or why the conversation is over."""
        return reason

    def _hand_on(self, event: Message) -> None:
        """Hand *event* on, readable."""
        kind = event["type"]
        for message in event["messages"] if kind == "history" else [event] * (kind == "message"):
            self._open(message)
        self._on_event(event)

    # The listener thread

    def _listen(self) -> None:
        reason: str | None = "lost"
        try:
            while True:
                reason = self._converse()
                if self._leaving.is_set():
                    break
                if failure := self._recover(reason):
                    reason = failure
                    break
        finally:
            self._abort("lost")  # our FIN: the server need not wait for us
            with self._lock:
                self._closed = True
                self._online = False
                self._changed.notify_all()
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
                elif kind == "left" and event["nick"] == self.nick:
                    reason = event["reason"]
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

    def _note(self, event: Message) -> None:
        """Keep the list of users and of unacknowledged messages up to date with *event*."""
        kind = event["type"]
        if kind == "ping":
            with contextlib.suppress(ConnectionClosedError):
                self._send({"type": "pong"})
        elif kind == "users":
            self._set_users(event["users"], None)
        elif kind in ("ack", "error"):
            self._settle(event)
        elif kind in ("joined", "left"):
            with self._lock:
                self._users.pop(nick_key(event["nick"]), None)
                if kind == "joined":
                    person = event.get("person")
                    known = person if isinstance(person, str) else None
                    self._users[nick_key(event["nick"])] = event["nick"], known

    def _settle(self, event: Message) -> None:
        event.pop("message", None)  # that is for us to add
        with self._lock:
            message = self._outbox.settle(event.get("id"))
            self._post_unsent()
            self._changed.notify_all()
        self._writer.ring()
        if event["type"] == "error" and message is not None:
            event["message"] = message
            if event["code"] == "another_person" and "to" in message:
                event["type"] = "held"

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

    def _dial(self) -> Message:
        """Connect to the first of the server's addresses that asks for a name; return its request.

        Each address has its share of the time, so that a silent one does not take it all. Raises
        `OSError`, `RefusedError`.
        """
        self._hang_up()
        deadline = Deadline(self._limits.connect_timeout)
        failure: OSError = ConnectionClosedError()
        targets: list[tuple[str, socket.AddressFamily, tuple[object, ...]]] = []
        for host, port in self._addresses:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                failure = error
                continue
            targets += [(host, family, address) for family, *_kind, address in found]
        for number, (host, family, address) in enumerate(targets):
            share = Deadline(deadline.left / (len(targets) - number))
            try:
                self._dial_one(host, socket.socket(family, socket.SOCK_STREAM), address, share)
                return self._expect("register", share)
            except OSError as error:
                failure = error
                self._hang_up()
        raise failure

    def _dial_one(
        self, host: str, sock: socket.socket, address: tuple[object, ...], deadline: Deadline
    ) -> None:
        transport = self._transport(sock, host)
        connection = Connection(transport)
        with self._lock:
            self._connection = connection
        if self._leaving.is_set():  # `close` may have looked before there was anything to see
            self._writer.abort(connection, "quit")
            self._writer.ring()
        transport.connect(address, deadline)
        connection.transport.handshake(deadline)
        transport.notice_silence(self._limits.ping_after + self._limits.answer_timeout)
        self._decoder = FrameDecoder(self._limits.answer_bytes)
        self._arrived.clear()

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
        return self._arrived.popleft()

    def _expect(self, kind: str, deadline: Deadline) -> Message:
        try:
            while True:
                message = self._next(deadline)
                if message["type"] == kind:
                    return message
                if message["type"] == "error":
                    raise RefusedError(message["code"])
        except ProtocolError as error:
            raise ConnectionClosedError(error.code) from error

    # Any thread

    def _keep_to(self, limits: Message, window: object) -> None:
        """Set our own pace by the server's, half its burst: in transit messages bunch up."""
        try:
            self.text_chars = int(limits["text_chars"])
            rate, burst = float(limits["rate"]), float(limits["burst"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return  # the server does not say, or not so that it makes sense
        if rate >= 0 and burst >= 1:
            half = max(1, burst / 2)
            most = self._limits.window_messages
            if isinstance(window, int) and window >= 1:
                most = min(most, window)
            self._pace = TokenBucket(rate, half)
            # What is not acknowledged is sent again after a loss, all at once.
            self._window = int(min(half, most)) if rate else most

    def _set_users(self, nicks: list[str], persons: object) -> None:
        known = persons if isinstance(persons, list) and len(persons) == len(nicks) else None
        with self._lock:
            before, self._users = self._users, {}
            for number, nick in enumerate(nicks):
                key = nick_key(nick)
                person = known[number] if known else before.get(key, ("", None))[1]
                self._users[key] = nick, person if isinstance(person, str) else None

    def _ask(self, message: Message) -> None:
        if not self._online:
            raise ConnectionClosedError
        self._send(message)

    def _send(self, message: Message) -> None:
        connection = self._connection
        if connection is None or self._closed:
            raise ConnectionClosedError
        self._writer.post(encode(message), connection)
        self._writer.ring()

    def _abort(self, reason: str) -> None:
        connection = self._connection
        if connection is not None:
            self._writer.abort(connection, reason)
            self._writer.ring()

    def _hang_up(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            self._writer.close(connection)

    # Under the lock

    def _post_unsent(self) -> None:
        if self._online and self._connection is not None:
            for frame in self._outbox.take_unsent(self._window):
                self._writer.post(frame, self._connection)

    def _has_room(self) -> bool:
        return self._outbox.size < WINDOW_BYTES and len(self._outbox) < self._window

    def _wait_ready(self) -> None:
        self._wait(self._has_room)
        pause = min(self._pace.wait_time(), self._limits.answer_timeout)
        self._changed.wait_for(lambda: self._closed, pause)

    def _wait(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        timeout = self._limits.answer_timeout if timeout is None else timeout
        if not self._changed.wait_for(lambda: condition() or self._closed, timeout):
            raise TimeoutError
        if not condition():
            raise ConnectionClosedError
