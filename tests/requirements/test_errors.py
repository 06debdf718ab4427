"""Every error code of the protocol: what calls it forth, and what happens to the connection."""

from collections.abc import Callable

import pytest

from chat.core.protocol import ERROR_CODES, FATAL_CODES
from chat.core.server import ChatServer
from tests.wire import Message, Wire

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


def answer_to(*messages: Message) -> Callable[[Wire], Message]:
    """Return what registers as Боря, sends *messages* and returns the answer to the last."""

    def ask(wire: Wire) -> Message:
        wire.enter("Боря")
        wire.send(*messages)
        return wire.next()

    return ask


def answer_to_bytes(data: bytes) -> Callable[[Wire], Message]:
    def ask(wire: Wire) -> Message:
        wire.enter("Боря")
        wire.send_raw(data)
        return wire.next()

    return ask


def first_answer_to(message: Message | None) -> Callable[[Wire], Message]:
    """Return what sends *message* before registering and returns the answer."""

    def ask(wire: Wire) -> Message:
        wire.expect("register")
        if message is not None:
            wire.send(message)
        return wire.next()

    return ask


# code: limits of the server, what a client does that it has refused, what more the answer says
CASES: dict[str, tuple[dict[str, float], Callable[[Wire], Message], Message]] = {
    "bad_frame": ({}, answer_to_bytes(b"5\n"), {}),
    "frame_too_long": ({"frame_bytes": 100}, answer_to_bytes(b"x" * 101), {}),
    "unknown_type": ({}, answer_to({"type": "dance"}), {}),
    "not_registered": ({}, first_answer_to({"type": "users"}), {"re": "users"}),
    "bad_nick": ({}, first_answer_to({"type": "register", "nick": "-"}), {"re": "register"}),
    "nick_taken": ({}, first_answer_to({"type": "register", "nick": "АНЯ"}), {"re": "register"}),
    "no_such_user": (
        {},
        answer_to({"type": "message", "text": "эй", "to": "Гриша", "id": 3}),
        {"re": "message", "id": 3},
    ),
    "another_person": (
        {},
        answer_to({"type": "message", "text": "эй", "to": "Аня", "person": "0" * 16, "id": 3}),
        {"re": "message", "id": 3},
    ),
    "bad_text": ({}, answer_to({"type": "message", "text": "\x1b", "id": 3}), {"id": 3}),
    "text_too_long": ({"text_chars": 1}, answer_to({"type": "message", "text": "эй"}), {}),
    "too_fast": (
        {"rate": 0.001, "burst": 0},
        answer_to({"type": "message", "text": "эй", "id": 3}),
        {"re": "message", "id": 3},
    ),
    "server_full": (
        {"max_clients": 1},
        first_answer_to({"type": "register", "nick": "Боря"}),
        {"re": "register"},
    ),
    "not_admin": ({}, answer_to({"type": "shutdown"}), {"re": "shutdown"}),
    "register_timeout": ({"register_timeout": 0.5}, first_answer_to(None), {}),
}


# The other two: tests/history, tests/backplane.
@pytest.mark.parametrize(
    "code",
    [
        *sorted(ERROR_CODES - {"not_recorded", "unavailable", "too_fast"}),
        pytest.param("too_fast", marks=pytest.mark.promise(name="limits")),
    ],
)
def test_error(serve: Serve, dial: Dial, code: str) -> None:
    limits, ask, keys = CASES[code]
    server = serve(**limits)
    dial(server, "Аня")
    wire = dial(server)
    error = ask(wire)
    assert error.items() >= ({"type": "error", "code": code} | keys).items()
    if code in FATAL_CODES:
        wire.expect_end()
    else:
        wire.expect_silence()  # and the connection stays open


@pytest.mark.parametrize("id_", [-1, 1.5, "1", True, 2**53, [1]])
def test_a_message_with_a_bad_id_is_refused(server: ChatServer, dial: Dial, id_: object) -> None:
    anya = dial(server, "Аня")
    assert anya.request("message", text="эй", id=id_) == {
        "type": "error",
        "code": "bad_frame",
        "re": "message",
    }


@pytest.mark.parametrize("key", ["limit", "before", "after"])
@pytest.mark.parametrize("value", [-1, "5", 1.0, True])
def test_a_request_for_history_with_a_bad_number_is_refused(
    server: ChatServer, dial: Dial, key: str, value: object
) -> None:
    anya = dial(server, "Аня")
    assert anya.request("history", **{key: value})["code"] == "bad_frame"


@pytest.mark.parametrize("type_", ["welcome", "joined", "ack", "error", "__init__", "", "Message"])
def test_what_only_a_server_says_or_nobody_is_unknown(
    server: ChatServer, dial: Dial, type_: str
) -> None:
    assert dial(server, "Аня").request(type_)["code"] == "unknown_type"
