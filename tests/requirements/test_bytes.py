"""TCP carries bytes: however the network cuts them, messages arrive whole, and alone."""

import socket
from collections.abc import Callable

import pytest

from chat.core.server import ChatServer
from tests.wire import Wire

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


@pytest.fixture
def two(server: ChatServer, dial: Dial) -> tuple[Wire, Wire]:
    """Аня and Боря, who have heard of each other."""
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    anya.expect("joined", nick="Боря")
    return anya, borya


def test_a_message_split_into_single_bytes_arrives_whole(two: tuple[Wire, Wire]) -> None:
    anya, borya = two
    frame = '{"type":"message","text":"привет, 🙂","id":1}\n'.encode()
    for position in range(len(frame)):
        anya.send_raw(frame[position : position + 1])
    anya.expect("ack", id=1)
    borya.expect("message", text="привет, 🙂")


def test_ten_messages_in_one_segment_arrive_as_ten(two: tuple[Wire, Wire]) -> None:
    anya, borya = two
    anya.send(*({"type": "message", "text": str(number)} for number in range(10)))
    for number in range(10):
        borya.expect("message", text=str(number))


def test_half_a_letter_arrives_whole(two: tuple[Wire, Wire]) -> None:
    """The first half is surely read alone: the pong to what stood before it has come back."""
    anya, borya = two
    frame = '{"type":"message","text":"ё"}\n'.encode()
    middle = frame.index("ё".encode()) + 1
    anya.send_raw(b'{"type":"ping"}\n' + frame[:middle])
    anya.expect("pong")
    borya.expect_silence()
    anya.send_raw(frame[middle:])
    borya.expect("message", text="ё")


def test_recv_returning_half_a_message_is_no_message_yet(two: tuple[Wire, Wire]) -> None:
    anya, borya = two
    frame = '{"type":"message","text":"целое"}\n'.encode()
    for cut in (1, len(frame) // 2, len(frame) - 1):
        anya.send_raw(b'{"type":"ping"}\n' + frame[:cut])
        anya.expect("pong")
        borya.expect_silence()
        anya.send_raw(frame[cut:])
        borya.expect("message", text="целое")


def test_recv_returning_a_message_and_a_half_is_one_message_and_then_one_more(
    two: tuple[Wire, Wire],
) -> None:
    anya, borya = two
    first, second = (f'{{"type":"message","text":"{n}"}}\n'.encode() for n in (1, 2))
    anya.send_raw(first + second[:10])
    borya.expect("message", text="1")
    borya.expect_silence()
    anya.send_raw(second[10:])
    borya.expect("message", text="2")


def test_two_sends_of_the_server_are_two_messages_even_in_one_segment(
    server: ChatServer, dial: Dial
) -> None:
    """The greeting is not glued to the notice of the next who joins."""
    anya = dial(server, "Аня")
    for number in range(20):
        dial(server, f"user{number}")
    for number in range(20):
        anya.expect("joined", nick=f"user{number}")


def test_entering_and_speaking_in_one_segment(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    hasty = dial(server)
    hasty.send(
        {"type": "register", "nick": "Аня"},
        {"type": "message", "text": "привет", "id": 1},
        {"type": "quit"},
    )
    hasty.expect("register")
    hasty.expect("welcome", nick="Аня")
    hasty.expect("ack", id=1)
    hasty.expect_end()
    borya.expect("joined", nick="Аня")
    borya.expect("message", text="привет")
    borya.expect("left", nick="Аня", reason="quit")


def test_half_a_message_whose_author_goes_away_is_never_said(
    two: tuple[Wire, Wire], server: ChatServer
) -> None:
    anya, borya = two
    anya.send_raw(b'{"type":"message","text":"half"}')
    anya.end_sending()
    borya.expect("left", nick="Аня", reason="lost")
    assert borya.request("history") == {"type": "history", "messages": []}
    assert server.room.users() == ["Боря"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\n",
        b"\n",
        b"\n\n\n",
        b"\r\n",
        b"\0\n",
        "привет\n".encode("cp1251"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"[" * 30_000 + b"\n",
        b'{"type":"message","id":' + b"9" * 30_000 + b"}\n",
        b'{"type":"message","text":NaN}\n',
        b'{"type":"ping","type":"ping"}\n',
        b"5\n",
    ],
    ids=lambda garbage: repr(garbage[:20]),
)
def test_bytes_that_are_no_message_kill_nobody(two: tuple[Wire, Wire], garbage: bytes) -> None:
    anya, borya = two
    anya.send_raw(garbage)
    for _ in range(garbage.count(b"\n")):
        anya.expect("error", code="bad_frame")
    anya.say("всё ещё здесь")
    borya.expect("message", text="всё ещё здесь")


def test_garbage_before_registering_is_refused_as_well(server: ChatServer, dial: Dial) -> None:
    newcomer = dial(server)
    newcomer.expect("register")
    newcomer.send_raw(b"\xff\n")
    newcomer.expect("error", code="bad_frame")
    assert newcomer.request("register", nick="Аня")["type"] == "welcome"


def test_before_a_frame_that_is_too_long_everything_is_carried_out(
    two: tuple[Wire, Wire], server: ChatServer
) -> None:
    anya, borya = two
    longest = server.limits.frame_bytes
    anya.send_raw(b'{"type":"message","text":"before","id":1}\n' + b"x" * (longest + 1))
    answers = [anya.next(), anya.next()]
    assert {answer["type"] for answer in answers} == {"ack", "error"}
    anya.expect_end()
    borya.expect("message", text="before")
    borya.expect("left", nick="Аня")


def test_a_frame_as_long_as_the_limit_is_taken(two: tuple[Wire, Wire], server: ChatServer) -> None:
    anya, borya = two
    frame = b'{"type":"message","text":"long","padding":"'
    frame += b"x" * (server.limits.frame_bytes - len(frame) - 2) + b'"}\n'
    anya.send_raw(frame)
    borya.expect("message", text="long")


def test_what_is_left_to_send_reaches_a_slow_reader_who_has_said_goodbye(
    serve: Serve, dial: Dial
) -> None:
    """The end of a stream comes after all of it, although the socket was full at the time."""
    server = serve(queue_bytes=1 << 24)
    small_send_buffer(server)
    writer = dial(server, "Аня")
    for _ in range(100):
        writer.say("ж" * 2000)
    for goodbye in (b"", b'{"type":"quit"}\n'):
        reader = dial(server, "Боря", receive_buffer=4096)
        reader.send_raw(b'{"type":"history"}\n' * 4 + goodbye)
        reader.end_sending()
        writer.skip_to("left", nick="Боря")  # the server has read it all and is about to close
        for _ in range(4):
            assert len(reader.expect("history")["messages"]) > 50
        reader.expect_end()


def small_send_buffer(server: ChatServer) -> None:
    """Make the sockets that *server* accepts full soon."""
    server._listeners[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def test_a_web_page_that_sends_a_browser_here_does_not_get_to_speak(
    server: ChatServer, dial: Dial
) -> None:
    """A browser begins with a line of HTTP, whatever the page has put into the request."""
    watcher, browser = dial(server, "Аня"), dial(server)
    browser.expect("register")
    browser.send_raw(
        b"POST / HTTP/1.1\r\nHost: localhost:9090\r\nContent-Type: text/plain\r\n\r\n"
        b'{"type":"register","nick":"evil"}\n{"type":"message","text":"click here"}\n'
    )
    browser.expect("error", code="bad_frame")
    browser.expect_end()
    watcher.expect_silence()
