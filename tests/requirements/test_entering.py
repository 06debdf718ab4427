"""Coming in: the server asks for a name, checks it, and says whom one can talk to."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from chat.core import server as server_module
from chat.core.protocol import Limits
from chat.core.server import ChatServer, ClientConnection
from tests.wire import PATIENCE, Wire

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


def test_the_server_speaks_first_and_asks_for_a_name_by_a_json_request(
    server: ChatServer, dial: Dial
) -> None:
    limits = Limits()
    dial(server).expect(
        "register",
        protocol=1,
        limits={
            "frame_bytes": limits.frame_bytes,
            "text_chars": limits.text_chars,
            "nick_chars": limits.nick_chars,
            "rate": limits.rate,
            "burst": limits.burst,
        },
    )


def test_who_is_accepted_gets_the_list_of_users_to_choose_from(
    server: ChatServer, dial: Dial
) -> None:
    welcome = dial(server, "Вера").welcome
    assert welcome.items() >= {"type": "welcome", "nick": "Вера", "seq": 0}.items()
    assert welcome["users"] == []
    dial(server, "Аня")
    assert dial(server, "боря").welcome["users"] == ["Аня", "Вера"]


def test_the_others_are_told_who_has_come(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    borya = dial(server, "Боря")
    anya.expect("joined", nick="Боря")
    borya.expect_silence()  # who comes is not told of themselves


@pytest.mark.parametrize("again", ["Аня", "аня", "АНЯ"])
def test_a_nickname_is_not_accepted_twice(server: ChatServer, dial: Dial, again: str) -> None:
    anya = dial(server, "Аня")
    other = dial(server)
    other.expect("register")
    assert other.request("register", nick=again) == {
        "type": "error",
        "code": "nick_taken",
        "re": "register",
    }
    anya.expect_silence()


def test_a_nickname_in_another_unicode_form_is_the_same_nickname(
    server: ChatServer, dial: Dial
) -> None:
    assert dial(server, "Андре\u0438\u0306").welcome["nick"] == "Андре\u0439"
    other = dial(server)
    other.expect("register")
    assert other.request("register", nick="андре\u0439")["code"] == "nick_taken"


@pytest.mark.parametrize("nick", ["", " ", "два слова", "x" * 33, "\x1b[31mАня", None, 5, ["Аня"]])
def test_after_a_nickname_that_was_refused_another_one_may_be_tried(
    server: ChatServer, dial: Dial, nick: object
) -> None:
    newcomer = dial(server)
    newcomer.expect("register")
    assert newcomer.request("register", nick=nick)["code"] == "bad_nick"
    assert newcomer.request("register", nick="Аня")["type"] == "welcome"


def test_fifty_clients_claiming_one_nickname_give_exactly_one_winner(
    server: ChatServer, dial: Dial
) -> None:
    claimants = [dial(server) for _ in range(50)]
    for claimant in claimants:
        claimant.expect("register")
    together = threading.Barrier(len(claimants))

    def claim(wire: Wire) -> str:
        together.wait(PATIENCE)
        answer = wire.request("register", nick="Аня")
        return str(answer.get("code", answer["type"]))

    with ThreadPoolExecutor(len(claimants)) as pool:
        answers = list(pool.map(claim, claimants))
    assert sorted(answers) == ["nick_taken"] * 49 + ["welcome"]
    assert server.room.users() == ["Аня"]


def test_every_connection_has_a_thread_of_its_own(server: ChatServer, dial: Dial) -> None:
    wires = [dial(server) for _ in range(5)]
    for wire in wires:
        wire.expect("register")
    threads = [one for one in threading.enumerate() if isinstance(one, ClientConnection)]
    assert {thread.address for thread in threads} == {wire.local_address for wire in wires}


def test_a_silent_newcomer_does_not_block_those_after(server: ChatServer, dial: Dial) -> None:
    silent = [dial(server) for _ in range(10)]
    anya, borya = dial(server, "Аня"), dial(server, "Боря")
    anya.expect("joined", nick="Боря")
    anya.say("нас не задержали")
    borya.expect("message", text="нас не задержали")
    for newcomer in silent:
        newcomer.expect("register")


def test_who_has_no_nickname_yet_hears_nothing(server: ChatServer, dial: Dial) -> None:
    newcomer = dial(server)
    newcomer.expect("register")
    dial(server, "Аня").say("всем")
    newcomer.expect_silence()


@pytest.mark.parametrize(
    "request_",
    [
        {"type": "message", "text": "эй"},
        {"type": "users"},
        {"type": "history"},
        {"type": "admin", "password": "секрет"},
        {"type": "shutdown"},
        {"type": "kick", "nick": "Аня"},
    ],
    ids=lambda request_: str(request_["type"]),
)
def test_who_has_no_nickname_yet_may_ask_for_nothing(
    serve: Serve, dial: Dial, request_: dict[str, object]
) -> None:
    server = serve(admin_password="секрет")
    dial(server, "Аня")
    newcomer = dial(server)
    newcomer.expect("register")
    newcomer.send(request_)
    newcomer.expect("error", code="not_registered", re=request_["type"])


def test_one_may_not_register_twice(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    assert anya.request("register", nick="Вера") == {
        "type": "error",
        "code": "unknown_type",
        "re": "register",
    }
    assert server.room.users() == ["Аня"]


def test_a_full_server_says_so_and_hangs_up(serve: Serve, dial: Dial) -> None:
    server = serve(max_clients=2)
    dial(server, "Аня")
    borya = dial(server, "Боря")
    vera = dial(server)
    vera.expect("register")
    assert vera.request("register", nick="Вера")["code"] == "server_full"
    vera.expect_end()
    borya.send({"type": "quit"})
    borya.expect_end()
    dial(server, "Вера")  # there is a free place now


def test_max_clients_counts_users_and_not_connections(serve: Serve, dial: Dial) -> None:
    server = serve(max_clients=1)
    newcomers = [dial(server) for _ in range(20)]
    for newcomer in newcomers:
        newcomer.expect("register")  # each of them is accepted and asked
    assert newcomers[7].request("register", nick="Аня")["type"] == "welcome"
    assert newcomers[3].request("register", nick="Боря")["code"] == "server_full"


def test_the_backlog_of_listen_does_not_limit_the_number_of_users(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, dial: Dial
) -> None:
    monkeypatch.setattr(server_module, "BACKLOG", 1)
    server = serve()
    users = [dial(server, f"user{number}") for number in range(30)]
    users[0].send({"type": "users"})
    assert len(users[0].skip_to("users")["users"]) == 29


def test_when_too_many_have_no_nickname_who_has_waited_longest_makes_way(
    serve: Serve, dial: Dial
) -> None:
    """Nobody can lock the door by standing in it."""
    server = serve(max_unregistered=2)
    dial(server, "Аня")  # has one
    first, second = dial(server), dial(server)
    first.expect("register")
    second.expect("register")
    third = dial(server)
    first.expect("error", code="register_timeout")
    first.expect_end()
    third.enter("Боря")
    second.send({"type": "register", "nick": "Вера"})
    second.expect("welcome")


def test_who_gives_no_name_in_time_is_told_and_disconnected(serve: Serve, dial: Dial) -> None:
    newcomer = dial(serve(register_timeout=0.05))
    newcomer.expect("register")
    newcomer.expect("error", code="register_timeout")
    newcomer.expect_end()


def test_sending_without_giving_a_name_does_not_prolong_the_time(serve: Serve, dial: Dial) -> None:
    newcomer = dial(serve(register_timeout=0.2))
    newcomer.expect("register")
    newcomer.socket.settimeout(0.01)
    for _ in range(1000):
        newcomer.send_raw(b" ")  # a frame that has no end
        try:
            assert newcomer.next()["code"] == "register_timeout"
        except TimeoutError:
            continue
        break
    else:
        raise AssertionError("still not disconnected")


def test_a_nickname_in_time_ends_the_wait_for_it(serve: Serve, dial: Dial) -> None:
    server = serve(register_timeout=0.5)
    anya = dial(server, "Аня")
    dial(server).skip_to("error", code="register_timeout")  # later than it would be for her
    anya.expect_silence()


def test_who_says_quit_before_giving_a_name_is_let_go(server: ChatServer, dial: Dial) -> None:
    newcomer = dial(server)
    newcomer.expect("register")
    newcomer.send({"type": "quit"}, {"type": "register", "nick": "Аня"})
    newcomer.expect_end()
    assert server.room.users() == []


@pytest.mark.parametrize("host", ["::", "localhost", "0.0.0.0"])
def test_a_server_listens_on_all_addresses_of_its_name(host: str) -> None:
    """``::`` takes IPv4 as well, and a name with several addresses stands for all of them."""
    try:
        wanted = {found[4][0] for found in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)}
        server = ChatServer(host)
        server.bind()
    except OSError:
        pytest.skip("this machine has no IPv6")
    reached = {"::": {"127.0.0.1", "::1"}, "0.0.0.0": {"127.0.0.1"}}.get(host, wanted)
    with server:
        for address in sorted(str(one) for one in reached):
            with socket.create_connection((address, server.address[1]), PATIENCE) as sock:
                assert b"register" in sock.recv(1000)


def test_a_server_listens_on_an_address_that_is_only_good_on_one_link() -> None:
    found = [one.address for ends in psutil.net_if_addrs().values() for one in ends]
    host = next((address for address in found if address.startswith("fe80:")), None)
    if host is None:
        pytest.skip("no network here has such an address")
    with ChatServer(host) as server:
        [(_family, *_kind, end)] = socket.getaddrinfo(
            host, server.address[1], type=socket.SOCK_STREAM
        )
        with socket.socket(socket.AF_INET6) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(end)
            assert b"register" in sock.recv(1000)
