"""The solutions are right, wrong answers are refused with the hint that fits."""

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from babel.messages.extract import extract

from chat.app.i18n import set_language
from tests.exercises import checks, fakes, wrong
from tests.exercises.__main__ import EXERCISES
from tests.exercises.checks import CHECKS
from tests.exercises.judge import judge, judge_answer
from tests.exercises.solutions.ex14 import EDITS
from tests.exercises.wrong import WRONG, WRONG_EDITS

ROOT = EXERCISES.parents[1]
SOLUTIONS = Path(__file__).parent / "solutions"
IN_THE_CHAT = max(CHECKS)
"""The exercise whose answer stands in the files of the chat."""


@pytest.fixture(scope="module", autouse=True)
def judges_are_ready() -> None:
    """Start the process from which those of the answers are forked: it stays to the end."""
    judge(2, SOLUTIONS / "ex2.py")


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Have the hints in the language of the code."""
    set_language("en")
    yield
    set_language("ru")


def test_every_exercise_has_a_file_a_check_a_solution_and_wrong_answers() -> None:
    for folder in (EXERCISES / "ru", EXERCISES / "en", SOLUTIONS):
        names = {path.stem for path in folder.glob("ex*.py")}
        assert names == {f"ex{number}" for number in CHECKS}
    assert {answer.number for answer in WRONG.values()} == set(CHECKS) - {IN_THE_CHAT}


@pytest.mark.parametrize("number", set(CHECKS) - {IN_THE_CHAT})
def test_the_solution_is_right(number: int) -> None:
    assert judge(number, SOLUTIONS / f"ex{number}.py") is None


@pytest.mark.parametrize("lang", ["ru", "en"])
@pytest.mark.parametrize("number", CHECKS)
def test_before_it_is_solved_there_is_a_hint(number: int, lang: str) -> None:
    problem = judge(number, EXERCISES / lang / f"ex{number}.py")
    assert problem
    assert "Traceback" not in problem, problem


def test_wrong_answers_are_refused_with_the_hint_that_fits() -> None:
    """And every hint is given to some of them: else it is not needed, or one of them is missing."""
    with ThreadPoolExecutor(max_workers=16) as pool:  # many of them only wait
        told = dict(zip(WRONG, pool.map(_hint, WRONG), strict=True))
    assert {title: hint for title, hint in told.items() if WRONG[title].hint not in str(hint)} == {}
    assert [hint for hint in told.values() if str(hint).count("Traceback") > 1] == []
    never = [
        sentence
        for sentence in _hints()
        if not any(re.search(_pattern(sentence), str(hint)) for hint in told.values())
    ]
    assert [sentence for sentence in never if not sentence.startswith("Step ")] == []


def _hint(title: str) -> str | None:
    get_answer = functools.partial(wrong.answer, title)
    return judge_answer(WRONG[title].number, get_answer, wrong.__file__)


def _hints() -> Iterator[str]:
    """Yield every sentence that the checks can say."""
    for module in (checks, fakes):
        with Path(str(module.__file__)).open("rb") as file:
            yield from (str(found[1]) for found in extract("python", file, {"_": None}))


def _pattern(sentence: str) -> str:
    return ".*".join(map(re.escape, re.split(r"\{[^}]*\}", sentence)))


# --- the chat itself ------------------------------------------------------------------------------


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A copy of the project that knows topics, as the solution of the last exercise makes it."""
    for folder in ("chat", "notebooks/exercises", "tests/exercises"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for name in ("__init__.py", "wire.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    solution = f"ex{IN_THE_CHAT}.py"
    shutil.copy(SOLUTIONS / solution, tmp_path / "notebooks" / "exercises" / "en" / solution)
    for file, line, inserted in EDITS:
        path = tmp_path / file
        code = path.read_text("utf-8")
        assert code.count("\n" + line) == 1, (file, line)
        path.write_text(code.replace("\n" + line, "\n" + inserted + line), "utf-8")
    return tmp_path


def test_the_edits_of_the_chat_are_right(edited: Path) -> None:
    assert run(IN_THE_CHAT, "en", edited) == (0, "Right!\n")


@pytest.mark.parametrize("title", WRONG_EDITS)
def test_a_wrong_edit_is_refused_with_the_hint_that_fits(title: str, edited: Path) -> None:
    right, other, hint = WRONG_EDITS[title]
    files = {edited / file for file, _line, _inserted in EDITS}
    files.add(edited / "notebooks" / "exercises" / "en" / f"ex{IN_THE_CHAT}.py")
    replaced = 0
    for path in files:
        code = path.read_text("utf-8")
        replaced += right in code
        path.write_text(code.replace(right, other), "utf-8")
    assert replaced
    status, said = run(IN_THE_CHAT, "en", edited)
    assert status == 1
    assert hint in said


# --- the command ----------------------------------------------------------------------------------


def run(number: int, lang: str, folder: Path = ROOT) -> tuple[int, str]:
    """Return status and output of the command for exercise *number* in the project at *folder*."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.exercises", str(number)],
        cwd=folder,
        env=os.environ | {"LANG_EDITION": lang, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(("lang", "word"), [("ru", "предсказание"), ("en", "prediction")])
def test_the_command_says_the_hint_in_the_language_of_the_edition(lang: str, word: str) -> None:
    status, said = run(2, lang)
    assert status == 1
    assert "ANSWER" in said
    assert word in said


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ANSWER = 1 / 0\n", ["ZeroDivisionError", "line 1", "ANSWER = 1 / 0"]),
        ("ANSWER = (\n", ["SyntaxError", "line 1"]),
        ("answer = 5\n", ["ANSWER is missing"]),
        ("import sys\nsys.exit()\n", ["ended the whole program"]),
        ("while True: pass\n", ["not over after 1 second"]),
        (None, ["There is no file", "ex2.py"]),
    ],
)
def test_a_file_that_cannot_be_judged_is_told_in_a_sentence(
    code: str | None, expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "ex2.py"
    if code is not None:
        path.write_text(code, "utf-8")
    problem = judge(2, path, patience=1 if code and "while" in code else 20)
    assert problem is not None
    assert [part for part in expected if part not in problem] == [], problem
    assert problem.count("File") <= 1, problem


def test_of_a_traceback_only_the_lines_of_the_answer_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "ex4.py"
    path.write_text("def receive_exactly(sock, size):\n    return sock.recv('ten')\n", "utf-8")
    problem = judge(4, path)
    assert problem is not None
    assert problem.count("Traceback") == problem.count("File") == 1
    assert "return sock.recv('ten')" in problem
