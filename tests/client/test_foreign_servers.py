"""A client looks before it believes: the other side may be no chat server, or a hostile one."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest

from chat.core.client import WINDOW_BYTES, ChatClient, ConnectionClosedError, RefusedError
from chat.core.protocol import Limits
from chat.lab.background import RecordingClient
from tests.client.fakes import REGISTER, WELCOME, FakeServer, served
from tests.connection.pairs import stands_in
from tests.wire import PATIENCE, eventually

Message = dict[str, Any]


def frame(message: Message) -> bytes:
    return json.dumps(message).encode() + b"\n"


# No chat server


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail ESMTP\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",  # an alert of TLS
        b"\xff" * 1000 + b"\n",
        b"",
        b'{"type":"regi',
        b'{"type":"register"}\n',
        b'{"type":"register","limits":5}\n',
        b"[" * 10_000 + b"\n",
    ],
    ids=lambda greeting: repr(greeting[:20]),
)
def test_what_is_no_chat_server_is_said_to_be_none(greeting: bytes) -> None:
    with (
        served(greeting) as address,
        pytest.raises(ConnectionClosedError),
        ChatClient(address, "Аня"),
    ):
        pass


def test_a_greeting_without_end() -> None:
    with (
        served(b"x" * 1001) as address,
        pytest.raises(ConnectionClosedError, match="frame_too_long"),
        ChatClient(address, "Аня", limits=Limits(answer_bytes=1000)),
    ):
        pass


def test_a_server_that_says_nothing() -> None:
    with (
        FakeServer() as server,
        pytest.raises(TimeoutError),
        ChatClient(server.address, "Аня", limits=Limits(connect_timeout=0.05)),
    ):
        pass


def test_a_server_that_talks_and_talks_but_not_of_a_name() -> None:
    """The deadline is one for all that comes, not one for each message."""
    over = threading.Event()
    with FakeServer() as server:

        def talk() -> None:
            server.accept()
            while not over.is_set():
                try:
                    server.send({"type": "ping"})
                except OSError:
                    return

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            with (
                pytest.raises((TimeoutError, ConnectionClosedError)),
                ChatClient(server.address, "Аня", limits=Limits(connect_timeout=0.1)),
            ):
                pass
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("code", ["server_full", "invented_later"])
def test_a_server_that_refuses_at_the_door(code: str) -> None:
    with (
        served(frame({"type": "error", "code": code})) as address,
        pytest.raises(RefusedError, match=code),
        ChatClient(address, "Аня"),
    ):
        pass


# A hostile server

SAID: Message = {"type": "message", "seq": 1, "from": "Б", "to": None, "text": "!", "time": 1}


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"rate": "fast", "burst": None},
        {"rate": 10, "burst": int("9" * 400)},
        {"rate": int("9" * 400), "burst": 10},
        {"rate": -1, "burst": 10},
        {"rate": 1e-300, "burst": 40},
        {"rate": 1e300, "burst": 1e300},
        {"rate": 5, "burst": 0},
        {"rate": [], "burst": {}},
        {"rate": True, "burst": False},
    ],
    ids=str,
)
def test_a_server_whose_limits_make_no_sense(limits: Message) -> None:
    with FakeServer() as server:
        client = ChatClient(server.address)
        with server.admitting(limits):
            client.connect()
            client.register("Аня")
            client.listen()
        for _ in range(3):
            client.say("эй")
        server.hang_up()
        client.close()


def test_a_rate_of_once_in_an_age_is_not_waited_for_so_long() -> None:
    limits = Limits(answer_timeout=0.05, drain_timeout=0.05)
    with FakeServer() as server:
        client = RecordingClient(server.address, limits=limits)
        with server.admitting({"rate": 1e-300, "burst": 1}):
            client.connect()
            client.register("Аня")
            client.listen()
        client.say("раз")
        server.send({"type": "ack", "id": 1, "seq": 1})
        client.wait_for("ack")
        client.say("два")
        client.close()


@contextmanager
def conversation(limits: Limits | None = None) -> Iterator[tuple[FakeServer, RecordingClient]]:
    """A fake server, and a client that it has let in as Аня."""
    with FakeServer() as server:
        client = RecordingClient(server.address, limits=limits)
        with server.admitting():
            client.connect()
            client.register("Аня")
            client.listen()
        with closing(client):
            yield server, client


BAD = [
    {"type": "joined"},
    {"type": "left", "nick": "Боря"},
    {"type": "message", "text": "без имени"},
    SAID | {"text": None},
    {"type": "ack"},
    {"type": "ack", "id": 10**30, "seq": 1},
    {"type": "ack", "id": -1, "seq": 0},
    SAID | {"seq": -(10**30)},
    {"type": "users", "users": [5]},
    {"type": "history", "messages": [{"type": "pong"}]},
    {"type": "history", "messages": [{"type": []}]},
    {"type": "error"},
    {"type": "shutdown"},
    {"type": 5},
    {},
]


@pytest.mark.parametrize("message", BAD, ids=str)
def test_a_message_with_keys_missing_ends_the_conversation_in_good_order(message: Message) -> None:
    with served(frame(REGISTER) + frame(WELCOME), frame(message)) as address:
        client = RecordingClient(address, "Аня")
        try:
            client.connect()
            client.register("Аня")
            client.listen()
        except ConnectionClosedError:  # it came together with the welcome
            return
        else:
            assert client.wait_for("closed")["reason"] == "bad_frame"
        finally:
            client.close()


HARMLESS = [
    {"type": "invented-later", "nick": 5, "users": 5, "messages": 5},
    {"type": "pong", "users": 5, "messages": 5},
    {"type": "closed"},
    {"type": "closed", "reason": "quit"},
    {"type": "held", "message": {"text": "x"}},
    {"type": "ack", "id": 2**53 - 1, "seq": 0},
    {"type": "error", "code": "bad_text", "message": 5},
    {"type": "error", "code": "bad_text", "id": None, "message": {"text": None}},
    {"type": "left", "nick": "никого такого", "reason": "\x1b"},
    {"type": "welcome", "nick": "Вера", "users": [], "seq": 0},
    REGISTER,
    SAID | {"time": -1e300, "seq": 0, "from": "\x1b[2J"},
]


@pytest.mark.parametrize("message", HARMLESS, ids=str)
def test_nonsense_that_does_no_harm(message: Message) -> None:
    with conversation(Limits(drain_timeout=0.05)) as (server, client):
        server.send(message, SAID)
        client.wait_for("message", text="!")
        assert not client.closed
        assert client.nick == "Аня"
        for event in client.events:
            assert "message" not in event
    [closed] = [event for event in client.events if event["type"] == "closed"]
    assert closed["reason"] == "quit"


def test_what_was_for_everyone_is_not_held_for_another_person() -> None:
    with conversation(Limits(drain_timeout=0.05)) as (server, client):
        number = client.say("всем")
        server.send({"type": "error", "code": "another_person", "id": number})
        assert client.wait_for("error")["message"] == {"type": "message", "id": 1, "text": "всем"}


def test_a_server_that_vanishes() -> None:
    with conversation() as (server, client):
        server.hang_up()
        assert client.wait_for("closed")["reason"] == "lost"


def test_who_talks_to_a_server_that_acknowledges_nothing_waits_and_is_told() -> None:
    with conversation(Limits(answer_timeout=0.05, drain_timeout=0.05)) as (_server, client):
        for _ in range(WINDOW_BYTES // 2040):
            client.say("x" * 2000)
        with pytest.raises(TimeoutError):
            say_twice(client)
        with pytest.raises(TimeoutError):
            client.wait_acknowledged(0.01)


def say_twice(client: ChatClient) -> None:
    for _ in range(2):
        client.say("x" * 2000)


def test_who_waits_for_an_acknowledgement_is_woken_when_the_server_vanishes() -> None:
    with conversation() as (server, client), ThreadPoolExecutor(1) as pool:
        client.say("слышно?")
        waiting = pool.submit(client.wait_acknowledged)
        [thread] = pool._threads
        eventually(lambda: stands_in(thread, "wait_for"))
        server.hang_up()
        with pytest.raises(ConnectionClosedError):
            waiting.result(PATIENCE)
