"""The chat server: a listener, a thread for every client, and the writer.

A context manager::

    with ChatServer(port=0) as server:
        print(server.address)

Threads::

    listener ──accepts──▶ ClientConnection, a thread each ──calls──▶ Room ──posts──▶ Writer
                              reads its own socket                      (a lock)         one thread,
                              and no other                                               all sockets

The listener accepts connections. When the server is asked to stop, it tells all clients, waits for
their threads, and releases every resource. Whatever this server does not promise by itself is added
at its seams: `Log`, `Sessions`, `Directory`, `Transport` and `Gate`.
"""

import contextlib
import errno
import functools
import hmac
import logging
import re
import selectors
import socket
import threading
import typing
from collections.abc import Callable, Iterator, Sequence

from chat.core.connection import Connection, State, Transport, Waker
from chat.core.history import Entry, Log
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
from chat.core.room import Directory, Member, Room, Sessions
from chat.core.timing import Deadline
from chat.core.writer import Writer

BACKLOG = 1024
"""Connections that the kernel has completed and we have not accepted yet; not a limit of users."""

RETRY_AFTER = 1.0
"""Seconds to the next attempt when the system has no resources for another connection."""

_HTTP = re.compile(rb"[A-Z]+ \S* HTTP/\d")

Address = tuple[str, int]

logger = logging.getLogger("chat.server")
"""A record for each event, with its facts in ``record.event``; silent unless configured."""


def log(kind: str, **facts: object) -> None:
    """Log an event of *kind* with its *facts*. Any thread."""
    with contextlib.suppress(Exception):  # only this record is lost
        logger.info(kind, extra={"event": {"event": kind, **facts}})


@contextlib.contextmanager
def _surviving(kind: str, **facts: object) -> Iterator[None]:
    """Log an exception in the block as *kind* and go on: one error does not end the server."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - any of them
        log(kind, reason=getattr(error, "strerror", None) or repr(error), **facts)


class Budget:
    """What one client may still use: this one is unlimited. The client's own thread asks it."""

    def take(self, _kind: str, _size: int) -> float:
        """Charge for a frame of so many bytes with a request of that kind.

        Also for a ``repeated`` message, acknowledged already, and for a ``wrong_password``. Returns
        the seconds to wait before handling it. Raises `ProtocolError` ``too_fast`` when it is to be
        refused instead.
        """
        return 0

    def refuse(self, _code: str) -> float | None:
        """Charge for a refusal; return the seconds to wait before the next frame.

        None: the client has ignored ``too_fast`` too often and is to be disconnected.
        """
        return 0

    def close(self) -> None:
        """Note that the client has gone."""


class Gate:
    """Decides who may connect and how much they may use. This one sets no limits."""

    def admit(self, _address: Address) -> Budget | None:
        """Return the budget of a client from that address, None to refuse it. Listener's thread."""
        return Budget()


class ClientConnection(threading.Thread):
    """The thread of one client: reads its socket, handles what it asks for."""

    def __init__(
        self, server: "ChatServer", transport: Transport, address: Address, budget: Budget
    ) -> None:
        """Serve the client that is connected from *address* by *transport*."""
        super().__init__(name=f"client {address[0]}:{address[1]}")
        self.server = server
        self.address = address
        self.connection = Connection(transport, address)
        self.ready = False
        """Whether the handshake is over, so that frames may be posted."""
        self._budget = budget
        # Strangers get less of our memory.
        self._decoder = FrameDecoder(server.limits.register_bytes)
        transport.receive_bytes = server.limits.register_bytes
        self._registering = Deadline(server.limits.register_timeout)
        self._member: Member | None = None
        self._is_admin = False
        self._quitting = False

    @property
    def nameless(self) -> bool:
        """Whether the client is connected and has no nickname yet."""
        return self._member is None and self.connection.state is State.OPEN

    def run(self) -> None:
        """Serve the client until it leaves, is lost, or is told to go."""
        log("connected", address=self.address)
        with _surviving("failed", address=self.address), contextlib.ExitStack() as parting:
            # Last one first; each runs, whatever others raise.
            parting.callback(self.server.forget, self)
            parting.callback(log, "disconnected", address=self.address)
            parting.callback(self._budget.close)
            parting.callback(self.server.writer.close, self.connection)
            parting.callback(self._drain)
            parting.callback(self._leave)
            self._serve()

    def _serve(self) -> None:
        try:
            if self._shake_hands():
                self._reply(register_request(self.server.limits))
                self._converse()
        except ProtocolError as error:
            self._refuse(error)
        except TimeoutError:
            if self._member is None:
                self._refuse(ProtocolError("register_timeout"))
            else:
                self.server.dismiss(self._member, "timeout")

    # What the connection goes through

    def _shake_hands(self) -> bool:
        try:
            self.connection.transport.handshake(self._registering)
        except OSError as error:
            log("not_encrypted", address=self.address, reason=str(error))
            return False
        self.ready = True
        return True

    def _converse(self) -> None:
        """Read until the end of the stream. Raises `TimeoutError` as `_receive` does."""
        while self._is_open() and (chunk := self._receive()):
            self._handle_all(chunk)

    def _receive(self) -> bytes:
        """Return the next chunk; ``b""`` is the end of the stream.

        Raises `TimeoutError` when the time to register is over, or a ping has no answer.
        """
        limits = self.server.limits
        if self._member is None:
            return self.connection.receive(self._registering.remaining())
        try:
            return self.connection.receive(limits.ping_after)
        except TimeoutError:
            self._reply({"type": "ping"})
            return self.connection.receive(limits.answer_timeout)

    def _leave(self) -> None:
        reason = "quit" if self._quitting else self.connection.close_reason or "lost"
        if self.server.stopping:  # they left because it stops
            reason = "shutdown"
        if self._member is not None:
            self.server.leave(self._member, reason)

    def _drain(self) -> None:
        """Have everything queued sent, then wait until the client closes its side."""
        self.server.writer.finish(self.connection)
        self.server.writer.ring()
        self.connection.linger(Deadline(self.server.limits.drain_timeout))

    def _is_open(self) -> bool:
        return self.connection.state is State.OPEN and not self._quitting

    def _handle_all(self, chunk: bytes) -> None:
        """Handle each message that *chunk* completes, then have all that was posted sent.

        Raises a fatal `ProtocolError`, and `TimeoutError` when the time to register is over.
        """
        writer = self.server.writer
        try:
            for frame in self._decoder.receive(chunk):
                if not self._is_open():
                    return
                if self._member is None:
                    self._registering.remaining()
                self._handle_frame(frame)
                if writer.behind:
                    writer.flush(self.server.limits.drain_timeout)
        finally:
            writer.ring()

    def _handle_frame(self, frame: bytes) -> None:
        try:
            self._dispatch(decode(frame), len(frame))
        except ProtocolError as error:
            # A web page must not be able to make a browser speak here.
            if error.fatal or (self._member is None and _HTTP.match(frame)):
                raise
            wait = self._budget.refuse(error.code)
            if wait is None:
                self.server.dismiss(self._require_member(), "flood")
            else:
                self._refuse(error)
                self._pause(wait)

    def _dispatch(self, message: Message, size: int) -> None:
        """Charge for *message*, of *size* bytes, and call the handler of its type."""
        kind = message["type"]
        handler = _HANDLERS.get(kind)
        if handler is None:
            raise ProtocolError("unknown_type")
        message_id, repeated = None, False
        try:
            if kind == "message":
                message_id = integer(message, "id")
                repeated = self.server.room.repeat(self._require_member(), message_id)
            self._pause(self._budget.take("repeated" if repeated else kind, size))
            if not repeated:
                handler(self, message)
        except ProtocolError as error:
            error.re, error.id = kind, message_id
            raise

    def _pause(self, seconds: float) -> None:
        """Wait *seconds*, or until the connection ends. This slows down only this client."""
        if seconds:
            self.server.writer.ring()
            if self._member is None:
                seconds = min(seconds, self._registering.left)
            self.connection.wait_flushed(seconds)

    def _refuse(self, error: ProtocolError) -> None:
        log("refused", address=self.address, code=error.code)
        self._post(error.message())

    def _post(self, message: Message) -> None:
        self.server.writer.post(encode(message), self.connection)

    def _reply(self, message: Message) -> None:
        self._post(message)
        self.server.writer.ring()

    # Handlers of requests, by the types of messages

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
        frame_bytes = self.server.limits.frame_bytes
        self._decoder.frame_bytes = self.connection.transport.receive_bytes = frame_bytes
        log("joined", address=self.address, nick=self._member.nick)

    def _on_message(self, message: Message) -> None:
        self.server.room.say(
            self._require_member(),
            message.get("text"),
            message.get("to"),
            message.get("id"),
            person=message.get("person"),
            sealed=message.get("sealed") is True,
        )

    def _on_users(self, _message: Message) -> None:
        self.server.room.tell_users(self._require_member())

    def _on_history(self, message: Message) -> None:
        limit, before, after = (integer(message, key) for key in ("limit", "before", "after"))
        self.server.room.tell_history(self._require_member(), limit, before, after)

    def _on_ping(self, _message: Message) -> None:
        self._post({"type": "pong"})

    def _on_pong(self, _message: Message) -> None:
        """Do nothing: receiving it was enough."""

    def _on_quit(self, _message: Message) -> None:
        self._quitting = True

    def _on_admin(self, message: Message) -> None:
        member = self._require_member()
        accepted = self.server.is_admin_password(message.get("password"))
        log("admin", address=self.address, nick=member.nick, accepted=accepted)
        if not accepted:
            self._budget.take("wrong_password", 0)
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
    """The listener and what all clients share: the room and the writer.

    A context manager: listening from enter to exit. Any thread may call its methods.
    """

    def __init__(
        self,
        host: str = DEFAULT_HOST,
        port: int = 0,
        *,
        limits: Limits | None = None,
        admin_password: str | None = None,
        log: Log | None = None,
        sessions: Sessions | None = None,
        directory: Directory | None = None,
        gate: Gate | None = None,
        transport: Callable[[socket.socket], Transport] = Transport,
    ) -> None:
        """Prepare a server on *host*:*port* (0: any free port); without a password, no admin.

        The other arguments are the seams; see the modules of `chat.promises`. Raises `OSError`.
        """
        self.limits = limits or Limits()
        self.writer = Writer(self.limits, self._commit)
        self.room = Room(self.writer, self.limits, log=log, sessions=sessions, directory=directory)
        self._gate = gate or Gate()
        self._transport = transport
        self._address: Address = (host, port)  # from `bind` on, the real one
        self._admin_password = (admin_password or "").encode(errors="surrogatepass")
        self._listeners: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, name="listener")
        self._stop_reason: str | None = None
        self._log_fails = False  # owned by the writer's thread
        self._resources = contextlib.ExitStack()  # to be closed, last one first
        self._resources.callback(self.room.log.close)
        self._lock = threading.Lock()  # guards the clients
        self._clients: dict[ClientConnection, None] = {}  # in order of arrival

    def __enter__(self) -> "typing.Self":  # quoted: Python 3.10 lacks it, and gets a message
        """Start the server."""
        try:
            self.start()
        except BaseException:  # Ctrl-C, perhaps
            self.stop()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop the server."""
        self.stop()

    @property
    def address(self) -> Address:
        """The host and port it listens on, the first if there are several.

        Raises `RuntimeError` before `bind`.
        """
        if not self._listeners:
            raise RuntimeError("the server has no address yet")
        return self._address

    def bind(self) -> None:
        """Bind the addresses and acquire everything else the server needs. Raises `OSError`.

        From here on the kernel completes up to `BACKLOG` handshakes; none of these connections is
        accepted before `start`.
        """
        try:
            self._waker = Waker()
            self._resources.callback(self._waker.close)
            self._selector = self._resources.enter_context(selectors.DefaultSelector())
            self._selector.register(self._waker.watched, selectors.EVENT_READ, self._waker.clear)
            for listener in _listen(*self._address):
                self._listeners.append(self._resources.enter_context(listener))
                accept = functools.partial(self._accept, listener)
                self._selector.register(listener, selectors.EVENT_READ, accept)
            self._address = self._listeners[0].getsockname()[:2]
            self._resources.callback(self.writer.end)
            self.writer.open()
            self._resources.callback(self.room.directory.close, self.limits.drain_timeout)
            self.room.directory.open(self.dismiss)
        except BaseException:
            self._resources.close()
            raise

    def start(self) -> None:
        """Start the listener's thread, which accepts clients; call `bind` first if needed."""
        if not self._listeners:
            self.bind()
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether the server has been asked to stop."""
        return self._stop_reason is not None

    def request_stop(self, reason: str) -> None:
        """Begin to stop because of *reason*, and return. Takes no lock: good in signal handlers."""
        self._stop_reason = self._stop_reason or reason
        if self._thread.ident is not None:  # otherwise it sees the reason when it starts
            self._waker.wake()

    def wait(self) -> None:
        """Wait until the server has stopped and released everything."""
        while self._thread.is_alive():
            self._thread.join(1)  # in slices: on Windows, Ctrl-C cannot interrupt a wait

    def stop(self, reason: str = "stopped") -> None:
        """Stop and wait: everybody is told *reason*, all threads end, all sockets are closed."""
        self.request_stop(reason)
        if self._thread.ident is None:
            self._resources.close()
        self.wait()

    # For the clients' threads

    def is_admin_password(self, password: object) -> bool:
        """Tell whether *password* is the admin's, comparing in constant time."""
        given = password.encode(errors="surrogatepass") if isinstance(password, str) else b""
        return hmac.compare_digest(given, self._admin_password) and bool(given)

    def leave(self, member: Member, reason: str) -> bool:
        """Have *member* leave the room because of *reason*. False if it had left before."""
        left = self.room.leave(member, reason)
        if left:
            log("left", address=member.address, nick=member.nick, reason=reason)
        return left

    def dismiss(self, member: Member, reason: str) -> None:
        """Make *member* leave because of *reason*, and tell it so."""
        if self.leave(member, reason) and member.connection is not None:
            farewell = {"type": "left", "nick": member.nick, "reason": reason}
            self.writer.post(encode(farewell), member.connection)
            self.writer.finish(member.connection)
            self.writer.ring()

    def forget(self, client: ClientConnection) -> None:
        """Remove *client* from the list: its thread is about to end."""
        with self._lock:
            self._clients.pop(client, None)
        self._waker.wake()

    # The writer's thread

    def _commit(self, entries: Sequence[Entry]) -> None:
        """Have the log keep *entries* before they are delivered; report those that were lost."""
        try:
            self.room.log.commit(entries)
        except Exception as error:  # noqa: BLE001 - the disk is full, or gone, …
            self.room.tell_lost(entries)
            if not self._log_fails:
                reason = getattr(error, "strerror", None) or str(error) or repr(error)
                log("not_recorded", reason=reason)
            self._log_fails = True
        else:
            self._log_fails = False
        said = [one for one in entries if one.address is not None and not one.lost]
        if said:
            log("messages", messages=said)

    # The listener's thread

    def _run(self) -> None:
        while self._stop_reason is None:
            with _surviving("exhausted"):
                for key, _events in self._selector.select():
                    key.data()
                continue
            with _surviving("exhausted"):  # no resources for another client: wait for one to leave
                self._waker.wait(0 if self.stopping else RETRY_AFTER)
        with _surviving("failed"), self._resources:
            self._shut_down(self._stop_reason)
        log("stopped", reason=self._stop_reason)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the peer has gone again
            return
        except OSError:  # out of file descriptors
            self._make_way(0)
            raise
        with _surviving("exhausted"):
            self._serve(sock, address[:2])

    def _serve(self, sock: socket.socket, address: Address) -> None:
        """Start a thread for the client on *sock*, or close it. Raises any error."""
        with contextlib.ExitStack() as undoing:  # unless the thread starts
            undoing.callback(sock.close)
            budget = self._gate.admit(address)
            if budget is None:
                return
            undoing.callback(budget.close)
            transport = self._transport(sock)
            transport.notice_silence(self.limits.ping_after + self.limits.answer_timeout)
            client = ClientConnection(self, transport, address, budget)
            with self._lock:
                self._clients[client] = None
            undoing.callback(self.forget, client)
            self._make_way(self.limits.max_unregistered)
            client.start()
            undoing.pop_all()

    def _make_way(self, most: int) -> None:
        """Disconnect the oldest client without a nickname, if more than *most* have none."""
        with self._lock:
            crowded = len(self._clients) > most
            nameless = [one for one in self._clients if one.nameless] if crowded else []
        if len(nameless) > most:
            connection = nameless[0].connection
            if nameless[0].ready:
                refusal = ProtocolError("register_timeout").message()
                self.writer.post(encode(refusal), connection)
            self.writer.abort(connection, "register_timeout")
            self.writer.ring()

    def _shut_down(self, reason: str) -> None:
        """Tell all clients, let the queues drain, end all threads."""
        with self._lock:
            clients = list(self._clients)
        with _surviving("failed"):  # it ends even if the clients cannot be told
            self.room.close(reason)
        for client in clients:
            if client.ready:
                self.writer.finish(client.connection)
            else:
                self.writer.abort(client.connection, "lost")
        self.writer.ring()
        deadline = Deadline(self.limits.drain_timeout)
        for client in clients:
            client.join(deadline.left)
        for client in clients:
            self.writer.abort(client.connection, "lost")
        self.writer.ring()
        for client in clients:
            client.join()


def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """Yield sockets that listen on all addresses of *host*. Raises `OSError`.

    ``::`` accepts IPv4 as well, where the system supports that.
    """
    listener: socket.socket | None = None
    missing: OSError | None = None
    for family, *_kind, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        both = address[0] == "::" and socket.has_dualstack_ipv6()
        there = (address[0], port, *address[2:])
        try:
            # On POSIX it sets SO_REUSEADDR: connections of the last run may be in TIME-WAIT.
            listener = socket.create_server(
                there, family=family, backlog=BACKLOG, dualstack_ipv6=both
            )
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
            missing = error
        else:
            port = listener.getsockname()[1]  # port 0: all get the free one that the first got
            listener.setblocking(False)
            yield listener
    if missing is not None and listener is None:
        raise missing
