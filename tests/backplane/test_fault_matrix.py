"""Whatever happens to Redis, the servers work or say so, and recover by themselves.

Two servers, three people who talk to everyone and in private, and a real Redis to which something
is done. While it keeps its data, everything acknowledged is heard exactly once and in one order.
"""

import contextlib
import logging
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from chat.app.journal import sentence
from chat.core.client import RefusedError
from chat.core.protocol import Limits, nick_key
from chat.core.server import ChatServer
from chat.core.timing import Deadline
from chat.lab import redis_process
from chat.lab.background import RecordingClient
from chat.lab.faults import Chat, Person, ServerProcess
from chat.lab.redis_process import RedisProcess
from chat.lab.waiting import wait_until
from chat.promises import cluster, resume
from chat.promises.cluster import Cluster
from chat.server import assemble

NICKS = ["Аня", "Боря", "Вера"]
PATIENCE = 20.0
LEASE = 2.0

Place = tuple[str, int]
"""The address of a server."""


@pytest.fixture(autouse=True)
def nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(resume, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(cluster, "PATIENCE", 1.5)
    monkeypatch.setattr(cluster, "RETRY_AFTER", 0.05)


@pytest.fixture
def own_redis() -> Iterator[RedisProcess]:
    """A Redis to which anything may be done."""
    if not redis_process.available():
        pytest.skip(redis_process.HOW_TO_GET_IT)
    with RedisProcess() as process:
        yield process


@dataclass
class Scene:
    """Two servers, the people, and the Redis where something happens."""

    store: RedisProcess
    control: "redis.Redis"
    clusters: list[Cluster]
    addresses: list[tuple[str, int]]
    people: list[Person]

    @property
    def pid(self) -> int:
        """The number of Redis' process."""
        return int(self.control.info("server")["process_id"])

    @property
    def folder(self) -> Path:
        """Where Redis keeps its data."""
        return Path(str(self.control.config_get("dir")["dir"]))

    def told(self, code: str) -> int:
        """Return how often the people were told *code*."""
        events = [event for person in self.people for event in list(person.events)]
        return sum(event["type"] == "notice" and event["code"] == code for event in events)

    def more(self, messages: int = 5) -> None:
        more(self.people, messages)

    def wait_until_told(self, code: str) -> None:
        wait_until(lambda: self.told(code), timeout=PATIENCE)

    @contextlib.contextmanager
    def in_trouble(self) -> Iterator[None]:
        """Wait for the servers to say that they cannot reach Redis; afterwards, that they can."""
        self.wait_until_told("store_lost")
        yield
        self.wait_until_told("store_back")

    def talk(self) -> None:
        for number, person in enumerate(self.people):
            person.talk([None, NICKS[number - 1], None], 0.01)

    def wait_answered(self, person: Person) -> None:
        person.wait_for(lambda: person.said.keys() <= person.acknowledged.keys() | person.refused)

    def forget(self) -> None:
        """Begin new books, once everything in the old ones has its answer."""
        for person in self.people:
            person.hush()
        for person in self.people:
            self.wait_answered(person)
        marks = {person.nick: f"Конец: {person.nick}" for person in self.people}
        for person in self.people:
            person.say(marks[person.nick])
        for person in self.people:
            others = {marks[nick] for nick in NICKS if nick != person.nick}
            person.wait_for(lambda p=person, o=others: o <= p.heard_at.keys())  # type: ignore[misc]
            self.wait_answered(person)
        for person in self.people:
            for book in (person.said, person.said_at, person.acknowledged, person.refused):
                book.clear()
            for page in (person.heard, person.events):
                page.clear()
            person.heard_at.clear()

    def check(self) -> None:
        """Compare the books, and see that newcomers can enter at either server."""
        check(self.people)
        for address in self.addresses:
            with RecordingClient(address, "Гость") as guest:
                assert guest.users == NICKS


def come_in(stack: ExitStack, nick: str, first: Place, second: Place) -> Person:
    """Enter, again if Redis has not answered in time: the machine may be busy."""
    deadline = Deadline(PATIENCE)
    while True:
        try:
            return stack.enter_context(Person(first, nick, also=[second]))
        except RefusedError as error:
            if error.code != "unavailable" or not deadline.left:
                raise


@pytest.fixture
def scene(own_redis: RedisProcess) -> Iterator[Scene]:
    with ExitStack() as stack:
        control = stack.enter_context(redis.Redis(*own_redis.address, decode_responses=True))
        clusters = [Cluster(own_redis.url, lease=LEASE) for _ in range(2)]
        servers = [stack.enter_context(assemble(backplane=one)) for one in clusters]
        addresses = [server.address for server in servers]
        people = [
            come_in(stack, nick, first, second)
            for nick, (first, second) in zip(
                NICKS, [addresses, addresses[::-1], addresses], strict=True
            )
        ]
        for person in people:
            person.wait_for(lambda p=person: len(p.client.users) == 2)  # type: ignore[misc]
        yield Scene(own_redis, control, clusters, addresses, people)
        for person in people:
            person.hush()


# What leaves Redis its data


def repeat_batches(scene: Scene) -> None:
    """Have each batch come twice, and older ones come late."""
    dice = random.Random(1)
    for one in scene.clusters:
        script = one._commit_script
        earlier: list[tuple[Any, Any]] = []

        def again(keys: Any, arguments: Any, script: Any = script, earlier: Any = earlier) -> Any:
            if earlier:
                script(*dice.choice(earlier))
            script(keys, arguments)
            earlier.append((keys, arguments))
            return script(keys, arguments)

        one._commit_script = again  # type: ignore[assignment]
    scene.more(20)


def restart(scene: Scene) -> None:
    scene.store.kill()
    with scene.in_trouble():
        scene.store.start()


def stall(scene: Scene) -> None:
    pid = scene.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        scene.wait_until_told("store_lost")
    finally:
        os.kill(pid, signal.SIGCONT)
    scene.wait_until_told("store_back")


def fill_memory(scene: Scene) -> None:
    scene.control.config_set("maxmemory", "1kb")
    with scene.in_trouble():
        scene.control.config_set("maxmemory", "0")


def demote(scene: Scene) -> None:
    scene.control.replicaof("127.0.0.1", "1")  # nobody listens there, so it keeps what it has
    with scene.in_trouble():
        scene.control.replicaof("NO", "ONE")


def change_password(scene: Scene) -> None:
    scene.control.config_set("requirepass", "сова")
    scene.control.client_kill_filter(_type="normal", skipme=True)
    with scene.in_trouble():
        scene.control.config_set("requirepass", "")


def cut_connections(scene: Scene) -> None:
    for _time in range(5):
        scene.control.client_kill_filter(_type="normal", skipme=True)
        scene.more(2)


def write_garbage(scene: Scene) -> None:
    body = {"body": "[]", "time": "1", "token": "?", "count": "1"}
    for fields in ({"какой-то": "мусор"}, body | {"kind": "message"}, body | {"kind": "join"}):
        scene.control.xadd("chat:events", fields)  # type: ignore[arg-type]
        scene.more(2)
    scene.control.xadd("chat:events", {b"\xff": b"\xff"})
    scene.more(2)
    scene.control.xadd("chat:history", {"какой-то": "мусор"})
    scene.more(2)


def delete(key: str) -> Callable[[Scene], None]:
    def inflict(scene: Scene) -> None:
        for _time in range(3):
            [name, *_others] = scene.control.scan_iter(f"chat:{key}", count=1000)
            scene.control.delete(name)
            scene.more(2)

    return inflict


def replace(key: str) -> Callable[[Scene], None]:
    def inflict(scene: Scene) -> None:
        for name in list(scene.control.scan_iter(f"chat:{key}", count=1000)):
            scene.control.set(name, "мусор")

    return inflict


def spoil(field: str, rubbish: str = "мусор") -> Callable[[Scene], None]:
    """Return a fault that writes *rubbish* to the fields of the state that begin with *field*."""

    def inflict(scene: Scene) -> None:
        names = [str(name) for name in scene.control.hkeys("chat:state")]
        spoilt = [name for name in names if name.startswith(field)]
        assert spoilt
        for name in spoilt:
            scene.control.hset("chat:state", name, rubbish)
        scene.more(2)

    return inflict


def allow(scene: Scene, rule: str) -> None:
    scene.control.execute_command("ACL", "SETUSER", "default", rule)  # type: ignore[no-untyped-call]


def forbid(command: str) -> Callable[[Scene], None]:
    """Have a script break off in the middle of a batch."""

    def inflict(scene: Scene) -> None:
        allow(scene, f"-{command}")
        with scene.in_trouble():
            allow(scene, f"+{command}")

    return inflict


def write_into_state(scene: Scene) -> None:
    garbage: dict[Any, Any] = {
        "member:1": "мусор",
        "member:2": "{}",
        "member:3": "[]",
        "done:4": "мусор",
    }
    garbage |= {f"nick:{nick_key('Гость')}": "5", "session:6": "7", "done:4": "мусор"}
    scene.control.hset("chat:state", mapping=garbage)
    wait_until(
        lambda: not garbage.keys() & set(scene.control.hkeys("chat:state")), timeout=PATIENCE
    )


KEPT: dict[str, Callable[[Scene], None]] = {
    "batches repeated, delayed, reordered": repeat_batches,
    "restarted": restart,
    "stalled": stall,
    "no memory": fill_memory,
    "demoted, promoted": demote,
    "password changed": change_password,
    "connections cut": cut_connections,
    "garbage in the streams": write_garbage,
    "events deleted": delete("events"),
    "history deleted": delete("history"),
    "events replaced": replace("events"),
    "history replaced": replace("history"),
    "a lease deleted": delete("lease:*"),
    "said deleted": delete("said:*"),
    "said replaced": replace("said:*"),
    "members that are no JSON": spoil("member:"),
    "members that are no users": spoil("member:", '{"nick":1}'),
    "nicknames of nobody": spoil("nick:"),
    "sessions of nobody": spoil("session:"),
    "numbers of batches spoilt": spoil("done:"),
    "zadd forbidden": forbid("zadd"),
    "expire forbidden": forbid("expire"),
    "xread forbidden": forbid("xread"),
    "garbage in the state": write_into_state,
}


@pytest.mark.parametrize("fault", KEPT)
def test_nothing_is_lost_when_redis_keeps_its_data(scene: Scene, fault: str) -> None:
    scene.talk()
    scene.more(3)
    KEPT[fault](scene)
    scene.more(3)
    scene.check()


# What takes its data away


def flush(scene: Scene) -> None:
    scene.control.flushall()


def empty(scene: Scene) -> None:
    scene.store.kill()
    scene.store.forget_everything()
    scene.wait_until_told("store_lost")
    scene.store.start()


def lose_last_second(scene: Scene, *, go_on: bool = False) -> None:
    """Have Redis come back with what it knew a moment ago, as after a power cut."""
    folder = scene.folder
    with RedisProcess() as other:
        other.kill()
        copy = Path(other._folder.name)
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        scene.more(3)
        scene.store.kill()
        if go_on:  # another server finds it first, and writes more than was lost
            other.start()
            with assemble(backplane=other.url) as server, Person(server.address, "Гость") as guest:
                for number in range(200):
                    guest.say(str(number))
                guest.client.wait_acknowledged()
            other.kill()
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)
    scene.store.start()


def lose_last_second_and_go_on(scene: Scene) -> None:
    lose_last_second(scene, go_on=True)


def write(field: str, value: str) -> Callable[[Scene], None]:
    def inflict(scene: Scene) -> None:
        scene.control.hset("chat:state", field, value)

    return inflict


LOST: dict[str, Callable[[Scene], None]] = {
    "flushed": flush,
    "restarted empty": empty,
    "the last second lost": lose_last_second,
    "the last second lost, others said since": lose_last_second_and_go_on,
    "state deleted": delete("state"),
    "state replaced": replace("state"),
    "number of events spoilt": spoil("count"),
    "last event spoilt": spoil("last", "9"),
    "time of the last event spoilt": spoil("time"),
    "the last number replaced": write("last", "мусор"),
    "the count replaced": write("count", str(2**63 - 1)),
}


@pytest.mark.parametrize("fault", LOST)
def test_the_chat_goes_on_when_redis_has_lost_its_data(scene: Scene, fault: str) -> None:
    scene.talk()
    scene.more(3)
    log = scene.clusters[0].id
    LOST[fault](scene)

    def have_one_new_log() -> bool:
        [one, other] = (cluster.id for cluster in scene.clusters)
        return one == other != log

    wait_until(have_one_new_log, timeout=PATIENCE)
    scene.more(3)
    scene.forget()
    scene.talk()
    scene.more(3)
    scene.check()


# Other things that happen


@pytest.fixture
def serve(own_redis: RedisProcess) -> Iterator[Callable[..., ChatServer]]:
    """Start a server in this process: ``serve(some_limit=…)``."""
    with ExitStack() as stack:

        def start(**limits: float) -> ChatServer:
            chosen = Limits(**limits)  # type: ignore[arg-type] # names and kinds as in Limits
            one = Cluster(own_redis.url, chosen, lease=LEASE)
            return stack.enter_context(assemble(limits=chosen, backplane=one))

        yield start


@pytest.fixture
def control(own_redis: RedisProcess) -> Iterator["redis.Redis"]:
    with redis.Redis(*own_redis.address, decode_responses=True) as client:
        yield client


@pytest.mark.parametrize("trimmed", [True, False])
def test_a_server_asleep_while_the_stream_went_on(
    own_redis: RedisProcess, control: "redis.Redis", trimmed: bool
) -> None:
    """It has missed messages, and maybe Redis has no events of them any more: the history does."""
    with ExitStack() as stack:
        awake, asleep = (
            stack.enter_context(ServerProcess("--rate", "0", "--backplane", own_redis.url))
            for _ in range(2)
        )
        anya = stack.enter_context(Person(awake.address, "Аня"))
        borya = stack.enter_context(Person(awake.address, "Боря"))
        vera = stack.enter_context(Person(asleep.address, "Вера"))
        people = [anya, borya, vera]
        anya.wait_for(lambda: len(anya.client.users) == 2)
        for person in people:
            person.talk([None], 0.01)
        more(people)
        os.kill(asleep.pid, signal.SIGSTOP)
        try:
            more([anya, borya], 20)
            if trimmed:
                control.xtrim("chat:events", maxlen=1, approximate=False)
        finally:
            os.kill(asleep.pid, signal.SIGCONT)
        more(people)
        check(people)
        assert [server.end() for server in (awake, asleep)] == [0, 0]
        assert awake.complaints() + asleep.complaints() == ""


@pytest.mark.parametrize("code", ["stalled", "killed", "full", "well"])
def test_a_server_ends_in_time_whatever_redis_does(
    own_redis: RedisProcess, control: "redis.Redis", code: str
) -> None:
    pid = int(control.info("server")["process_id"])
    with ServerProcess("--backplane", own_redis.url) as server, ExitStack() as stack:
        people = [stack.enter_context(Person(server.address, nick)) for nick in NICKS]
        people[0].wait_for(lambda: len(people[0].client.users) == 2)
        for person in people:
            person.talk([None], 0.05)
        more(people, 2)
        if code == "stalled":
            os.kill(pid, signal.SIGSTOP)
            stack.callback(os.kill, pid, signal.SIGCONT)
        elif code == "killed":
            own_redis.kill()
        elif code == "full":
            control.config_set("maxmemory", "1kb")
        start = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - start < Limits.drain_timeout + 2
        assert server.complaints() == ""
        for person in people:
            with contextlib.suppress(Exception):
                person.hush()


def test_a_redis_that_may_delete_something_is_warned_of(
    serve: Callable[..., ChatServer], control: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    control.config_set("maxmemory-policy", "noeviction")
    serve()
    assert "evicting" not in {record.getMessage() for record in caplog.records}
    control.config_set("maxmemory-policy", "allkeys-lru")
    serve()
    [facts] = [r.__dict__["event"] for r in caplog.records if r.getMessage() == "evicting"]
    assert "allkeys-lru" in sentence(facts)
    assert "noeviction" in sentence(facts)


def test_who_was_refused_while_redis_was_away_never_comes(
    serve: Callable[..., ChatServer], own_redis: RedisProcess, control: "redis.Redis"
) -> None:
    server = serve()
    pid = int(control.info("server")["process_id"])
    with RecordingClient(server.address, "Аня") as anya:
        anya.wait_for("ack", id=anya.say("раз"))
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(RefusedError, match="unavailable"):  # before that is known
                RecordingClient(server.address, "Боря").__enter__()
            anya.wait_for("notice", code="store_lost", timeout=PATIENCE)
            with pytest.raises(RefusedError, match="unavailable"):
                RecordingClient(server.address, "Вера").__enter__()
        finally:
            os.kill(pid, signal.SIGCONT)
        anya.wait_for("notice", code="store_back", timeout=PATIENCE)
        anya.wait_for("ack", id=anya.say("два"), timeout=PATIENCE)
        wait_until(lambda: anya.users == [], timeout=PATIENCE)
        members = [key for key in control.hkeys("chat:state") if str(key).startswith("member:")]
        assert len(members) == 1
        assert not server.room.directory._operations  # type: ignore[attr-defined]
        for nick in ("Боря", "Вера"):
            with RecordingClient(server.address, nick):
                pass


def test_comings_and_goings_push_no_message_out(
    serve: Callable[..., ChatServer], control: "redis.Redis"
) -> None:
    server = serve()
    directory = server.room.directory
    assert isinstance(directory, Cluster)
    with RecordingClient(server.address, "Аня") as anya:
        for number in range(30):
            anya.say(str(number))
        anya.wait_acknowledged()
    before = int(control.hget("chat:state", "count") or 0)
    # Nobody waits for these newcomers: they leave again.
    for number in range(10_000):
        user = f'{{"nick":"n{number}","key":"n{number}","session":"{number}",'
        user += f'"server":"{directory.server}"}}'
        with directory._condition:
            directory._submit(cluster._Operation("join", f"t{number}", user))
    wait_until(
        lambda: int(control.hget("chat:state", "count") or 0) >= before + 20_000, timeout=PATIENCE
    )
    with RecordingClient(serve().address, "Боря") as borya:
        borya.request_history(100)
        history = borya.wait_for("history")["messages"]
    assert [message["text"] for message in history] == [str(number) for number in range(30)]
    assert control.xlen("chat:events") < 2 * cluster.STREAM_EVENTS


def test_what_was_not_written_is_asked_for_again(
    serve: Callable[..., ChatServer], control: "redis.Redis"
) -> None:
    """A stranger strikes a user's connection off the state: what it says is not written."""
    server = serve()
    with (
        RecordingClient(server.address, "Аня", reconnect=True) as anya,
        RecordingClient(server.address, "Боря") as borya,
    ):
        anya.wait_for("ack", id=anya.say("раз"))
        for name, value in control.hgetall("chat:state").items():
            if str(name).startswith("member:") and "\\u0410" in str(value):
                control.hdel("chat:state", name)
        number = anya.say("два")
        anya.wait_for("ack", id=number)
        borya.wait_for("message", text="два")


@pytest.mark.parametrize("rubbish", ["мусор", "{}", '{"nick":"Ева","key":1,"session":[]}'])
def test_a_server_starts_whatever_stands_for_a_user(
    serve: Callable[..., ChatServer], control: "redis.Redis", rubbish: str
) -> None:
    with RecordingClient(serve().address, "Аня", reconnect=True) as anya:
        names = [str(name) for name in control.hkeys("chat:state")]
        [member] = [name for name in names if name.startswith("member:")]
        control.hset("chat:state", member, rubbish)
        control.hset("chat:state", "member:чужой", rubbish)
        with RecordingClient(serve().address, "Боря") as borya:
            anya.wait_for("reconnected", timeout=PATIENCE)  # her connection was struck off
            # Who of the two comes first is up to the machine.
            wait_until(lambda: "Аня" in borya.users, "Боря видит Аню", timeout=PATIENCE)
            anya.wait_for("ack", id=anya.say("раз"), timeout=PATIENCE)
            borya.wait_for("message", text="раз")


def more(people: Sequence[Person], messages: int = 5) -> None:
    """Wait until each of *people* has been acknowledged so many messages more."""
    for person in people:
        wanted = len(person.acknowledged) + messages
        person.wait_for(lambda p=person, n=wanted: len(p.acknowledged) >= n)  # type: ignore[misc]


def check(people: Sequence[Person]) -> None:
    """Compare the books of *people*."""
    chat = Chat(people)
    chat.settle()
    assert chat.losses() == []
    assert chat.disorder() == []
    # A private message for who is not there at the moment is refused, and nothing else.
    assert {code for one in people for code in one.refused.values()} <= {"no_such_user"}
