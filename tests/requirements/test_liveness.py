"""A closed laptop says nothing: silence is asked about, and after that it is an answer."""

from collections.abc import Callable

from chat.core.server import ChatServer
from chat.lab.waiting import wait_until
from tests.wire import Wire

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


def test_after_silence_the_server_asks_and_any_word_is_an_answer(serve: Serve, dial: Dial) -> None:
    anya = dial(serve(ping_after=0.02), "Аня")
    for answer in ({"type": "pong"}, {"type": "pong"}, {"type": "message", "text": "здесь я"}):
        anya.expect("ping")
        anya.send(answer)
    anya.expect("ping")
    anya.send({"type": "users"})
    assert anya.skip_to("users") == {"type": "users", "users": []}


def test_half_a_frame_is_an_answer_too(serve: Serve, dial: Dial) -> None:
    anya = dial(serve(ping_after=0.02), "Аня")
    anya.expect("ping")
    anya.send_raw(b'{"type":')
    anya.expect("ping")
    anya.send_raw(b'"pong"}\n')
    anya.expect("ping")


def test_who_does_not_answer_is_disconnected_and_the_others_are_told(
    serve: Serve, dial: Dial
) -> None:
    server = serve(ping_after=0.05, answer_timeout=0.05)
    silent = dial(server, "Аня")
    silent.expect("ping")
    silent.expect("left", nick="Аня", reason="timeout")
    silent.expect_end()
    wait_until(lambda: server.room.users() == [])


def test_the_others_are_told_that_it_was_a_timeout(serve: Serve, dial: Dial) -> None:
    server = serve(ping_after=0.05, answer_timeout=1)
    watcher = dial(server, "Наблюдатель")
    dial(server, "Аня")
    while (message := watcher.next())["type"] != "left":
        if message["type"] == "ping":
            watcher.send({"type": "pong"})
    assert message == {"type": "left", "nick": "Аня", "reason": "timeout"}


def test_who_talks_is_not_asked(serve: Serve, dial: Dial) -> None:
    anya = dial(serve(ping_after=30), "Аня")
    for number in range(20):
        anya.say(str(number))
    anya.expect_silence()
