"""Whatever is sent, the server refuses it or takes it, and answers a good client as before.

Ordinarily a thousand inputs; ``make fuzz`` sends a hundred thousand. Hypothesis needs longer to
think of a stream than the server to refuse it, so each is tried with many of its variants.
"""

import itertools
import json
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.core.protocol import ERROR_CODES, FrameDecoder, Limits, ProtocolError, decode
from chat.core.server import ChatServer
from chat.lab.background import Snapshot, assert_nothing_left
from tests.wire import Wire

INPUTS = int(os.environ.get("FUZZ_INPUTS", "1000"))
VARIANTS = 25
EXAMPLES = -(-INPUTS // VARIANTS)

KEYS = st.sampled_from(
    [
        "type",
        "nick",
        "text",
        "to",
        "id",
        "limit",
        "before",
        "after",
        "session",
        "password",
        "sealed",
    ]
)
TYPES = st.sampled_from(
    [
        "register",
        "message",
        "users",
        "history",
        "ping",
        "pong",
        "admin",
        "shutdown",
        "kick",
        "x",
        "",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["Аня", "Ева", "добрый", 0, -1, 2**53, 2**63, 1e308, "\u202e", "\x1b[2J", "🙂"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
MESSAGES = st.builds(
    lambda type, rest: {"type": type} | rest, TYPES, st.dictionaries(KEYS, VALUES, max_size=4)
)
FRAMES = MESSAGES.map(lambda message: json.dumps(message).encode())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A frame of which some bytes are others, missing, or there twice."""
    frame = bytearray(draw(FRAMES))
    for _time in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(frame)))
        what = draw(st.sampled_from(["change", "drop", "add", "cut"]))
        if what == "add":
            frame[place:place] = draw(st.binary(min_size=1, max_size=4))
        elif what == "cut":
            del frame[place:]
        elif place < len(frame):
            frame[place : place + 1] = draw(st.binary(min_size=1, max_size=1)) * (what == "change")
    return bytes(frame)


STREAMS = st.lists(FRAMES | damaged() | st.binary(max_size=60), max_size=6).map(b"\n".join)

SEEDS = st.integers(0, 2**32 - 1)


def variants(stream: bytes, seed: int) -> Iterator[bytes]:
    """Yield *stream*, and what becomes of it when parts are lost, repeated, or replaced."""
    yield stream
    dice = random.Random(seed)
    for _number in range(VARIANTS - 1):
        data = bytearray(stream)
        for _time in range(dice.randint(1, 4)):
            begin = dice.randint(0, len(data))
            end = min(len(data), begin + dice.choice([0, 1, 1, 2, 5, 50]))
            part = dice.choice(
                [b"", dice.randbytes(2), bytes(data[begin:end]) * 2, dice.choice(CORPUS)[:100]]
            )
            data[begin:end] = part
        yield bytes(data)


# What has once been worth a thought: kept, so that it is tried for ever.
CORPUS = [
    b"",
    b"\n",
    b"\n" * 1000,
    b"\r\n" * 10,
    b"\x00" * 100 + b"\n",
    b'{"type":"register","nick":"\\ud800"}\n',
    b'{"type":"register","nick":"a","session":"\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800"}\n',
    b'{"type":"register","nick":1e999}\n',
    b'{"type":"register","nick":"a"}\n' * 5,
    b'{"type":"quit"}\n{"type":"quit"}\n',
    b'{"type":"message","text":"x","id":9007199254740993}\n',
    b'{"type":"history","after":0,"before":0,"limit":0}\n',
    b'{"type":"history","limit":9007199254740991}\n',
    b'{"type":"message","text":"AAAA","sealed":true,"to":"\\u0000"}\n',
    b'{"type":"admin","password":"\\ud800"}\n',
    b'{"type":"' + b"x" * 32_000 + b'"}\n',
    b"{" * 32_000 + b"\n",
    b'{"type":"message","text":"' + b"\\u0041" * 5000 + b'"}\n',
    "\ufeff{}\n".encode(),
    b'{"type":"kick","nick":"\xd0\x94\xd0\xbe\xd0\xb1\xd1\x80\xd1\x8b\xd0\xb9"}\n',
]


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left_behind() -> Iterator[None]:
    """Look at the end of all tests here: the server lives through them, and starts threads."""
    before = Snapshot()
    yield
    assert_nothing_left(before)


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    # Short drains: many of these strangers do not wait for our goodbye.
    with ChatServer(limits=Limits(rate=0, drain_timeout=0.5, max_clients=50)) as server:
        yield server


@pytest.fixture(scope="module")
def good(server: ChatServer) -> Iterator[Wire]:
    with Wire(server.address, "Добрый") as wire:
        yield wire


def send_and_look(server: ChatServer, good: Wire, *streams: bytes) -> None:
    """Send each of *streams* as a stranger of its own, all at once, and look at every answer.

    See that a good client is served afterwards.
    """
    with ExitStack() as stack:
        strangers = [stack.enter_context(Wire(server.address)) for _ in streams]
        for stranger, data in zip(strangers, streams, strict=True):
            with suppress(ConnectionError):  # the server did not listen to the end
                stranger.send_raw(data)
                stranger.end_sending()
        for stranger in strangers:
            with suppress(EOFError, ConnectionError):
                while True:
                    answer = stranger.next()
                    assert isinstance(answer["type"], str)
                    if answer["type"] == "error":
                        assert answer["code"] in ERROR_CODES
    good.send({"type": "ping"})
    good.skip_to("pong")
    number = len(good.frames) + 1
    good.send({"type": "message", "text": "я здесь", "id": number})
    assert good.skip_to("ack", id=number)["seq"] > 0


@pytest.mark.parametrize("data", CORPUS, ids=lambda data: repr(data[:24]))
def test_what_was_found_once(server: ChatServer, good: Wire, data: bytes) -> None:
    send_and_look(server, good, data)


@pytest.mark.timeout(7200)
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=STREAMS, seed=SEEDS)
def test_a_live_server(server: ChatServer, good: Wire, data: bytes, seed: int) -> None:
    send_and_look(server, good, *variants(data, seed))
    del good.frames[:]


@pytest.mark.timeout(7200)
@settings(max_examples=EXAMPLES)
@given(data=STREAMS, seed=SEEDS, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_the_decoder(data: bytes, seed: int, cuts: list[int]) -> None:
    """However the stream is cut, the same frames come out of it, and each is a message or bad."""
    for stream in variants(data, seed):
        cut_and_look(stream, cuts)


def cut_and_look(data: bytes, cuts: list[int]) -> None:
    whole = list(FrameDecoder(Limits.frame_bytes).receive(data))
    borders = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
    decoder = FrameDecoder(Limits.frame_bytes)
    pieces = [data[a:b] for a, b in itertools.pairwise(borders)]
    assert [frame for piece in pieces for frame in decoder.receive(piece)] == whole
    for frame in whole:
        try:
            assert isinstance(decode(frame)["type"], str)
        except ProtocolError as error:
            assert error.code == "bad_frame"
