"""Background threads: their errors surface, their sockets wake them, nothing stays behind."""

import socket
import subprocess
import sys
import threading

import pytest

from chat.core.server import ChatServer
from chat.lab import background
from chat.lab.background import (
    Background,
    RecordingClient,
    Snapshot,
    assert_nothing_left,
    connected_pair,
    listen,
    no_leftovers,
)
from chat.lab.waiting import wait_until


def echo(listener: socket.socket) -> None:
    """Serve one client after another, as a first attempt does."""
    while True:
        connection, _address = listener.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)


def fail() -> None:
    raise ZeroDivisionError("in the thread")


def connect(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname(), timeout=5)


def test_a_function_runs_and_its_result_is_had() -> None:
    with Background(max, 2, 3) as worker:
        assert worker.result() == 3
        assert not worker.running


def test_an_exception_is_raised_by_result() -> None:
    with Background(fail) as worker, pytest.raises(ZeroDivisionError):
        worker.result()


def test_an_exception_is_raised_at_the_end_of_the_block() -> None:
    with pytest.raises(ZeroDivisionError), Background(fail):
        pass


def test_an_exception_of_the_block_carries_the_one_of_the_thread() -> None:
    def block() -> None:
        with Background(fail) as worker:
            wait_until(lambda: not worker.running)
            raise LookupError("in the block")

    with pytest.raises(LookupError) as caught:
        block()
    assert "ZeroDivisionError: in the thread" in caught.value.__notes__[0]


def test_a_server_waiting_in_accept_is_woken() -> None:
    with listen() as listener, Background(echo, listener) as server:
        assert server.running
    assert not server.running


def test_a_server_waiting_for_its_client_is_woken() -> None:
    with listen() as listener, connect(listener) as client:
        with Background(echo, listener) as server:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
            assert server.running  # in recv, and the client says nothing more
        assert client.recv(1) == b""
        assert not server.running


def test_a_server_is_woken_when_the_block_fails() -> None:
    with listen() as listener:
        with pytest.raises(LookupError), Background(echo, listener) as server:
            raise LookupError
        assert not server.running


def test_a_connection_accepted_too_late_is_hung_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = connected_pair()
    with listen() as listener, client, server:
        listener.hang_up()
        # As if accept(2) had returned just before, and our note of it came after.
        monkeypatch.setattr(socket.socket, "accept", lambda _self: (server, None))
        listener.accept()
        assert client.recv(1) == b""


def test_a_thread_blocked_in_send_is_woken() -> None:
    client, server = connected_pair()
    with client, server, Background(client.sendall, bytes(64 << 20), stop=server.close) as sender:
        assert sender.running  # nobody reads


def test_stop_is_called() -> None:
    event = threading.Event()
    with Background(event.wait, stop=event.set) as waiter:
        assert waiter.running
    assert waiter.result() is True


def test_a_thread_that_does_not_stop_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "TIMEOUT", 0.05)
    event = threading.Event()
    worker = Background(event.wait)
    with pytest.raises(RuntimeError, match=r"still here:\n(.|\n)*wait"), worker:
        pass
    event.set()
    wait_until(lambda: not worker.running)


def test_result_does_not_wait_for_ever() -> None:
    event = threading.Event()
    with Background(event.wait, stop=event.set) as worker, pytest.raises(TimeoutError):
        worker.result(timeout=0.05)


# --- RecordingClient -----------------------------------------------------------------------------


def test_recording_client_waits_for_events() -> None:
    with ChatServer() as server, RecordingClient(server.address, "Аня") as anya:
        with RecordingClient(server.address, "Боря") as borya:
            anya.wait_for("joined", nick="Боря")
            number = borya.say("раз")
            borya.say("два", to="Аня")
            assert borya.wait_for("ack", id=number)["seq"] == 1
            assert anya.wait_for("message", from_="Боря")["text"] == "раз"
            assert anya.wait_for("message", from_="Боря")["text"] == "два"  # each one once
        anya.wait_for("left", nick="Боря", reason="quit")
        with pytest.raises(TimeoutError, match=r"Аня получает .*message"):
            anya.wait_for("message", timeout=0.01)
        assert [event["type"] for event in anya.events] == ["joined", "message", "message", "left"]


def test_recording_client_does_not_wait_on_a_closed_connection() -> None:
    with ChatServer() as server, RecordingClient(server.address, "Аня") as anya:
        server.stop()
        anya.wait_for("closed")
        with pytest.raises(ConnectionError, match="Соединение уже закончилось"):
            anya.wait_for("message", timeout=60)


# --- nothing is left behind ----------------------------------------------------------------------


def test_a_thread_left_behind_is_named() -> None:
    event = threading.Event()
    thread = threading.Thread(target=event.wait, name="straggler")
    with pytest.raises(AssertionError, match="thread straggler"), no_leftovers(timeout=0.05):
        thread.start()
    event.set()
    thread.join()


def test_a_socket_left_behind_is_named() -> None:
    with socket.socket() as sock:
        before = Snapshot()
        with sock.dup(), pytest.raises(AssertionError, match="socket object"):
            assert_nothing_left(before, timeout=0.05)


def test_a_descriptor_that_python_does_not_know_is_named() -> None:
    before = Snapshot()
    descriptor = socket.create_server(("127.0.0.1", 0)).detach()
    with pytest.raises(AssertionError, match=r"socket 127\.0\.0\.1"):
        assert_nothing_left(before, timeout=0.05)
    socket.close(descriptor)


def test_a_child_left_behind_is_named() -> None:
    with pytest.raises(AssertionError, match="process"), no_leftovers(timeout=0.05):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.communicate(b"\n")


def test_a_thread_that_is_just_ending_is_waited_for() -> None:
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    with no_leftovers():
        thread.start()
        threading.Timer(0.05, event.set).start()
