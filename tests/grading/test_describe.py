"""A submission's file is found by trying; what is found can be graded with."""

import shutil
from pathlib import Path

import pytest

from . import describe
from .describe import Trial, toml
from .engine import ALL_CHECKS, grade
from .mutants import GOOD
from .rubric import RUBRIC, read_rubric
from .submission import read_submission

EXAMPLES = GOOD.parent


def undescribed(name: str, folder: Path) -> Path:
    place = folder / name
    shutil.copytree(EXAMPLES / name, place)
    (place / "submission.toml").unlink()
    return place


@pytest.mark.timeout(120)
def test_a_good_chat_is_described_by_trying(tmp_path: Path) -> None:
    place = undescribed("good", tmp_path)
    assert describe.main([str(place), "--lang", "ru"]) == 0
    found = read_submission(place / "submission.toml")
    ours = read_submission(EXAMPLES / "good" / "submission.toml")
    assert found.server_command == ours.server_command
    assert found.client_command == ours.client_command
    assert found.port is None
    assert found.steps == ours.steps
    assert set(found.signs) == set(ours.signs)
    assert (found.log_files, found.report_files) == (ours.log_files, ours.report_files)
    reached = grade(
        found, read_rubric(RUBRIC, ALL_CHECKS), only=["unique_name", "private", "leave_announced"]
    )
    assert reached.is_full, [result.reason for result in reached.results]


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("english")
def test_what_is_not_found_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALL", "PRIVATE", "USERS", "HISTORY", "LEAVE"):
        monkeypatch.setattr(describe, name, ())  # a menu understands none of them anyway
    answers = {"all": "1 | {text}", "private": "2|{to}|{text}", "users": "3", "leave": "0"}
    asked = []

    def ask(question: str) -> str:
        asked.append(question)
        return answers.pop(next(iter(answers)), "") if "before" not in question else ""

    place = undescribed("fragile", tmp_path)
    with Trial(place, ask, print) as trial:
        trial.run(["python", "chat.py", "server"], ["python", "chat.py", "client"])
        text = toml(place, trial)
    assert len(asked) == 5
    (place / "submission.toml").write_text(text, encoding="utf-8")
    found = read_submission(place / "submission.toml")
    assert found.port == 7000
    assert [step.text for step in found.steps["private"]] == ["2", "{to}", "{text}"]
    assert "# history" in text


@pytest.mark.timeout(120)
def test_a_greeting_that_names_the_others_is_no_riddle(tmp_path: Path) -> None:
    place = undescribed("good", tmp_path)
    client = place / "client.py"
    code = client.read_text("utf-8")
    greeting = """f"Здравствуйте, {name}! В чате: {answer[3:] or 'пока никого'}\""""
    assert greeting in code
    client.write_text(
        code.replace(greeting, '"Здесь: " + ", ".join(filter(None, [answer[3:], name]))'), "utf-8"
    )
    assert describe.main([str(place), "--lang", "ru"]) == 0
    found = read_submission(place / "submission.toml")
    reached = grade(found, read_rubric(RUBRIC, ALL_CHECKS), only=["starts"])
    assert reached.is_full, [result.reason for result in reached.results]


@pytest.mark.usefixtures("english")
def test_what_cannot_be_started_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "server.py").write_text("import socket\nsocket.socket().listen(\n")
    assert describe.main([str(tmp_path), "--lang", "en"]) == 1
    assert "--server" in capsys.readouterr().err
    assert not (tmp_path / "submission.toml").exists()
