"""Everyone to everyone, one to one; who hears what, and what is remembered."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from chat.core.connection import Transport
from chat.core.server import ChatServer
from tests.wire import PATIENCE, Wire

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


@pytest.fixture
def three(server: ChatServer, dial: Dial) -> tuple[Wire, Wire, Wire]:
    """Аня, Боря and Вера, who have all heard of each other."""
    anya, borya, vera = (dial(server, nick) for nick in ("Аня", "Боря", "Вера"))
    anya.expect("joined", nick="Боря")
    for wire in (anya, borya):
        wire.expect("joined", nick="Вера")
    return anya, borya, vera


def test_a_message_to_all_reaches_all_others(three: tuple[Wire, Wire, Wire]) -> None:
    anya, borya, vera = three
    before = time.time()
    seq = anya.say("привет")
    for wire in (borya, vera):
        message = wire.expect("message", from_="Аня", to=None, text="привет", seq=seq)
        assert before - 1 <= message["time"] <= time.time() + 1


def test_the_sender_does_not_get_their_own_message_back(three: tuple[Wire, Wire, Wire]) -> None:
    anya, borya, _vera = three
    anya.say("всем")
    anya.say("одному", to="Боря")
    anya.expect_silence()
    assert [borya.next()["text"] for _ in range(2)] == ["всем", "одному"]


def test_a_private_message_reaches_exactly_the_one_it_was_meant_for(
    three: tuple[Wire, Wire, Wire],
) -> None:
    anya, borya, vera = three
    seq = anya.say("шёпот", to="Боря")
    borya.expect("message", from_="Аня", to="Боря", text="шёпот", seq=seq)
    for wire in (anya, borya, vera):
        wire.expect_silence()


def test_a_partner_is_found_without_regard_to_case(three: tuple[Wire, Wire, Wire]) -> None:
    anya, borya, _vera = three
    anya.say("эй", to="БОРЯ")
    borya.expect("message", to="Боря")


def test_sending_to_somebody_who_is_not_there_is_refused(three: tuple[Wire, Wire, Wire]) -> None:
    anya, borya, vera = three
    assert anya.request("message", text="эй", to="Гриша", id=7) == {
        "type": "error",
        "code": "no_such_user",
        "re": "message",
        "id": 7,
    }
    for wire in (borya, vera):
        wire.expect_silence()
    anya.say("а здесь есть кто?")  # she is still in the chat


def test_sending_to_oneself_is_refused(three: tuple[Wire, Wire, Wire]) -> None:
    assert three[0].request("message", text="эй", to="Аня")["code"] == "no_such_user"


def test_a_private_message_without_text_does_not_throw_its_author_out(
    three: tuple[Wire, Wire, Wire],
) -> None:
    anya, borya, _vera = three
    for message in ({"to": "Боря"}, {"to": "Боря", "text": ""}, {"to": "Боря", "text": "  "}):
        assert anya.request("message", **message)["code"] == "bad_text"
    anya.say("я здесь", to="Боря")
    borya.expect("message", text="я здесь")


def test_a_private_message_keeps_its_spaces(three: tuple[Wire, Wire, Wire]) -> None:
    anya, borya, _vera = three
    text = "  два  слова,\tи табуляция \n  и строка  "
    anya.say(text, to="Боря")
    borya.expect("message", text=text)


@pytest.mark.parametrize(
    "text",
    [
        "ёжик",
        "日本語",
        "🙂👩‍👩‍👧",
        "\\n \" ' </b> %s {} \\u0041",
        "a" * 2000,
        "🙂" * 2000,
        "\u200fשלום",
    ],
)
def test_any_text_arrives_as_it_was_sent(three: tuple[Wire, Wire, Wire], text: str) -> None:
    anya, borya, _vera = three
    anya.say(text)
    borya.expect("message", text=text)


def test_text_goes_through_the_wire_as_utf_8(three: tuple[Wire, Wire, Wire]) -> None:
    anya, borya, _vera = three
    anya.say("привет")
    borya.expect("message")
    assert "привет".encode() in borya.frames[-1]


def test_the_name_is_never_taken_from_the_message(three: tuple[Wire, Wire, Wire]) -> None:
    anya, borya, vera = three
    anya.send(
        {
            "type": "message",
            "text": "это не я",
            "from": "Вера",
            "nick": "Вера",
            "seq": 1000,
            "time": 0,
            "id": 1,
        }
    )
    seq = anya.expect("ack", id=1)["seq"]
    for wire in (borya, vera):
        assert wire.expect("message", from_="Аня", seq=seq)["time"] > 0


def test_a_user_whose_name_is_the_beginning_of_anothers_sees_their_messages(
    server: ChatServer, dial: Dial
) -> None:
    ann, anna = dial(server, "Ann"), dial(server, "Anna")
    ann.expect("joined", nick="Anna")
    anna.say("hello, Ann")
    ann.expect("message", from_="Anna", text="hello, Ann")
    ann.say("hello, Anna", to="Anna")
    anna.expect("message", from_="Ann", text="hello, Anna")


def test_a_message_to_a_freed_nickname_goes_to_its_new_owner_only(
    three: tuple[Wire, Wire, Wire], server: ChatServer, dial: Dial
) -> None:
    anya, borya, _vera = three
    borya.send({"type": "quit"})
    anya.expect("left", nick="Боря")
    borya.expect_end()
    other = dial(server, "Боря")
    anya.expect("joined", nick="Боря")
    anya.say("это ты?", to="Боря")
    other.expect("message", text="это ты?")


def test_the_acknowledgement_tells_the_number_under_which_a_message_is_recorded(
    three: tuple[Wire, Wire, Wire],
) -> None:
    anya, borya, _vera = three
    assert anya.say("раз", number=0) == 1
    assert borya.expect("message")["seq"] == 1
    assert borya.say("два", number=2**53 - 1) == 2
    assert anya.expect("message")["seq"] == 2


def test_a_message_without_an_id_is_not_acknowledged(three: tuple[Wire, Wire, Wire]) -> None:
    anya, borya, _vera = three
    anya.send({"type": "message", "text": "эй"})
    anya.expect_silence()
    borya.expect("message", text="эй")


def test_everybody_sees_the_same_order(server: ChatServer, dial: Dial) -> None:
    speakers, each = 5, 40
    wires = [dial(server, f"user{number}") for number in range(speakers)]
    watcher = dial(server, "watcher")
    for wire in wires:
        wire.skip_to("joined", nick="watcher")
    together = threading.Barrier(speakers)

    def talk(wire: Wire) -> list[tuple[int, str]]:
        """Send all and receive all; return what was heard, in order."""
        together.wait(PATIENCE)
        for number in range(each):
            wire.send({"type": "message", "text": str(number)})
        heard = [wire.expect("message") for _ in range(each * (speakers - 1))]
        return [(message["seq"], message["from"]) for message in heard]

    with ThreadPoolExecutor(speakers) as pool:
        heard = list(pool.map(talk, wires))
    everything = [watcher.expect("message") for _ in range(each * speakers)]
    order = [(message["seq"], message["from"]) for message in everything]
    assert [seq for seq, _sender in order] == list(range(1, each * speakers + 1))
    for number, own in enumerate(heard):
        assert own == [(seq, sender) for seq, sender in order if sender != f"user{number}"]
    for number in range(speakers):
        mine = [message["text"] for message in everything if message["from"] == f"user{number}"]
        assert mine == [str(i) for i in range(each)]


def test_no_lock_is_held_while_sending(
    three: tuple[Wire, Wire, Wire], server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a slow network would hold up everybody who only wants to know who is here."""
    anya, borya, _vera = three
    locks = (server.room._lock, server.room.log._lock, server._lock)
    held: list[bool] = []
    send = Transport.send

    def look_and_send(self: Transport, data: bytes | memoryview) -> int:
        held.extend(lock.locked() for lock in locks)
        return send(self, data)

    monkeypatch.setattr(Transport, "send", look_and_send)
    anya.say("никто, кроме этого потока, сейчас ничего не делает")
    borya.expect("message")
    assert held
    assert not any(held)


# Asking


def test_the_list_of_users_is_told_on_request(three: tuple[Wire, Wire, Wire]) -> None:
    assert three[1].request("users") == {"type": "users", "users": ["Аня", "Вера"]}


def test_ping_is_answered_before_and_after_registering(server: ChatServer, dial: Dial) -> None:
    wire = dial(server)
    wire.expect("register")
    assert wire.request("ping") == {"type": "pong"}
    wire.send({"type": "register", "nick": "Аня"})
    wire.expect("welcome")
    assert wire.request("ping") == {"type": "pong"}


# History


def history(wire: Wire, **wanted: int) -> list[str]:
    wire.send({"type": "history"} | wanted)
    return [message["text"] for message in wire.skip_to("history")["messages"]]


def test_history_tells_what_was_said_before(
    three: tuple[Wire, Wire, Wire], server: ChatServer, dial: Dial
) -> None:
    anya, borya, _vera = three
    anya.say("раз")
    borya.skip_to("message")
    borya.say("два")
    newcomer = dial(server, "Гриша")
    assert newcomer.welcome["seq"] == 2
    assert history(newcomer) == ["раз", "два"]
    assert history(newcomer, limit=1) == ["два"]
    assert history(newcomer, before=2) == ["раз"]


def test_what_was_said_when_nobody_was_online_is_remembered(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    anya.say("есть тут кто-нибудь?")
    anya.send({"type": "quit"})
    anya.expect_end()
    assert history(dial(server, "Боря")) == ["есть тут кто-нибудь?"]


def test_a_message_is_recorded_once_however_many_hear_it(three: tuple[Wire, Wire, Wire]) -> None:
    three[0].say("всем троим")
    assert history(three[2]) == ["всем троим"]


def test_history_shows_private_messages_to_their_two_only(three: tuple[Wire, Wire, Wire]) -> None:
    anya, borya, vera = three
    anya.say("шёпот", to="Боря")
    anya.say("вслух")
    assert history(anya) == history(borya) == ["шёпот", "вслух"]
    assert history(vera) == ["вслух"]


def test_who_takes_a_nickname_over_does_not_take_its_private_messages_over(
    three: tuple[Wire, Wire, Wire], server: ChatServer, dial: Dial
) -> None:
    anya, borya, _vera = three
    anya.say("пароль 1234", to="Боря")
    borya.send({"type": "quit"})
    anya.skip_to("left", nick="Боря")
    assert history(dial(server, "Боря")) == []


def test_history_is_bounded(serve: Serve, dial: Dial) -> None:
    server = serve(history_messages=5, history_answer=3)
    anya = dial(server, "Аня")
    for number in range(9):
        anya.say(str(number))
    assert history(anya) == ["6", "7", "8"]
    assert history(anya, limit=1000) == ["6", "7", "8"]
    assert history(anya, before=7) == ["4", "5"]
