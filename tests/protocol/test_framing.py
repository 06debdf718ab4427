"""Frames: TCP cuts the stream anywhere, and the messages come out whole."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.core.protocol import FrameDecoder, Message, ProtocolError, decode, encode

# Everything that JSON can hold (RFC 8259), without numbers that lose digits on the way.
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_messages = st.lists(
    st.builds(
        lambda kind, keys: keys | {"type": kind}, st.text(), st.dictionaries(st.text(), _json)
    ),
    max_size=5,
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut *data* at every place in *cuts*."""
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


def receive_all(decoder: FrameDecoder, chunks: list[bytes]) -> list[Message]:
    return [decode(frame) for chunk in chunks for frame in decoder.receive(chunk)]


@given(_messages, st.lists(st.integers(min_value=0), max_size=20))
def test_any_split_of_any_frames_gives_the_same_messages(
    messages: list[Message], cuts: list[int]
) -> None:
    stream = b"".join(map(encode, messages))
    assert receive_all(FrameDecoder(1 << 20), pieces(stream, cuts)) == messages


@given(_messages)
def test_a_frame_is_one_line_of_json_in_utf_8(messages: list[Message]) -> None:
    for message in messages:
        frame = encode(message)
        assert frame.endswith(b"\n")
        assert frame.count(b"\n") == 1
        assert json.loads(frame.decode(errors="surrogatepass")) == message


def test_byte_by_byte() -> None:
    messages = [{"type": "message", "text": text} for text in ("привет", "🙂", "\n", "")]
    stream = b"".join(map(encode, messages))
    assert receive_all(FrameDecoder(1000), [stream[i : i + 1] for i in range(len(stream))]) == (
        messages
    )


def test_a_letter_cut_in_half_is_one_letter() -> None:
    frame = encode({"type": "message", "text": "ё"})
    middle = frame.index("ё".encode()) + 1
    decoder = FrameDecoder(1000)
    assert receive_all(decoder, [frame[:middle]]) == []
    assert receive_all(decoder, [frame[middle:]]) == [{"type": "message", "text": "ё"}]


def test_ten_messages_in_one_chunk() -> None:
    messages = [{"type": "message", "id": number} for number in range(10)]
    assert receive_all(FrameDecoder(100), [b"".join(map(encode, messages))]) == messages


def test_the_end_of_one_frame_and_the_beginning_of_the_next_in_one_chunk() -> None:
    decoder = FrameDecoder(100)
    assert list(decoder.receive(b"on")) == []
    assert list(decoder.receive(b"e\ntwo\nth")) == [b"one", b"two"]
    assert list(decoder.receive(b"ree\n")) == [b"three"]


def test_a_frame_may_be_as_long_as_the_limit() -> None:
    assert list(FrameDecoder(5).receive(b"12345\n")) == [b"12345"]


@pytest.mark.parametrize("chunks", [[b"123456\n"], [b"123456"], [b"123", b"456"], [b"12345", b"6"]])
def test_a_longer_frame_is_refused_before_its_end_has_come(chunks: list[bytes]) -> None:
    decoder = FrameDecoder(5)
    for chunk in chunks[:-1]:
        assert list(decoder.receive(chunk)) == []
    with pytest.raises(ProtocolError, match="frame_too_long") as caught:
        list(decoder.receive(chunks[-1]))
    assert caught.value.fatal


def test_what_came_before_a_frame_that_is_too_long_is_yielded_first() -> None:
    frames = FrameDecoder(5).receive(b"one\ntwo\n1234567\nlost\n")
    assert next(frames) == b"one"
    assert next(frames) == b"two"
    with pytest.raises(ProtocolError, match="frame_too_long"):
        next(frames)


def test_a_decoder_keeps_nothing_of_a_frame_that_is_too_long() -> None:
    decoder = FrameDecoder(5)
    with pytest.raises(ProtocolError):
        list(decoder.receive(b"x" * 1000))
    assert list(decoder.receive(b"\n")) == [b""]


def test_russian_text_goes_as_it_is_and_not_as_escapes() -> None:
    assert encode({"type": "message", "text": "привет"}) == (
        '{"type":"message","text":"привет"}\n'.encode()
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_in_json_is_not_encoded(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"type": "message", "time": number})


def test_a_lone_surrogate_travels_as_an_escape() -> None:
    """Broken bytes on a command line become lone surrogates (PEP 383): the other side refuses."""
    message = {"type": "register", "nick": "\udcff"}
    frame = encode(message)
    assert frame == b'{"type":"register","nick":"\\udcff"}\n'
    assert decode(frame[:-1]) == message
