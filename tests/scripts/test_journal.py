"""The server's terminal: the start, what happens, the summary; for people or programs."""

import json
import re
import signal
from pathlib import Path

import pytest

from chat.app.journal import duration
from tests.scripts.programs import SERVER, Program
from tests.wire import Wire


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
    assert duration(seconds) == words
