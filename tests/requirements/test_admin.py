"""The admin is who knows the password; nobody else, whatever their name."""

import logging
from collections.abc import Callable

import pytest

from chat.core.server import ChatServer
from chat.promises.limits import GUESS_BURST
from tests.wire import Wire, eventually

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]

PASSWORD = "очень секретно"

NOT_ADMIN = {"type": "error", "code": "not_admin"}


@pytest.fixture
def server(serve: Serve) -> ChatServer:
    return serve(admin_password=PASSWORD)


@pytest.fixture
def admin(server: ChatServer, dial: Dial) -> Wire:
    wire = dial(server, "Аня")
    assert wire.request("admin", password=PASSWORD) == {"type": "admin"}
    return wire


@pytest.mark.parametrize(
    "password",
    ["", "очень", PASSWORD + " ", PASSWORD.upper(), "\udcff", "x" * 10_000, None, 5, [PASSWORD]],
)
def test_a_wrong_password_makes_no_admin(server: ChatServer, dial: Dial, password: object) -> None:
    wire = dial(server, "Аня")
    assert wire.request("admin", password=password) == NOT_ADMIN | {"re": "admin"}
    assert wire.request("shutdown") == NOT_ADMIN | {"re": "shutdown"}


def test_without_a_password_given_there_is_none(server: ChatServer, dial: Dial) -> None:
    assert dial(server, "Аня").request("admin") == NOT_ADMIN | {"re": "admin"}


@pytest.mark.parametrize("password", ["", None, "None", "admin"])
def test_on_a_server_without_a_password_nobody_is_admin(
    serve: Serve, dial: Dial, password: object
) -> None:
    wire = dial(serve(), "Аня")
    assert wire.request("admin", password=password)["code"] == "not_admin"
    assert wire.request("kick", nick="Аня")["code"] == "not_admin"
    assert wire.request("shutdown")["code"] == "not_admin"


@pytest.mark.parametrize("nick", ["serveradmin", "admin", "root", "Администратор"])
def test_a_nickname_makes_no_admin(server: ChatServer, dial: Dial, nick: str) -> None:
    wire = dial(server, nick)
    assert wire.request("shutdown")["code"] == "not_admin"
    dial(server, "Боря")
    wire.expect("joined")
    assert wire.request("kick", nick="Боря")["code"] == "not_admin"


def test_a_password_that_is_no_valid_text_can_still_be_right(serve: Serve, dial: Dial) -> None:
    """An environment may hold any bytes; Python shows the odd ones as surrogates (PEP 383)."""
    wire = dial(serve(admin_password="\udcff"), "Аня")
    assert wire.request("admin", password="?")["code"] == "not_admin"
    assert wire.request("admin", password="\udcff") == {"type": "admin"}


def test_who_mistypes_the_password_afterwards_is_still_admin(admin: Wire) -> None:
    assert admin.request("admin", password="забыла")["code"] == "not_admin"
    admin.send({"type": "shutdown"})
    admin.expect("shutdown", reason="admin")


def test_who_guesses_has_to_wait_on_every_connection(serve: Serve, dial: Dial) -> None:
    server = serve(admin_password="сова")
    borya, anya = dial(server, "Боря"), dial(server, "Аня")
    borya.expect("joined")
    for _ in range(GUESS_BURST):
        assert anya.request("admin", password="филин")["code"] == "not_admin"
    for guesser in (anya, borya):
        assert guesser.request("admin", password="сыч")["code"] == "too_fast"


def test_being_admin_is_not_inherited_with_the_nickname(
    admin: Wire, server: ChatServer, dial: Dial
) -> None:
    admin.send({"type": "quit"})
    admin.expect_end()
    assert dial(server, "Аня").request("shutdown")["code"] == "not_admin"


def test_the_password_is_told_to_nobody(server: ChatServer, dial: Dial) -> None:
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    borya.request("admin", password=PASSWORD)
    anya.expect("joined")
    anya.expect_silence()
    assert borya.request("history") == {"type": "history", "messages": []}


@pytest.mark.promise(name="resume")
def test_nothing_secret_is_logged(
    server: ChatServer, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        anya = dial(server, "Аня")
        anya.request("admin", password="неверно-но-тоже-тайна")
        anya.request("admin", password=PASSWORD)
        anya.say("всем")
        anya.send({"type": "quit"})
        anya.expect_end()
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    assert "'accepted': False" in logged
    assert "'accepted': True" in logged
    for secret in (PASSWORD, "неверно-но-тоже-тайна", anya.welcome["session"]):
        assert secret not in logged


def test_kick_removes_a_user_and_tells_them_and_the_others_why(
    admin: Wire, server: ChatServer, dial: Dial
) -> None:
    borya, vera = dial(server, "Боря"), dial(server, "Вера")
    borya.expect("joined")
    admin.send({"type": "kick", "nick": "боря"})
    borya.expect("left", nick="Боря", reason="kicked")
    borya.expect_end()
    vera.expect("left", nick="Боря", reason="kicked")
    admin.skip_to("left", nick="Боря", reason="kicked")
    assert server.room.users() == ["Аня", "Вера"]
    borya.close()
    vera.expect_silence()  # that the connection ends now is no second leaving
    dial(server, "Боря")


def test_who_was_kicked_says_nothing_any_more(admin: Wire, server: ChatServer, dial: Dial) -> None:
    """Not even when the stream to them has ended, and theirs goes on."""
    borya, vera = dial(server, "Боря"), dial(server, "Вера")
    borya.expect("joined")
    admin.send({"type": "kick", "nick": "Боря"})
    borya.expect("left")
    borya.expect_end()
    borya.send({"type": "message", "text": "а я всё равно скажу"})
    vera.expect("left", nick="Боря")
    borya.close()
    eventually(lambda: len(server._clients) == 2)  # all that he sent has been read
    assert vera.request("history") == {"type": "history", "messages": []}


@pytest.mark.parametrize("nick", ["Гриша", "Аня", "", None, 5, ["Боря"]])
def test_kick_of_nobody(admin: Wire, nick: object) -> None:
    assert admin.request("kick", nick=nick) == {
        "type": "error",
        "code": "no_such_user",
        "re": "kick",
    }


def test_an_admin_shuts_the_server_down_and_everybody_is_told_first(
    admin: Wire, server: ChatServer, dial: Dial
) -> None:
    borya = dial(server, "Боря")
    admin.expect("joined")
    admin.send({"type": "shutdown"})
    for wire in (admin, borya):
        wire.expect("shutdown", reason="admin")
        wire.expect_end()
        wire.close()
    server.wait()
