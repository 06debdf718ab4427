"""The outbound queues: nobody waits for somebody else's full socket."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.core import sender as sender_module
from chat.core.connection import Connection, Waker
from chat.core.sender import Sender
from chat.core.timing import Deadline
from tests.connection.pairs import (
    connected,
    read_exactly,
    read_to_end,
    sender_threads,
    sending,
    stands_in,
    tcp_pair,
)
from tests.wire import PATIENCE, eventually

MUCH = 4 * 1024 * 1024
"""Bytes that do not fit into any socket of `connected(small=True)`."""


def frames(count: int, size: int = 1000) -> list[bytes]:
    return [f"{number:>{size - 1}}\n".encode() for number in range(count)]


class GatedConnection(Connection):
    """A connection on which a send takes as long as the test wants."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.sends = 0

    def send(self, data: bytes | memoryview) -> int:
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        self.sends += 1
        return super().send(data)


# Sending


def test_a_frame_is_sent_by_flush_and_not_before() -> None:
    with sending() as sender, connected() as (connection, peer):
        sender.post([connection], b"one\n")
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(100)
        peer.settimeout(PATIENCE)
        sender.flush()
        assert peer.recv(100) == b"one\n"


def test_frames_that_gathered_go_out_in_one_send_and_in_order() -> None:
    accepted, peer = tcp_pair()
    with sending() as sender, peer:
        connection = GatedConnection(accepted)
        connection.gate.set()
        for frame in frames(100):
            sender.post([connection], frame)
        sender.flush()
        assert read_exactly(peer, 100_000) == b"".join(frames(100))
        assert connection.sends == 1
        sender.close(connection)


def test_flush_with_nothing_to_send() -> None:
    with sending() as sender:
        sender.flush()


def test_one_frame_for_many_connections() -> None:
    with sending() as sender, ExitStack() as stack:
        pairs = [stack.enter_context(connected()) for _ in range(20)]
        sender.post([connection for connection, _peer in pairs], b"to all\n")
        sender.flush()
        for _connection, peer in pairs:
            assert peer.recv(100) == b"to all\n"
        assert not sender_threads()  # nobody needed help


def test_a_full_socket_gets_the_rest_when_it_can_take_it() -> None:
    whole = b"".join(frames(MUCH // 1000))
    with sending(queue_bytes=2 * MUCH) as sender, connected(small=True) as (connection, peer):
        sender.post([connection], whole)
        sender.flush()
        assert connection.blocked
        assert len(sender_threads()) == 1
        assert read_exactly(peer, len(whole)) == whole
        eventually(lambda: not connection.blocked)
        sender.post([connection], b"more\n")
        sender.flush()
        assert read_exactly(peer, 5) == b"more\n"


def test_order_is_kept_while_the_socket_is_now_full_and_now_not() -> None:
    sent = frames(20_000, size=100)
    with (
        sending(queue_bytes=MUCH, queue_frames=len(sent)) as sender,
        connected(small=True) as (connection, peer),
        ThreadPoolExecutor(1) as pool,
    ):
        reading = pool.submit(read_exactly, peer, 100 * len(sent))
        for frame in sent:
            sender.post([connection], frame)
            sender.flush()
        assert reading.result(PATIENCE) == b"".join(sent)


# Slow readers


def test_who_does_not_read_does_not_delay_others() -> None:
    with (
        sending(queue_bytes=2 * MUCH) as sender,
        connected(small=True) as (stalled, _unread),
        connected(small=True) as (lively, peer),
        ThreadPoolExecutor(1) as pool,
    ):
        sent = frames(MUCH // 1000)
        reading = pool.submit(read_exactly, peer, 1000 * len(sent))
        for frame in sent:
            sender.post([stalled, lively], frame)
            sender.flush()
        assert reading.result(PATIENCE) == b"".join(sent)
        assert stalled.blocked
        assert stalled.close_reason is None


def fill(sender: Sender, connection: Connection) -> None:
    """Make the socket of *connection* full, with one frame waiting in its queue."""
    while not connection.blocked:
        sender.post([connection], b"x" * 65535 + b"\n")
        sender.flush()


def test_a_reader_too_slow_is_given_up_when_the_queue_has_too_many_bytes() -> None:
    with (
        sending(queue_bytes=200_000) as sender,
        connected(small=True) as (connection, _unread),
        ThreadPoolExecutor(1) as pool,
    ):
        fill(sender, connection)
        waiting = pool.submit(connection.receive)
        while connection.queued_bytes + 1000 <= 200_000:
            sender.post([connection], b"x" * 999 + b"\n")
            sender.flush()
            assert connection.close_reason is None
        sender.post([connection], b"x" * 999 + b"\n")
        sender.flush()
        assert waiting.result(PATIENCE) == b""  # its reader is woken
        assert connection.close_reason == "slow"
        assert not connection.queue
        sender.post([connection], b"never\n")
        sender.flush()
        assert not connection.queue


def test_a_reader_too_slow_is_given_up_when_the_queue_has_too_many_frames() -> None:
    with (
        sending(queue_frames=10) as sender,
        connected(small=True) as (connection, _unread),
    ):
        fill(sender, connection)
        while connection.queued_frames < 10:
            sender.post([connection], b"\n")
            sender.flush()
            assert connection.close_reason is None
        sender.post([connection], b"\n")
        sender.flush()
        assert connection.receive() == b""
        assert connection.close_reason == "slow"


def test_what_a_slow_reader_got_before_the_end_is_the_beginning_of_what_was_sent() -> None:
    with (
        sending(queue_bytes=100_000) as sender,
        connected(small=True) as (connection, peer),
    ):
        sent = frames(10_000)
        for frame in sent:
            sender.post([connection], frame)
            sender.flush()
        assert connection.close_reason == "slow"
        got = read_to_end(peer)
        assert got
        assert b"".join(sent).startswith(got)


# The end


def test_finish_sends_everything_and_then_fin() -> None:
    with sending() as sender, connected() as (connection, peer):
        sender.post([connection], b"goodbye\n")
        sender.finish([connection])
        sender.post([connection], b"too late\n")
        sender.flush()
        assert read_to_end(peer) == b"goodbye\n"
        peer.close()
        connection.discard(Deadline(PATIENCE))
        assert not connection.queue


def test_finish_of_an_idle_connection_is_a_fin() -> None:
    with sending() as sender, connected() as (connection, peer):
        sender.finish([connection])
        sender.flush()
        assert read_to_end(peer) == b""
        peer.sendall(b"the other direction is still open")
        assert connection.receive(PATIENCE) == b"the other direction is still open"


def test_finish_of_a_full_socket_sends_everything_and_then_fin() -> None:
    whole = b"".join(frames(MUCH // 1000))
    with sending(queue_bytes=2 * MUCH) as sender, connected(small=True) as (connection, peer):
        sender.post([connection], whole)
        sender.flush()
        assert connection.blocked
        sender.finish([connection])
        sender.flush()
        assert read_to_end(peer) == whole


def test_finish_twice() -> None:
    with sending() as sender, connected() as (connection, peer):
        for _ in range(2):
            sender.finish([connection])
            sender.flush()
        assert read_to_end(peer) == b""


def test_a_peer_that_has_gone_is_lost_and_its_reader_wakes() -> None:
    with sending() as sender, connected() as (connection, peer):
        peer.close()
        while connection.close_reason is None:  # the first send is answered by a reset
            sender.post([connection], b"x\n")
            sender.flush()
        assert connection.close_reason == "lost"
        assert connection.receive() == b""


def test_a_peer_that_goes_while_its_socket_is_full_is_lost() -> None:
    with sending(queue_bytes=2 * MUCH) as sender, connected(small=True) as (connection, peer):
        sender.post([connection], b"x" * MUCH)
        sender.flush()
        assert connection.blocked
        peer.close()
        eventually(lambda: connection.close_reason == "lost")
        assert not connection.queue


def test_a_connection_aborted_while_its_socket_is_full_is_let_go() -> None:
    with sending(queue_bytes=2 * MUCH) as sender:
        accepted, peer = tcp_pair(small=True)
        with peer:
            connection = Connection(accepted)
            sender.post([connection], b"x" * MUCH)
            sender.flush()
            sender.close(connection)  # waits for the sender's thread, which has to notice
            assert connection.fileno() == -1


def test_a_descriptor_is_not_closed_under_the_thread_that_sends() -> None:
    """Its number could be another connection's before ``send`` gets to use it."""
    accepted, peer = tcp_pair()
    with sending() as sender, peer, ThreadPoolExecutor(2) as pool:
        connection = GatedConnection(accepted)
        descriptor = connection.fileno()
        sender.post([connection], b"one\n")
        flushing = pool.submit(sender.flush)
        assert connection.entered.wait(PATIENCE)
        closing = pool.submit(sender.close, connection)
        eventually(lambda: connection.close_reason == "closed")
        assert os.fstat(descriptor)
        connection.gate.set()
        flushing.result(PATIENCE)
        closing.result(PATIENCE)
        assert connection.fileno() == -1


def test_posting_to_a_closed_connection_does_nothing() -> None:
    with sending() as sender:
        with connected() as (connection, _peer):
            pass
        sender.post([connection], b"nobody\n")
        sender.finish([connection])
        sender.flush()


def test_stop_ends_the_senders_thread() -> None:
    with sending(queue_bytes=2 * MUCH) as sender:
        with connected(small=True) as (connection, _unread):
            sender.post([connection], b"x" * MUCH)
            sender.flush()
            [thread] = sender_threads()
        assert thread.is_alive()
    assert not thread.is_alive()


# Who flushes


def test_whoever_posts_while_another_thread_flushes_need_not_wait() -> None:
    accepted, unread = tcp_pair()
    with (
        sending() as sender,
        unread,
        connected() as (connection, peer),
        ThreadPoolExecutor(1) as pool,
    ):
        stuck = GatedConnection(accepted)
        sender.post([stuck], b"one\n")
        flushing = pool.submit(sender.flush)
        assert stuck.entered.wait(PATIENCE)
        sender.post([connection], b"two\n")
        sender.flush()  # returns, although the other thread is still in send
        assert not flushing.done()
        stuck.gate.set()
        flushing.result(PATIENCE)
        assert peer.recv(100) == b"two\n"  # by the sender's thread: the other has a client to serve
        assert unread.recv(100) == b"one\n"
        sender.close(stuck)


def test_a_reader_waits_when_too_many_bytes_are_on_their_way() -> None:
    accepted, unread = tcp_pair()
    with (
        sending(pending_bytes=1000) as sender,
        unread,
        connected() as (connection, peer),
        ThreadPoolExecutor(2) as pool,
    ):
        stuck = GatedConnection(accepted)
        sender.post([stuck], b"one\n")
        flushing = pool.submit(sender.flush)
        assert stuck.entered.wait(PATIENCE)
        sender.post([connection], b"x" * 999)
        sender.flush()  # 1003 bytes less those on their way now
        threads: list[threading.Thread] = []

        def flush() -> None:
            threads.append(threading.current_thread())
            sender.flush()

        sender.post([connection], b"x" * 1000)
        waiting = pool.submit(flush)
        eventually(lambda: threads and stands_in(threads[0], "wait"))
        assert not waiting.done()
        stuck.gate.set()
        waiting.result(PATIENCE)
        flushing.result(PATIENCE)
        assert read_exactly(peer, 1999) == b"x" * 1999
        sender.close(stuck)


def test_two_threads_that_need_help_at_once_start_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class SlowWaker(Waker):
        def __init__(self) -> None:
            if not entered.is_set():
                entered.set()
                assert go_on.wait(PATIENCE)
            super().__init__()

    monkeypatch.setattr(sender_module, "Waker", SlowWaker)
    with (
        sending(queue_bytes=2 * MUCH) as sender,
        connected(small=True) as (first, first_peer),
        connected(small=True) as (second, second_peer),
        ThreadPoolExecutor(1) as pool,
    ):
        sender.post([first], b"x" * MUCH)
        flushing = pool.submit(sender.flush)
        assert entered.wait(PATIENCE)
        sender.post([second], b"y" * MUCH)
        sender.flush()
        go_on.set()
        flushing.result(PATIENCE)
        assert len(sender_threads()) == 1
        assert read_exactly(first_peer, MUCH) == b"x" * MUCH
        assert read_exactly(second_peer, MUCH) == b"y" * MUCH


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.one_of(st.none(), st.integers(0, 4))),
        min_size=1,
        max_size=12,
    )
)
def test_everybody_gets_what_was_posted_to_them_however_audiences_change(
    posts: list[tuple[int, int, int | None]],
) -> None:
    """From the *first* to the *last* of five; those who share a stream have it joined once."""
    with sending() as sender, ExitStack() as stack:
        ends = [stack.enter_context(connected()) for _ in range(5)]
        everybody = tuple(connection for connection, _peer in ends)
        expected = [b""] * 5
        for number, (first, last, but) in enumerate(posts):
            frame = b"%d\n" % number
            left_out = None if but is None else everybody[but]
            sender.post(everybody[first : last + 1], frame, left_out)
            for position in range(first, last + 1):
                if position != but:
                    expected[position] += frame
        sender.finish(everybody)
        sender.flush()
        assert [read_to_end(peer) for _connection, peer in ends] == expected
