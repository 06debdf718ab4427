"""Nobody can exhaust the server: strangers do their worst, and two others go on chatting.

The server is a process of its own, so that its memory can be measured.
"""

import contextlib
import itertools
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from chat.lab.faults import ServerProcess
from tests.protocol.test_bad_frames import BAD
from tests.wire import PATIENCE, Wire, eventually

MEGABYTE = 1024 * 1024
MOST_GROWTH = 24 * MEGABYTE
"""What the server's memory may grow by, in bytes, whatever a stranger does."""

CHUNK = b"x" * MEGABYTE
NUMBERS = itertools.count(1)


class Bystanders:
    """Two who chat while something happens, and how long their words took."""

    def __init__(self, anya: Wire, borya: Wire) -> None:
        self._anya, self._borya = anya, borya
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._talk)
        self.delays: list[float] = []
        self._error: Exception | None = None

    def __enter__(self) -> "Bystanders":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _talk(self) -> None:
        try:
            while not self._over.wait(0.01):
                start = time.monotonic()
                number = len(self.delays) + 1
                self._anya.send({"type": "message", "text": str(number), "to": "Боря"})
                self._borya.skip_to("message", text=str(number))
                self.delays.append(time.monotonic() - start)
        except Exception as error:  # noqa: BLE001 - raised again where the block ends
            self._error = error


@contextmanager
def undisturbed(server: ServerProcess) -> Iterator[psutil.Process]:
    """Check that nobody is disturbed, and that little memory is taken, by what happens inside."""
    process = psutil.Process(server.pid)
    with Wire(server.address, "Аня") as anya, Wire(server.address, "Боря") as borya:
        with Bystanders(anya, borya) as talk:
            eventually(lambda: len(talk.delays) > 5)
            before = process.memory_info().rss
            yield process
            said = len(talk.delays)
            eventually(lambda: len(talk.delays) > said + 5)
            grown = process.memory_info().rss - before
        assert max(talk.delays) < 2, "somebody had to wait"
        assert grown < MOST_GROWTH, f"{grown / MEGABYTE:.0f} MB more"


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    options = ["--register-timeout", "1", "--rate", "0", "--max-clients", "10"]
    with ServerProcess(*options) as server:
        yield server
        assert server.end() == 0
        assert server.complaints() == ""


def test_a_hundred_megabytes_without_a_line_feed(server: ServerProcess) -> None:
    with (
        undisturbed(server),
        Wire(server.address, "Ева") as eve,
        contextlib.suppress(ConnectionError),  # it does not listen to the end
    ):
        for _megabyte in range(100):
            eve.send_raw(CHUNK)


def test_a_hundred_megabytes_are_refused_with_their_code(server: ServerProcess) -> None:
    with undisturbed(server), Wire(server.address, "Ева") as eve:
        eve.send_raw(b"x" * 40_000)
        assert eve.skip_to("error")["code"] == "frame_too_long"


def test_who_says_nothing(server: ServerProcess) -> None:
    with undisturbed(server), Wire(server.address) as silent:
        silent.expect("register")
        start = time.monotonic()
        silent.expect("error", code="register_timeout")
        silent.expect_end()
        assert time.monotonic() - start < 3


def test_who_says_a_byte_at_a_time(server: ServerProcess) -> None:
    """The time for a nickname is one for all, not one for each byte."""
    with undisturbed(server), Wire(server.address) as slow:
        slow.expect("register")
        start = time.monotonic()
        slow.socket.settimeout(0.1)
        answer = b""
        for _byte in range(100):
            try:
                slow.send_raw(b" ")
                answer = slow.socket.recv(1000)
                break
            except TimeoutError:
                continue
        assert b"register_timeout" in answer
        assert time.monotonic() - start < 3


def test_a_thousand_who_never_register() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4000:
        pytest.skip(f"a process may have only {hard} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4000 if soft < 4000 else soft, hard))
    try:
        with (
            ServerProcess("--rate", "0", "--register-timeout", "60") as server,
            ExitStack() as stack,
        ):
            process = psutil.Process(server.pid)
            before = process.memory_info().rss
            for _number in range(1000):
                stack.enter_context(socket.create_connection(server.address, timeout=PATIENCE))
            with undisturbed(server):  # they enter in spite of the crowd
                grown = process.memory_info().rss - before
                assert grown / 1000 < 100 * 1024, f"{grown // 1000} bytes for each"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def newcomer() -> str:
    """Return a nickname of its own for each: the one before may not have been freed yet."""
    return f"Ева-{next(NUMBERS)}"


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD.keys())
def test_what_is_no_message_is_refused_and_the_next_one_is_taken(
    crowd: ServerProcess, frame: bytes
) -> None:
    with Wire(crowd.address, newcomer()) as eve:
        eve.send_raw(frame + b"\n")
        code = "frame_too_long" if len(frame) > 32 * 1024 else "bad_frame"
        assert eve.next()["code"] == code
        if code == "bad_frame":
            eve.expect_silence()


@pytest.fixture(scope="module")
def crowd() -> Iterator[ServerProcess]:
    """A server that outlives all strangers, and has grown by little in the end."""
    with ServerProcess("--rate", "0") as server:
        with Wire(server.address, "Ева") as eve:
            eve.expect_silence()
        before = psutil.Process(server.pid).memory_info().rss
        yield server
        assert psutil.Process(server.pid).memory_info().rss - before < MOST_GROWTH
        assert server.end() == 0
        assert server.complaints() == ""


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"type": "message", "text": "\x1b[31m"}, "bad_text"),
        ({"type": "message", "text": "\u202eкот"}, "bad_text"),
        ({"type": "message", "text": "\ud800"}, "bad_text"),
        ({"type": "message", "text": "\u200b"}, "bad_text"),
        ({"type": "message", "text": "x", "id": 10**20}, "bad_frame"),
        ({"type": "history", "limit": -1}, "bad_frame"),
        ({"type": "message", "text": "x", "to": "\x1b[2J"}, "no_such_user"),
    ],
)
def test_what_must_not_reach_a_terminal_is_refused(
    crowd: ServerProcess, keys: dict[str, object], code: str
) -> None:
    with Wire(crowd.address, newcomer()) as eve:
        assert eve.request(**keys)["code"] == code  # type: ignore[arg-type]


@pytest.mark.parametrize("nick", ["\x1b[31m", "а\u202eб", "\ud800", "а\u200bб", "а б", "\n", "-x"])
def test_a_nickname_that_must_not_reach_a_terminal_is_refused(
    crowd: ServerProcess, nick: str
) -> None:
    with Wire(crowd.address) as eve:
        eve.expect("register")
        assert eve.request("register", nick=nick)["code"] == "bad_nick"


def test_a_flood_ends_with_its_author() -> None:
    with (
        ServerProcess("--rate", "5") as server,
        Wire(server.address, "Боря") as borya,
        Wire(server.address, "Ева") as eve,
    ):
        with contextlib.suppress(ConnectionError):
            eve.send_raw(b'{"type":"message","text":"x"}\n' * 100_000)
        assert borya.skip_to("left", nick="Ева")["reason"] == "flood"
        borya.say("тихо")


def test_one_slow_reader_slows_nobody(server: ServerProcess) -> None:
    """The rate of the others with a stalled reader among them, compared with theirs without."""
    text = "ж" * 500

    def rate(speaker: Wire, listener: Wire, messages: int = 3000) -> float:
        start = time.monotonic()
        for first in range(0, messages, 50):
            speaker.send(*({"type": "message", "text": text} for _n in range(50)))
            for _n in range(50):
                listener.skip_to("message", text=text)
            del first
        return messages / (time.monotonic() - start)

    with Wire(server.address, "Аня") as anya, Wire(server.address, "Боря") as borya:
        rate(anya, borya)  # warm up
        rates = []
        for number in range(5):  # in turn: a machine is busier at one time than another
            alone = rate(anya, borya)
            with Wire(server.address, f"Соня-{number}", receive_buffer=4096):  # reads nothing
                rates.append((alone, rate(anya, borya)))
            borya.skip_to("left", nick=f"Соня-{number}")
    assert any(slow > 0.5 * alone for alone, slow in rates), rates
