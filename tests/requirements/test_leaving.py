"""Going away, in every way there is: the nickname is free again, and the others are told."""

from collections.abc import Callable

import pytest

from chat.core.server import ChatServer
from tests.wire import Wire, eventually

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


def quit_(wire: Wire) -> None:
    wire.send({"type": "quit"})


def close(wire: Wire) -> None:
    wire.close()


def half_close(wire: Wire) -> None:
    wire.end_sending()


def reset(wire: Wire) -> None:
    wire.reset()


WAYS = [(quit_, "quit"), (close, "lost"), (half_close, "lost"), (reset, "lost")]


@pytest.mark.parametrize(("go", "reason"), WAYS, ids=["quit", "close", "half_close", "reset"])
def test_leaving_frees_the_nickname_and_is_announced(
    server: ChatServer, dial: Dial, go: Callable[[Wire], None], reason: str
) -> None:
    anya, borya, vera = (dial(server, nick) for nick in ("Аня", "Боря", "Вера"))
    borya.expect("joined")
    go(anya)
    for wire in (borya, vera):
        wire.expect("left", nick="Аня", reason=reason)
        wire.expect_silence()  # it is said once
    assert borya.request("users") == {"type": "users", "users": ["Вера"]}
    dial(server, "аня")


def test_a_client_whose_socket_is_reset_is_removed_and_announced(
    server: ChatServer, dial: Dial
) -> None:
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    borya.send(*({"type": "message", "text": str(number)} for number in range(100)))
    borya.reset()  # with unread bytes on the way in both directions
    anya.skip_to("left", nick="Боря", reason="lost")
    assert server.room.users() == ["Аня"]


def test_a_clean_disconnect_is_noticed_and_its_thread_ends(server: ChatServer, dial: Dial) -> None:
    """An empty ``recv`` is the peer's FIN: who reads on gets it for ever, and a core spins."""
    anya = dial(server, "Аня")
    borya = dial(server, "Боря")
    anya.expect("joined")
    threads = {client.address: client for client in server._clients}
    thread = threads[borya.local_address]
    borya.close()
    anya.expect("left", nick="Боря")
    thread.join(10)
    assert not thread.is_alive()
    eventually(lambda: thread not in server._clients)


def test_the_notice_of_leaving_names_the_one_who_left(server: ChatServer, dial: Dial) -> None:
    watcher = dial(server, "Наблюдатель")
    for nick in ("Аня", "Боря", "Вера"):
        dial(server, nick).close()
        watcher.expect("joined", nick=nick)
        watcher.expect("left", nick=nick)


def test_who_leaves_is_not_told_that_they_left(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    anya.send({"type": "quit"})
    anya.expect_end()


def test_what_follows_quit_is_not_carried_out(server: ChatServer, dial: Dial) -> None:
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    borya.send({"type": "quit"}, {"type": "message", "text": "ещё слово"})
    anya.expect("joined")
    anya.expect("left", nick="Боря", reason="quit")
    anya.expect_silence()


def test_what_was_said_before_leaving_is_heard(server: ChatServer, dial: Dial) -> None:
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    anya.expect("joined")
    for number in range(100):
        borya.send({"type": "message", "text": str(number)})
    borya.send({"type": "quit"})
    for number in range(100):
        anya.expect("message", text=str(number))
    anya.expect("left", nick="Боря")


def test_many_come_and_go_while_others_talk(server: ChatServer, dial: Dial) -> None:
    """No list changes under the one who reads it; an error in a thread would fail this test."""
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    anya.expect("joined")
    for number in range(30):
        guest = dial(server, f"guest{number}")
        anya.send({"type": "message", "text": str(number)})
        (guest.close, guest.reset)[number % 2]()
    heard = [borya.skip_to("message")["text"] for _ in range(30)]
    assert heard == [str(number) for number in range(30)]
    left = {anya.skip_to("left")["nick"] for _ in range(30)}  # in whatever order
    assert left == {f"guest{number}" for number in range(30)}
    assert server.room.users() == ["Аня", "Боря"]


def test_messages_to_somebody_who_is_just_leaving_do_no_harm(
    server: ChatServer, dial: Dial
) -> None:
    anya = dial(server, "Аня")
    for _ in range(20):
        borya = dial(server, "Боря")
        borya.reset()
        anya.send({"type": "message", "text": "ты здесь?", "to": "Боря", "id": 5})
        anya.skip_to("left", nick="Боря")
    anya.send({"type": "message", "text": "ты здесь?", "to": "Боря", "id": 6})
    anya.skip_to("error", code="no_such_user", id=6)
