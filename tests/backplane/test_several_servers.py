"""Several servers are one chat, also when one of them dies, or loses Redis, or Redis ends."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from chat.core.client import RefusedError
from chat.core.server import ChatServer
from chat.lab.background import RecordingClient
from chat.lab.faults import Chat, Person, ServerProcess
from chat.lab.redis_process import RedisProcess, url
from chat.lab.waiting import wait_until
from chat.lab.wiretap import Direction, Wiretap
from chat.promises import UnusableError, resume
from chat.promises.cluster import Cluster
from chat.server import assemble

Serve = Callable[..., ChatServer]


@pytest.fixture
def two(serve: Serve) -> tuple[ChatServer, ChatServer]:
    return serve(), serve()


@pytest.fixture
def own_redis(store: RedisProcess) -> Iterator[RedisProcess]:
    """A Redis that may be killed."""
    del store  # named above only so that the test is skipped where there is none
    with RedisProcess() as process:
        yield process


def texts(client: RecordingClient) -> list[str]:
    return [event["text"] for event in client.events if event["type"] == "message"]


def test_a_nickname_is_unique_on_all_servers(two: tuple[ChatServer, ChatServer]) -> None:
    first, second = two
    with RecordingClient(first.address, "Аня"), pytest.raises(RefusedError, match="nick_taken"):
        RecordingClient(second.address, "АНЯ").__enter__()
    with RecordingClient(second.address, "АНЯ") as anya:
        assert anya.nick == "АНЯ"


def test_fifty_ask_for_one_nickname_at_two_servers(two: tuple[ChatServer, ChatServer]) -> None:
    together = threading.Barrier(50)
    answers: list[str] = []

    def claim(number: int) -> None:
        client = RecordingClient(two[number % 2].address)
        client.connect()
        together.wait()
        try:
            client.register("Аня" if number % 3 else "аня")
            answers.append("welcome")
        except RefusedError as error:
            answers.append(error.code)
        together.wait()  # nobody leaves before all have asked
        client.close()

    threads = [threading.Thread(target=claim, args=[number]) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["nick_taken"] * 49 + ["welcome"]


def test_one_list_of_users_and_everybody_hears_who_comes_and_goes(
    two: tuple[ChatServer, ChatServer],
) -> None:
    first, second = two
    with RecordingClient(first.address, "Аня") as anya:
        with RecordingClient(second.address, "Боря") as borya:
            assert borya.users == ["Аня"]
            anya.wait_for("joined", nick="Боря")
            assert anya.users == ["Боря"]
        assert anya.wait_for("left", nick="Боря")["reason"] == "quit"


def test_private_and_public_reach_their_recipients_on_any_server(
    two: tuple[ChatServer, ChatServer],
) -> None:
    first, second = two
    with (
        RecordingClient(first.address, "Аня") as anya,
        RecordingClient(second.address, "Боря") as borya,
        RecordingClient(second.address, "Вера") as vera,
    ):
        anya.wait_for("joined", nick="Вера")
        anya.say("только Боре", to="боря")
        anya.say("всем")
        borya.wait_for("message", text="всем")
        vera.wait_for("message", text="всем")
        anya.wait_acknowledged()
        assert texts(borya) == ["только Боре", "всем"]
        assert texts(vera) == ["всем"]
        assert texts(anya) == []
        vera.request_history()
        assert [m["text"] for m in vera.wait_for("history")["messages"]] == ["всем"]


def test_one_order_and_one_history(two: tuple[ChatServer, ChatServer]) -> None:
    first, second = two
    with ExitStack() as stack:
        anya, borya, vera, gena = (
            stack.enter_context(RecordingClient(server.address, nick))
            for server, nick in [
                (first, "Аня"),
                (second, "Боря"),
                (first, "Вера"),
                (second, "Гена"),
            ]
        )
        wait_until(lambda: len(first.room.users()) == len(second.room.users()) == 4)
        speakers = [
            threading.Thread(
                target=lambda who=who: [who.say(f"{who.nick} {n}") for n in range(200)]
            )
            for who in (anya, borya)
        ]
        for speaker in speakers:
            speaker.start()
        for speaker in speakers:
            speaker.join()
        wait_until(lambda: len(texts(vera)) == len(texts(gena)) == 400)
        assert texts(vera) == texts(gena)
        histories = []
        for person in (vera, gena):
            person.request_history(100)
            histories.append(person.wait_for("history")["messages"])
        assert histories[0] == histories[1]
        assert [m["text"] for m in histories[0]] == texts(vera)[-100:]


def test_an_admin_removes_somebody_on_another_server(serve: Serve) -> None:
    first, second = serve(admin_password="сова"), serve()
    with (
        RecordingClient(first.address, "Аня") as anya,
        RecordingClient(second.address, "Боря") as borya,
    ):
        anya.wait_for("joined")
        anya.become_admin("сова")
        anya.wait_for("admin")
        anya.kick("Боря")
        assert borya.wait_for("closed")["reason"] == "kicked"
        assert anya.wait_for("left", nick="Боря")["reason"] == "kicked"


def test_a_server_that_comes_later_knows_everything(serve: Serve) -> None:
    first = serve()
    with RecordingClient(first.address, "Аня") as anya:
        anya.wait_for("ack", id=anya.say("раньше"))
        with RecordingClient(serve().address, "Боря") as borya:
            assert borya.users == ["Аня"]
            borya.request_history()
            assert [m["text"] for m in borya.wait_for("history")["messages"]] == ["раньше"]


def test_a_user_moves_to_another_server_and_loses_nothing(serve: Serve) -> None:
    first, second = serve(), serve()
    with (
        RecordingClient(first.address, "Аня", reconnect=True, also=[second.address]) as anya,
        RecordingClient(second.address, "Боря") as borya,
    ):
        borya.wait_for("ack", id=borya.say("до"))
        anya.wait_for("message", text="до")
        first.stop()
        borya.wait_for("left", nick="Аня")
        borya.wait_for("ack", id=borya.say("пока нет Ани"))
        anya.wait_for("reconnected")
        anya.wait_for("message", text="пока нет Ани")
        borya.wait_for("joined", nick="Аня")
        anya.say("я здесь")
        borya.wait_for("message", text="я здесь")
        assert texts(anya) == ["до", "пока нет Ани"]


def test_the_users_of_a_dead_server_have_left(serve: Serve, store: RedisProcess) -> None:
    alive = serve(lease=1)
    with ServerProcess("--backplane", store.url) as dead, ExitStack() as stack:
        borya = stack.enter_context(RecordingClient(alive.address, "Боря"))
        anya = stack.enter_context(RecordingClient(dead.address, "Аня"))
        borya.wait_for("joined", nick="Аня")
        dead.kill()
        anya.wait_for("closed")
        assert borya.wait_for("left", timeout=20, nick="Аня")["reason"] == "lost"
        with RecordingClient(alive.address, "Аня") as other:  # the nickname is free
            assert other.users == ["Боря"]


def test_while_redis_is_cut_off_words_wait_and_then_arrive_once(
    serve: Serve, store: RedisProcess
) -> None:
    with Wiretap(store.address) as tap:
        near, far = serve(url=url(tap.address)), serve()
        with (
            RecordingClient(near.address, "Аня") as anya,
            RecordingClient(far.address, "Боря") as borya,
        ):
            anya.wait_for("joined")
            tap.stall()
            number = anya.say("сквозь обрыв")
            anya.wait_for("notice", timeout=20, code="store_lost")
            with pytest.raises(RefusedError, match="unavailable"):
                RecordingClient(near.address, "Вера").__enter__()
            borya.say("на той стороне")
            tap.cut()
            tap.heal()
            anya.wait_for("notice", timeout=20, code="store_back")
            anya.wait_for("ack", id=number)
            anya.wait_for("message", text="на той стороне")
            borya.wait_for("message", text="сквозь обрыв")
            borya.say("конец")
            anya.wait_for("message", text="конец")
            assert texts(borya) == ["сквозь обрыв"]
            assert [event["id"] for event in anya.events if event["type"] == "ack"] == [number]
            near.stop()  # while the tap is there to say goodbye through


def test_a_batch_whose_answer_was_lost_is_not_carried_out_twice(
    serve: Serve, store: RedisProcess
) -> None:
    with Wiretap(store.address) as tap:
        near, far = serve(url=url(tap.address)), serve()
        with (
            RecordingClient(near.address, "Аня") as anya,
            RecordingClient(far.address, "Боря") as borya,
        ):
            anya.wait_for("joined")
            tap.stall(direction=Direction.TO_CLIENT)  # Redis hears, and is not heard
            number = anya.say("один раз")
            borya.wait_for("message", text="один раз")
            tap.reset()
            tap.heal()
            anya.wait_for("ack", timeout=20, id=number)
            anya.wait_for("ack", timeout=20, id=anya.say("и ещё"))
            borya.wait_for("message", text="и ещё")
            assert texts(borya) == ["один раз", "и ещё"]
            near.stop()


def test_redis_restarts_and_nothing_is_lost(serve: Serve, own_redis: RedisProcess) -> None:
    first, second = serve(url=own_redis.url), serve(url=own_redis.url)
    with (
        RecordingClient(first.address, "Аня") as anya,
        RecordingClient(second.address, "Боря") as borya,
    ):
        anya.wait_for("joined")
        anya.wait_for("ack", id=anya.say("до"))
        own_redis.kill()
        anya.wait_for("notice", timeout=20, code="store_lost")
        number = anya.say("пока его нет")
        own_redis.start()
        anya.wait_for("ack", timeout=20, id=number)
        borya.wait_for("message", text="пока его нет")
        assert texts(borya) == ["до", "пока его нет"]
        assert anya.users == ["Боря"]
        borya.request_history()
        history = borya.wait_for("history")["messages"]
        assert [message["text"] for message in history] == ["до", "пока его нет"]
        first.stop()
        second.stop()


def test_a_redis_that_has_forgotten_everything_is_begun_anew(
    serve: Serve, own_redis: RedisProcess
) -> None:
    server = serve(url=own_redis.url)
    with RecordingClient(server.address, "Аня", reconnect=True) as anya:
        anya.wait_for("ack", id=anya.say("до"))
        own_redis.kill()
        own_redis.forget_everything()
        anya.wait_for("notice", timeout=20, code="store_lost")
        own_redis.start()
        anya.wait_for("reconnected", timeout=20)
        assert anya.wait_for("ack", id=anya.say("после"))["seq"] == 1
        server.stop()


def test_without_redis_a_server_does_not_start_and_leaves_nothing(own_redis: RedisProcess) -> None:
    own_redis.kill()
    server = assemble(backplane=own_redis.url)
    with pytest.raises(UnusableError):
        server.start()
    with pytest.raises(UnusableError):
        Cluster("gopher://127.0.0.1/")


def test_what_waits_for_redis_is_bounded(
    serve: Serve, own_redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.promises.cluster.WAITING_MESSAGES", 3)
    server = serve(url=own_redis.url)
    with RecordingClient(server.address, "Аня") as anya:
        own_redis.kill()
        anya.wait_for("notice", timeout=20, code="store_lost")
        for number in range(10):
            anya.say(str(number))
        assert anya.wait_for("error", code="not_recorded")["message"]
        own_redis.start()
        wait_until(
            lambda: sum(event["type"] in ("ack", "error") for event in anya.events) == 10,
            "на всё есть ответ",
            timeout=20,
        )
        acknowledged = [event["id"] for event in anya.events if event["type"] == "ack"]
        assert acknowledged == sorted(acknowledged)
        assert len(acknowledged) >= 3
        server.stop()


@pytest.mark.timeout(120)
def test_three_servers_under_load_one_killed_one_cut_off(
    store: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every acknowledged message exactly once at everybody entitled to it, in one order."""
    monkeypatch.setattr(resume, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(resume, "LONGEST_PAUSE", 0.5)
    nicks = ["Аня", "Боря", "Вера", "Глеб", "Дина", "Ева"]
    with ExitStack() as stack:
        tap = stack.enter_context(Wiretap(store.address, keep_bytes=False))
        urls = [store.url, store.url, url(tap.address)]
        servers = [
            stack.enter_context(ServerProcess("--rate", "0", "--backplane", each)) for each in urls
        ]
        people = []
        for number, nick in enumerate(nicks):
            first, *others = servers[number % 3 :] + servers[: number % 3]
            also = [server.address for server in others]
            people.append(stack.enter_context(Person(first.address, nick, also=also)))
        for person in people:
            person.client.wait_ready()
        for number, person in enumerate(people):
            person.talk([None, nicks[number - 1], None], 0.005)
        enough(people, 50)
        servers[0].kill()
        enough(people, 50)
        tap.stall()
        time.sleep(1)  # that long it is cut off: shorter than its lease
        tap.reset()
        tap.heal()
        enough(people, 50)
        talk = Chat(people)
        talk.settle()
        assert talk.losses() == []
        assert talk.disorder() == []
        assert all(person.client.users == sorted({*nicks} - {person.nick}) for person in people)
        for server in servers[1:]:
            assert server.end() == 0
            assert server.complaints() == ""


def enough(people: list[Person], more: int) -> None:
    """Wait until each of *people* has been acknowledged so many messages more."""
    for person in people:
        wanted = len(person.acknowledged) + more
        person.wait_for(lambda p=person, n=wanted: len(p.acknowledged) >= n, 40)  # type: ignore[misc]
