"""The solutions are right, and what a student gets is not solved yet and says how to go on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exercises.__main__ import EXERCISES, judge
from tests.exercises.checks import CHECKS

SOLUTIONS = Path(__file__).parent / "solutions"


def test_every_exercise_has_a_file_a_check_and_a_solution() -> None:
    for folder in (EXERCISES / "ru", EXERCISES / "en", SOLUTIONS):
        names = {path.stem for path in folder.glob("ex*.py")}
        assert names == {f"ex{number}" for number in CHECKS}
    assert len(CHECKS) >= 8


@pytest.mark.parametrize("number", CHECKS)
def test_the_solution_is_right(number: int) -> None:
    assert judge(number, SOLUTIONS / f"ex{number}.py") is None


@pytest.mark.parametrize("lang", ["ru", "en"])
@pytest.mark.parametrize("number", CHECKS)
def test_before_it_is_solved_there_is_a_hint(number: int, lang: str) -> None:
    problem = judge(number, EXERCISES / lang / f"ex{number}.py")
    assert problem
    assert "Traceback" not in problem, problem


@pytest.mark.parametrize(("lang", "word"), [("ru", "предсказание"), ("en", "prediction")])
def test_the_command_says_right_or_gives_the_hint(lang: str, word: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.exercises", "1"],
        cwd=EXERCISES.parents[1],
        env=os.environ | {"LANG_EDITION": lang},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "ANSWER" in done.stdout
    assert word in done.stdout


def test_an_answer_that_fails_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ex1.py"
    path.write_text("ANSWER = 1 / 0\n", "utf-8")
    assert "ZeroDivisionError" in (judge(1, path) or "")
