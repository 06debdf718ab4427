"""One end of a connection: waiting for bytes, being woken, closing once nobody uses it."""

import os
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chat.core.connection import Connection
from chat.core.protocol import Limits
from chat.core.sender import Sender
from chat.core.timing import Deadline
from tests.connection.pairs import connected, read_to_end, sending, stands_in, tcp_pair
from tests.wire import PATIENCE, eventually


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_what_the_peer_sends_is_received() -> None:
    with connected() as (connection, peer):
        peer.sendall("привет".encode())
        assert connection.receive(PATIENCE) == "привет".encode()


def test_the_peers_fin_is_the_end_and_stays_the_end() -> None:
    with connected() as (connection, peer):
        peer.sendall(b"last words")
        peer.shutdown(socket.SHUT_WR)
        assert connection.receive(PATIENCE) == b"last words"
        assert connection.receive(PATIENCE) == b""
        assert connection.receive(PATIENCE) == b""
        assert connection.close_reason is None  # it was not this side that gave up


def test_a_reset_is_the_end_and_no_exception() -> None:
    with connected() as (connection, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert connection.receive(PATIENCE) == b""


def test_silence_is_a_timeout() -> None:
    with connected() as (connection, peer):
        with pytest.raises(TimeoutError):
            connection.receive(0.01)
        peer.sendall(b"late")
        assert connection.receive(PATIENCE) == b"late"


def test_abort_wakes_the_thread_that_waits_in_receive() -> None:
    with connected() as (connection, peer), ThreadPoolExecutor(1) as pool:
        reader: list[threading.Thread] = []

        def read() -> bytes:
            reader.append(threading.current_thread())
            return connection.receive()

        waiting = pool.submit(read)
        eventually(lambda: reader and stands_in(reader[0], "select"))
        connection.abort("slow")
        assert waiting.result(PATIENCE) == b""
        assert connection.close_reason == "slow"
        assert peer.recv(1) == b""


def test_after_abort_nothing_is_received_any_more() -> None:
    with connected() as (connection, peer):
        peer.sendall(b"too late")
        connection.abort("slow")
        assert connection.receive() == b""


def test_the_first_reason_counts() -> None:
    with connected() as (connection, _peer):
        connection.abort("slow")
        connection.abort("lost")
        assert connection.close_reason == "slow"


def test_close_closes_the_descriptor() -> None:
    with connected() as (connection, peer):
        pass
    assert connection.fileno() == -1
    assert peer.fileno() == -1


def test_a_descriptor_in_use_stays_open_until_it_is_released() -> None:
    """Else its number could be given to the next connection, which would get the bytes."""
    accepted, peer = tcp_pair()
    with peer:
        connection = Connection(accepted)
        descriptor = connection.fileno()
        assert connection.hold()
        Sender(Limits()).close(connection)
        assert is_open(descriptor)
        assert peer.recv(1) == b""  # closed for the peer at once
        connection.release()
        assert connection.fileno() == -1
        assert not is_open(descriptor)


def test_a_closed_connection_can_be_neither_held_nor_aborted() -> None:
    with connected() as (connection, _peer):
        pass
    assert not connection.hold()
    connection.abort("late")
    assert connection.close_reason == "closed"


def test_discard_reads_until_the_peer_closes() -> None:
    with sending() as sender, connected() as (connection, peer):
        sender.finish([connection])
        sender.flush()
        peer.sendall(b"x" * 100_000)
        peer.shutdown(socket.SHUT_WR)
        deadline = Deadline(PATIENCE)
        connection.discard(deadline)
        assert deadline.remaining()
        assert connection.receive(PATIENCE) == b""


def test_discard_waits_until_the_peer_has_got_everything() -> None:
    whole = b"x" * 4_000_000
    with (
        sending(queue_bytes=2 * len(whole)) as sender,
        connected(small=True) as (connection, peer),
        ThreadPoolExecutor(1) as pool,
    ):
        sender.post([connection], whole)
        sender.finish([connection])
        sender.flush()
        peer.shutdown(socket.SHUT_WR)
        reading = pool.submit(read_to_end, peer)
        connection.discard(Deadline(PATIENCE))
        connection.abort("closed")
        assert reading.result(PATIENCE) == whole


def test_discard_waits_no_longer_than_its_deadline() -> None:
    with connected() as (connection, peer):
        connection.discard(Deadline(0.01))
        peer.sendall(b"still open")
        assert connection.receive(PATIENCE) == b"still open"


def test_last_words_arrive_although_the_peer_went_on_talking() -> None:
    """A socket closed with bytes unread resets the connection: hence `discard`."""
    with sending() as sender, connected() as (connection, peer):
        peer.sendall(b"x" * 100_000)
        sender.post([connection], b"goodbye")
        sender.finish([connection])
        sender.flush()
        assert peer.recv(100) == b"goodbye"
        assert peer.recv(100) == b""
        peer.shutdown(socket.SHUT_WR)
        connection.discard(Deadline(PATIENCE))
        connection.abort("closed")
        assert peer.recv(100) == b""  # and no ConnectionResetError


def test_the_socket_does_not_wait_to_fill_a_segment() -> None:
    with connected() as (connection, _peer):
        assert connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
