"""Every limit holds for the one who meets it, and for nobody else."""

import socket
import threading
from collections.abc import Callable

import pytest

from chat import server as service
from chat.core import server as server_module
from chat.core.protocol import Limits
from chat.core.server import ChatServer, ClientConnection
from tests.wire import Wire, eventually

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


@pytest.mark.promise(name="limits")
def test_who_writes_too_fast_is_slowed_down_and_told_which_message_was_not_delivered(
    serve: Serve, dial: Dial
) -> None:
    server = serve(rate=0.001, burst=3)
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    anya.expect("joined")
    anya.send(*({"type": "message", "text": str(n), "id": n} for n in range(5)))
    answers = sorted((anya.next() for _ in range(5)), key=lambda answer: answer["id"])
    assert [answer["type"] for answer in answers] == ["ack"] * 3 + ["error"] * 2
    for answer in answers[3:]:
        assert (answer["code"], answer["re"]) == ("too_fast", "message")
    for number in range(3):
        borya.expect("message", text=str(number))
    borya.say("а я могу")  # the limit is each user's own
    anya.expect("message", text="а я могу")


def test_pasting_twenty_lines_at_once_is_no_flood(serve: Serve, dial: Dial) -> None:
    anya = dial(serve(rate=service.DEFAULTS.rate), "Аня")
    anya.send(*({"type": "message", "text": str(n), "id": n} for n in range(20)))
    for number in range(20):
        anya.expect("ack", id=number)


@pytest.mark.promise(name="limits")
def test_who_does_not_stop_is_disconnected(serve: Serve, dial: Dial) -> None:
    server = serve(rate=0.001, burst=1, refusals=5)
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    anya.expect("joined")
    anya.send(*({"type": "message", "text": str(n)} for n in range(7)))
    for _ in range(5):
        anya.expect("error", code="too_fast")
    anya.expect("left", nick="Аня", reason="flood")
    anya.expect_end()
    borya.expect("message", text="0")
    borya.expect("left", nick="Аня", reason="flood")


def test_a_client_that_does_not_read_delays_nobody_and_is_given_up(
    serve: Serve, dial: Dial
) -> None:
    server = serve(queue_bytes=200_000, history_answer_bytes=10_000)
    server._listeners[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    speaker, listener = dial(server, "Аня"), dial(server, "Боря")
    dial(server, "Соня", receive_buffer=4096)  # never reads
    listener.expect("joined")
    for number in range(1, 10_000):
        speaker.send({"type": "message", "text": "ж" * 1000, "id": number})
        speaker.skip_to("ack", id=number)
        message = listener.next()
        if message["type"] == "left":
            break
        assert message["seq"] == number
    assert message == {"type": "left", "nick": "Соня", "reason": "slow"}
    assert number > 200_000 // 2100
    assert server.room.users() == ["Аня", "Боря"]


@pytest.mark.parametrize(
    ("text", "code"), [("a" * 11, "text_too_long"), ("🙂" * 11, "text_too_long"), ("", "bad_text")]
)
def test_the_limits_of_a_text(serve: Serve, dial: Dial, text: str, code: str) -> None:
    anya = dial(serve(text_chars=10), "Аня")
    assert anya.request("message", text=text)["code"] == code
    anya.say("🙂" * 10)


def test_the_limits_of_a_nickname(serve: Serve, dial: Dial) -> None:
    server = serve(nick_chars=3)
    wire = dial(server)
    assert wire.next()["limits"]["nick_chars"] == 3
    assert wire.request("register", nick="Боря")["code"] == "bad_nick"
    assert wire.request("register", nick="Аня")["type"] == "welcome"


def test_when_there_is_no_thread_for_one_more_client_the_next_one_is_served(
    monkeypatch: pytest.MonkeyPatch, server: ChatServer, dial: Dial
) -> None:
    start = ClientConnection.start
    failures = iter([True])

    def start_or_not(self: ClientConnection) -> None:
        if next(failures, False):
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(ClientConnection, "start", start_or_not)
    dial(server).expect_end()
    dial(server, "Аня")


def test_when_there_is_no_descriptor_for_one_more_client_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, dial: Dial
) -> None:
    """And that without anybody leaving: nobody may be there."""
    monkeypatch.setattr(server_module, "RETRY_AFTER", 0.01)
    server = serve()
    refused = threading.Event()
    accept = socket.socket.accept

    def accept_or_not(self: socket.socket) -> tuple[socket.socket, object]:
        if not refused.is_set():
            refused.set()
            raise OSError(24, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", accept_or_not)
    dial(server, "Аня")
    assert refused.is_set()


def test_a_thousand_requests_without_reading_the_answers_harm_nobody(
    server: ChatServer, dial: Dial
) -> None:
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    anya.send(*({"type": "users"} for _ in range(1000)))
    borya.say("я жив")
    anya.skip_to("message", text="я жив")
    eventually(lambda: len(server.room.users()) == 2)


@pytest.mark.promise(name="limits")
@pytest.mark.parametrize("rate", [0.0, 10.0])
def test_what_is_sent_again_for_ever_is_slowed_and_what_a_loss_makes_so_is_not(rate: float) -> None:
    from chat.promises.limits import Budgets  # noqa: PLC0415 - the file may have been taken out

    budget = Budgets(Limits(rate=rate)).admit(("192.0.2.1", 5))
    assert budget is not None
    after_a_loss = 20 if rate else Limits.window_messages
    assert not any(budget.take("repeated", 50) for _n in range(after_a_loss))
    for _n in range(1000):
        wait = budget.take("repeated", 50)
    assert bool(wait) == bool(rate)


@pytest.mark.promise(name="limits")
def test_a_crowd_at_an_address_does_not_keep_a_neighbour_out() -> None:
    """Whoever tries to enter must hear the answer before the time to register is over."""
    from chat.promises.limits import Budgets  # noqa: PLC0415 - the file may have been taken out

    gate, address = Budgets(Limits()), ("192.0.2.1", 5)
    crowd, neighbour = gate.admit(address), gate.admit(address)
    assert crowd is not None
    assert neighbour is not None
    for _n in range(5000):
        crowd.take("register", 50)
    assert 0 < neighbour.take("register", 50) < Limits.register_timeout
