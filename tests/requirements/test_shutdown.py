"""The server stops: everybody is told first, and nothing of it is left."""

import socket
import threading
from collections.abc import Callable

import pytest

from chat.core.server import ChatServer
from tests.wire import Wire, eventually

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


def test_a_server_that_stops_tells_everybody_first(serve: Serve, dial: Dial) -> None:
    server = serve()
    wires = [dial(server, nick) for nick in ("Аня", "Боря", "Вера")]
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    for wire in wires:
        wire.skip_to("shutdown", reason="stopped")
        wire.expect_end()
        wire.close()
    stopping.join()


def test_what_was_said_last_comes_before_the_goodbye(serve: Serve, dial: Dial) -> None:
    server = serve()
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    for number in range(50):
        borya.say(str(number))
    server.request_stop("stopped")
    anya.expect("joined")
    for number in range(50):
        anya.expect("message", text=str(number))
    anya.expect("shutdown")
    anya.expect_end()


def test_after_it_has_stopped_nobody_listens(serve: Serve) -> None:
    server = serve()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        Wire(server.address)


def test_its_port_can_be_used_again_at_once(serve: Serve, dial: Dial) -> None:
    """SO_REUSEADDR: the last run's connections may still be in TIME_WAIT."""
    first = serve()
    anya = dial(first, "Аня")
    first.request_stop("stopped")
    anya.skip_to("shutdown")
    anya.expect_end()
    anya.close()
    first.wait()
    with ChatServer(port=first.address[1]) as second, Wire(second.address, "Аня"):
        assert second.address == first.address


def test_a_port_in_use_is_an_error_and_leaves_nothing(serve: Serve) -> None:
    port = serve().address[1]
    second = ChatServer(port=port)
    with pytest.raises(OSError, match="in use"):
        second.start()
    second.stop()


def test_stopping_twice_and_from_several_threads(serve: Serve) -> None:
    server = serve()
    threads = [threading.Thread(target=server.stop) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.stop()


def test_a_server_that_was_never_started_can_be_stopped() -> None:
    ChatServer().stop()


def test_a_client_that_does_not_hang_up_is_not_waited_for_longer_than_the_limit(
    serve: Serve, dial: Dial
) -> None:
    server = serve(drain_timeout=0.05)
    stubborn, nameless = dial(server, "Аня"), dial(server)
    nameless.expect("register")
    server.stop()
    stubborn.expect("shutdown")
    stubborn.expect_end()
    nameless.expect_end()


def test_a_client_that_does_not_read_is_not_waited_for_longer_than_the_limit(
    serve: Serve, dial: Dial
) -> None:
    server = serve(drain_timeout=0.05, queue_bytes=1 << 26)
    server._listeners[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    speaker = dial(server, "Аня")
    dial(server, "Боря", receive_buffer=4096)
    for _ in range(100):
        speaker.send({"type": "message", "text": "ж" * 2000})
    eventually(lambda: server.room.log.last_seq == 100)
    server.stop()


def test_while_it_stops_nobody_is_let_in(serve: Serve, dial: Dial) -> None:
    server = serve(drain_timeout=5)
    newcomer, anya = dial(server), dial(server, "Аня")
    newcomer.expect("register")
    server.request_stop("stopped")
    anya.expect("shutdown")
    newcomer.send({"type": "register", "nick": "Боря"})
    newcomer.expect_end()
    assert "Боря" not in server.room.users()


def test_an_address_is_known_from_bind_on() -> None:
    server = ChatServer()
    with pytest.raises(RuntimeError):
        _ = server.address
    server.bind()
    host, port = server.address
    assert host == "127.0.0.1"
    assert port > 0
    server.start()
    server.stop()
    assert server.address == (host, port)
