"""A history in a file: what is acknowledged is on the disk, and comes back with the next server."""

import contextlib
import logging
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.app.sentences import phrase
from chat.core.history import Entry, Log
from chat.core.protocol import Limits, ProtocolError
from chat.core.server import ChatServer
from chat.lab.faults import ServerProcess
from chat.promises import durable
from chat.promises.durable import SqliteLog
from chat.server import assemble
from tests.scripts.programs import SERVER, run
from tests.wire import Message, Wire, eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@contextlib.contextmanager
def serving(path: Path, **limits: float) -> Iterator[ChatServer]:
    chosen = Limits(**limits)  # type: ignore[arg-type] # names and kinds as in Limits
    with assemble(limits=chosen, history=path) as server:
        yield server


def entry(text: str, number: int | None = None, session: str = "a", to: str | None = None) -> Entry:
    return Entry(session.upper(), session, to and to.upper(), to, text, 1.5, number)


def fill_log(log: SqliteLog, count: int, *, first: int = 1) -> None:
    texts = ((f"сообщение {number} " + "я" * 500, number) for number in range(first, first + count))
    record(log, *(entry(text, number) for text, number in texts))


def record(log: Log, *entries: Entry) -> None:
    for one in entries:
        log.append(one)
    log.commit(entries)


def come_back(server: ChatServer | ServerProcess, former: Wire, nick: str) -> Wire:
    wire = Wire(server.address)
    wire.expect("register")
    wire.send({"type": "register", "nick": nick, "session": former.welcome["session"]})
    wire.welcome = wire.expect("welcome")
    return wire


# Recording


def test_what_gathers_is_recorded_with_one_commit(path: Path) -> None:
    with contextlib.closing(SqliteLog(path)) as log:
        statements: list[str] = []
        log._file.set_trace_callback(statements.append)
        entries = [entry(str(number)) for number in range(100)]
        assert all(log.append(one) for one in entries)
        assert log.last_seq == 0
        log.commit(entries)
        assert log.last_seq == 100
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
    commit = SqliteLog.commit

    def commit_later(self: SqliteLog, entries: Sequence[Entry]) -> None:
        committing.set()
        assert go_on.wait(10)
        commit(self, entries)

    monkeypatch.setattr(SqliteLog, "commit", commit_later)
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
        told = [m["text"] for m in borya.request("history")["messages"]]
        assert told == ["1", "2", "3", "4", "5"]
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


# Asking


@settings(max_examples=40)
@given(
    said=st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from("abc"))),
    commits=st.integers(1, 3),
    limit=st.integers(0, 5),
    place=st.integers(0, 12),
)
def test_the_file_answers_as_a_memory_that_forgets_nothing(
    said: list[tuple[str, str | None]], commits: int, limit: int, place: int
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(SqliteLog(f"{folder}/h.db", Limits(history_messages=3))) as log,
    ):
        everything = Log()
        entries = [entry(f"{number}", number, *one) for number, one in enumerate(said, 1)]
        record(everything, *entries)
        while entries:
            record(log, *entries[:commits])
            del entries[:commits]
        assert log.last_seq == everything.last_seq == len(said)
        for session in "abcd":
            for before in (None, place):
                found, expected = (
                    [(e.seq, e.text) for e in each.before(session, limit, before)]
                    for each in (log, everything)
                )
                assert found == expected
            found, expected = (
                [(e.seq, e.text) for e in each.after(session, limit, place)]
                for each in (log, everything)
            )
            assert found == expected
            assert log.find(session, place) == everything.find(session, place)
            assert log.last_id(session) == everything.last_id(session)
        assert not log.has_gap(0)


def test_a_question_that_takes_too_long_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(SqliteLog(path, Limits(history_messages=1))) as log:
        fill_log(log, 2000)
        assert len(log.after("b", 2000, 0)) == 2000
        monkeypatch.setattr(durable, "LONGEST_READ", -1)
        with pytest.raises(ProtocolError, match="unavailable"):
            log.after("b", 2000, 0)
        monkeypatch.undo()
        assert len(log.after("b", 2000, 0)) == 2000


# A copy from yesterday


def test_a_restored_copy_is_another_log(path: Path, tmp_path: Path) -> None:
    """Its next numbers have been given before: who comes back must not skip them as heard."""
    copy = tmp_path / "copy.db"
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        anya.say("раз")
        log = anya.welcome["log"]
    shutil.copy(path, copy)
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        assert anya.welcome["log"] == log
        assert anya.say("два") == 2
    shutil.copy(copy, path)
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        other = anya.welcome["log"]
        assert other != log
        assert anya.welcome["seq"] == 1
        assert anya.say("другое") == 2
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        assert anya.welcome["log"] == other
        assert anya.welcome["seq"] == 2


@pytest.mark.parametrize("content", [None, b"", b"nonsense" * 1000])
def test_the_index_may_be_missing_or_damaged_and_is_made_anew(
    path: Path, content: bytes | None
) -> None:
    with contextlib.closing(SqliteLog(path)) as log:
        fill_log(log, 3)
        first = log.id
    for beside in path.parent.glob(path.name + "-said*"):
        beside.unlink()
    if content is not None:
        path.with_name(path.name + "-said").write_bytes(content)
    with contextlib.closing(SqliteLog(path)) as log:
        assert (log.id, log.last_seq) == (first, 3)
        assert log.find("a", 3) == 3
        assert log.last_id("a") == 3


def test_what_the_index_could_not_take_is_found_and_taken_later(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise a repeat would be recorded twice after a restart: the index looks complete."""
    caplog.set_level(logging.INFO, "chat.server")
    with contextlib.closing(SqliteLog(path)) as log:
        fill_log(log, 1)
        index = log._said._file
        index.execute("PRAGMA query_only = ON")
        for number in (2, 3):
            fill_log(log, 1, first=number)
        assert [log.find("a", number) for number in (1, 2, 3)] == [1, 2, 3]
        assert log.last_id("a") == 3
        assert [record.getMessage() for record in caplog.records] == ["failed"]
        index.execute("PRAGMA query_only = OFF")
        fill_log(log, 1, first=4)
        assert index.execute("SELECT count(*) FROM said").fetchone() == (4,)
    with contextlib.closing(SqliteLog(path)) as log:
        assert [log.find("a", number) for number in (1, 2, 3, 4)] == [1, 2, 3, 4]


def test_damaged_pages_do_not_stop_what_is_said_now(path: Path) -> None:
    """Only who asks for what was on them hears of it."""
    with contextlib.closing(SqliteLog(path, Limits(history_messages=10))) as log:
        fill_log(log, 3000)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xff" * 4096 * 20)
    with contextlib.closing(SqliteLog(path, Limits(history_messages=10))) as log:
        with pytest.raises(ProtocolError, match="unavailable"):
            log.after("b", 1000, 0)
        for number in range(3001, 3200):
            fill_log(log, 1, first=number)
        assert log.find("a", 3199) == 3199


@pytest.mark.parametrize("statement", ["CREATE TABLE bookmarks (a)", "CREATE TABLE messages (a)"])
def test_the_database_of_another_program_is_left_as_it_is(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(statement)
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        SqliteLog(path)
    assert path.read_bytes() == before


def test_two_servers_cannot_have_one_database_by_two_names(path: Path, tmp_path: Path) -> None:
    """Both would give out the next number."""
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with contextlib.closing(SqliteLog(path)) as log:
        fill_log(log, 1)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            SqliteLog(link)


def test_only_the_owner_may_read_it_also_when_it_was_there_before(path: Path) -> None:
    path.touch(mode=0o644)
    path.chmod(0o644)
    with contextlib.closing(SqliteLog(path)) as log:
        fill_log(log, 1)
        files = sorted(path.parent.glob(path.name + "*"))
        assert {file.name.removeprefix(path.name) for file in files} >= {"", "-said", "-wal"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


# The disk


def test_what_could_not_be_committed_is_lost_and_its_number_with_it(path: Path) -> None:
    with contextlib.closing(SqliteLog(path)) as log:
        fill_log(log, 3)
        [(pages,)] = log._file.execute("PRAGMA page_count").fetchall()
        log._file.execute(f"PRAGMA max_page_count = {pages}")
        entries = [entry("x" * 9000, number) for number in (4, 5)]
        with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
            record(log, *entries)
        assert log.last_seq == 3
        assert log.find("a", 4) is None
        assert log.last_id("a") == 3
        log._file.execute(f"PRAGMA max_page_count = {10 * pages}")
        later = entry("снова", 6)
        record(log, later)
        assert later.seq == log.last_seq == 6
        assert [one.seq for one in log.before("a", 2)] == [6, 3]


def test_a_commit_that_the_database_refuses_leaves_no_transaction(path: Path) -> None:
    """Every statement of it has succeeded before."""
    with contextlib.closing(SqliteLog(path)) as log:
        log._file.executescript(
            "PRAGMA foreign_keys = ON; CREATE TABLE many (one REFERENCES log (id) DEFERRABLE"
            " INITIALLY DEFERRED); CREATE UNIQUE INDEX ids ON log (id); CREATE TRIGGER refuse"
            " AFTER INSERT ON messages BEGIN INSERT INTO many VALUES ('nothing'); END"
        )
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY constraint failed"):
            record(log, entry("раз", 1))
        assert not log._file.in_transaction
        log._file.execute("DROP TRIGGER refuse")
        fill_log(log, 1, first=2)
        assert [later.seq for later in log.before("a", 9)] == [2]


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
            assert seq == number + 1  # the number of the one refused is not given again
            borya.expect("message", text="снова", seq=seq)
        server.end()
        assert server.complaints() == ""


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be moved away there")
def test_nothing_is_acknowledged_while_the_file_is_away(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite would go on writing to a file that has no name any more, and all would be lost."""
    away = tmp_path / "elsewhere.db"
    refusal = {"type": "error", "code": "not_recorded", "re": "message"}
    caplog.set_level(logging.INFO, "chat.server")
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        assert anya.say("раз", number=1) == 1
        path.rename(away)
        assert answer_to(anya, 2) == refusal | {"id": 2}
        path.touch()
        assert answer_to(anya, 3) == refusal | {"id": 3}
        away.replace(path)
        assert answer_to(anya, 4)["type"] == "ack"
    events = [record.__dict__["event"] for record in caplog.records]
    [reason] = [event["reason"] for event in events if event["event"] == "not_recorded"]
    assert phrase(reason) == "такого файла нет"


def answer_to(wire: Wire, number: int) -> Message:
    wire.send({"type": "message", "text": str(number), "id": number})
    return wire.next()


def fill(wire: Wire) -> tuple[int, Message]:
    """Say one thing after the other until it is refused; return its id and the refusal."""
    for number in range(2, 2000):
        answer = answer_to(wire, number)
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
    assert "it is not a history file" in refused(path)


def test_a_damaged_file(path: Path) -> None:
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        for number in range(100):
            anya.say(str(number) + "я" * 500)
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    assert "malformed" in refused(path)


def test_a_damaged_page_is_told_to_who_asks_for_it_and_the_chat_goes_on(path: Path) -> None:
    with contextlib.closing(SqliteLog(path)) as log:
        fill_log(log, 200)
    data = bytearray(path.read_bytes())
    page = data.index("сообщение 50 ".encode()) // 4096 * 4096
    data[page : page + 4096] = bytes(4096)
    path.write_bytes(data)
    with serving(path, history_messages=3) as server, Wire(server.address, "Боря") as borya:
        answer = borya.request("history", after=0)
        assert (answer["type"], answer["code"]) == ("error", "unavailable")
        assert borya.request("history", limit=3)["messages"][0]["seq"] == 198
        assert borya.say("дальше") == 201
        assert borya.request("history", limit=1)["messages"][0]["text"] == "дальше"


def test_a_directory_and_a_place_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be opened" in refused(tmp_path)
    assert "no such folder" in refused(tmp_path / "no" / "history.db")


def test_two_servers_cannot_share_a_file(path: Path) -> None:
    """Each would give out the same numbers."""
    with serving(path) as server, Wire(server.address, "Аня") as anya:
        anya.say("раз")
        assert "another program uses the file" in refused(path)
        assert anya.say("два") == 2
    with serving(path) as server:
        eventually(lambda: server.room.log.last_seq == 2)
