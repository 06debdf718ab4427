"""A user who was cut off comes back as the same user: nothing is lost, doubled or out of order."""

import logging
import threading
from collections.abc import Callable

import pytest

from chat.core.server import ChatServer
from chat.lab.wiretap import Direction, Wiretap
from chat.promises.resume import ResumingClient
from tests.wire import Message, Wire, eventually

pytestmark = pytest.mark.promise(name="resume")

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


def come_back(server: ChatServer, dial: Dial, former: Wire, nick: str) -> Wire:
    """Return another connection of the user of *former*, welcomed."""
    wire = dial(server)
    wire.expect("register")
    wire.send({"type": "register", "nick": nick, "session": former.welcome["session"]})
    wire.welcome = wire.expect("welcome", nick=nick)
    assert wire.welcome["session"] == former.welcome["session"]
    return wire


def said(text: str, number: int, to: str | None = None) -> Message:
    message: Message = {"type": "message", "text": text, "id": number}
    return message if to is None else message | {"to": to}


def test_who_comes_back_takes_the_place_of_their_dead_connection_and_nobody_notices(
    server: ChatServer, dial: Dial
) -> None:
    borya, dead = dial(server, "Боря"), dial(server, "Аня")
    borya.expect("joined")
    anya = come_back(server, dial, dead, "Аня")
    dead.expect_end()
    anya.say("это снова я")
    borya.expect("message", from_="Аня", text="это снова я")
    borya.expect_silence()
    assert server.room.users() == ["Аня", "Боря"]


@pytest.mark.parametrize("secret", ["", "x", "x" * 64, 5, None, ["x"]])
def test_a_nickname_in_use_is_not_had_with_another_secret(
    server: ChatServer, dial: Dial, secret: object
) -> None:
    anya, thief = dial(server, "Аня"), dial(server)
    thief.expect("register")
    answer = thief.request("register", nick="Аня", session=secret)
    assert answer["code"] in {"nick_taken", "bad_frame"}
    anya.expect_silence()


def test_the_secret_is_told_to_its_owner_alone(server: ChatServer, dial: Dial) -> None:
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    anya.expect("joined")
    anya.say("раз")
    anya.say("два", to="Боря")
    anya.close()
    borya.skip_to("left")
    borya.send({"type": "history"}, {"type": "users"})
    borya.skip_to("users")
    secret: str = anya.welcome["session"]
    assert not any(secret.encode() in frame for frame in borya.frames)


def test_a_message_sent_again_is_acknowledged_again_and_heard_once(
    server: ChatServer, dial: Dial
) -> None:
    borya, dead = dial(server, "Боря"), dial(server, "Аня")
    borya.expect("joined")
    seq = dead.say("раз", number=7)
    anya = come_back(server, dial, dead, "Аня")
    anya.send(said("раз", 7), said("два", 8))
    anya.expect("ack", id=7, seq=seq)
    anya.expect("ack", id=8, seq=seq + 1)
    borya.expect("message", text="раз")
    borya.expect("message", text="два")
    borya.expect_silence()


def test_what_was_missed_is_told_and_nothing_else(server: ChatServer, dial: Dial) -> None:
    borya, vera, dead = dial(server, "Боря"), dial(server, "Вера"), dial(server, "Аня")
    borya.skip_to("joined", nick="Аня")
    vera.skip_to("joined", nick="Аня")
    seq = borya.say("до обрыва")
    dead.expect("message", text="до обрыва")
    dead.say("своё")
    borya.expect("message", text="своё")
    borya.say("шёпот", to="Аня")
    dead.reset()
    borya.expect("left", nick="Аня", reason="lost")
    borya.say("всем")
    borya.say("не ей", to="Вера")
    anya = come_back(server, dial, dead, "Аня")
    answer = anya.request("history", after=seq)
    assert [m["text"] for m in answer["messages"]] == ["шёпот", "всем"]
    assert answer["after"] == seq
    assert "gap" not in answer
    assert anya.request("history", after=answer["messages"][-1]["seq"])["messages"] == []


def test_what_was_missed_comes_by_pages(serve: Serve, dial: Dial) -> None:
    server = serve(missed_answer=3)
    borya = dial(server, "Боря")
    for number in range(7):
        borya.say(str(number))
    anya = dial(server, "Аня")
    after, pages = 0, []
    while page := anya.request("history", after=after)["messages"]:
        pages.append([message["text"] for message in page])
        after = page[-1]["seq"]
    assert pages == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


def test_what_is_not_remembered_any_more_is_said_to_be_missing(serve: Serve, dial: Dial) -> None:
    server = serve(history_messages=3)
    borya = dial(server, "Боря")
    for number in range(1, 6):
        borya.say(str(number))
    anya = dial(server, "Аня")
    answer = anya.request("history", after=1)
    assert answer["gap"] is True
    assert [m["text"] for m in answer["messages"]] == ["3", "4", "5"]
    assert "gap" not in anya.request("history", after=2)


def test_what_was_refused_before_is_not_said_after_what_came_later(
    server: ChatServer, dial: Dial
) -> None:
    """The refusal was lost on the way; said now, the message would be heard out of order."""
    borya, dead = dial(server, "Боря"), dial(server, "Аня")
    borya.expect("joined")
    dead.send(said("Вере", 1, "Вера"), said("всем", 2))
    borya.expect("message", text="всем")
    vera = dial(server, "Вера")
    anya = come_back(server, dial, dead, "Аня")
    anya.send(said("Вере", 1, "Вера"), said("всем", 2), said("Вере", 3, "Вера"))
    anya.expect("error", code="not_recorded", id=1, re="message")
    anya.expect("ack", id=2)
    anya.expect("ack", id=3, seq=2)
    vera.expect("message", text="Вере", seq=2)
    vera.expect_silence()


def test_what_is_sent_again_counts_neither_as_too_fast_nor_twice_in_the_log(
    serve: Serve, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(rate=0.001, burst=3)
    dead = dial(server, "Аня")
    with caplog.at_level(logging.INFO, "chat.server"):
        for number in (1, 2, 3):
            dead.say(str(number), number=number)
        anya = come_back(server, dial, dead, "Аня")
        anya.send(*(said(str(number), number) for number in (1, 2, 3, 4, 5, 6, 7)))
        answers = sorted((anya.next() for _ in range(7)), key=lambda answer: answer["id"])
        server.stop()  # a record of messages may come a moment later than they do
    assert [answer["type"] for answer in answers] == ["ack"] * 6 + ["error"]
    assert answers[6]["code"] == "too_fast"
    events = [record.__dict__["event"] for record in caplog.records]
    texts = [
        entry.text
        for event in events
        if event["event"] == "messages"
        for entry in event["messages"]
    ]
    assert texts == ["1", "2", "3", "4", "5", "6"]


def test_who_talked_into_a_dead_connection_is_no_flood_when_they_come_back(serve: Serve) -> None:
    """No more is on its way than the server takes at once."""
    server = serve(rate=200, burst=10, refusals=1)
    events: list[Message] = []
    returned = threading.Event()

    def on_event(event: Message) -> None:
        events.append(event)
        if event["type"] in ("reconnected", "closed"):
            returned.set()

    with (
        Wiretap(server.address) as tap,
        ResumingClient(tap.address, "Аня", on_event=on_event) as anya,
    ):
        tap.stall(direction=Direction.TO_CLIENT)
        for number in range(5):
            anya.say(str(number))
        talker = threading.Thread(target=lambda: [anya.say(f"и ещё {n}") for n in range(30)])
        talker.start()
        eventually(lambda: server.room.log.last_seq == 5)
        tap.cut()
        tap.heal()
        assert returned.wait(10)
        talker.join()
        anya.wait_acknowledged(10)
    assert [event for event in events if event["type"] in ("error", "left")] == []
    assert server.room.log.last_seq == 35
