"""ChatClient as a library, with the real server."""

import socket
import threading
from collections.abc import Callable

import pytest

from chat.core.client import ChatClient, ConnectionClosedError, RefusedError
from chat.core.protocol import Message
from chat.core.server import ChatServer
from chat.lab.background import RecordingClient
from tests.wire import PATIENCE, Wire, eventually

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


def test_entering_and_leaving(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    with ChatClient(server.address, "Аня") as anya:
        assert anya.nick == "Аня"
        assert anya.users == ["Боря"]
        assert not anya.closed
        borya.expect("joined", nick="Аня")
    assert anya.closed
    borya.expect("left", nick="Аня", reason="quit")


def test_the_nickname_is_the_one_that_the_server_accepted(server: ChatServer) -> None:
    with ChatClient(server.address, "ﬁ") as client:
        assert client.nick == "fi"


def test_the_list_of_users_is_kept_up_to_date(server: ChatServer, dial: Dial) -> None:
    dial(server, "Вера")
    with ChatClient(server.address, "Аня") as anya:
        assert anya.users == ["Вера"]
        borya = dial(server, "боря")
        eventually(lambda: anya.users == ["боря", "Вера"])
        borya.close()
        eventually(lambda: anya.users == ["Вера"])
        dial(server, "БОРЯ")
        eventually(lambda: anya.users == ["БОРЯ", "Вера"])


def test_everything_said_is_an_event(server: ChatServer) -> None:
    with (
        RecordingClient(server.address, "Аня") as anya,
        RecordingClient(server.address, "Боря") as borya,
    ):
        number = anya.say("привет")
        ack = anya.wait_for("ack", id=number)
        message = borya.wait_for("message", text="привет", from_="Аня", to=None)
        assert ack["seq"] == message["seq"]
        anya.say("шёпот", to="Боря")
        borya.wait_for("message", text="шёпот", to="Боря")
        borya.request_users()
        assert borya.wait_for("users")["users"] == ["Аня"]
        borya.request_history(limit=1, before=2)
        assert [said["text"] for said in borya.wait_for("history")["messages"]] == ["привет"]
        borya.ping()
        borya.wait_for("pong")
        assert not [event for event in anya.events if event["type"] == "message"]


def test_numbers_of_messages_are_not_used_twice(server: ChatServer) -> None:
    with ChatClient(server.address, "Аня") as anya:
        threads, numbers = [], []
        for _ in range(4):
            thread = threading.Thread(
                target=lambda: numbers.extend([anya.say("эй") for _ in range(50)])
            )
            threads.append(thread)
            thread.start()
        for thread in threads:
            thread.join()
        anya.wait_acknowledged(PATIENCE)
        assert sorted(numbers) == list(range(1, 201))


def test_an_error_comes_with_the_message_that_was_refused(server: ChatServer) -> None:
    with RecordingClient(server.address, "Аня") as anya:
        number = anya.say("ты где?", to="Гриша")
        error = anya.wait_for("error", code="no_such_user")
        assert error["message"] == {
            "type": "message",
            "id": number,
            "text": "ты где?",
            "to": "Гриша",
        }
        anya.wait_acknowledged(PATIENCE)  # an error is an answer too


def test_a_text_that_cannot_be_said_is_refused_and_breaks_nothing(server: ChatServer) -> None:
    with RecordingClient(server.address, "Аня") as anya:
        for text in ("", "\x1b[2J", "\ud800", "x" * 2001):
            ChatClient.say(anya, text)  # a RecordingClient would refuse a text that is too long
            assert anya.wait_for("error")["message"]["text"] == text
        anya.say("а это можно")
        anya.wait_for("ack")


def test_waiting_for_all_acknowledgements(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    with ChatClient(server.address, "Аня") as anya:
        for number in range(500):
            anya.say(str(number))
        anya.wait_acknowledged(PATIENCE)
        borya.skip_to("message", text="499")


def test_a_client_keeps_to_the_servers_rate_and_loses_nothing(serve: Serve, dial: Dial) -> None:
    server = serve(rate=500, burst=10)
    borya = dial(server, "Боря")
    with ChatClient(server.address, "Аня") as anya:
        for number in range(60):
            anya.say(str(number))
        anya.wait_acknowledged(PATIENCE)
    borya.expect("joined")
    for number in range(60):
        borya.expect("message", text=str(number))


def test_on_being_asked_the_client_says_that_it_is_there(serve: Serve) -> None:
    server = serve(ping_after=0.02)
    with RecordingClient(server.address, "Аня") as anya:
        for _ in range(3):
            anya.wait_for("ping")
        assert server.room.users() == ["Аня"]


# Being refused


@pytest.mark.parametrize("nick", ["Боря", "бОРЯ", "", "два слова", "\udcff"])
def test_a_nickname_refused(server: ChatServer, dial: Dial, nick: str) -> None:
    dial(server, "Боря")
    with pytest.raises(RefusedError) as caught, ChatClient(server.address, nick):
        pass
    assert caught.value.code == ("nick_taken" if nick.casefold() == "боря" else "bad_nick")


def test_another_nickname_on_the_same_connection(server: ChatServer, dial: Dial) -> None:
    dial(server, "Боря")
    client = ChatClient(server.address)
    try:
        assert client.connect()["type"] == "register"
        with pytest.raises(RefusedError):
            client.register("Боря")
        assert client.register("Аня")["users"] == ["Боря"]
        client.listen()
        assert server.room.users() == ["Аня", "Боря"]
    finally:
        client.close()


def test_a_server_that_is_full(serve: Serve, dial: Dial) -> None:
    server = serve(max_clients=1)
    dial(server, "Боря")
    with pytest.raises(RefusedError, match="server_full"), ChatClient(server.address, "Аня"):
        pass


def test_a_name_given_too_late(serve: Serve) -> None:
    server = serve(register_timeout=1, drain_timeout=0.05)
    client = ChatClient(server.address)
    client.connect()
    eventually(lambda: not server._clients)  # it has lost its patience
    with pytest.raises((RefusedError, ConnectionClosedError)):
        client.register("Аня")
    client.connect()
    client.register("Аня")
    client.close()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with pytest.raises(ConnectionRefusedError), ChatClient(address, "Аня"):
        pass


def test_before_connecting_nothing_can_be_said(server: ChatServer) -> None:
    client = ChatClient(server.address, "Аня")
    with pytest.raises(ConnectionClosedError):
        client.say("рано")
    client.close()


# The end


def test_closed_is_the_last_event_and_comes_once(server: ChatServer) -> None:
    with RecordingClient(server.address, "Аня") as anya:
        pass
    assert anya.events[-1] == {"type": "closed", "reason": "quit"}
    assert sum(event["type"] == "closed" for event in anya.events) == 1


def test_closing_twice(server: ChatServer) -> None:
    with ChatClient(server.address, "Аня") as anya:
        anya.close()
        anya.close()


def test_after_closing_nothing_can_be_said(server: ChatServer) -> None:
    with ChatClient(server.address, "Аня") as anya:
        anya.close()
        with pytest.raises(ConnectionClosedError):
            anya.say("поздно")


def test_after_closing_there_is_no_way_back(server: ChatServer) -> None:
    """Not even to who has never listened: nobody would write what is asked for."""
    client = ChatClient(server.address, "Аня")
    client.connect()
    client.register("Аня")
    client.close()
    assert client.closed
    for ask in (client.connect, lambda: client.register("Аня"), lambda: client.say("поздно")):
        with pytest.raises(ConnectionClosedError):
            ask()
    client.close()


def test_who_has_left_before_connecting_does_not_connect(server: ChatServer) -> None:
    """The thread that it would start nobody would end."""
    client = ChatClient(server.address, "Аня")
    client.close()
    with pytest.raises(ConnectionClosedError):
        client.connect()


def test_what_was_said_before_closing_is_heard(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    with ChatClient(server.address, "Аня") as anya:
        for number in range(200):
            anya.say(str(number))
    borya.expect("joined")
    for number in range(200):
        borya.expect("message", text=str(number))
    borya.expect("left", reason="quit")


@pytest.mark.parametrize("at", ["message", "users"])
def test_closing_from_within_on_event(server: ChatServer, dial: Dial, at: str) -> None:
    borya = dial(server, "Боря")
    events: list[Message] = []

    def on_event(event: Message) -> None:
        events.append(event)
        if event["type"] == at:
            anya.close()

    with ChatClient(server.address, "Аня", on_event=on_event) as anya:
        if at == "message":
            borya.send({"type": "message", "text": "уходи"})
        else:
            anya.request_users()
        borya.skip_to("left", nick="Аня")
        eventually(lambda: anya.closed)
    assert events[-1] == {"type": "closed", "reason": "quit"}


def test_answering_from_within_on_event(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")

    def echo(event: Message) -> None:
        if event["type"] == "message":
            anya.say(event["text"].upper(), to=event["from"])

    with ChatClient(server.address, "Аня", on_event=echo) as anya:
        for number in range(100):
            borya.send({"type": "message", "text": f"эхо {number}"})
        borya.expect("joined")
        for number in range(100):
            borya.expect("message", text=f"ЭХО {number}", to="Боря")


def test_the_server_stops(serve: Serve) -> None:
    server = serve()
    with RecordingClient(server.address, "Аня") as anya:
        server.stop()
        anya.wait_for("shutdown", reason="stopped")
        assert anya.wait_for("closed")["reason"] == "shutdown"
        assert anya.closed
        with pytest.raises(ConnectionClosedError):
            anya.say("эй")
        with pytest.raises(ConnectionClosedError):
            anya.request_users()


def test_being_kicked(serve: Serve) -> None:
    server = serve(admin_password="секрет")
    with (
        RecordingClient(server.address, "Аня") as anya,
        RecordingClient(server.address, "Боря") as borya,
    ):
        anya.become_admin("не тот")
        anya.wait_for("error", code="not_admin", re="admin")
        anya.become_admin("секрет")
        anya.wait_for("admin")
        anya.kick("Боря")
        anya.wait_for("left", nick="Боря", reason="kicked")
        assert borya.wait_for("closed")["reason"] == "kicked"


def test_an_admin_stops_the_server(serve: Serve) -> None:
    server = serve(admin_password="секрет")
    with RecordingClient(server.address, "Аня") as anya:
        anya.become_admin("секрет")
        anya.shut_server_down()
        anya.wait_for("shutdown", reason="admin")
    server.wait()


def test_an_exception_in_the_block_still_leaves_the_chat(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    with pytest.raises(ZeroDivisionError), ChatClient(server.address, "Аня"):
        raise ZeroDivisionError
    borya.skip_to("left", nick="Аня", reason="quit")


def test_over_ipv6(dial: Dial) -> None:
    del dial
    try:
        server = ChatServer("::1")
        server.bind()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server.start()
    try:
        with ChatClient(server.address, "Аня") as anya:
            assert anya.nick == "Аня"
    finally:
        server.stop()
