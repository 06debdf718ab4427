"""Many threads, many connections, tiny buffers: every frame once, everywhere in one order."""

import random
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chat.core.connection import Connection, Transport
from tests.connection.pairs import audience, read_exactly, read_to_end, tcp_pair, writing
from tests.wire import PATIENCE


@pytest.fixture(autouse=True)
def threads_change_often() -> Iterator[None]:
    """Give the threads every chance to get into each other's way."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def test_every_receiver_gets_every_frame_once_and_in_one_common_order() -> None:
    posters, posts, receivers = 6, 250, 6
    sizes = random.Random(1)
    posted = [
        [f"{poster} {number} {'x' * sizes.randrange(600)}\n".encode() for number in range(posts)]
        for poster in range(posters)
    ]
    total = sum(len(frame) for frames in posted for frame in frames)
    with (
        writing(queue_bytes=total, queue_frames=posters * posts) as writer,
        audience(writer, receivers, small=True) as ends,
        ThreadPoolExecutor(posters + receivers) as pool,
    ):
        start = threading.Barrier(posters)

        def talk(frames: list[bytes]) -> None:
            start.wait(PATIENCE)
            for frame in frames:
                writer.post(frame)
                writer.ring()

        readings = [pool.submit(read_exactly, peer, total) for _connection, peer in ends]
        talks = [pool.submit(talk, frames) for frames in posted]
        for talking in talks:
            talking.result(30)
        heard = [reading.result(30).splitlines(keepends=True) for reading in readings]
    assert all(one == heard[0] for one in heard)
    assert sorted(heard[0]) == sorted(frame for frames in posted for frame in frames)
    for poster, frames in enumerate(posted):
        assert [line for line in heard[0] if line.startswith(b"%d " % poster)] == frames


def test_no_connection_gets_the_bytes_of_another_although_descriptors_are_used_again() -> None:
    """Connections come and go while threads post to them: a closed number is soon somebody else."""
    rounds, posters = 150, 3
    with writing() as writer, ThreadPoolExecutor(posters + 1) as pool:
        current: list[tuple[Connection, bytes]] = []
        over = threading.Event()

        def talk() -> None:
            while not over.is_set():
                for connection, frame in list(current):
                    writer.post(frame, connection)
                    writer.ring()
                    if writer.behind:
                        writer.flush(PATIENCE)

        def check(peer: socket.socket, frame: bytes) -> None:
            with peer:
                got = read_to_end(peer)
            assert (frame * (len(got) // len(frame) + 1)).startswith(got)

        talks = [pool.submit(talk) for _ in range(posters)]
        try:
            checks = []
            for number in range(rounds):
                accepted, peer = tcp_pair(small=True)
                connection = Connection(Transport(accepted))
                current.append((connection, f"{number:>4} {'x' * 2000}\n".encode()))
                checks.append(pool.submit(check, peer, current[-1][1]))
                if len(current) > 3:
                    oldest, _frame = current.pop(0)
                    writer.close(oldest)
            for connection, _frame in current:
                writer.close(connection)
            for checking in checks:
                checking.result(30)
        finally:
            over.set()
        for talking in talks:
            talking.result(30)
