"""The server's terminal: the start, what happens, the summary; for people or programs."""

import json
import logging
import re
import signal
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from chat.app import journal
from chat.core.history import Entry
from chat.core.protocol import Limits
from tests.scripts.programs import SERVER, Program
from tests.wire import Wire, eventually


def stop(server: Program) -> str:
    server.signal(signal.SIGINT)
    status, output, complaint = server.end()
    assert (status, complaint) == (0, "")
    return output


def test_it_starts_with_what_it_was_told(tmp_path: Path) -> None:
    history = tmp_path / "chat.db"
    with Program(*SERVER, "--max-clients", "5", "--history", str(history)) as server:
        server.address()
        assert "до 5 пользователей" in (limits := server.line())
        assert "2000 символов в сообщении, до 10 в секунду от каждого" in limits
        assert str(history) in server.line()
        assert "TLS" in server.line()
        assert "Ctrl-C" in server.line()
        stop(server)


def test_it_ends_with_how_long_how_many_and_how_much() -> None:
    with Program(*SERVER) as server, Wire(address := server.address(), "Аня") as anya:
        anya.say("привет")
        with Wire(address, "Боря") as borya:
            borya.say("и тебе")
        anya.skip_to("left")
        port = anya.local_address[1]
        anya.close()
        server.wait_for(f"Аня (127.0.0.1:{port}) больше не в чате")
        summary, last = stop(server).splitlines()[-2:]
    assert re.search(
        r"Итог за \d+ секунд[уы]?: вошли 2 пользователя \(одновременно — до 2\)", summary
    )
    assert "2 сообщения" in summary
    assert "23 байта" in summary
    assert last.endswith("Сервер остановлен")


def test_a_refusal_is_a_sentence_with_the_nickname_and_the_code() -> None:
    with Program(*SERVER) as server, Wire(address := server.address(), "Аня") as anya:
        anya.send({"type": "message", "text": "эй", "to": "Гриша"})
        line = server.wait_for("отказ")
        assert re.search(
            r"Аня \(127\.0\.0\.1:\d+\): отказ — такого адресата нет в чате \(no_such_user\)$", line
        )
        with Wire(address) as nobody:
            nobody.expect("register")
            nobody.request("register", nick="Аня")
            line = server.wait_for("отказ")
            assert re.search(r"  127\.0\.0\.1:\d+: отказ — ник уже занят \(nick_taken\)$", line)
        stop(server)


def test_for_programs_every_line_is_an_object() -> None:
    with Program(*SERVER, "--log-format", "json") as server:
        first = json.loads(server.line())
        assert first["event"] == "listening"
        host, _, port = first["address"].rpartition(":")
        with Wire((host, int(port)), "Аня") as anya:
            anya.say("тайна")
        anya.close()
        events = {}
        while "disconnected" not in events:
            fact = json.loads(server.line())
            events[fact["event"]] = fact
        assert events["joined"]["nick"] == "Аня"
        assert events["message"]["bytes"] == 10
        assert "text" not in events["message"]
        assert events["left"]["reason"] == "lost"
        rest = [json.loads(line) for line in stop(server).splitlines()]
    assert [fact["event"] for fact in rest] == ["summary", "stopped"]
    assert rest[0]["messages"] == 1
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", fact["time"]) for fact in rest)


# A flood, and what cannot be printed


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(journal, "write", lines.append)
    return lines


@contextmanager
def journalling() -> Iterator[Callable[..., None]]:
    """Print what is logged by what this yields."""
    logger = logging.Logger("test")
    plain = {"history": None, "backplane": None, "tls_cert": None, "log_format": "text"}
    options = Namespace(show_text=False, **plain)

    def log(kind: str, **facts: object) -> None:
        logger.info(kind, extra={"event": {"event": kind, **facts}})

    with journal.on_console(logger, ("127.0.0.1", 1), Limits(), options):
        yield log


def test_a_flood_from_one_address_hides_nobody_else(
    printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)  # all in one second
    with journalling() as log:
        for port in range(5000):
            log("refused", address=("192.0.2.1", port), code="bad_frame")
        log("joined", address=("192.0.2.2", 1), nick="Аня")
        log("stopped", reason="stopped")
    text = "".join(printed)
    assert text.count("192.0.2.1:") == journal.LINES_OF_ONE
    assert "Аня (192.0.2.2:1) теперь в чате" in text
    assert f"… и ещё, не показано по отдельности: {5000 - journal.LINES_OF_ONE} строк\n" in text
    assert text.endswith("Сервер остановлен\n")


def test_messages_beyond_what_anybody_reads_are_counted(
    printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    entry = Entry("Аня", "s", None, None, "да", 0.0, address=("192.0.2.1", 1))
    with journalling() as log:
        for _ in range(3):
            log("messages", messages=[entry] * 400)
        log("joined", address=("192.0.2.2", 1), nick="Боря")
        log("stopped", reason="stopped")
    text = "".join(printed)
    assert text.count("→") == journal.LINES_OF_ONE
    rest = 1200 - journal.LINES_OF_ONE
    assert f"не показано по отдельности: {rest} сообщений ({4 * rest} байт)" in text
    assert "Боря (192.0.2.2:1) теперь в чате" in text
    assert "1200 сообщений" in text  # the summary counts them all


def test_what_was_omitted_is_said_when_the_second_is_over_though_nothing_else_happens(
    printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    journals_time = SimpleNamespace(**vars(time) | {"monotonic": lambda: now})
    monkeypatch.setattr(journal, "time", journals_time)  # `eventually` looks at the real one
    with journalling() as log:
        for port in range(journal.LINES_OF_ONE + 7):
            log("connected", address=("192.0.2.1", port))
        now += 1
        eventually(lambda: "не показано по отдельности: 7 строк\n" in "".join(printed))
        log("connected", address=("192.0.2.1", 9999))
        eventually(lambda: "192.0.2.1:9999: соединение установлено" in "".join(printed))


def test_what_waits_for_a_terminal_that_stands_still_is_bounded() -> None:
    """However many addresses there are: one record can have a thousand messages."""
    handler = journal.Journal(journal.line)
    for host in range(100):
        entry = Entry("Аня", "s", None, None, "да", 0.0, address=(f"192.0.2.{host}", 1))
        said = [entry] * 1000
        handler.emit(logging.makeLogRecord({"event": {"event": "messages", "messages": said}}))
        assert handler.waiting.qsize() <= (host + 1) * journal.LINES_OF_ONE
    assert handler.waiting.qsize() == journal.LINES_OF_ALL


def test_who_leaves_from_another_server_has_no_address(printed: list[str]) -> None:
    with journalling() as log:
        log("left", address=None, nick="Аня", reason="quit")
    assert printed[-1].endswith("  Аня покидает чат\n")


def test_a_record_that_cannot_be_said_is_the_only_one_lost(
    printed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with journalling() as log:
        log("joined")  # nobody has
        log("left", nick="Аня", reason=object())
        log("store_back")
    assert "Redis снова отвечает" in "".join(printed)
    capsys.readouterr()  # `logging` tells on stderr what was wrong


def test_a_line_is_a_line_whatever_is_in_it(printed: list[str]) -> None:
    with journalling() as log:
        log("store_lost", reason="one\n12:00:00  Сервер остановлен\x1b[2J")
    assert all(line.count("\n") == 1 for line in printed[1:])
    assert "\x1b" not in "".join(printed)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 секунд"),
        (61, "1 минуту 1 секунду"),
        (3 * 3600 + 5 * 60 + 7, "3 часа 5 минут"),
        (2 * 86400, "2 дня"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert journal.duration(seconds) == words
