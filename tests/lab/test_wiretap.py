"""The tap passes every byte, records it, and damages traffic in exactly the way it was told."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import pairwise

import pytest

from chat.core.server import ChatServer
from chat.lab.background import RecordingClient
from chat.lab.waiting import wait_until
from chat.lab.wiretap import HIGH_WATER, Direction, Kind, Record, Stage, Wiretap

TO_SERVER, TO_CLIENT = Direction.TO_SERVER, Direction.TO_CLIENT


@contextmanager
def tapped() -> Iterator[tuple[Wiretap, socket.socket, socket.socket]]:
    """A tap with one connection through it: the tap, the client's end, the server's end."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        tap = stack.enter_context(Wiretap(listener.getsockname()))
        client = stack.enter_context(socket.create_connection(tap.address, timeout=5))
        server, _address = listener.accept()
        stack.enter_context(server)
        server.settimeout(5)
        yield tap, client, server


def read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        assert chunk, f"the end after {len(data)} of {count} bytes"
        data += chunk
    return data


def send_until_full(sock: socket.socket, quiet: float = 0.3) -> int:
    """Send until the kernel takes nothing for *quiet* seconds; return how many bytes it took."""
    sent, block = 0, bytes(65536)
    sock.settimeout(quiet)
    with suppress(TimeoutError):
        while sent < 256 << 20:
            sent += sock.send(block)
    assert sent < 256 << 20, "no backpressure at all"
    return sent


def kinds(tap: Wiretap, direction: Direction, stage: Stage) -> list[Kind]:
    return [
        record.kind
        for record in tap.records
        if (record.direction, record.stage) == (direction, stage)
    ]


PATTERN = bytes(range(256)) * 4096  # a megabyte in which no shift goes unnoticed


def test_bytes_pass_both_ways_and_are_recorded() -> None:
    with tapped() as (tap, client, server):
        before = time.monotonic()
        client.sendall("Привет".encode())
        assert read(server, 12) == "Привет".encode()
        server.sendall(b"ok")
        assert read(client, 2) == b"ok"
        tap.wait_for(lambda records: len(records) == 6)
        seen = [(r.connection, r.direction, r.stage, r.kind, r.data) for r in tap.records]
        assert seen == [
            (1, TO_SERVER, Stage.IN, Kind.OPEN, b""),
            (1, TO_SERVER, Stage.OUT, Kind.OPEN, b""),
            (1, TO_SERVER, Stage.IN, Kind.DATA, "Привет".encode()),
            (1, TO_SERVER, Stage.OUT, Kind.DATA, "Привет".encode()),
            (1, TO_CLIENT, Stage.IN, Kind.DATA, b"ok"),
            (1, TO_CLIENT, Stage.OUT, Kind.DATA, b"ok"),
        ]
        times = [record.time for record in tap.records]
        assert times == sorted(times)
        assert before <= times[2] <= times[-1] <= time.monotonic()


def test_a_megabyte_passes_byte_for_byte() -> None:
    with tapped() as (tap, client, server):
        client.settimeout(0)  # no second thread: send what goes, read what came
        received, rest = b"", PATTERN
        while len(received) < len(PATTERN):
            if rest:
                with suppress(BlockingIOError):
                    rest = rest[client.send(rest) :]
            received += server.recv(65536)
        assert received == PATTERN
        assert tap.stream(TO_SERVER, stage=Stage.IN) == tap.stream(TO_SERVER) == PATTERN


def test_split_sends_pieces_of_n_bytes() -> None:
    with tapped() as (tap, client, server):
        tap.split(3)
        client.sendall("Жук".encode() + b"!")
        assert read(server, 7) == "Жук".encode() + b"!"
        assert [len(chunk) for chunk in tap.chunks(TO_SERVER)] == [3, 3, 1]
        server.sendall(b"12345")
        assert read(client, 5) == b"12345"
        assert tap.chunks(TO_CLIENT) == [b"123", b"45"]


def test_split_pieces_arrive_one_by_one_with_a_gap() -> None:
    with tapped() as (tap, client, server):
        tap.split(1, gap=0.05, direction=TO_SERVER)
        client.sendall(b"abc")
        read(server, 3)
        out = [r.time for r in tap.records if r.stage is Stage.OUT and r.kind is Kind.DATA]
        assert all(later - earlier >= 0.05 for earlier, later in pairwise(out))


def test_split_can_be_switched_in_the_middle() -> None:
    with tapped() as (tap, client, server):
        client.sendall(b"whole")
        assert read(server, 5) == b"whole"
        tap.split(2)
        client.sendall(b"torn")
        assert read(server, 4) == b"torn"
        tap.heal()
        client.sendall(b"whole")
        assert read(server, 5) == b"whole"
        assert tap.chunks(TO_SERVER) == [b"whole", b"to", b"rn", b"whole"]
    with pytest.raises(ValueError, match="at least one byte"):
        tap.split(0)


def test_merge_gathers_until_it_is_quiet() -> None:
    with tapped() as (tap, client, server):
        tap.merge(quiet=0.2, direction=TO_SERVER)
        for number, piece in enumerate([b"one ", b"two ", b"three"], start=1):
            client.sendall(piece)
            # Each is its own chunk on the way in.
            tap.wait_for(lambda records, n=number: data_in(records) == n)  # type: ignore[misc]
        assert read(server, 13) == b"one two three"
        assert tap.chunks(TO_SERVER, stage=Stage.IN) == [b"one ", b"two ", b"three"]
        assert tap.chunks(TO_SERVER) == [b"one two three"]


def data_in(records: list[Record]) -> int:
    return sum(record.kind is Kind.DATA and record.stage is Stage.IN for record in records)


def test_merge_gathers_until_there_is_enough() -> None:
    with tapped() as (tap, client, server):
        tap.merge(quiet=60, size=6)
        client.sendall(b"abc")
        tap.wait_for(lambda records: data_in(records) == 1)
        assert tap.chunks(TO_SERVER) == []
        client.sendall(b"def")
        assert read(server, 6) == b"abcdef"
        assert tap.chunks(TO_SERVER) == [b"abcdef"]
        client.sendall(b"g")
        client.shutdown(socket.SHUT_WR)  # nothing more can come, so it is not waited for
        assert read(server, 1) == b"g"
        assert server.recv(1) == b""


def test_merge_does_not_gather_without_bounds() -> None:
    with tapped() as (tap, client, server):
        tap.merge(quiet=0.05)
        client.sendall(bytes(HIGH_WATER + 1))
        assert len(read(server, HIGH_WATER + 1)) == HIGH_WATER + 1


def test_delay_is_latency_and_not_a_narrow_pipe() -> None:
    with tapped() as (tap, client, server):
        tap.delay(0.2, direction=TO_SERVER)
        for number in range(5):
            client.sendall(b"%d" % number)
            tap.wait_for(lambda records, n=number: data_in(records) == n + 1)  # type: ignore[misc]
        assert read(server, 5) == b"01234"
        data = [r for r in tap.records if r.kind is Kind.DATA]
        came = [r.time for r in data if r.stage is Stage.IN]
        went = [r.time for r in data if r.stage is Stage.OUT]
        assert all(out - into >= 0.2 for into, out in zip(came, went, strict=True))
        assert went[-1] - came[0] < 5 * 0.2  # held back side by side, not one after another
        server.sendall(b"at once")
        assert read(client, 7) == b"at once"


def test_heal_lets_go_what_was_held_back() -> None:
    with tapped() as (tap, client, server):
        tap.delay(60)
        client.sendall(b"held")
        tap.wait_for(lambda records: data_in(records) == 1)
        tap.heal()
        assert read(server, 4) == b"held"


def test_stall_lets_nothing_through_until_healed() -> None:
    with tapped() as (tap, client, server):
        tap.stall(direction=TO_SERVER)
        client.sendall(b"stuck")
        server.sendall(b"passes")
        assert read(client, 6) == b"passes"
        assert tap.stream(TO_SERVER, stage=Stage.IN) == b""
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.recv(1)
        server.settimeout(5)
        tap.heal()
        assert read(server, 5) == b"stuck"


def test_backpressure_passes_through() -> None:
    """Nobody reads at the far end: the client can send no more, the tap holds a bounded part."""
    with tapped() as (tap, client, server):
        sent = send_until_full(client)
        inside = len(tap.stream(TO_SERVER, stage=Stage.IN)) - len(tap.stream(TO_SERVER))
        assert 0 < inside <= HIGH_WATER + 65536
        # And it ends: whoever reads gets all of it.
        client.shutdown(socket.SHUT_WR)
        received = 0
        while data := server.recv(1 << 20):
            received += len(data)
        assert received == sent


def test_cut_ends_both_sides() -> None:
    with tapped() as (tap, client, server):
        tap.cut()
        assert client.recv(1) == b""
        assert server.recv(1) == b""
        assert kinds(tap, TO_SERVER, Stage.OUT)[-1] is Kind.CUT
        assert kinds(tap, TO_CLIENT, Stage.OUT)[-1] is Kind.CUT


def test_reset_resets_both_sides() -> None:
    with tapped() as (tap, client, server):
        tap.reset()
        for sock in (client, server):
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        assert kinds(tap, TO_CLIENT, Stage.OUT)[-1] is Kind.RESET


def test_one_connection_of_two_is_cut() -> None:
    with ChatServer() as server, Wiretap(server.address) as tap, ExitStack() as stack:
        first = stack.enter_context(RecordingClient(tap.address, "Аня"))
        second = stack.enter_context(RecordingClient(tap.address, "Боря"))
        first.wait_for("joined", nick="Боря")
        tap.cut(connection=2)
        first.wait_for("left", nick="Боря", reason="lost")
        second.wait_for("closed")
        first.request_users()
        assert first.wait_for("users")["users"] == []


def test_half_close_passes_through() -> None:
    with tapped() as (tap, client, server):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read(server, 8) == b"question"
        assert server.recv(1) == b""
        server.sendall(b"answer")  # this direction is still open
        assert read(client, 6) == b"answer"
        server.close()
        assert client.recv(1) == b""
        assert kinds(tap, TO_SERVER, Stage.IN)[-1] is Kind.END
        assert kinds(tap, TO_CLIENT, Stage.OUT)[-1] is Kind.END


def test_a_reset_by_the_client_passes_through() -> None:
    with tapped() as (tap, client, server):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
        with pytest.raises(ConnectionResetError):
            server.recv(1)
        tail = [(r.direction, r.stage, r.kind) for r in tap.records[-2:]]
        assert tail == [(TO_SERVER, Stage.IN, Kind.RESET), (TO_SERVER, Stage.OUT, Kind.RESET)]


def test_a_refused_connection_is_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with Wiretap(address) as tap:
        with (
            pytest.raises(ConnectionResetError),  # while connecting, if it comes as fast as that
            socket.create_connection(tap.address, timeout=5) as client,
        ):
            client.recv(1)
        assert kinds(tap, TO_CLIENT, Stage.IN) == [Kind.RESET]


def test_the_chat_works_through_every_damage() -> None:
    """One byte at a time, merged, late: what arrives is the same messages."""
    with ChatServer() as server, Wiretap(server.address) as tap, ExitStack() as stack:
        tap.split(1)
        anya = stack.enter_context(RecordingClient(tap.address, "Аня"))
        borya = stack.enter_context(RecordingClient(tap.address, "Боря"))
        damages: list[Callable[[], None]] = [
            partial(tap.split, 1),
            partial(tap.merge, quiet=0.05),
            partial(tap.delay, 0.02),
        ]
        for damage in damages:
            tap.heal()
            damage()
            for text in ("Жук", "🦊", "тест " * 50):
                anya.say(text)
                assert borya.wait_for("message")["text"] == text


def test_closing_leaves_nothing_even_when_everything_is_stuck() -> None:
    with tapped() as (tap, client, server):
        send_until_full(client)
        tap.stall()
        server.sendall(b"never seen")
    assert server.fileno() == -1


def test_damage_after_the_block_is_refused() -> None:
    with tapped() as (tap, _client, _server):
        pass
    with pytest.raises(RuntimeError, match="with block"):
        tap.cut()


def test_wait_for_gives_up_and_tells_what_there_was() -> None:
    with tapped() as (tap, _client, _server):
        tap.wait_for(lambda records: len(records) == 2)
        with pytest.raises(TimeoutError, match=r"Record\("):
            tap.wait_for(lambda records: len(records) == 3, timeout=0.05)


def test_waiting_for_a_state_of_the_system() -> None:
    with tapped() as (_tap, client, server):
        client.sendall(b"x")
        wait_until(lambda: server.recv(1, socket.MSG_PEEK) == b"x")
