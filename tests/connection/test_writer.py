"""The writer: one order for everybody, and nobody waits for somebody else's full socket."""

import errno
import os
import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import permutations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat.core.connection import Connection, State, Transport, Waker
from chat.core.history import Entry
from chat.core.protocol import Limits
from chat.core.timing import Deadline
from chat.core.writer import Writer
from tests.connection.pairs import (
    audience,
    connected,
    flush,
    read_exactly,
    read_to_end,
    stands_in,
    tcp_pair,
    writing,
)
from tests.wire import PATIENCE, eventually

MUCH = 4 * 1024 * 1024
"""Bytes that do not fit into any socket of `connected(small=True)`."""


@pytest.fixture
def writer() -> Iterator[Writer]:
    """An open writer whose queues hold a lot."""
    with writing(queue_bytes=4 * MUCH, queue_frames=10**6) as writer:
        yield writer
        assert not writer._audience
        assert not writer._backlogs
        assert len(writer._selector.get_map()) == 1  # the waker


def frames(count: int, size: int = 1000) -> list[bytes]:
    return [f"{number:>{size - 1}}\n".encode() for number in range(count)]


def entry(text: str) -> Entry:
    return Entry("Аня", "session", None, None, text, 1.0)


def is_full(writer: Writer, connection: Connection) -> bool:
    return connection in writer._backlogs


class CountingTransport(Transport):
    """A socket that counts how often something is sent."""

    sends = 0

    def send(self, data: bytes | memoryview) -> int:
        self.sends += 1
        return super().send(data)


class GatedTransport(Transport):
    """A socket whose first send takes as long as the test wants."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.entered = threading.Event()
        self.gate = threading.Event()

    def send(self, data: bytes | memoryview) -> int:
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        return super().send(data)


class BrokenTransport(Transport):
    """A socket that cannot be written to, for a reason that nobody has thought of."""

    error: Exception = ZeroDivisionError("nobody has thought of it")

    def send(self, data: bytes | memoryview) -> int:
        raise self.error

    def end(self) -> None:
        raise self.error


class HeldUp:
    """A writer whose thread waits in the middle of a round, and goes on when the block ends.

    All that is posted in the block is in the next round.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._connected = connected(writer, transport=GatedTransport)

    def __enter__(self) -> None:
        self._connection, _peer = self._connected.__enter__()
        assert isinstance(self._connection.transport, GatedTransport)
        self._writer.post(b"\n", self._connection)
        self._writer.ring()
        assert self._connection.transport.entered.wait(PATIENCE)

    def __exit__(self, *exception: object) -> None:
        assert isinstance(self._connection.transport, GatedTransport)
        self._connection.transport.gate.set()
        self._connected.__exit__(None, None, None)


# Sending


def test_a_frame_is_sent_after_ringing(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        writer.post(b"one\n", connection)
        writer.ring()
        assert peer.recv(100) == b"one\n"


def test_what_is_posted_before_the_writer_is_open_waits_for_it() -> None:
    accepted, peer = tcp_pair()
    connection, writer = Connection(Transport(accepted)), Writer(Limits())
    with peer:
        writer.post(b"early\n", connection)
        writer.ring()
        writer.open()
        assert peer.recv(100) == b"early\n"
        writer.close(connection)
    writer.end()


def test_what_gathers_goes_to_each_in_one_send_and_in_order(writer: Writer) -> None:
    with ExitStack() as stack:
        ends = [
            stack.enter_context(connected(writer, transport=CountingTransport)) for _ in range(3)
        ]
        with HeldUp(writer):
            for connection, _peer in ends:
                writer.enter(connection)
            for number, frame in enumerate(frames(99)):
                author = ends[number % 3][0]  # as when three talk at once
                writer.post(frame, author=author, ack=b"ack %d\n" % number)
        for position, (connection, peer) in enumerate(ends):
            expected = b"".join(
                b"ack %d\n" % number if number % 3 == position else frame
                for number, frame in enumerate(frames(99))
            )
            assert read_exactly(peer, len(expected)) == expected
            assert isinstance(connection.transport, CountingTransport)
            assert connection.transport.sends == 1


def test_flush_with_nothing_to_send(writer: Writer) -> None:
    assert writer.flush(PATIENCE)


def test_one_frame_for_many(writer: Writer) -> None:
    with audience(writer, 20) as ends:
        writer.post(b"to all\n")
        writer.ring()
        for _connection, peer in ends:
            assert peer.recv(100) == b"to all\n"


# Who hears what


def test_who_enters_and_leaves_in_the_middle_of_a_round_hears_what_was_posted_between(
    writer: Writer,
) -> None:
    with connected(writer) as (connection, peer), audience(writer, 1) as [(_other, listener)]:
        with HeldUp(writer):
            writer.post(b"before\n")
            writer.post(b"welcome\n", connection)
            writer.enter(connection)
            writer.post(b"between\n")
            writer.leave(connection)
            writer.post(b"after\n")
            writer.post(b"goodbye\n", connection)
        assert read_exactly(peer, 24) == b"welcome\nbetween\ngoodbye\n"
        assert read_exactly(listener, 21) == b"before\nbetween\nafter\n"
        writer.finish(connection)
        flush(writer)
        assert peer.recv(100) == b""


def test_an_acknowledgement_stands_where_the_message_was_left_out(writer: Writer) -> None:
    with audience(writer, 2) as [(author, own), (_other, listener)]:
        with HeldUp(writer):
            writer.post(b"1\n")
            writer.post(b"2\n", author=author, ack=b"ack 2\n")
            writer.post(b"3\n")
        assert read_exactly(own, 10) == b"1\nack 2\n3\n"
        assert read_exactly(listener, 6) == b"1\n2\n3\n"


ACTIONS = st.one_of(
    st.tuples(st.just("all"), st.none() | st.integers(0, 3)),
    st.tuples(st.sampled_from(["one", "enter", "leave", "finish"]), st.integers(0, 3)),
    st.tuples(st.just("next round"), st.none()),
)


@settings(max_examples=60)
@example([("finish", 0), ("enter", 0), ("all", None)])
@given(st.lists(ACTIONS, min_size=1, max_size=25))
def test_everybody_gets_what_was_posted_to_them_and_nothing_else(
    actions: list[tuple[str, int | None]],
) -> None:
    """In one round or in several, whoever enters, leaves and is left out."""
    with writing() as writer, ExitStack() as stack:
        ends = [stack.enter_context(connected(writer)) for _ in range(4)]
        expected = [b""] * 4
        hearing, ended = [False] * 4, [False] * 4
        held = HeldUp(writer)
        held.__enter__()
        for number, (action, who) in enumerate(actions):
            frame = b"%d\n" % number
            if action == "next round":
                held.__exit__()
                flush(writer)
                held = HeldUp(writer)
                held.__enter__()
            elif action == "all":
                author = None if who is None else ends[who][0]
                writer.post(frame, author=author, ack=b"ack\n")
                for place in range(4):
                    if place == who:
                        expected[place] += b"" if ended[place] else b"ack\n"
                    elif hearing[place] and not ended[place]:
                        expected[place] += frame
            elif who is not None:
                connection = ends[who][0]
                if action == "one":
                    writer.post(frame, connection)
                    expected[who] += b"" if ended[who] else frame
                elif action == "finish":
                    writer.finish(connection)
                    ended[who] = True
                else:
                    {"enter": writer.enter, "leave": writer.leave}[action](connection)
                    hearing[who] = action == "enter"
        for connection, _peer in ends:
            writer.finish(connection)
        held.__exit__()
        assert [read_to_end(peer) for _connection, peer in ends] == expected


# Full sockets


def test_a_full_socket_gets_the_rest_when_it_can_take_it(writer: Writer) -> None:
    whole = b"".join(frames(MUCH // 1000))
    with connected(writer, small=True) as (connection, peer):
        writer.post(whole, connection)
        flush(writer)
        assert is_full(writer, connection)
        assert read_exactly(peer, len(whole)) == whole
        eventually(lambda: not is_full(writer, connection))
        writer.post(b"more\n", connection)
        writer.ring()
        assert read_exactly(peer, 5) == b"more\n"


def test_order_is_kept_while_the_socket_is_now_full_and_now_not(writer: Writer) -> None:
    sent = frames(20_000, size=100)
    with connected(writer, small=True) as (connection, peer), ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_exactly, peer, 100 * len(sent))
        for frame in sent:
            writer.post(frame, connection)
            writer.ring()
        assert reading.result(PATIENCE) == b"".join(sent)


def test_who_does_not_read_does_not_delay_others(writer: Writer) -> None:
    sent = frames(MUCH // 1000)
    with (
        audience(writer, 1, small=True) as [(stalled, _unread)],
        audience(writer, 1, small=True) as [(_lively, peer)],
        ThreadPoolExecutor(1) as pool,
    ):
        reading = pool.submit(read_exactly, peer, 1000 * len(sent))
        for frame in sent:
            writer.post(frame)
            writer.ring()
        assert reading.result(PATIENCE) == b"".join(sent)
        assert is_full(writer, stalled)
        assert stalled.close_reason is None


def fill(writer: Writer, connection: Connection) -> None:
    """Make the socket of *connection* full, with something waiting for it."""
    while not is_full(writer, connection):
        writer.post(b"x" * 65535 + b"\n", connection)
        flush(writer)


def test_a_reader_too_slow_is_given_up_when_too_many_bytes_wait() -> None:
    with (
        writing(queue_bytes=200_000) as writer,
        connected(writer, small=True) as (connection, _unread),
        ThreadPoolExecutor(1) as pool,
    ):
        fill(writer, connection)
        waiting = pool.submit(connection.receive)
        while len(writer._backlogs[connection].data) + 1000 <= 200_000:
            writer.post(b"x" * 999 + b"\n", connection)
            flush(writer)
            assert connection.close_reason is None
        writer.post(b"x" * 999 + b"\n", connection)
        flush(writer)
        assert waiting.result(PATIENCE) == b""  # its reader is woken
        assert connection.close_reason == "slow"
        assert not is_full(writer, connection)
        writer.post(b"never\n", connection)
        flush(writer)
        assert not is_full(writer, connection)


def test_a_reader_too_slow_is_given_up_when_too_many_frames_wait() -> None:
    with (
        writing(queue_frames=10) as writer,
        connected(writer, small=True) as (connection, _unread),
    ):
        fill(writer, connection)
        while writer._backlogs[connection].frames < 10:
            writer.post(b"\n", connection)
            flush(writer)
            assert connection.close_reason is None
        writer.post(b"\n", connection)
        flush(writer)
        assert connection.receive() == b""
        assert connection.close_reason == "slow"


def test_when_too_much_waits_for_all_together_who_has_most_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bound for each alone would be no bound of the memory."""
    monkeypatch.setattr(Limits, "queues_bytes", 400_000)
    with (
        writing() as writer,
        connected(writer, small=True) as (one, _unread),
        connected(writer, small=True) as (other, _unread_too),
    ):
        for connection in (one, other):
            fill(writer, connection)
        while len(writer._backlogs[one].data) < 250_000:
            writer.post(b"x" * 999 + b"\n", one)
            flush(writer)
        while one.close_reason is None and len(writer._backlogs[other].data) < 250_000:
            writer.post(b"x" * 999 + b"\n", other)
            flush(writer)
        assert one.close_reason == "slow"
        assert other.close_reason is None
        assert is_full(writer, other)
        assert not is_full(writer, one)


def test_who_reads_slowly_but_reads_is_kept() -> None:
    """What counts is what waits, not what has been sent in all."""
    sent = frames(5_000)
    with (
        writing(queue_bytes=200_000, queue_frames=200) as writer,
        connected(writer, small=True) as (connection, peer),
    ):
        for start in range(0, len(sent), 100):
            for frame in sent[start : start + 100]:
                writer.post(frame, connection)
            flush(writer)
            assert read_exactly(peer, 100_000) == b"".join(sent[start : start + 100])
        assert connection.close_reason is None


def test_what_a_slow_reader_got_is_the_beginning_of_what_was_sent() -> None:
    with (
        writing(queue_bytes=100_000) as writer,
        connected(writer, small=True) as (connection, peer),
    ):
        sent = frames(10_000)
        for frame in sent:
            writer.post(frame, connection)
            flush(writer)
        assert connection.close_reason == "slow"
        got = read_to_end(peer)
        assert got
        assert b"".join(sent).startswith(got)


# The end of a connection


def test_finish_sends_everything_and_then_fin(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        writer.post(b"goodbye\n", connection)
        writer.finish(connection)
        writer.post(b"too late\n", connection)
        writer.ring()
        assert read_to_end(peer) == b"goodbye\n"
        peer.close()
        connection.linger(Deadline(PATIENCE))
        assert connection.flushed


def test_finish_of_an_idle_connection_is_a_fin(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        writer.finish(connection)
        writer.ring()
        assert read_to_end(peer) == b""
        peer.sendall(b"the other direction is still open")
        assert connection.receive(PATIENCE) == b"the other direction is still open"


def test_finish_of_a_full_socket_sends_everything_and_then_fin(writer: Writer) -> None:
    whole = b"".join(frames(MUCH // 1000))
    with connected(writer, small=True) as (connection, peer):
        writer.post(whole, connection)
        flush(writer)
        assert is_full(writer, connection)
        writer.finish(connection)
        flush(writer)
        assert not connection.flushed
        writer.post(b"too late\n", connection)
        assert read_to_end(peer) == whole
        connection.wait_flushed(PATIENCE)
        assert connection.flushed


def test_a_peer_that_has_gone_is_lost_and_its_reader_wakes(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        peer.close()
        while connection.close_reason is None:  # the first send is answered by a reset
            writer.post(b"x\n", connection)
            flush(writer)
        assert connection.close_reason == "lost"
        assert connection.receive() == b""


def test_a_peer_that_goes_while_its_socket_is_full_is_lost(writer: Writer) -> None:
    with connected(writer, small=True) as (connection, peer):
        fill(writer, connection)
        peer.close()
        eventually(lambda: connection.close_reason == "lost")
        eventually(lambda: not is_full(writer, connection))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("order", list(permutations(["post", "finish", "abort", "close"])))
def test_the_ends_of_a_connection_in_every_order(
    writer: Writer, order: tuple[str, ...], *, together: bool, full: bool
) -> None:
    """In one round or each in its own: the beginning is sent, the socket closed, nothing left."""
    with connected(writer, small=full) as (connection, peer):
        descriptor = connection.transport.fileno()
        writer.enter(connection)
        flush(writer)
        if full:
            fill(writer, connection)
        for step in order:
            if step == "post":
                writer.post(b"last\n")
                writer.post(b"words\n", connection)
            elif step == "finish":
                writer.finish(connection)
            elif step == "abort":
                writer.abort(connection, "slow")
            elif not together:
                writer.close(connection)
            if not together:
                flush(writer)
        writer.close(connection)
        assert connection.state is State.CLOSED
        assert connection.flushed
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
        got = read_to_end(peer).lstrip(b"x\n") if not full else b""
        assert b"last\nwords\n".startswith(got)
        if not full and together and order[0] == "post":
            assert got == b"last\nwords\n"


def test_a_descriptor_is_not_closed_under_the_thread_that_sends(writer: Writer) -> None:
    """Its number could be another connection's before ``send`` gets to use it."""
    with (
        connected(writer, transport=GatedTransport) as (connection, _peer),
        ThreadPoolExecutor(1) as pool,
    ):
        transport = connection.transport
        assert isinstance(transport, GatedTransport)
        descriptor = transport.fileno()
        writer.post(b"one\n", connection)
        writer.ring()
        assert transport.entered.wait(PATIENCE)
        writer.abort(connection, "lost")
        closing = pool.submit(writer.close, connection)
        eventually(lambda: len(writer._posted) == 3)  # abort, close, and whom to wake then
        assert os.fstat(descriptor)
        transport.gate.set()
        closing.result(PATIENCE)
        assert transport.fileno() == -1


def test_posting_to_a_closed_connection_does_nothing(writer: Writer) -> None:
    with connected(writer) as (connection, _peer):
        pass
    writer.enter(connection)
    writer.post(b"nobody\n", connection)
    writer.post(b"nobody\n")
    writer.finish(connection)
    flush(writer)
    writer.leave(connection)
    flush(writer)


# What goes wrong


@pytest.mark.parametrize("error", [ZeroDivisionError(), MemoryError(), OSError(errno.EPIPE, "")])
def test_an_error_of_one_connection_is_the_end_of_that_one_alone(
    writer: Writer, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BrokenTransport, "error", error)
    with (
        connected(writer, transport=BrokenTransport) as (broken, broken_peer),
        connected(writer, transport=BrokenTransport) as (finished, finished_peer),
        audience(writer, 2) as ends,
    ):
        writer.enter(broken)
        writer.finish(finished)
        writer.post(b"all the same\n")
        writer.ring()
        for _connection, peer in ends:
            assert peer.recv(100) == b"all the same\n"
        for connection, peer in ((broken, broken_peer), (finished, finished_peer)):
            assert read_to_end(peer) == b""
            assert connection.close_reason == "lost"
            assert connection.receive() == b""
            connection.wait_flushed(PATIENCE)
            assert connection.flushed


def test_after_a_round_that_failed_nobody_stays_who_has_missed_something(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the audience, nor who was to get a frame alone, nor who was to enter."""
    distribute = Writer._distribute
    failures = [MemoryError()]

    def fail_once(self: Writer, posted: Sequence[object]) -> None:
        if failures:
            raise failures.pop()
        distribute(self, posted)  # type: ignore[arg-type]

    with (
        audience(writer, 2) as ends,
        connected(writer) as alone,
        connected(writer) as newcomer,
        connected(writer) as bystander,
    ):
        flush(writer)
        with HeldUp(writer):
            monkeypatch.setattr(Writer, "_distribute", fail_once)
            writer.post(b"lost to all\n")
            writer.post(b"lost to one\n", alone[0])
            writer.enter(newcomer[0])
        flush(writer)
        for connection, peer in [*ends, alone, newcomer]:
            assert connection.close_reason == "lost"
            assert read_to_end(peer) == b""
        writer.post(b"life goes on\n", bystander[0])
        writer.ring()
        assert bystander[1].recv(100) == b"life goes on\n"


def test_after_a_round_that_failed_those_who_wait_for_it_are_woken() -> None:
    def fail(_entries: Sequence[Entry]) -> None:
        raise ZeroDivisionError

    with writing(fail) as writer, audience(writer, 1) as [(connection, peer)]:
        writer.post(b"never delivered\n", entry=entry("раз"))
        assert writer.flush(PATIENCE)
        assert read_to_end(peer) == b""
        assert connection.close_reason == "lost"


# The log


def test_the_log_is_committed_once_for_a_round_and_before_anybody_hears() -> None:
    committing, go_on = threading.Event(), threading.Event()
    committed: list[list[str]] = []

    def commit(entries: Sequence[Entry]) -> None:
        committed.append([one.text for one in entries])
        committing.set()
        assert go_on.wait(PATIENCE)

    with writing(commit) as writer, audience(writer, 1) as [(connection, peer)]:
        flush(writer)
        with HeldUp(writer):
            first, second = entry("раз"), entry("два")
            writer.post(b"1\n", entry=first)
            writer.post(b"to one\n", connection, entry=second)
            writer.post(b"no message\n")
            releasing = threading.Thread(target=committing.wait, args=[PATIENCE])
            releasing.start()
            peer.setblocking(False)
            threading.Thread(target=_release_when_quiet, args=(peer, committing, go_on)).start()
        releasing.join()
        peer.settimeout(PATIENCE)
        assert read_exactly(peer, 20) == b"1\nto one\nno message\n"
        assert committed == [["раз", "два"]]


def _release_when_quiet(
    peer: socket.socket, committing: threading.Event, go_on: threading.Event
) -> None:
    """Let the commit end, if nobody has heard anything by then."""
    assert committing.wait(PATIENCE)
    with selectors.DefaultSelector() as selector:
        selector.register(peer, selectors.EVENT_READ)
        if not selector.select(0.05):
            go_on.set()


def test_without_anything_to_commit_the_log_is_left_alone() -> None:
    def refuse(_entries: Sequence[Entry]) -> None:
        raise AssertionError

    with writing(refuse) as writer, audience(writer, 1) as [(connection, peer)]:
        writer.post(b"joined\n")
        writer.ring()
        assert peer.recv(100) == b"joined\n"
        flush(writer)
        assert connection.state is State.OPEN


def test_what_the_log_has_lost_is_neither_delivered_nor_acknowledged() -> None:
    def lose_the_second(entries: Sequence[Entry]) -> None:
        for one in entries:
            one.lost = one.text == "два"

    with writing(lose_the_second) as writer, audience(writer, 2) as ends:
        (author, own), (_other, listener) = ends
        with HeldUp(writer):
            for number, text in enumerate(["раз", "два", "три"]):
                said = entry(text)
                ack = b"ack %d\n" % number
                writer.post(b"%d\n" % number, author=author, entry=said, ack=ack)
        assert read_exactly(own, 12) == b"ack 0\nack 2\n"
        assert read_exactly(listener, 4) == b"0\n2\n"
        flush(writer)
        writer.post(b"end\n")
        writer.ring()
        assert own.recv(100) == listener.recv(100) == b"end\n"


# Waiting for the writer


def test_whoever_posts_while_the_writer_is_busy_need_not_wait(writer: Writer) -> None:
    with connected(writer) as (connection, peer):
        with HeldUp(writer):
            writer.post(b"two\n", connection)
            writer.ring()  # returns, although the writer is in send
            assert not writer.behind
        assert peer.recv(100) == b"two\n"


def test_a_reader_waits_when_too_much_is_posted_and_is_woken() -> None:
    with (
        writing(pending_frames=10) as writer,
        connected(writer) as (connection, peer),
        ThreadPoolExecutor(1) as pool,
    ):
        threads: list[threading.Thread] = []

        def wait() -> None:
            threads.append(threading.current_thread())
            assert writer.flush(PATIENCE)

        with HeldUp(writer):
            for _ in range(10):
                writer.post(b"x", connection)
            assert not writer.behind
            writer.post(b"x", connection)
            assert writer.behind
            waiting = pool.submit(wait)
            eventually(lambda: threads and stands_in(threads[0], "flush"))
            assert not waiting.done()
        waiting.result(PATIENCE / 2)
        assert not writer.behind
        assert read_exactly(peer, 11) == b"x" * 11


def test_nobody_waits_longer_than_they_said(writer: Writer) -> None:
    with HeldUp(writer):
        for _ in range(Limits.pending_frames + 1):
            writer.post(b"x")
        assert not writer.flush(0.01)
        assert writer.behind


def test_who_flushes_is_woken_when_all_that_was_posted_before_is_sent(writer: Writer) -> None:
    with connected(writer) as (connection, peer), ThreadPoolExecutor(1) as pool:
        with HeldUp(writer):
            writer.post(b"x", connection)
            flushing = pool.submit(writer.flush, PATIENCE)
            eventually(lambda: len(writer._posted) == 2)
            assert not flushing.done()
        assert flushing.result(PATIENCE)
        peer.setblocking(False)
        assert peer.recv(100) == b"x"


# Beginning and end


def test_the_writer_ends_when_all_that_was_posted_is_done() -> None:
    accepted, peer = tcp_pair()
    with peer:
        with writing() as writer:
            connection = Connection(Transport(accepted))
            writer.post(b"goodbye\n", connection)
            writer.close(connection)
            [thread] = [one for one in threading.enumerate() if one is writer._thread]
        assert not thread.is_alive()
        assert read_to_end(peer) == b"goodbye\n"


def test_a_writer_that_was_never_opened_ends_at_once() -> None:
    Writer(Limits()).end()


def test_closing_a_connection_after_the_writer_has_ended() -> None:
    accepted, peer = tcp_pair()
    connection, writer = Connection(Transport(accepted)), Writer(Limits())
    writer.open()
    writer.end()
    with peer:
        writer.close(connection)
        assert read_to_end(peer) == b""
        assert connection.state is State.CLOSED


def test_ending_twice() -> None:
    with writing() as writer:
        writer.end()


@pytest.mark.parametrize("what", ["waker", "selector", "thread"])
def test_a_writer_that_cannot_be_opened_leaves_nothing(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left would be found by the fixture of all tests."""
    error: Exception = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if what == "thread":
        error = RuntimeError("can't start new thread")

    def fail(*_arguments: object) -> None:
        raise error

    owner, name = {
        "waker": (Waker, "__init__"),
        "selector": (selectors, "DefaultSelector"),
        "thread": (threading.Thread, "start"),
    }[what]
    writer = Writer(Limits())
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail)
        with pytest.raises(type(error)):
            writer.open()
    writer.end()


def test_no_thread_is_started_for_a_full_socket(writer: Writer) -> None:
    before = set(threading.enumerate())
    with connected(writer, small=True) as (connection, _unread):
        fill(writer, connection)
        assert set(threading.enumerate()) == before
