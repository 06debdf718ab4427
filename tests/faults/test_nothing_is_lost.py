"""The server killed 30 times, connections cut 200 times: nothing acknowledged is lost or doubled.

Where and when is random; a failure prints the seed of it, which `SEED` may be set to.
"""

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from chat.lab.faults import Chat, Person, ServerProcess
from chat.lab.wiretap import Direction, Kind, Wiretap
from chat.promises import resume

KILLS, CUTS = 30, 200
NICKS = ["Аня", "Боря", "Вера", "Глеб", "Дина"]
LONGEST = 2000
"""Bytes that pass at most before the next cut."""


@pytest.fixture(autouse=True)
def nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients come back soon: 230 pauses of half a second would be most of the test."""
    monkeypatch.setattr(resume, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(resume, "LONGEST_PAUSE", 0.2)


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    return random.Random(seed)


def mishaps(dice: random.Random, kills: int) -> Iterator[str]:
    """Yield what is to happen, in a random order."""
    plan = ["kill"] * kills + ["cut"] * CUTS
    dice.shuffle(plan)
    yield from plan


def cuts(tap: Wiretap) -> int:
    return len({record.connection for record in tap.records if record.kind is Kind.CUT})


def cut_somewhere(tap: Wiretap, dice: random.Random) -> None:
    """Cut the connection on which a byte passes that nobody knows beforehand."""
    before = cuts(tap)
    tap.cut_after(dice.randint(1, LONGEST), direction=dice.choice([*Direction]))
    tap.wait_for(
        lambda records: len({r.connection for r in records if r.kind is Kind.CUT}) > before,
        timeout=20,
    )


def talk_through(server: ServerProcess, dice: random.Random, kills: int) -> list[Person]:
    """Let everybody talk while *kills* and `CUTS` happen; return them when all is quiet."""
    with ExitStack() as stack:
        tap = stack.enter_context(Wiretap(server.address, keep_bytes=False))
        people = [stack.enter_context(Person(tap.address, nick)) for nick in NICKS]
        for person in people:
            others = [nick for nick in NICKS if nick != person.nick]
            person.talk([None, dice.choice(others), None, None], 0.005)
        for mishap in mishaps(dice, kills):
            time.sleep(dice.uniform(0, 0.05))  # the moment is to be random: no waiting for anything
            if mishap == "kill":
                server.kill()
                server.start()
                tap.upstream = server.address
            else:
                cut_somewhere(tap, dice)
        assert cuts(tap) >= CUTS
        tap.heal()
        talk = Chat(people)
        talk.settle()
        assert talk.losses() == []
        assert talk.disorder() == []
        assert all(len(person.acknowledged) > 100 for person in people), "hardly anything said"
        assert all(person.client.users == sorted({*NICKS} - {person.nick}) for person in people)
    return people


def said_and_acknowledged(people: list[Person]) -> dict[str, int]:
    return {
        person.said[number][0]: seq
        for person in people
        for number, seq in person.acknowledged.items()
    }


@pytest.mark.timeout(120)
def test_with_a_history_in_a_file(tmp_path: Path, dice: random.Random) -> None:
    path = tmp_path / "history.db"
    with ServerProcess("--history", str(path), "--rate", "0") as server:
        people = talk_through(server, dice, KILLS)
        assert server.end() == 0
        assert server.complaints() == ""
    with closing(sqlite3.connect(path)) as database:
        recorded = database.execute("SELECT text, seq FROM messages ORDER BY seq").fetchall()
    assert dict(recorded) == said_and_acknowledged(people)
    assert [seq for _text, seq in recorded] == [*range(1, len(recorded) + 1)]


@pytest.mark.timeout(120)
def test_with_a_history_in_memory(dice: random.Random) -> None:
    with ServerProcess("--rate", "0") as server:
        talk_through(server, dice, 0)
        assert server.end() == 0
        assert server.complaints() == ""
