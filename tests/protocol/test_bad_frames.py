"""What is no message is refused, and nothing worse happens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.core.protocol import LARGEST_INTEGER, ProtocolError, decode, integer

BAD = {
    "empty": b"",
    "a blank": b" ",
    "a byte that UTF-8 never has": b'{"type":"message","text":"\xff"}',
    "one byte 0xFF": b"\xff",
    "half a letter": b'{"type":"message","text":"\xd1"}',
    "an overlong form of a slash": b'{"type":"message","text":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"type":"message","text":"\xed\xa0\x80"}',
    "UTF-16": '{"type":"ping"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"type":"ping"}',
    "no JSON": "привет".encode(),
    "a request of HTTP": b"GET / HTTP/1.1\r",
    "half an object": b'{"type":"ping"',
    "more after the object": b'{"type":"ping"} x',
    "two objects": b'{"type":"ping"}{"type":"ping"}',
    "single quotes": b"{'type':'ping'}",
    "a comma at the end": b'{"type":"ping",}',
    "a raw control character in a string": b'{"type":"message","text":"\x00"}',
    "NaN": b'{"type":"message","time":NaN}',
    "Infinity": b'{"type":"message","time":Infinity}',
    "-Infinity": b'{"type":"message","time":-Infinity}',
    "a key twice": b'{"type":"ping","type":"quit"}',
    "a key twice, deep inside": b'{"type":"ping","x":[{"a":1,"a":2}]}',
    "a key twice, once escaped": b'{"type":"ping","\\u0074ype":"quit"}',
    "arrays 100,000 deep": b"[" * 100_000,
    "closed arrays 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "objects 100,000 deep": b'{"type":' * 100_000,
    "an integer of 100,000 digits": b'{"type":"message","id":' + b"9" * 100_000 + b"}",
    "an array": b'["type"]',
    "a string": b'"type"',
    "a number": b"5",
    "null": b"null",
    "no type": b'{"text":"hello"}',
    "type null": b'{"type":null}',
    "type a number": b'{"type":1}',
    "type a list": b'{"type":["message"]}',
    "type an object": b'{"type":{"type":"message"}}',
}


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD.keys())
def test_bad_frame(frame: bytes) -> None:
    with pytest.raises(ProtocolError, match="bad_frame") as caught:
        decode(frame)
    assert not caught.value.fatal


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_bad_frame(frame: bytes) -> None:
    try:
        message = decode(frame)
    except ProtocolError as error:
        assert error.code == "bad_frame"
    else:
        assert isinstance(message["type"], str)


@given(st.text(alphabet='{}[]",:0e-.\\utypenfals\n ', max_size=60))
def test_anything_like_json_is_a_message_or_a_bad_frame(text: str) -> None:
    try:
        decode(b'{"type":"message",' + text.encode())
    except ProtocolError as error:
        assert error.code == "bad_frame"


def test_unknown_keys_and_blanks_are_no_error() -> None:
    assert decode(b' { "type" : "ping" , "colour" : {"red": [1]} }\r') == {
        "type": "ping",
        "colour": {"red": [1]},
    }


def test_an_error_names_what_it_refuses_when_that_is_known() -> None:
    assert ProtocolError("bad_frame").message() == {"type": "error", "code": "bad_frame"}
    assert ProtocolError("bad_text", re="message", id=0).message() == {
        "type": "error",
        "code": "bad_text",
        "re": "message",
        "id": 0,
    }


@pytest.mark.parametrize("value", [0, 1, LARGEST_INTEGER])
def test_a_whole_number(value: int) -> None:
    assert integer({"type": "history", "limit": value}, "limit") == value


@pytest.mark.parametrize("message", [{"type": "history"}, {"type": "history", "limit": None}])
def test_an_absent_number(message: dict[str, object]) -> None:
    assert integer(message, "limit") is None


@pytest.mark.parametrize("value", [-1, LARGEST_INTEGER + 1, 1.0, 1e999, True, "1", [], {}])
def test_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(ProtocolError, match="bad_frame") as caught:
        integer({"type": "history", "limit": value}, "limit")
    assert caught.value.re == "history"


def test_a_number_too_large_for_a_float_is_infinite_and_refused_where_it_counts() -> None:
    message = decode(b'{"type":"message","id":1e999}')
    with pytest.raises(ProtocolError, match="bad_frame"):
        integer(message, "id")
    with pytest.raises(ValueError, match="not JSON compliant"):
        json.dumps(message, allow_nan=False)
