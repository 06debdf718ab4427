"""The chat server: a listener, and a thread for every client.

A context manager::

    with ChatServer(port=0) as server:
        print(server.address)

Threads::

    listener ──accepts──▶ ClientConnection, a thread each ──calls──▶ Room ──posts──▶ Sender
                              reads its own socket                      (a lock)         queues,
                              and no other                                               one send

The listener opens the house and closes it: it accepts, and when the server is to stop it tells
everybody, waits for the clients' threads, and leaves nothing behind.
"""

import hmac
import logging
import selectors
import socket
import ssl
import threading
import typing
from collections import deque
from collections.abc import Callable
from pathlib import Path

from chat.core.connection import Connection, Waker
from chat.core.history import Entry, History
from chat.core.protocol import (
    DEFAULT_HOST,
    FrameDecoder,
    Limits,
    Message,
    ProtocolError,
    decode,
    encode,
    integer,
    register_request,
)
from chat.core.room import Member, Post, Room
from chat.core.sender import Sender
from chat.core.timing import Deadline, TokenBucket
from chat.promises.durable import SqliteHistory
from chat.promises.tls import TlsConnection

BACKLOG = 1024
"""Connections the kernel has completed and we have not accepted yet; says nothing of users."""

RETRY_AFTER = 1.0
"""Seconds before the next try when the system had no room for another connection."""

FAREWELL = 0.1
"""Seconds that new clients wait for the last word to one who makes way for them."""

GUESS_RATE, GUESS_BURST = 0.2, 5
"""Wrong passwords a second that one host may go on giving, and how many at once."""

logger = logging.getLogger("chat.server")
"""What happens, one record each, with the facts in ``record.event``; quiet unless configured."""


def log(kind: str, **facts: object) -> None:
    """Log an event of *kind* with its *facts*. Any thread."""
    logger.info(kind, extra={"event": {"event": kind, **facts}})


class ClientConnection(threading.Thread):
    """The thread of one client: reads its socket, carries out what it asks."""

    def __init__(self, server: "ChatServer", sock: socket.socket, address: tuple[str, int]) -> None:
        """Serve the client on *sock*, whose end of the connection is *address*."""
        super().__init__(name=f"client {address[0]}:{address[1]}")
        self.server = server
        self.address = address
        tls = server.tls
        self.connection = TlsConnection(sock, tls, server_side=True) if tls else Connection(sock)
        self._decoder = FrameDecoder(server.limits.frame_bytes)
        self._member: Member | None = None
        self._is_admin = False
        self._quitting = False
        self.connection.notice_silence(server.limits.ping_after + server.limits.answer_timeout)
        self._allowance = TokenBucket(server.limits.rate, server.limits.burst)
        self._refusals = 0

    def run(self) -> None:
        """Serve the client until it leaves, is lost, or is told to go."""
        log("connected", address=self.address)
        try:
            if self._encrypt():
                self._reply(register_request(self.server.limits))
                self._register()
                self._converse()
        except ProtocolError as error:
            log("refused", address=self.address, code=error.code)
            self._reply(error.message())
        except TimeoutError:
            self.server.dismiss(self._require_member(), "timeout")
        finally:
            self._part()

    @property
    def hesitating(self) -> bool:
        """Whether the client is here and has no nickname yet. Any thread."""
        return self._member is None and self.connection.close_reason is None

    # What the connection goes through

    def _encrypt(self) -> bool:
        """Agree on a cipher, if the server wants one; False if that does not succeed."""
        try:
            self.connection.handshake(Deadline(self.server.limits.register_timeout))
        except OSError as error:
            log("not_encrypted", address=self.address, reason=str(error))
            return False
        return True

    def _register(self) -> None:
        """Read until a nickname is accepted. Raises `ProtocolError` when that takes too long."""
        deadline = Deadline(self.server.limits.register_timeout)
        try:
            while self._member is None and not self._quitting:
                chunk = self.connection.receive(deadline.remaining())
                if not chunk:
                    return
                self._carry_out_all(chunk)
        except TimeoutError:
            raise ProtocolError("register_timeout") from None

    def _converse(self) -> None:
        """Read until the end of the stream. Raises `TimeoutError` when a ping has no answer."""
        limits = self.server.limits
        while not (self._quitting or self.connection.finishing):
            try:
                chunk = self.connection.receive(limits.ping_after)
            except TimeoutError:
                self._reply({"type": "ping"})
                chunk = self.connection.receive(limits.answer_timeout)
            if not chunk:
                return
            self._carry_out_all(chunk)

    def _part(self) -> None:
        """Leave the room, let the last words out, close."""
        reason = "quit" if self._quitting else self.connection.close_reason or "lost"
        if self.server.stopping:  # the user left because we said goodbye
            reason = "shutdown"
        if self._member is not None and self.server.room.leave(self._member, reason):
            log("left", address=self.address, nick=self._member.nick, reason=reason)
        self.server.sender.finish([self.connection])
        self.server.sender.flush()
        self.connection.discard(Deadline(self.server.limits.drain_timeout))
        self.server.sender.close(self.connection)
        log("disconnected", address=self.address)
        self.server.forget(self)

    def _carry_out_all(self, chunk: bytes) -> None:
        """Carry out each message that *chunk* completes. Raises `ProtocolError` when fatal."""
        try:
            for frame in self._decoder.receive(chunk):
                try:
                    self._carry_out(decode(frame))
                except ProtocolError as error:
                    if error.fatal:
                        raise
                    log("refused", address=self.address, code=error.code)
                    self._post(error.message())
                if self._quitting:
                    return
                if self.server.sender.crowded:
                    self.server.sender.flush()
        finally:
            self.server.sender.flush()

    def _carry_out(self, message: Message) -> None:
        kind = message["type"]
        handler = _HANDLERS.get(kind)
        if handler is None:
            raise ProtocolError("unknown_type")
        try:
            handler(self, message)
        except ProtocolError as error:
            error.re = kind
            raise

    def _post(self, message: Message) -> None:
        self.server.sender.post((self.connection,), encode(message))

    def _reply(self, message: Message) -> None:
        self._post(message)
        self.server.sender.flush()

    # What a client may ask for

    def _check_rate(self) -> None:
        if self._allowance.take():
            if self._refusals and self._allowance.full:
                self._refusals = 0
            return
        self._refusals += 1
        if self._refusals > self.server.limits.refusals:
            self.server.dismiss(self._require_member(), "flood")
        raise ProtocolError("too_fast")

    def _require_member(self) -> Member:
        if self._member is None:
            raise ProtocolError("not_registered")
        return self._member

    def _require_admin(self) -> Member:
        member = self._require_member()
        if not self._is_admin:
            raise ProtocolError("not_admin")
        return member

    def _on_register(self, message: Message) -> None:
        if self._member is not None:
            raise ProtocolError("unknown_type")
        nick, secret = message.get("nick"), message.get("session")
        self._member = self.server.room.join(self.connection, nick, secret)
        if self._member.replaced is not None:
            self._member.replaced.abort("replaced")
        log("joined", address=self.address, nick=self._member.nick)

    def _on_message(self, message: Message) -> None:
        message_id = integer(message, "id")
        try:
            known = self._member is not None and self._member.session.knows(message_id)
            if not known:  # what only comes again disturbs nobody
                self._check_rate()
            entry = self.server.room.say(
                self._require_member(),
                message.get("text"),
                message.get("to"),
                message_id,
                sealed=message.get("sealed") is True,
            )
        except ProtocolError as error:
            error.id = message_id
            raise
        if not known:
            self.server.note_said(self.address, entry)

    def _on_users(self, _message: Message) -> None:
        self.server.room.tell_users(self._require_member())

    def _on_history(self, message: Message) -> None:
        limit, before, after = (integer(message, key) for key in ("limit", "before", "after"))
        self.server.room.tell_history(self._require_member(), limit, before, after)

    def _on_ping(self, _message: Message) -> None:
        self._post({"type": "pong"})

    def _on_pong(self, _message: Message) -> None:
        """Nothing to do: that it came was the answer."""

    def _on_quit(self, _message: Message) -> None:
        self._quitting = True

    def _on_admin(self, message: Message) -> None:
        member = self._require_member()
        accepted = self.server.is_admin_password(self.address[0], message.get("password"))
        log("admin", address=self.address, nick=member.nick, accepted=accepted)
        if not accepted:
            raise ProtocolError("not_admin")
        self._is_admin = True
        self._post({"type": "admin"})

    def _on_shutdown(self, _message: Message) -> None:
        self._require_admin()
        self.server.request_stop("admin")

    def _on_kick(self, message: Message) -> None:
        member = self._require_admin()
        self.server.dismiss(self.server.room.find(member, message.get("nick")), "kicked")


_HANDLERS: dict[str, Callable[[ClientConnection, Message], None]] = {
    name.removeprefix("_on_"): method
    for name, method in vars(ClientConnection).items()
    if name.startswith("_on_")
}


class ChatServer:
    """The listener and what all clients share: the room and the sender.

    A context manager: listening from enter to exit. Any thread may call its methods.
    """

    def __init__(
        self,
        host: str = DEFAULT_HOST,
        port: int = 0,
        *,
        limits: Limits | None = None,
        admin_password: str | None = None,
        history: str | Path | None = None,
        tls: ssl.SSLContext | None = None,
        make_room: Callable[[Post, Limits, History], Room] = Room,
    ) -> None:
        """Prepare a server for *host*:*port* (0: any free port); without a password, no admin.

        *history* is a file for what is said, else it is kept in memory; with *tls* every
        connection is encrypted; *make_room* makes another room than the one of a single server.
        Raises `sqlite3.Error` when the file cannot be had.
        """
        self.limits = limits or Limits()
        self.tls = tls
        self.sender = Sender(self.limits, self._record)
        most = self.limits.history_messages
        self._history = SqliteHistory(history, most) if history else History(most)
        self.room = make_room(self.sender.post, self.limits, self._history)
        self._said: deque[tuple[tuple[str, int], Entry]] = deque()  # and not logged yet
        self._wanted = (host, port)
        self._admin_password = admin_password
        self._listener: socket.socket | None = None
        self._waker: Waker | None = None
        self._thread = threading.Thread(target=self._listen, name="listener")
        self._stop_reason: str | None = None
        # Guards everything below. The listener fills the clients and their threads empty them.
        self._lock = threading.Lock()
        self._clients: dict[ClientConnection, None] = {}  # in the order of their coming
        self._guesses: dict[str, TokenBucket] = {}

    def __enter__(
        self,
    ) -> "typing.Self":  # quoted: Python 3.10, which has none, is to be told so in words
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop the server."""
        self.stop()

    @property
    def address(self) -> tuple[str, int]:
        """The host and port it listens on. Raises `RuntimeError` before `bind`."""
        if self._listener is None:
            raise RuntimeError("the server has no address yet")
        return self._address

    def bind(self) -> None:
        """Take the address and open the room. Raises `OSError`.

        From here on the kernel completes handshakes, up to `BACKLOG` of them; nobody is
        accepted before `start`.
        """
        family, *_kind, address = socket.getaddrinfo(*self._wanted, type=socket.SOCK_STREAM)[0]
        # On POSIX this sets SO_REUSEADDR: connections of the last run may still be in TIME_WAIT.
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        listener.setblocking(False)
        try:
            self.room.open(self)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._address: tuple[str, int] = listener.getsockname()[:2]

    def start(self) -> None:
        """Accept clients in a thread of its own, after `bind` if that has not been done."""
        if self._listener is None:
            self.bind()
        self._waker = Waker()
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether the server has been asked to stop."""
        return self._stop_reason is not None

    def request_stop(self, reason: str) -> None:
        """Begin to stop because of *reason*, without waiting. Also for signal handlers: no lock."""
        self._stop_reason = self._stop_reason or reason
        self._wake_listener()

    def wait(self) -> None:
        """Wait until the server has stopped and nothing of it is left."""
        while self._thread.is_alive():
            self._thread.join(1)  # in slices: on Windows, Ctrl-C cannot interrupt a wait

    def stop(self, reason: str = "stopped") -> None:
        """Stop and wait: everybody is told *reason*, all threads end, all sockets are closed."""
        self.request_stop(reason)
        self.wait()

    # For the clients' threads

    def is_admin_password(self, host: str, password: object) -> bool:
        """Tell whether *password* is the admin's, in a time that does not tell how wrong it is.

        Raises `ProtocolError` ``too_fast`` when *host* has given too many wrong ones lately.
        """
        with self._lock:
            guesses = self._guesses.get(host) or TokenBucket(GUESS_RATE, GUESS_BURST)
            waiting = {other: bucket for other, bucket in self._guesses.items() if not bucket.full}
            self._guesses = waiting | {host: guesses}
            if not guesses.take():
                raise ProtocolError("too_fast")
        given = password.encode(errors="surrogatepass") if isinstance(password, str) else b""
        right = (self._admin_password or "").encode(errors="surrogatepass")
        accepted = hmac.compare_digest(given, right) and bool(right)
        if accepted:
            with self._lock:
                self._guesses.pop(host, None)
        return accepted

    def note_said(self, address: tuple[str, int], entry: Entry) -> None:
        """Note for the log that *entry* came from *address*."""
        self._said.append((address, entry))

    def dismiss(self, member: Member, reason: str) -> None:
        """Make *member* leave because of *reason*, and tell it so."""
        if self.room.leave(member, reason):
            with self._lock:
                addresses = [c.address for c in self._clients if c.connection is member.peer]
            log("left", address=addresses[0], nick=member.nick, reason=reason)
            farewell = {"type": "left", "nick": member.nick, "reason": reason}
            self.sender.post((member.peer,), encode(farewell))
            self.sender.finish((member.peer,))

    def forget(self, client: ClientConnection) -> None:
        """Strike *client* off the list: its thread is about to end."""
        with self._lock:
            self._clients.pop(client, None)
        self._wake_listener()

    # Whichever thread flushes

    def _record(self) -> None:
        """Record what was said since the last time, before any of it is sent."""
        failure = self._history.failure
        self._history.record()
        if self._history.failure and not failure:
            log("not_recorded", reason=self._history.failure)
        said = []
        while self._said and (self._said[0][1].seq or self._said[0][1].failed):
            said.append(self._said.popleft())
        if said:
            log("messages", messages=[one for one in said if not one[1].failed])

    def _wake_listener(self) -> None:
        if self._waker is not None:
            self._waker.wake()

    # The listener's thread

    def _listen(self) -> None:
        listener, waker = self._listener, self._waker
        assert listener is not None
        assert waker is not None
        with listener, selectors.DefaultSelector() as selector:
            selector.register(waker.watched, selectors.EVENT_READ)
            selector.register(listener, selectors.EVENT_READ)
            while self._stop_reason is None:
                accepting = listener in selector.get_map()
                events = selector.select(None if accepting else RETRY_AFTER)
                if not accepting:  # a client has left, which wakes us, or it is time to try again
                    selector.register(listener, selectors.EVENT_READ)
                for key, _events in events:
                    if key.fileobj is waker.watched:
                        waker.clear()
                    elif not self._accept(listener):
                        selector.unregister(listener)
        self._close_house(self._stop_reason)
        waker.close()

    def _accept(self, listener: socket.socket) -> bool:
        """Start the thread of the next client; False when the system has no room for it."""
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the peer has gone again
            return True
        except OSError as error:  # out of file descriptors
            log("exhausted", reason=error.strerror)
            return False
        try:
            client = ClientConnection(self, sock, address[:2])
        except OSError:  # it was reset before we could touch it (macOS)
            sock.close()
            return True
        with self._lock:
            newcomers = [client for client in self._clients if client.hesitating]
            self._clients[client] = None
        if len(newcomers) >= self.limits.max_unregistered:  # who has waited longest makes way
            self._turn_away(newcomers[0])
        try:
            client.start()
        except RuntimeError as error:  # out of threads
            log("exhausted", reason=str(error))
            self.sender.close(client.connection)
            self.forget(client)
        return True

    def _turn_away(self, client: ClientConnection) -> None:
        """Close the connection of a client that has no nickname yet."""
        if self.tls is None:  # else it may be in the middle of its handshake
            error = ProtocolError("register_timeout")
            self.sender.post((client.connection,), encode(error.message()))
            self.sender.finish((client.connection,))
            self.sender.flush()
            client.connection.wait_finished(FAREWELL)  # another thread may be sending it
        client.connection.abort("register_timeout")

    def _close_house(self, reason: str) -> None:
        """Tell everybody, let the queues drain, end all threads."""
        with self._lock:
            clients = list(self._clients)
        connections = [client.connection for client in clients]
        self.room.close(reason)
        self.sender.finish(connections)
        self.sender.flush()
        deadline = Deadline(self.limits.drain_timeout)
        for client in clients:
            client.join(deadline.left)
        for connection in connections:
            connection.abort("lost")
        for client in clients:
            client.join()
        self.room.shut()
        self.sender.flush()
        self.sender.stop()
        self._history.close()
        log("stopped", reason=reason)
