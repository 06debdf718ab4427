"""A client that loses its server comes back by itself, and its user loses nothing."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chat.core.client import ChatClient, ConnectionClosedError
from chat.core.connection import Transport
from chat.core.protocol import Limits
from chat.core.server import ChatServer
from chat.lab.background import RecordingClient
from chat.lab.wiretap import Wiretap
from chat.promises import resume
from chat.promises.resume import ResumingClient
from tests.client.fakes import REGISTER, WELCOME, FakeServer, Message
from tests.wire import Wire, eventually

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]

RESUMABLE = WELCOME | {"session": "s" * 32, "log": "one", "seq": 10}
AT_ONCE = 2.0
"""Seconds for what must not wait: a small part of every limit of time that is in play."""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(resume, "LONGEST_PAUSE", 0.1)


@contextmanager
def conversation(server: FakeServer, limits: Limits | None = None) -> Iterator[RecordingClient]:
    """Let Аня into *server*, which can resume; the client is closed in the end."""
    client = RecordingClient(server.address, "Аня", reconnect=True, limits=limits)
    entering = threading.Thread(target=admit, args=[server])
    entering.start()
    try:
        with client:
            entering.join()
            yield client
            server.hang_up()
    finally:
        entering.join()


def admit(server: FakeServer, welcome: Message = RESUMABLE) -> Message:
    """Accept a client and welcome it; return how it registered."""
    server.accept()
    server.send(REGISTER)
    request = server.receive()
    server.send(welcome)
    return request


def heard(seq: int, text: str) -> Message:
    return {"type": "message", "seq": seq, "from": "Боря", "to": None, "text": text, "time": 1.0}


def kinds(client: RecordingClient) -> list[str]:
    return [event["type"] for event in client.events]


# Coming back


def test_it_comes_back_as_the_same_user_and_nobody_need_do_anything(
    server: ChatServer, dial: Dial
) -> None:
    borya = dial(server, "Боря")
    with (
        Wiretap(server.address) as tap,
        RecordingClient(tap.address, "Аня", reconnect=True) as anya,
    ):
        borya.expect("joined")
        tap.cut()
        anya.wait_for("reconnected")
        assert kinds(anya) == ["reconnecting", "reconnected"]
        anya.say("я здесь")
        borya.skip_to("message", text="я здесь")
        borya.say("вижу")
        anya.wait_for("message", text="вижу")
        assert anya.users == ["Боря"]
        assert not anya.closed
    assert kinds(anya)[-1] == "closed"
    assert kinds(anya).count("closed") == 1


def test_what_was_not_acknowledged_is_sent_again_in_order_and_under_the_same_number() -> None:
    with FakeServer() as server, conversation(server) as anya:
        for text in ("раз", "два", "три"):
            anya.say(text)
        said = [server.receive() for _ in range(3)]
        server.send({"type": "ack", "id": said[0]["id"], "seq": 11})
        anya.wait_for("ack")
        server.hang_up()
        assert admit(server)["session"] == RESUMABLE["session"]
        assert [server.receive(), server.receive()] == said[1:]
        assert server.receive() == {"type": "history", "after": 10}
        server.send({"type": "ack", "id": said[1]["id"], "seq": 12})
        server.send({"type": "ack", "id": said[2]["id"], "seq": 13})
        anya.wait_acknowledged(10)


def test_what_was_missed_comes_in_its_place_and_once() -> None:
    with FakeServer() as server, conversation(server) as anya:
        server.send(heard(11, "до"))
        anya.wait_for("message", seq=11)
        server.hang_up()
        admit(server, RESUMABLE | {"seq": 13})
        server.send(heard(14, "живое"))
        assert server.receive() == {"type": "history", "after": 11}
        missed = [heard(11, "до"), heard(12, "пропущенное")]
        server.send({"type": "history", "after": 11, "messages": missed})
        assert server.receive() == {"type": "history", "after": 12}
        server.send(heard(15, "ещё живое"))
        missed = [heard(13, "и это"), heard(14, "живое")]
        server.send({"type": "history", "after": 12, "messages": missed})
        server.send(heard(16, "дальше"))
        anya.wait_for("message", seq=16)
        said = [event["seq"] for event in anya.events if event["type"] == "message"]
        assert said == [11, 12, 13, 14, 15, 16]


def test_the_connection_is_lost_again_while_it_catches_up() -> None:
    with FakeServer() as server, conversation(server) as anya:
        for seq in (12, 13):
            server.hang_up()
            admit(server, RESUMABLE | {"seq": 13})
            assert server.receive()["type"] == "history"
            server.send(heard(14, "живое"))
            missed = [heard(number, str(number)) for number in range(11, seq)]
            server.send({"type": "history", "after": 10, "messages": missed})
            assert server.receive() == {"type": "history", "after": seq - 1}
        server.send({"type": "history", "after": 12, "messages": [heard(13, "13")]})
        assert server.receive() == {"type": "history", "after": 13}
        server.send({"type": "history", "after": 13, "messages": []})
        anya.wait_for("message", seq=14)
        said = [event["seq"] for event in anya.events if event["type"] == "message"]
        assert said == [11, 12, 13, 14]


def test_a_gap_is_told() -> None:
    with FakeServer() as server, conversation(server) as anya:
        server.hang_up()
        admit(server)
        server.receive()
        missed = [heard(90, "осталось")]
        server.send({"type": "history", "after": 10, "gap": True, "messages": missed})
        anya.wait_for("message", seq=90)
        assert kinds(anya) == ["reconnecting", "reconnected", "gap", "message"]


def test_a_server_that_has_forgotten_everything_is_heard_from_its_beginning(
    serve: Serve,
) -> None:
    first, second = serve(), serve()
    with (
        Wiretap(first.address) as tap,
        RecordingClient(tap.address, "Аня", reconnect=True) as anya,
    ):
        with Wire(first.address, "Боря") as borya:
            for number in range(3):
                borya.say(str(number))
            anya.wait_for("message", text="2")
        with Wire(second.address, "Вера") as vera:
            assert vera.say("сначала") == 1
            tap.upstream = second.address
            tap.cut()
            anya.wait_for("message", text="сначала", seq=1)
            vera.expect("joined", nick="Аня")
            vera.say("дальше")
            anya.wait_for("message", text="дальше", seq=2)
            assert anya.users == ["Вера"]


def test_what_is_said_meanwhile_is_sent_afterwards_and_no_more_than_can_be_kept(
    server: ChatServer, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "OFFLINE_MESSAGES", 3)
    borya = dial(server, "Боря")
    with socket.create_server(("127.0.0.1", 0)) as nobody, Wiretap(server.address) as tap:
        nowhere = nobody.getsockname()
        nobody.close()
        with RecordingClient(tap.address, "Аня", reconnect=True) as anya:
            tap.upstream = nowhere
            tap.cut()
            anya.wait_for("reconnecting", attempt=2)
            for number in range(3):
                anya.say(str(number))
            talker = threading.Thread(target=anya.say, args=["3"])
            talker.start()
            talker.join(0.1)
            assert talker.is_alive(), "it keeps more than it should"
            tap.upstream = server.address
            talker.join(10)
            anya.wait_acknowledged(10)
            for number in range(4):
                borya.skip_to("message", text=str(number))


# Not coming back


def test_the_nickname_was_taken_meanwhile(server: ChatServer, dial: Dial) -> None:
    with Wiretap(server.address) as tap, socket.create_server(("127.0.0.1", 0)) as nobody:
        nowhere = nobody.getsockname()
        nobody.close()
        with RecordingClient(tap.address, "Аня", reconnect=True) as anya:
            tap.upstream = nowhere
            tap.cut()
            eventually(lambda: len(server.room.users()) == 0)
            dial(server, "Аня")
            tap.upstream = server.address
            anya.wait_for("closed", reason="nick_taken", timeout=10)
            with pytest.raises(ConnectionClosedError):
                anya.say("кто я?")


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ({"type": "left", "nick": "Аня", "reason": "kicked"}, "kicked"),
        ({"type": "left", "nick": "Аня", "reason": "flood"}, "flood"),
        ({"type": "shutdown", "reason": "stopped"}, "shutdown"),
    ],
)
def test_who_was_sent_away_does_not_come_back(last: Message, reason: str) -> None:
    with FakeServer() as server, conversation(server) as anya:
        server.send(last)
        server.hang_up()
        anya.wait_for("closed", reason=reason)
        assert "reconnecting" not in kinds(anya)


def test_it_gives_up_in_the_end() -> None:
    with FakeServer() as server, conversation(server, Limits(reconnect_timeout=0.3)) as anya:
        server.__exit__()
        anya.wait_for("closed", reason="lost")
        assert kinds(anya)[-2] == "reconnecting"


def test_pauses_grow_and_are_random() -> None:
    """Otherwise all who lost one server would come at once, and again, and again."""
    pauses = []
    for _client in range(2):
        with FakeServer() as server, conversation(server) as anya:
            server.__exit__()
            anya.wait_for("reconnecting", attempt=8, timeout=10)
            tries = [event for event in anya.events if event["type"] == "reconnecting"]
            pauses.append([event["delay"] for event in tries[:8]])
            assert [event["attempt"] for event in tries[:8]] == [*range(1, 9)]
    for delays in pauses:
        for number, delay in enumerate(delays):
            assert 0 <= delay <= min(0.1, 0.02 * 2**number)
        assert max(delays) > 0.02
    assert pauses[0] != pauses[1]


# Leaving while it tries


def leave_at_once(client: ChatClient) -> None:
    start = time.monotonic()
    client.close()
    assert time.monotonic() - start < AT_ONCE
    assert client.closed


def test_leaving_during_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "FIRST_PAUSE", 1e6)
    monkeypatch.setattr(resume, "LONGEST_PAUSE", 1e6)
    with FakeServer() as server, conversation(server) as anya:
        server.hang_up()
        anya.wait_for("reconnecting")
        leave_at_once(anya)
        assert anya.events[-1] == {"type": "closed", "reason": "quit"}


def test_leaving_while_the_server_says_nothing() -> None:
    with FakeServer() as server, conversation(server) as anya:
        server.hang_up()
        server.accept()
        leave_at_once(anya)
        assert anya.events[-1] == {"type": "closed", "reason": "quit"}


def test_leaving_while_the_connection_is_being_made() -> None:
    """A listener whose backlog is full answers nothing at all: connecting takes minutes."""
    with FakeServer() as server, conversation(server) as anya:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            crowd = [socket.socket() for _ in range(8)]
            try:
                for one in crowd:
                    one.setblocking(False)
                    one.connect_ex(full.getsockname())
                anya._addresses = [full.getsockname()]
                server.hang_up()
                anya.wait_for("reconnecting")
                eventually(lambda: anya._connection is not None and connecting(anya))
                leave_at_once(anya)
            finally:
                for one in crowd:
                    one.close()
        assert kinds(anya)[-1] == "closed"


def connecting(client: ChatClient) -> bool:
    """Tell whether the client's socket waits for an answer to its SYN."""
    connection = client._connection
    if connection is None or connection.transport.fileno() < 0:
        return False
    assert isinstance(connection.transport, Transport)
    syn_sent = 2  # net/tcp_states.h
    sock = connection.transport._socket
    state: int = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state == syn_sent


def test_leaving_from_within_on_event_while_it_tries(server: ChatServer) -> None:
    events: list[Message] = []
    ended = threading.Event()

    def on_event(event: Message) -> None:
        events.append(event)
        if event["type"] == "reconnecting":
            client.close()
        elif event["type"] == "closed":
            ended.set()

    with Wiretap(server.address) as tap:
        client = ResumingClient(tap.address, "Аня", on_event=on_event)
        with client:
            tap.cut()
            assert ended.wait(10)
    assert [event["type"] for event in events] == ["reconnecting", "closed"]


def test_who_waits_for_room_is_woken_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "OFFLINE_MESSAGES", 0)
    monkeypatch.setattr(resume, "FIRST_PAUSE", 1e6)
    monkeypatch.setattr(resume, "LONGEST_PAUSE", 1e6)
    outcome: list[Exception] = []

    def say() -> None:
        try:
            anya.say("раз")
        except ConnectionClosedError as error:
            outcome.append(error)

    with FakeServer() as server, conversation(server) as anya:
        server.hang_up()
        anya.wait_for("reconnecting")
        talker = threading.Thread(target=say)
        talker.start()
        leave_at_once(anya)
        talker.join(AT_ONCE)
        assert not talker.is_alive()
    assert len(outcome) == 1


# What waits for somebody is for them alone


def test_what_waits_for_somebody_is_not_given_to_who_took_their_nickname(
    server: ChatServer, dial: Dial
) -> None:
    """Not even after they have left and somebody else has come while there was no connection."""
    borya = dial(server, "Боря")
    with socket.create_server(("127.0.0.1", 0)) as nobody, Wiretap(server.address) as tap:
        nowhere = nobody.getsockname()
        nobody.close()
        with RecordingClient(tap.address, "Аня", reconnect=True) as anya:
            tap.upstream = nowhere
            tap.cut()
            anya.wait_for("reconnecting", attempt=2)
            number = anya.say("код от сейфа: 4711", to="Боря")
            borya.send({"type": "quit"})
            borya.skip_to("left", nick="Аня")
            borya.expect_end()
            thief = dial(server, "Боря")
            tap.upstream = server.address
            held = anya.wait_for("held", timeout=20)
            assert held["message"]["text"] == "код от сейфа: 4711"
            assert held["id"] == number
            anya.wait_acknowledged(10)
            thief.expect("joined", nick="Аня")
            thief.expect_silence()
            anya.say("а это новому Боре", to="Боря")
            thief.expect("message", text="а это новому Боре")
