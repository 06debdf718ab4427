"""One end of a connection: waiting for bytes, being woken, closing."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chat.core.connection import Connection, State, Transport
from chat.core.timing import Deadline
from chat.core.writer import Writer
from tests.connection.pairs import (
    connected,
    flush,
    read_to_end,
    stands_in,
    writing,
)
from tests.wire import PATIENCE, eventually


@pytest.fixture
def writer() -> Iterator[Writer]:
    with writing() as writer:
        yield writer


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


# Reading


def test_what_the_peer_sends_is_received(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        peer.sendall("привет".encode())
        assert connection.receive(PATIENCE) == "привет".encode()


def test_the_peers_fin_is_the_end_and_stays_the_end(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        peer.sendall(b"last words")
        peer.shutdown(socket.SHUT_WR)
        assert connection.receive(PATIENCE) == b"last words"
        assert connection.receive(PATIENCE) == b""
        assert connection.receive(PATIENCE) == b""
        assert connection.close_reason is None  # it was not this side that gave up
        assert connection.state is State.OPEN


def test_a_reset_is_the_end_and_no_exception(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert connection.receive(PATIENCE) == b""


def test_silence_is_a_timeout(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        with pytest.raises(TimeoutError):
            connection.receive(0.01)
        peer.sendall(b"late")
        assert connection.receive(PATIENCE) == b"late"


# Giving up


def test_abort_wakes_the_thread_that_waits_in_receive(writer: Writer) -> None:
    with connected(writer) as (connection, peer), ThreadPoolExecutor(1) as pool:
        reader: list[threading.Thread] = []

        def read() -> bytes:
            reader.append(threading.current_thread())
            return connection.receive()

        waiting = pool.submit(read)
        eventually(lambda: reader and stands_in(reader[0], "_wait"))
        writer.abort(connection, "slow")
        writer.ring()
        assert waiting.result(PATIENCE) == b""
        assert connection.close_reason == "slow"
        assert peer.recv(1) == b""


def test_after_abort_nothing_is_received_any_more(writer: Writer) -> None:
    """Not even before the writer has come to it."""
    with connected(writer) as (connection, peer):
        peer.sendall(b"too late")
        writer.abort(connection, "slow")
        assert connection.receive() == b""


def test_the_first_reason_counts(writer: Writer) -> None:
    with connected(writer) as (connection, _peer):
        writer.abort(connection, "slow")
        writer.abort(connection, "lost")
        assert connection.close_reason == "slow"


# Closing


def test_close_closes_the_descriptor(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        descriptor = connection.transport.fileno()
        assert is_open(descriptor)
    assert connection.state is State.CLOSED
    assert connection.transport.fileno() == -1
    assert peer.fileno() == -1


def test_a_closed_connection_stays_closed_whatever_is_asked(writer: Writer) -> None:
    with connected(writer) as (connection, _peer):
        pass
    writer.abort(connection, "late")
    writer.finish(connection)
    writer.close(connection)
    assert connection.state is State.CLOSED
    assert connection.close_reason is None


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        (["finish"], State.CLOSING),
        (["abort"], State.ABORTED),
        (["finish", "abort"], State.ABORTED),
        (["abort", "finish"], State.ABORTED),
        (["finish", "finish"], State.CLOSING),
        (["close"], State.CLOSED),
        (["close", "finish", "abort"], State.CLOSED),
    ],
)
def test_a_connections_life_only_moves_forwards(
    writer: Writer, steps: list[str], state: State
) -> None:
    with connected(writer) as (connection, _peer):
        for step in steps:
            if step == "finish":
                writer.finish(connection)
            elif step == "abort":
                writer.abort(connection, "slow")
            else:
                writer.close(connection)
        assert connection.state is state
        flush(writer)
        assert connection.state is state
        assert connection.flushed


# Lingering


def test_lingering_reads_until_the_peer_closes(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        writer.finish(connection)
        flush(writer)
        peer.sendall(b"x" * 100_000)
        peer.shutdown(socket.SHUT_WR)
        deadline = Deadline(PATIENCE)
        connection.linger(deadline)
        assert deadline.remaining()
        assert connection.receive(PATIENCE) == b""


def test_lingering_waits_until_the_peer_has_got_everything() -> None:
    whole = b"x" * 4_000_000
    with (
        writing(queue_bytes=2 * len(whole)) as writer,
        connected(writer, small=True) as (connection, peer),
        ThreadPoolExecutor(1) as pool,
    ):
        writer.post(whole, connection)
        writer.finish(connection)
        flush(writer)
        peer.shutdown(socket.SHUT_WR)
        reading = pool.submit(read_to_end, peer)
        connection.linger(Deadline(PATIENCE))
        writer.abort(connection, "closed")
        assert reading.result(PATIENCE) == whole


def test_lingering_waits_no_longer_than_its_deadline(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        connection.linger(Deadline(0.01))
        peer.sendall(b"still open")
        assert connection.receive(PATIENCE) == b"still open"


def test_last_words_arrive_although_the_peer_went_on_talking(writer: Writer) -> None:
    """A socket closed with bytes unread resets the connection: hence `linger`."""
    with connected(writer) as (connection, peer):
        peer.sendall(b"x" * 100_000)
        writer.post(b"goodbye", connection)
        writer.finish(connection)
        flush(writer)
        assert peer.recv(100) == b"goodbye"
        assert peer.recv(100) == b""
        peer.shutdown(socket.SHUT_WR)
        connection.linger(Deadline(PATIENCE))
        writer.abort(connection, "closed")
        assert peer.recv(100) == b""  # and no ConnectionResetError


# The socket


def test_the_socket_does_not_wait_to_fill_a_segment(writer: Writer) -> None:
    with connected(writer) as (connection, _peer):
        assert isinstance(connection.transport, Transport)
        sock = connection.transport._socket
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.getblocking()


def test_silence_is_noticed_by_tcp_itself(writer: Writer) -> None:
    with connected(writer) as (connection, _peer):
        assert isinstance(connection.transport, Transport)
        for seconds in (0.1, 90, 1e7):
            connection.transport.notice_silence(seconds)
        sock = connection.transport._socket
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_connecting_to_nobody_is_refused_with_the_right_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = nobody.getsockname()
    transport = Transport(socket.socket())
    try:
        with pytest.raises(ConnectionRefusedError):
            transport.connect(address, Deadline(PATIENCE))
    finally:
        transport.close()


def test_connecting_waits_no_longer_than_its_deadline() -> None:
    """A listener whose backlog is full answers nothing at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        crowd = [socket.socket() for _ in range(8)]
        transport = Transport(socket.socket())
        try:
            for one in crowd:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            with pytest.raises(TimeoutError):
                transport.connect(full.getsockname(), Deadline(0.1))
        finally:
            transport.close()
            for one in crowd:
                one.close()


def test_shutting_down_wakes_who_connects(writer: Writer) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ThreadPoolExecutor(1) as pool:
        crowd = [socket.socket() for _ in range(8)]
        transport = Transport(socket.socket())
        connection = Connection(transport)
        try:
            for one in crowd:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            connecting = pool.submit(transport.connect, full.getsockname(), Deadline(PATIENCE))
            eventually(
                lambda: any(stands_in(thread, "connect") for thread in threading.enumerate())
            )
            writer.abort(connection, "quit")
            writer.ring()
            with pytest.raises(OSError, match=r".*"):
                connecting.result(PATIENCE / 2)
        finally:
            writer.close(connection)
            for one in crowd:
                one.close()
