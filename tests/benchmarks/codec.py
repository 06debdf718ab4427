"""How long the protocol's encoder and decoder take for a frame; pytest-benchmark times it.

``pytest benchmarks/codec.py``; `make bench` calls it as well.
"""

from collections.abc import Callable
from typing import Any

import pytest

from chat.core.protocol import FrameDecoder, Limits, Message, decode, encode

FRAMES = 1000
MESSAGE: Message = {
    "type": "message",
    "seq": 1_000_000,
    "from": "Аня",
    "to": None,
    "text": "Привет! Это сообщение обычной длины.",
    "time": 1_800_000_000.123456,
}

Benchmark = Any
"""The fixture of pytest-benchmark, which has no types."""


def feed(pieces: list[bytes]) -> int:
    """Decode a stream that comes in *pieces*; return how many messages were in it."""
    decoder = FrameDecoder(Limits().frame_bytes)
    messages = [decode(frame) for piece in pieces for frame in decoder.receive(piece)]
    return len(messages)


def test_encode(benchmark: Benchmark) -> None:
    """One message to one frame."""
    benchmark.extra_info["frames"] = 1
    assert benchmark(encode, MESSAGE).endswith(b"\n")


@pytest.mark.parametrize(
    "cut",
    [
        lambda frame: [frame] * FRAMES,
        lambda frame: _cut(frame * FRAMES, 65536),
        lambda frame: _cut(frame * FRAMES, 16),
    ],
    ids=["one-by-one", "64-KiB", "16-bytes"],
)
def test_decode(benchmark: Benchmark, cut: Callable[[bytes], list[bytes]]) -> None:
    """A thousand frames in pieces of several sizes."""
    benchmark.extra_info["frames"] = FRAMES
    assert benchmark(feed, cut(encode(MESSAGE))) == FRAMES


def _cut(stream: bytes, size: int) -> list[bytes]:
    return [stream[start : start + size] for start in range(0, len(stream), size)]
