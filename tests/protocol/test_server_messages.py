"""A client looks before it believes: the server may be anybody's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.core.protocol import (
    Limits,
    ProtocolError,
    ack_frame,
    check_server_message,
    encode,
    message_frame,
    register_request,
)

SAID = {"type": "message", "seq": 1, "from": "Аня", "to": None, "text": "привет", "time": 1.5}

GOOD = [
    register_request(Limits()),
    {"type": "welcome", "nick": "Аня", "users": ["Боря"], "seq": 7},
    {"type": "joined", "nick": "Аня"},
    {"type": "left", "nick": "Аня", "reason": "quit"},
    SAID,
    SAID | {"to": "Боря", "time": 2},
    {"type": "ack", "id": 1, "seq": 2},
    {"type": "users", "users": []},
    {"type": "history", "messages": [SAID, SAID]},
    {"type": "ping"},
    {"type": "pong"},
    {"type": "admin"},
    {"type": "error", "code": "bad_text", "id": 5, "re": "message"},
    {"type": "error", "code": "bad_frame"},
    {"type": "shutdown", "reason": "admin"},
    {"type": "invented-later", "colour": "red"},
    {"type": "pong", "users": 5, "messages": 5, "nick": []},  # unknown keys are ignored
]


@pytest.mark.parametrize("message", GOOD, ids=lambda message: message["type"])
def test_a_message_with_all_keys_is_believed(message: dict[str, object]) -> None:
    assert check_server_message(message) is message


BAD = [
    {"type": "register"},
    {"type": "register", "limits": []},
    {"type": "welcome", "nick": "Аня", "users": ["Боря"]},
    {"type": "welcome", "nick": "Аня", "users": ["Боря", 5], "seq": 0},
    {"type": "welcome", "nick": None, "users": [], "seq": 0},
    {"type": "joined"},
    {"type": "joined", "nick": ["Аня"]},
    {"type": "left", "nick": "Аня"},
    {"type": "left", "nick": "Аня", "reason": None},
    {"type": "ack", "id": 1},
    {"type": "ack", "id": "1", "seq": 1},
    {"type": "users"},
    {"type": "users", "users": "Аня"},
    {"type": "users", "users": [None]},
    {"type": "users", "users": {}},
    {"type": "history"},
    {"type": "history", "messages": {}},
    {"type": "history", "messages": [5]},
    {"type": "history", "messages": [[]]},
    {"type": "history", "messages": [{}]},
    {"type": "history", "messages": [{"type": "pong"}]},
    {"type": "history", "messages": [{"type": []}]},
    {"type": "history", "messages": [SAID | {"text": None}]},
    {"type": "error"},
    {"type": "error", "code": 5},
    {"type": "error", "code": "bad_text", "id": []},
    {"type": "shutdown"},
    *({key: value for key, value in SAID.items() if key != absent} for absent in ("seq", "from")),
    *({key: value for key, value in SAID.items() if key != absent} for absent in ("text", "time")),
    SAID | {"to": 5},
    SAID | {"time": "12:00"},
    SAID | {"time": float("inf")},
    SAID | {"time": True},
    SAID | {"seq": -1},
    SAID | {"seq": True},
    SAID | {"from": "x" * 1000},
    SAID | {"text": "x" * 100_000},
    {"type": "joined", "nick": "Z" + "\u0301" * 800_000},
    {"type": "users", "users": ["x" * 1000]},
    {"type": "ack", "id": 2**60, "seq": 1},
    {"type": "left", "nick": "Аня", "reason": "x" * 1000},
    {"type": "history", "messages": [SAID | {"to": "x" * 1000}]},
]


@pytest.mark.parametrize("message", BAD, ids=lambda message: str(message)[:80])
def test_a_message_that_lacks_something_is_not(message: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match="bad_frame"):
        check_server_message(message)


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*SAID, "messages"]), inner),
    max_leaves=8,
)
_names = st.sampled_from(["nick", "users", "messages", "limits", "code", "id", "reason", *SAID])
_kinds = st.sampled_from([str(message["type"]) for message in GOOD])


@given(_kinds, st.dictionaries(_names, _anything))
def test_anything_else_is_believed_or_refused_and_nothing_worse(
    kind: str, keys: dict[str, object]
) -> None:
    try:
        check_server_message(keys | {"type": kind})
    except ProtocolError as error:
        assert error.code == "bad_frame"


def test_the_history_of_a_history_is_not_followed_into_the_depth() -> None:
    nested: dict[str, object] = dict(SAID)
    for _ in range(100_000):
        nested = SAID | {"messages": [nested]}
    check_server_message({"type": "history", "messages": [nested]})


NICKS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(
    seq=st.integers(1, 2**53),
    sender=NICKS,
    to=st.none() | NICKS,
    text=NICKS,
    time=st.floats(0, 1e10),
    sealed=st.booleans(),
)
def test_the_frames_that_are_written_by_hand_are_what_the_encoder_writes(
    seq: int, sender: str, to: str | None, text: str, time: float, *, sealed: bool
) -> None:
    message = {"type": "message", "seq": seq, "from": sender, "to": to, "text": text, "time": time}
    assert message_frame(seq, sender, to, text, time, sealed=sealed) == encode(
        message | {"sealed": True} if sealed else message
    )
    assert ack_frame(seq, seq + 1) == encode({"type": "ack", "id": seq, "seq": seq + 1})
