"""The chat client as a library: `ChatClient`, a socket, a listener thread and the writer's.

::

    with ChatClient(server.address, "Аня", on_event=print) as anya:
        anya.say("привет")
        anya.say("шёпот", to="Боря")

The caller makes requests, the listener thread reads and passes every message to *on_event*, the
writer sends. None of them waits for another. A lost connection is the end of the chat;
`chat.promises.resume` has a client that reconnects.
"""

import contextlib
import socket
import threading
import typing
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field

from chat.core.connection import Connection, State, Transport
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
"""Bytes of unacknowledged messages beyond which `ChatClient.say` waits."""

_OUR_EVENTS = frozenset({"closed", "held", "reconnecting", "reconnected", "untrusted", "gap"})
"""Events that this client makes itself; a server must not send them."""


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


def plain_transport(sock: socket.socket, _host: str) -> Transport:
    """Return the transport of a client on *sock*, which encrypts nothing."""
    return Transport(sock)


class Outbox:
    """Messages that the server has not acknowledged or refused yet, oldest first."""

    def __init__(self) -> None:
        """Start empty."""
        self.size = 0
        """The length of all their frames, in bytes."""

        self._last_id = 0
        self._in_transit: dict[int, tuple[Message, bytes]] = {}  # by id, with their frames
        self._unsent: OrderedDict[int, tuple[Message, bytes]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._in_transit) + len(self._unsent)

    def add(self, message: Message, cover: Message) -> int:
        """Number *message* and keep it; return its id. In its frame, keys of *cover* replace it."""
        self._last_id += 1
        message = {"type": "message", "id": self._last_id} | message
        frame = encode(message | cover)
        self._unsent[self._last_id] = message, frame
        self.size += len(frame)
        return self._last_id

    def take_unsent(self, window: int) -> Iterator[bytes]:
        """Yield the frames to send now, so that at most *window* messages are in transit."""
        while self._unsent and len(self._in_transit) < window:
            message_id, kept = self._unsent.popitem(last=False)
            self._in_transit[message_id] = kept
            yield kept[1]

    def send_again(self) -> None:
        """Mark all messages as unsent: there is a new connection."""
        self._unsent = OrderedDict(self._in_transit | self._unsent)
        self._in_transit = {}

    def settle(self, message_id: int) -> Message | None:
        """Remove and return the message that the server has answered; None if there is none."""
        kept = self._in_transit.pop(message_id, None) or self._unsent.pop(message_id, None)
        if kept is None:
            return None
        self.size -= len(kept[1])
        return kept[0]

    def messages(self) -> list[Message]:
        """Return all messages in order, in plain text."""
        kept = [*self._in_transit.values(), *self._unsent.values()]
        return [message for message, _frame in kept]


@dataclass(eq=False, repr=False)
class ChatClient:
    """A user's end of the chat. A context manager: in the chat from enter to exit.

    Any thread may call its methods; *on_event* runs in the listener thread, one event at a time.
    Events are the server's messages, and ``{"type": "closed", "reason": …}`` as the last.
    """

    address: tuple[str, int]
    """The server's."""

    nick: str = ""
    """The nickname to ask for on entering, then the one that the server accepted."""

    _: KW_ONLY

    on_event: Callable[[Message], None] = lambda _event: None

    limits: Limits = field(default_factory=Limits)

    cipher: Cipher | None = None

    transport: Callable[[socket.socket, str], Transport] = plain_transport
    """Makes a transport from a socket and the name of the host."""

    also: Sequence[tuple[str, int]] = ()
    """Other servers of the same chat, for when the one at `address` does not answer."""

    def __post_init__(self) -> None:
        """Prepare: nothing is connected yet."""
        self.text_chars = self.limits.text_chars
        """Longest text that the server accepts, in characters."""
        self._writer = Writer(self.limits, name="chat writer")
        self._thread = threading.Thread(target=self._listen, name="chat listener")
        self._leaving = threading.Event()
        # Owned by the listener thread, and by the caller until that starts.
        self._addresses = [self.address, *self.also]
        self._decoder = FrameDecoder(self.limits.answer_bytes)
        self._frames: Iterator[bytes] = iter(())  # received, not handled yet
        # Guards everything below; notified when an answer has come, and at the end.
        self._changed = threading.Condition(threading.RLock())
        self._connection: Connection | None = None
        self._opened = False
        self._online = False
        self.closed = False
        """Whether the connection has ended for good."""
        # Nicknames by their keys, and who they are, if the server says so.
        self._users: dict[str, tuple[str, str | None]] = {}
        self._pace = TokenBucket(0, 0)
        self._window = self.limits.window_messages
        self._outbox = Outbox()

    def __enter__(self) -> "typing.Self":  # quoted: Python 3.10 lacks it, and gets a message
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
        `RefusedError` when the server refuses, `ConnectionClosedError` when it is no chat server
        and after `close`.
        """
        if self._leaving.is_set():
            raise ConnectionClosedError
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
        welcome = self._expect("welcome", Deadline(self.limits.connect_timeout))
        if nick_key(welcome["nick"]) != nick_key(nick):  # we would encrypt under another name
            raise ConnectionClosedError
        self.nick = welcome["nick"]
        persons = welcome.get("persons") or [None] * len(welcome["users"])
        with self._changed:
            users = zip(welcome["users"], persons, strict=False)
            self._users = {nick_key(user[0]): user for user in users}
            self._online = True
            self._outbox.send_again()
            self._post_unsent()
        self._writer.ring()
        return welcome

    def listen(self) -> None:
        """Start the listener thread: from now on every message becomes an event."""
        self._thread.start()

    # In the chat

    @property
    def users(self) -> list[str]:
        """The nicknames of the others, sorted."""
        with self._changed:
            return sorted((nick for nick, _person in self._users.values()), key=str.casefold)

    @property
    def unacknowledged(self) -> list[Message]:
        """The messages without an answer so far, oldest first."""
        with self._changed:
            return self._outbox.messages()

    def say(self, text: str, to: str | None = None) -> int:
        """Send *text* to everyone, or to the one called *to*; return the message's ``id``.

        Without a connection it is sent after reconnecting. Waits while too many messages are
        unacknowledged, and to keep to the server's rate; in *on_event* it does not wait, and the
        message is sent later. An event with that id follows: ``ack``; or ``error``, with the
        refused ``message`` added; or ``held``, likewise, if the nickname belongs to another person
        by now. Raises `ConnectionClosedError`; `TimeoutError` when the server acknowledges nothing
        for `Limits.answer_timeout` seconds; `RefusedError` for a text that the server would refuse
        if a cipher did not hide it.
        """
        message: Message = {"text": text}
        cover = self._seal(text, to)
        with self._changed:
            if threading.current_thread() is not self._thread:
                self.wait_ready()
            if self.closed or not (self._online or self._thread.is_alive()):
                raise ConnectionClosedError
            if to is not None:
                message["to"] = to
                _nick, person = self._users.get(nick_key(to), (to, None))
                if person is not None:  # nobody else may get it if the nickname changes hands
                    cover["person"] = person
            self._pace.take()
            message_id = self._outbox.add(message, cover)
            self._post_unsent()
        self._writer.ring()
        return message_id

    def wait_ready(self) -> None:
        """Wait until `say` would not wait. Raises as `say` does."""
        with self._changed:
            self._wait(self._has_room, self.limits.answer_timeout)
            pause = min(self._pace.wait_time(), self.limits.answer_timeout)
            self._changed.wait_for(lambda: self.closed, pause)

    def wait_acknowledged(self, timeout: float | None = None) -> None:
        """Wait until the server has answered every message. Raises as `say` does."""
        with self._changed:
            seconds = self.limits.answer_timeout if timeout is None else timeout
            self._wait(lambda: not self._outbox, seconds)

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
        """Send the admin's *password*; an ``admin`` event follows, or the error ``not_admin``."""
        self._ask({"type": "admin", "password": password})

    def shut_server_down(self) -> None:
        """Stop the server. Admins only."""
        self._ask({"type": "shutdown"})

    def kick(self, nick: str) -> None:
        """Remove *nick* from the chat. Admins only."""
        self._ask({"type": "kick", "nick": nick})

    def close(self) -> None:
        """Leave the chat, and end all threads and sockets.

        In *on_event* it does not wait: the listener ends after that event.
        """
        self._leaving.set()
        if threading.current_thread() is self._thread:
            self._abort()
            return
        connection = self._connection
        if connection is not None and self._online:
            self._writer.post(encode({"type": "quit"}), connection)
            self._writer.finish(connection)
            self._writer.ring()
        else:
            self._abort()
        if self._thread.is_alive():
            self._thread.join(self.limits.drain_timeout)
            self._abort()
            self._thread.join()
        self._note_end()
        self._hang_up()
        self._writer.end()

    # What a client that reconnects overrides

    def _registration(self, nick: str) -> Message:
        """Return the message that asks for *nick*."""
        return {"type": "register", "nick": nick}

    def _recover(self, reason: str) -> str | None:
        """Reconnect after *reason*; return None, or why the conversation is over."""
        return reason

    def _has_room(self) -> bool:
        """Tell whether one more message may wait for an answer."""
        return self._outbox.size < WINDOW_BYTES and len(self._outbox) < self._window

    def _hand_on(self, event: Message) -> None:
        """Decrypt *event* and pass it to *on_event*."""
        kind = event["type"]
        for message in event["messages"] if kind == "history" else [event] * (kind == "message"):
            self._open(message)
        self.on_event(event)

    # The listener thread

    def _listen(self) -> None:
        reason: str | None = None
        try:
            while reason is None:
                reason = self._recover(self._converse())
        finally:
            self._abort()  # sends a FIN, so that the server does not wait for us
            self._note_end()
            reason = "quit" if self._leaving.is_set() else reason or "lost"
            self.on_event({"type": "closed", "reason": reason})

    def _converse(self) -> str:
        """Handle messages until the connection ends; return why it did."""
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
            self._online = False
        return "quit" if self._leaving.is_set() else reason

    def _next_event(self) -> Message:
        """Return the next message; after silence, send a ``ping``."""
        try:
            return self._next(Deadline(self.limits.ping_after))
        except TimeoutError:
            self._send({"type": "ping"})
            return self._next(Deadline(self.limits.answer_timeout))

    def _note(self, event: Message) -> None:
        """Answer a ping, and keep the list of users and the outbox up to date."""
        kind = event["type"]
        if kind == "ping":
            with contextlib.suppress(ConnectionClosedError):
                self._send({"type": "pong"})
        elif kind in ("ack", "error"):
            self._settle(event)
        elif kind in ("joined", "left"):
            key = nick_key(event["nick"])
            with self._changed:
                self._users.pop(key, None)
                if kind == "joined":
                    self._users[key] = event["nick"], event.get("person")

    def _settle(self, event: Message) -> None:
        event.pop("message", None)  # only we add it
        with self._changed:
            message = self._outbox.settle(event.get("id", 0))
            self._post_unsent()
            self._changed.notify_all()
        self._writer.ring()
        if event["type"] == "error" and message is not None:
            event["message"] = message
            if event["code"] == "another_person" and "to" in message:
                event["type"] = "held"

    def _open(self, message: Message) -> None:
        """Decrypt the text of a sealed *message*; None if that fails."""
        if message.get("sealed") is not True:
            return
        text, message["text"] = message["text"], None
        if self.cipher is not None:
            with contextlib.suppress(ValueError):
                message["text"] = self.cipher.open(text, message["from"], message["to"])

    # In the reading thread: the caller's until `listen`, then the listener's

    def _dial(self) -> Message:
        """Connect to the first address that sends a ``register`` request; return that.

        Each address gets its share of the time, so that a silent one does not use it all. Raises
        `OSError`, `RefusedError`.
        """
        self._hang_up()
        deadline = Deadline(self.limits.connect_timeout)
        failure: OSError = ConnectionClosedError()
        targets: list[tuple[str, socket.AddressFamily, tuple[object, ...]]] = []
        for host, port in self._addresses:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                targets += [(host, family, address) for family, *_kind, address in found]
            except OSError as error:
                failure = error
        for number, (host, family, address) in enumerate(targets):
            share = Deadline(deadline.left / (len(targets) - number))
            try:
                transport = self.transport(socket.socket(family, socket.SOCK_STREAM), host)
                self._connect(transport, address, share)
                return self._expect("register", share)
            except OSError as error:
                failure = error
                self._hang_up()
        raise failure

    def _connect(
        self, transport: Transport, address: tuple[object, ...], deadline: Deadline
    ) -> None:
        with self._changed:
            self._connection = Connection(transport)
        if self._leaving.is_set():  # `close` may have run before there was a connection
            self._abort()
        transport.connect(address, deadline)
        transport.handshake(deadline)
        transport.notice_silence(self.limits.ping_after + self.limits.answer_timeout)
        self._decoder = FrameDecoder(self.limits.answer_bytes)
        self._frames = iter(())

    def _next(self, deadline: Deadline) -> Message:
        """Return the next message from the server.

        Raises `ConnectionClosedError`, `TimeoutError`, and `ProtocolError` for an invalid one.
        """
        connection = self._connection
        while (frame := next(self._frames, None)) is None:
            chunk = b"" if connection is None else connection.receive(deadline.remaining())
            if not chunk:
                raise ConnectionClosedError
            self._frames = self._decoder.receive(chunk)
        return check_server_message(decode(frame))

    def _expect(self, kind: str, deadline: Deadline) -> Message:
        """Return the next message of that *kind*. Raises `OSError`, `RefusedError`."""
        try:
            while (message := self._next(deadline))["type"] != kind:
                if message["type"] == "error":
                    raise RefusedError(message["code"])
        except ProtocolError as error:
            raise ConnectionClosedError(error.code) from error
        return message

    # Any thread

    def _keep_to(self, limits: Message, window: object) -> None:
        """Adopt the server's rate, and half its burst: messages bunch up in transit."""
        try:
            self.text_chars = int(limits["text_chars"])
            rate, burst = float(limits["rate"]), float(limits["burst"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return  # missing or invalid limits
        if rate >= 0 and burst >= 1:
            half = max(1, burst / 2)
            most = self.limits.window_messages
            if isinstance(window, int) and window >= 1:
                most = min(most, window)
            self._pace = TokenBucket(rate, half)
            # After a loss, all unacknowledged messages are sent again at once.
            self._window = int(min(half, most)) if rate else most

    def _seal(self, text: str, to: str | None) -> Message:
        """Return what replaces *text* on the way: nothing without a cipher."""
        if self.cipher is None:
            return {}
        try:
            sealed = self.cipher.seal(check_text(text, self.limits), self.nick, to)
        except ProtocolError as error:
            raise RefusedError(error.code) from error
        return {"text": sealed, "sealed": True}

    def _ask(self, message: Message) -> None:
        if not self._online:
            raise ConnectionClosedError
        self._send(message)

    def _send(self, message: Message) -> None:
        """Send *message*. Raises `ConnectionClosedError` when there is no connection."""
        connection = self._connection
        if connection is None or connection.state is not State.OPEN:
            raise ConnectionClosedError
        self._writer.post(encode(message), connection)
        self._writer.ring()

    def _abort(self) -> None:
        """End the connection at once; whoever waits for the server wakes."""
        if self._connection is not None:
            self._writer.abort(self._connection, "quit")
            self._writer.ring()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._writer.close(self._connection)

    def _note_end(self) -> None:
        """Note that the connection has ended for good, and wake all who wait."""
        with self._changed:
            self.closed = True
            self._online = False
            self._changed.notify_all()

    # Under the lock

    def _post_unsent(self) -> None:
        if self._online and self._connection is not None:
            for frame in self._outbox.take_unsent(self._window):
                self._writer.post(frame, self._connection)

    def _wait(self, condition: Callable[[], bool], timeout: float) -> None:
        if not self._changed.wait_for(lambda: condition() or self.closed, timeout):
            raise TimeoutError
        if not condition():
            raise ConnectionClosedError
