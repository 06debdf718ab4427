"""A history in a file: what is acknowledged is on the disk, and comes back with the next server."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.core.history import Entry
from chat.core.protocol import Limits
from chat.core.server import ChatServer
from chat.lab.faults import ServerProcess
from chat.promises.durable import SqliteHistory
from tests.scripts.programs import SERVER, run
from tests.wire import Message, Wire, eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@contextlib.contextmanager
def serving(path: Path, **limits: float) -> Iterator[ChatServer]:
    with ChatServer(limits=Limits(**limits), history=path) as server:  # type: ignore[arg-type]
        yield server


def entry(text: str, number: int | None = None) -> Entry:
    return Entry("Аня", "session", None, None, text, 1.5, number)


def come_back(server: ChatServer | ServerProcess, former: Wire, nick: str) -> Wire:
    wire = Wire(server.address)
    wire.expect("register")
    wire.send({"type": "register", "nick": nick, "session": former.welcome["session"]})
    wire.welcome = wire.expect("welcome")
    return wire


# Recording


def test_what_gathers_is_recorded_with_one_commit(path: Path) -> None:
    with contextlib.closing(SqliteHistory(path, 1000)) as history:
        statements: list[str] = []
        history._file.set_trace_callback(statements.append)
        entries = [entry(str(number)) for number in range(100)]
        for one in entries:
            history.append(one)
        history.record()
    assert [one.seq for one in entries] == [*range(1, 101)]
    assert [s for s in statements if not s.startswith("INSERT")] == ["BEGIN", "COMMIT"]


def test_a_hundred_messages_in_one_segment_need_few_commits(path: Path) -> None:
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        commits: list[str] = []
        server.room.log._file.set_trace_callback(  # type: ignore[attr-defined]
            lambda statement: commits.append(statement) if statement == "COMMIT" else None
        )
        anya.send(*({"type": "message", "text": str(n), "id": n} for n in range(100)))
        for number in range(100):
            anya.expect("ack", id=number)
        assert 1 <= len(commits) <= 10


def test_nobody_hears_and_nothing_is_acknowledged_before_the_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committing, go_on = threading.Event(), threading.Event()
    keep = SqliteHistory._keep

    def keep_later(self: SqliteHistory, entries: list[Entry]) -> bool:
        committing.set()
        assert go_on.wait(10)
        return keep(self, entries)

    monkeypatch.setattr(SqliteHistory, "_keep", keep_later)
    with (
        serving(path) as server,
        Wire(server.address, "Аня") as anya,
        Wire(server.address, "Боря") as borya,
    ):
        anya.expect("joined")
        anya.send({"type": "message", "text": "раз", "id": 1})
        assert committing.wait(10)
        for wire in (anya, borya):
            wire.socket.settimeout(0.1)
            with pytest.raises(TimeoutError):
                wire.next()
            wire.socket.settimeout(10)
        go_on.set()
        anya.expect("ack", id=1)
        borya.expect("message", text="раз")


# The next server


def test_the_next_server_goes_on_where_the_last_one_ended(path: Path) -> None:
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        assert [anya.say("раз"), anya.say("два")] == [1, 2]
        log = anya.welcome["log"]
        before = anya.request("history")["messages"]
    with serving(path) as server, Wire(server.address, "Боря") as borya:
        assert borya.welcome["log"] == log
        assert borya.welcome["seq"] == 2
        assert borya.request("history")["messages"] == before
        assert borya.say("три") == 3


def test_a_private_message_is_seen_again_by_its_two_and_by_nobody_else(path: Path) -> None:
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        with Wire(server.address, "Боря") as borya:
            anya.expect("joined")
            anya.say("шёпот", to="Боря")
            borya.expect("message")
        anya.skip_to("left")
    with serving(path) as server:
        with come_back(server, anya, "Аня") as again:
            assert [m["text"] for m in again.request("history")["messages"]] == ["шёпот"]
        with come_back(server, borya, "Боря") as again:
            missed = again.request("history", after=0)["messages"]
            assert [m["text"] for m in missed] == ["шёпот"]
        with Wire(server.address, "Боря" * 2) as other:
            assert other.request("history")["messages"] == []


def test_a_former_owners_nickname_does_not_open_their_messages(path: Path) -> None:
    with (
        serving(path) as server,
        Wire(server.address, "Аня") as anya,
        Wire(server.address, "Боря"),
    ):
        anya.expect("joined")
        anya.say("шёпот", to="Боря")
    with serving(path) as server, Wire(server.address, "Боря") as thief:
        assert thief.request("history")["messages"] == []
        assert thief.request("history", after=0)["messages"] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_message_sent_again_to_the_next_server_is_not_doubled(
    path: Path, number: signal.Signals
) -> None:
    with ServerProcess("--history", str(path)) as server:
        with Wire(server.address, "Аня") as anya:
            seq = anya.say("раз", number=7)
            server.end(number)
        server.start()
        with come_back(server, anya, "Аня") as again:
            assert again.say("раз", number=7) == seq
            assert again.say("два", number=8) == seq + 1
            texts = [message["text"] for message in again.request("history")["messages"]]
            assert texts == ["раз", "два"]


def test_who_comes_back_finds_in_the_file_what_memory_let_go(path: Path) -> None:
    with serving(path, history_messages=3) as server, Wire(server.address, "Аня") as anya:
        for number in range(1, 6):
            anya.say(str(number))
    with serving(path, history_messages=3) as server, Wire(server.address, "Боря") as borya:
        assert [m["text"] for m in borya.request("history")["messages"]] == ["3", "4", "5"]
        answer = borya.request("history", after=1)
        assert "gap" not in answer
        assert [m["seq"] for m in answer["messages"]] == [2, 3, 4, 5]
    with contextlib.closing(sqlite3.connect(path)) as database:
        [(count,)] = database.execute("SELECT count(*) FROM messages")
    assert count == 5


def test_texts_come_back_as_they_were(path: Path) -> None:
    texts = ["🙂", "две\nстроки", "'; DROP TABLE messages; --", "i\u0307", "\ufffd", "я" * 2000]
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        for text in texts:
            anya.say(text)
        live = anya.request("history")["messages"]
    with serving(path) as server, Wire(server.address, "Боря") as borya:
        assert borya.request("history")["messages"] == live
    assert [message["text"] for message in live] == texts


# The disk


def small_disk() -> tuple[str, ...]:
    """Return the beginning of a command that runs with a disk of its own, 256 KiB, at /mnt."""
    mount = 'mount -t tmpfs -o size=256k none /mnt && exec "$@"'
    command = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if shutil.which("unshare") is None:
        pytest.skip("no unshare(1)")
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no mount namespace: {tried.stderr.decode().strip()}")
    return command


def test_a_full_disk_is_said_and_when_there_is_room_again_the_chat_goes_on() -> None:
    """A real file system that is really full: ENOSPC."""
    with ServerProcess("--history", "/mnt/h.db", "--rate", "0", setup=small_disk()) as server:
        filler = Path(f"/proc/{server.pid}/root/mnt/filler")
        filler.write_bytes(b"")
        with (
            Wire(server.address, "Аня") as anya,
            Wire(server.address, "Боря") as borya,
        ):
            anya.expect("joined")
            assert anya.say("раз", number=1) == 1
            borya.expect("message", text="раз", seq=1)
            with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
                while file.write(b"x" * 4096):
                    pass
            number, answer = fill(anya)
            assert answer == {
                "type": "error",
                "code": "not_recorded",
                "re": "message",
                "id": number,
            }
            heard = borya.request("users")
            while heard["type"] == "message":
                assert heard["text"] != str(number)
                heard = borya.next()
            filler.unlink()
            seq = anya.say("снова", number=number + 1)
            assert seq == number  # the one refused has no number
            borya.expect("message", text="снова", seq=seq)
        server.end()
        assert server.complaints() == ""


def fill(wire: Wire) -> tuple[int, Message]:
    """Say one thing after the other until it is refused; return its id and the refusal."""
    for number in range(2, 2000):
        wire.send({"type": "message", "text": str(number), "id": number})
        answer = wire.next()
        if answer["type"] != "ack":
            return number, answer
    raise AssertionError("the disk is never full")


# A file that is none


def refused(path: Path) -> str:
    """Return the sentence with which the script refuses to keep its history at *path*."""
    status, output, complaint = run(*SERVER, "--history", str(path), "--lang", "en")
    assert status == 1
    assert output == ""
    assert "Traceback" not in complaint
    [sentence] = complaint.splitlines()
    assert str(path) in sentence
    return sentence


def test_a_file_that_is_something_else(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    assert "it is not a history file" in refused(path)
    assert path.read_bytes() == b"Dear diary, " * 1000


def test_a_database_of_somebody_else(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE messages (subject TEXT, body TEXT)")
    assert "seq" in refused(path)


def test_a_damaged_file(path: Path) -> None:
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        for number in range(100):
            anya.say(str(number) + "я" * 500)
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    assert "malformed" in refused(path)


def test_a_directory_and_a_place_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be opened" in refused(tmp_path)
    assert "no such file" in refused(tmp_path / "no" / "history.db")


def test_two_servers_cannot_share_a_file(path: Path) -> None:
    """Each would give out the same numbers."""
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        anya.say("раз")
        assert "another program uses the file" in refused(path)
        assert anya.say("два") == 2
    with serving(path) as server:
        eventually(lambda: server.room.log.last_seq == 2)
