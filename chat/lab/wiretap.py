"""A proxy between client and server that records what passes, and damages it on purpose.

::

    client ──▶ Wiretap.address ──▶ (records, damage) ──▶ upstream server
           ◀──                 ◀──                   ◀──

    with Wiretap(server.address) as tap, ChatClient(tap.address, "Аня") as anya:
        tap.split(1)          # from now on every byte travels alone
        anya.say("привет")
        tap.records           # every chunk: when, which connection, which direction, which bytes

One thread serves all connections: it waits in a selector for whichever socket has something, so it
is never stuck on one of them and can be stopped at any moment. Methods may be called by any thread;
each returns when what it asks for is in force.

Bytes come out as they went in, all of them and in order, whatever the damage, until the
connection is cut. When the receiver does not read, the tap stops reading from the sender
once `HIGH_WATER` bytes wait inside it: backpressure goes through it as it would through TCP alone.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from chat.app.i18n import gettext as _
from chat.core.connection import Waker
from chat.lab import waiting
from chat.lab.background import LOOPBACK, Background
from chat.lab.waiting import TIMEOUT

CHUNK = 64 * 1024
"""Bytes that one ``recv`` may bring."""

HIGH_WATER = 256 * 1024
"""Bytes waiting in one direction of a connection, beyond which the tap does not read on."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER, on, 0 seconds: ``close`` sends RST instead of FIN (socket(7))."""


class Direction(StrEnum):
    """Which way a chunk travels."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"

    @property
    def opposite(self) -> Direction:
        """The other way."""
        return Direction.TO_CLIENT if self is Direction.TO_SERVER else Direction.TO_SERVER


class Kind(StrEnum):
    """What happened."""

    OPEN = "open"  # a connection was made
    DATA = "data"  # a chunk of bytes
    END = "end"  # the end of the stream in this direction: a FIN
    RESET = "reset"  # an RST
    CUT = "cut"  # the tap closed both ends by order


class Stage(StrEnum):
    """On which side of the tap it happened."""

    IN = "in"  # from the sender into the tap
    OUT = "out"  # from the tap to the receiver


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that the tap saw or did."""

    time: float
    """`time.monotonic`, seconds."""

    connection: int
    """Connections are numbered from 1 in the order in which they were accepted."""

    direction: Direction
    stage: Stage
    kind: Kind
    data: bytes = b""


@dataclass(frozen=True)
class Damage:
    """What is done to one direction of every connection; the default is nothing."""

    split: int | None = None
    """Bytes in one send, at most."""

    gap: float = 0.0
    """Seconds between two sends of a split chunk."""

    merge: float | None = None
    """Seconds of quiet after which all that has gathered goes out in one send."""

    merge_bytes: int | None = None
    """Bytes that are enough to go out before it is quiet."""

    delay: float = 0.0
    """Seconds that every chunk is held back."""

    stall: bool = False
    """Whether reading has stopped."""

    cut_after: int | None = None
    """Bytes that still pass, on all connections together; who sends the last of them is cut."""


class Wiretap:
    """A recording proxy before the server at `upstream`; a context manager.

    Methods that damage take the *direction* to damage, and mean both when it is None.
    """

    def __init__(self, upstream: tuple[str, int], *, keep_bytes: bool = True) -> None:
        """Prepare a tap before the server at *upstream*, which may move: set `upstream` then.

        Without *keep_bytes* the records tell of connections and how they ended, not what passed:
        for experiments through which a great deal passes.
        """
        self.upstream = upstream
        self._keep_bytes = keep_bytes
        self._listener = socket.create_server((LOOPBACK, 0))
        self._listener.setblocking(False)
        self.address: tuple[str, int] = self._listener.getsockname()
        """Where clients connect to."""
        self._waker = Waker()
        self._background = Background(self._run, stop=self._request_stop)
        # Guards everything down to the next blank line; notified about each record.
        self._lock = threading.Lock()
        self._recorded = threading.Condition(self._lock)
        self._records: list[Record] = []
        self._orders: deque[_Order] = deque()
        self._stopping = False
        self._running = False

        # These belong to the tap's thread.
        self._damage = dict.fromkeys(Direction, Damage())
        self._connections: dict[int, _Tapped] = {}
        self._accepted = 0

    def __enter__(self) -> Self:
        """Begin to accept."""
        self._running = True
        self._background.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close all connections and the listening socket; raise what went wrong in the thread."""
        self._background.__exit__(*exception)  # type: ignore[arg-type]

    # --- what was recorded ---

    @property
    def records(self) -> list[Record]:
        """All records so far, oldest first: of every byte that has reached its receiver."""
        with contextlib.suppress(RuntimeError):  # the tap has ended: nothing is on its way
            self._order(lambda: None)  # a chunk is sent first and noted then: let that end
        with self._lock:
            return list(self._records)

    def stream(
        self, direction: Direction, *, stage: Stage = Stage.OUT, connection: int = 1
    ) -> bytes:
        """Return all bytes that passed in one direction of one connection."""
        return b"".join(self.chunks(direction, stage=stage, connection=connection))

    def chunks(
        self, direction: Direction, *, stage: Stage = Stage.OUT, connection: int = 1
    ) -> list[bytes]:
        """Return the chunks that passed in one direction of one connection."""
        wanted = (connection, direction, stage, Kind.DATA)
        return [
            record.data
            for record in self.records
            if (record.connection, record.direction, record.stage, record.kind) == wanted
        ]

    def wait_for(
        self, condition: Callable[[list[Record]], bool], *, timeout: float = TIMEOUT
    ) -> None:
        """Wait until *condition* holds for the records. Raises `TimeoutError`."""
        with self._recorded:
            if not self._recorded.wait_for(lambda: condition(list(self._records)), timeout):
                story = [_("There passed:"), *map(str, self._records[-20:])]
                raise TimeoutError(waiting.complaint(waiting.source(condition), timeout, story))

    # --- damage: any thread, at any time ---

    def split(self, size: int, *, gap: float = 0.0, direction: Direction | None = None) -> None:
        """Pass on at most *size* bytes in one send, with *gap* seconds between two.

        Without a gap the receiver's kernel may well put the pieces together again.
        """
        if size < 1:
            raise ValueError("pieces of at least one byte")
        self._change(direction, split=size, gap=gap)

    def merge(
        self, *, quiet: float = 0.05, size: int | None = None, direction: Direction | None = None
    ) -> None:
        """Gather chunks, and pass them on as one after *quiet* seconds without another.

        Or when they come to *size* bytes; never more than `HIGH_WATER` bytes are gathered.
        """
        self._change(direction, merge=quiet, merge_bytes=size)

    def delay(self, seconds: float, *, direction: Direction | None = None) -> None:
        """Hold every chunk back for *seconds*: a long line."""
        self._change(direction, delay=seconds)

    def stall(self, *, direction: Direction | None = None) -> None:
        """Stop reading: what is sent waits in the sender's kernel, and then the sender waits."""
        self._change(direction, stall=True)

    def heal(self, *, direction: Direction | None = None) -> None:
        """End all damage; what has been held back goes out at once."""

        def heal() -> None:
            for each in [direction] if direction else Direction:
                self._damage[each] = Damage()

        self._order(heal)

    def cut(self, connection: int | None = None) -> None:
        """Close both ends of a connection, or of all; what was still inside is lost."""
        self._order(lambda: self._end(connection, Kind.CUT))

    def reset(self, connection: int | None = None) -> None:
        """Send RST both ways on a connection, or on all; what was still inside is lost."""
        self._order(lambda: self._end(connection, Kind.RESET))

    def cut_after(self, size: int, *, direction: Direction | None = None) -> None:
        """Let *size* more bytes pass, and cut the connection on which the last of them went."""
        if size < 1:
            raise ValueError("at least one byte must pass")
        self._change(direction, cut_after=size)

    def half_close(self, direction: Direction) -> None:
        """End the stream in one direction of all connections, as if its sender had said FIN.

        What is sent that way afterwards is not read any more; the other direction goes on.
        """

        def end() -> None:
            for connection in self._connections.values():
                connection.end_stream(direction)

        self._order(end)

    def _change(self, direction: Direction | None, **changes: object) -> None:
        def change() -> None:
            for each in [direction] if direction else Direction:
                self._damage[each] = replace(self._damage[each], **changes)  # type: ignore[arg-type]

        self._order(change)

    def _order(self, action: Callable[[], None]) -> None:
        """Have the tap's thread carry out *action*, and wait until it has."""
        order = _Order(action)
        with self._lock:
            if not self._running:
                raise RuntimeError("a tap works inside its with block only")
            self._orders.append(order)
        self._waker.wake()
        order.done.wait()

    def _request_stop(self) -> None:
        with self._lock:
            self._stopping = True
        self._waker.wake()

    # --- the tap's thread ---

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._waker.close)
            stack.callback(self._close_all)
            stack.enter_context(self._listener)
            selector = stack.enter_context(selectors.DefaultSelector())
            selector.register(self._waker.watched, selectors.EVENT_READ)
            selector.register(self._listener, selectors.EVENT_READ)
            while self._carry_out_orders():
                timeout = self._watch(selector)
                ready = {key.fileobj: events for key, events in selector.select(timeout)}
                if self._waker.watched in ready:
                    self._waker.clear()
                if self._listener in ready:
                    self._accept()
                for connection in list(self._connections.values()):
                    connection.proceed(ready)
                    if connection.finished:
                        self._forget(connection, selector)

    def _carry_out_orders(self) -> bool:
        """Do what other threads asked for; False when that is to stop."""
        with self._lock:
            orders, self._orders = self._orders, deque()
            stopping = self._stopping
        for order in orders:
            try:
                order.action()
            finally:
                order.done.set()
        return not stopping

    def _watch(self, selector: selectors.BaseSelector) -> float | None:
        """Set what each socket is watched for; return the seconds until something is due."""
        waits: list[float] = []
        now = time.monotonic()  # one for both: what falls due between two looks would be forgotten
        for connection in list(self._connections.values()):
            if connection.finished:  # cut by an order
                self._forget(connection, selector)
                continue
            for sock, events in connection.interest(now).items():
                _watch_for(selector, sock, events)
            waits += connection.waits(now)
        return min(waits, default=None)

    def _accept(self) -> None:
        try:
            client, _address = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # the client has gone again
            return
        self._accepted += 1
        self._connections[self._accepted] = _Tapped(
            self._accepted, client, self.upstream, self._damage, self._note
        )

    def _end(self, number: int | None, kind: Kind) -> None:
        for connection in list(self._connections.values()):
            if number in (None, connection.number):
                connection.end(kind)

    def _forget(self, connection: _Tapped, selector: selectors.BaseSelector) -> None:
        for sock in connection.sockets:
            if sock in selector.get_map():
                selector.unregister(sock)
        connection.close()
        del self._connections[connection.number]

    def _close_all(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        with self._lock:
            self._running = False
        self._carry_out_orders()  # whoever gave one in the last moment waits for it

    def _note(
        self, number: int, direction: Direction, stage: Stage, kind: Kind, data: bytes = b""
    ) -> None:
        if kind is Kind.DATA and not self._keep_bytes:
            return
        record = Record(time.monotonic(), number, direction, stage, kind, data)
        with self._recorded:
            self._records.append(record)
            self._recorded.notify_all()


# --- inside: everything below belongs to the tap's thread ----------------------------------------


@dataclass
class _Order:
    action: Callable[[], None]
    done: threading.Event = field(default_factory=threading.Event)


class _Flow:
    """One direction of one connection: what has come in and not gone out yet."""

    def __init__(self, source: socket.socket, destination: socket.socket) -> None:
        self.source = source
        self.destination = destination
        self.pending: deque[tuple[float, bytes]] = deque()  # when it arrived, and what
        self.pending_bytes = 0
        self.not_before = 0.0  # when the next piece of a split chunk may go
        self.source_ended = False
        self.finished = False  # the end has been passed on, too

    def wants_to_read(self, damage: Damage) -> bool:
        return not (damage.stall or self.source_ended or self.pending_bytes >= HIGH_WATER)

    def due(self, damage: Damage) -> float | None:
        """Return the moment at which the next chunk is to go, None when there is none."""
        if not self.pending:
            return None
        moment = self.pending[0][0]
        enough = damage.merge_bytes is not None and self.pending_bytes >= damage.merge_bytes
        if damage.merge is not None and not enough and not self.source_ended:
            moment = self.pending[-1][0] + damage.merge
        return max(moment + damage.delay, self.not_before)

    def take(self, damage: Damage) -> bytes:
        """Take what goes into one send."""
        if damage.merge is not None:
            data = b"".join(data for _arrived, data in self.pending)
            arrived = self.pending[-1][0]
            self.pending = deque([(arrived, data)])
        _arrived, data = self.pending.popleft()
        self.pending_bytes -= len(data)
        limits = [limit for limit in (damage.split, damage.cut_after) if limit is not None]
        piece = data[: min(limits, default=None)]
        if len(piece) < len(data):
            self.put_back(data[len(piece) :])
        return piece

    def put(self, data: bytes) -> None:
        self.pending.append((time.monotonic(), data))
        self.pending_bytes += len(data)

    def put_back(self, data: bytes) -> None:
        """Return the rest of a chunk; it was due already."""
        self.pending.appendleft((0.0, data))
        self.pending_bytes += len(data)


class _Tapped:
    """One connection through the tap: the client's socket and ours to the server."""

    def __init__(
        self,
        number: int,
        client: socket.socket,
        upstream: tuple[str, int],
        damage: dict[Direction, Damage],
        note: Callable[..., None],
    ) -> None:
        self.number = number
        self._damage = damage  # the tap's: shared, and changing
        self._note = note
        self._connected = False
        self.finished = False
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sockets = (client, server)
        for sock in self.sockets:
            sock.setblocking(False)
            # What goes out must go out now, as it is.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.flows = {
            Direction.TO_SERVER: _Flow(client, server),
            Direction.TO_CLIENT: _Flow(server, client),
        }
        self._note(number, Direction.TO_SERVER, Stage.IN, Kind.OPEN)
        server.connect_ex(upstream)  # the outcome shows when it becomes writable

    def interest(self, now: float) -> dict[socket.socket, int]:
        """Return what each socket is to be watched for."""
        client, server = self.sockets
        if not self._connected:
            return {client: 0, server: selectors.EVENT_WRITE}
        events = {client: 0, server: 0}
        for direction, flow in self.flows.items():
            damage = self._damage[direction]
            if flow.wants_to_read(damage):
                events[flow.source] |= selectors.EVENT_READ
            due = flow.due(damage)
            if due is not None and due <= now:
                events[flow.destination] |= selectors.EVENT_WRITE
        return events

    def waits(self, now: float) -> Iterator[float]:
        """Yield the seconds until each chunk that is held back is due."""
        for direction, flow in self.flows.items():
            due = flow.due(self._damage[direction])
            if due is not None and due > now:
                yield due - now

    def proceed(self, ready: dict[Any, int]) -> None:
        """Move what can be moved, *ready* being the sockets that can read or write now."""
        if not self._connected:
            self._finish_connecting(ready)
            return
        for direction, flow in self.flows.items():
            if ready.get(flow.source, 0) & selectors.EVENT_READ:
                self._read(direction, flow)
            if ready.get(flow.destination, 0) & selectors.EVENT_WRITE and not self.finished:
                self._write(direction, flow)
            if self.finished:
                return
            self._pass_on_end(direction, flow)
        if all(flow.finished for flow in self.flows.values()):
            self.finished = True

    def end(self, kind: Kind, directions: Iterable[Direction] = Direction) -> None:
        """Break the connection: RST after a reset, FIN after a cut, noted for *directions*."""
        if self.finished:
            return
        self.finished = True
        for sock in self.sockets:
            with contextlib.suppress(OSError):  # not connected yet, or not any more
                if kind is Kind.RESET:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                else:
                    sock.shutdown(socket.SHUT_RDWR)
        for direction in directions:
            self._note(self.number, direction, Stage.OUT, kind)

    def end_stream(self, direction: Direction) -> None:
        """Take the stream in one direction for ended; its end is passed on after its bytes."""
        flow = self.flows[direction]
        if not flow.source_ended:
            flow.source_ended = True
            self._note(self.number, direction, Stage.IN, Kind.END)
            if self._connected and not self.finished:
                self._pass_on_end(direction, flow)

    def _was_reset(self, direction: Direction) -> None:
        """Pass on an RST that came in this direction."""
        if not self.finished:
            self._note(self.number, direction, Stage.IN, Kind.RESET)
            self.end(Kind.RESET, [direction])

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()

    def _finish_connecting(self, ready: dict[Any, int]) -> None:
        _client, server = self.sockets
        if not ready.get(server):
            return
        if server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._was_reset(Direction.TO_CLIENT)
            return
        self._connected = True
        self._note(self.number, Direction.TO_SERVER, Stage.OUT, Kind.OPEN)

    def _read(self, direction: Direction, flow: _Flow) -> None:
        try:
            data = flow.source.recv(CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            self._was_reset(direction)
            return
        if data:
            flow.put(data)
            self._note(self.number, direction, Stage.IN, Kind.DATA, data)
        else:
            flow.source_ended = True
            self._note(self.number, direction, Stage.IN, Kind.END)

    def _write(self, direction: Direction, flow: _Flow) -> None:
        damage = self._damage[direction]
        data = flow.take(damage)
        try:
            sent = flow.destination.send(data)
        except BlockingIOError:
            sent = 0
        except ConnectionError:
            self._was_reset(direction.opposite)
            return
        if sent < len(data):
            flow.put_back(data[sent:])
        if sent:
            flow.not_before = time.monotonic() + damage.gap
            self._note(self.number, direction, Stage.OUT, Kind.DATA, data[:sent])
            if damage.cut_after is not None:
                left = damage.cut_after - sent
                self._damage[direction] = replace(damage, cut_after=left or None)
                if not left:
                    self.end(Kind.CUT)

    def _pass_on_end(self, direction: Direction, flow: _Flow) -> None:
        if flow.source_ended and not flow.pending and not flow.finished:
            flow.finished = True
            with contextlib.suppress(OSError):  # reset meanwhile; the other direction will tell
                flow.destination.shutdown(socket.SHUT_WR)
            self._note(self.number, direction, Stage.OUT, Kind.END)


def _watch_for(selector: selectors.BaseSelector, sock: socket.socket, events: int) -> None:
    """Have *sock* watched for *events*, 0 being none."""
    watched = selector.get_map().get(sock)
    if not events:
        if watched:
            selector.unregister(sock)
    elif not watched:
        selector.register(sock, events)
    elif watched.events != events:
        selector.modify(sock, events)
