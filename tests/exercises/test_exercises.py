"""The solutions are right, wrong answers are refused with the hint that fits."""

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from babel.messages.extract import extract

from chat.app.i18n import set_language
from tests.exercises import checks, fakes, wrong
from tests.exercises.__main__ import EXERCISES
from tests.exercises.checks import CHECKS, IN_THE_CHAT
from tests.exercises.judge import judge, judge_all
from tests.exercises.solutions.topic import EDITS
from tests.exercises.wrong import WRONG, WRONG_EDITS

ROOT = EXERCISES.parents[1]
SOLUTIONS = Path(__file__).parent / "solutions"
EXERCISE_IN_THE_CHAT = Path("notebooks", "exercises", "en", f"ex{IN_THE_CHAT}.py")

pytestmark = pytest.mark.timeout(300)  # a dozen seconds, on a busy machine many more

T = TypeVar("T")
R = TypeVar("R")


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


def together(function: Callable[[T], R], items: Iterable[T]) -> dict[T, R]:
    """Return what *function* returns for each of *items*: most of the time it only waits."""
    items = list(items)
    with ThreadPoolExecutor(max_workers=16) as pool:
        return dict(zip(items, pool.map(function, items), strict=True))


def test_the_solutions_are_right() -> None:
    numbers = set(CHECKS) - {IN_THE_CHAT}
    told = together(lambda number: judge(number, SOLUTIONS / f"ex{number}.py"), numbers)
    assert told == dict.fromkeys(numbers)


def test_before_it_is_solved_there_is_a_hint() -> None:
    paths = [EXERCISES / lang / f"ex{number}.py" for lang in ("ru", "en") for number in CHECKS]
    told = together(lambda path: judge(int(path.stem.removeprefix("ex")), path), paths)
    assert {path: hint for path, hint in told.items() if not hint or "Traceback" in hint} == {}


def test_wrong_answers_are_refused_with_the_hint_that_fits() -> None:
    """And every hint is given to some of them: else it is not needed, or one of them is missing."""
    groups = []  # answers to one exercise, judged one after another
    for number in {answer.number for answer in WRONG.values()}:
        titles = [title for title, answer in WRONG.items() if answer.number == number]
        groups += [tuple(titles[start : start + 5]) for start in range(0, len(titles), 5)]

    def refuse(titles: tuple[str, ...]) -> dict[str, str | None]:
        answers = [functools.partial(wrong.answer, title) for title in titles]
        hints = judge_all(WRONG[titles[0]].number, answers, wrong.__file__)
        return dict(zip(titles, hints, strict=True))

    told = {
        title: hint for hints in together(refuse, groups).values() for title, hint in hints.items()
    }
    assert {title: hint for title, hint in told.items() if WRONG[title].hint not in str(hint)} == {}
    assert [hint for hint in told.values() if str(hint).count("Traceback") > 1] == []
    never = [
        sentence
        for sentence in _hints()
        if not any(re.search(_pattern(sentence), str(hint)) for hint in told.values())
    ]
    assert [sentence for sentence in never if not sentence.startswith("Step ")] == []


def _hints() -> Iterator[str]:
    """Yield every sentence that the checks can say."""
    for module in (checks, fakes):
        with Path(str(module.__file__)).open("rb") as file:
            yield from (str(found[1]) for found in extract("python", file, {"_": None}))


def _pattern(sentence: str) -> str:
    return ".*".join(map(re.escape, re.split(r"\{[^}]*\}", sentence)))


# --- the chat itself ------------------------------------------------------------------------------


def edited(folder: Path) -> Path:
    """Make in *folder* a copy of the project in which the last exercise is solved; return it."""
    for name in ("chat", "notebooks/exercises", "tests/exercises"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("__init__.py", "wire.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests")
    shutil.copy(SOLUTIONS / EXERCISE_IN_THE_CHAT.name, folder / EXERCISE_IN_THE_CHAT)
    for file, line, inserted in EDITS:
        path = folder / file
        code = path.read_text("utf-8")
        assert code.count("\n" + line) == 1, (file, line)
        path.write_text(code.replace("\n" + line, "\n" + inserted + line), "utf-8")
    return folder


def test_the_edits_of_the_chat_are_right(tmp_path: Path) -> None:
    assert run(IN_THE_CHAT, "en", edited(tmp_path)) == (0, "Right!\n")


def test_wrong_edits_are_refused_with_the_hint_that_fits(tmp_path: Path) -> None:
    def refuse(title: str) -> tuple[int, str]:
        right, other, _hint = WRONG_EDITS[title]
        folder = edited(tmp_path / title)
        paths = {
            folder / file for file in [str(EXERCISE_IN_THE_CHAT), *(edit[0] for edit in EDITS)]
        }
        code = {path: path.read_text("utf-8") for path in paths}
        assert sum(text.count(right) for text in code.values()) == 1, title
        for path, text in code.items():
            path.write_text(text.replace(right, other), "utf-8")
        return run(IN_THE_CHAT, "en", folder)

    told = together(refuse, WRONG_EDITS)
    assert {
        title: said
        for title, (status, said) in told.items()
        if status != 1 or WRONG_EDITS[title][2] not in said
    } == {}


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
