"""Grading with pytest: ``pytest tests/grading`` grades this chat, or another one.

With ``--submission`` nothing but the grading runs; without it, the grader is tested too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from chat.app.i18n import LANGUAGES, language, set_language

from . import output
from .__main__ import OURS
from .engine import ALL_CHECKS, Grade, Grading
from .rubric import LAST_STAGE, RUBRIC, DataError, Rubric, read_rubric
from .submission import Submission, read_submission

_GRADE = pytest.StashKey[Grade]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; pytest knows them when it is called with this folder."""
    group = parser.getgroup("grading")
    group.addoption("--submission", type=Path, help="grade the chat that this TOML file describes")
    group.addoption("--rubric", type=Path, help="by the requirements in this TOML file")
    group.addoption("--stage", type=int, default=LAST_STAGE, help="of the work: 1, 2 or 3")
    group.addoption("--grade-json", type=Path, help="write Gradescope's results.json here")
    group.addoption("--grade-md", type=Path, help="write a page for the student here")
    group.addoption("--lang", choices=LANGUAGES, help="the language of the grade")
    group.addoption(
        "--thorough",
        action="store_true",
        help="check every requirement for each of the chats that are wrong on purpose",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set the language of the reasons."""
    if config.getoption("--lang", default=None):
        set_language(config.getoption("--lang"))


def _chosen(config: pytest.Config) -> tuple[Submission, Rubric]:
    try:
        return (
            read_submission(config.getoption("--submission", default=None) or OURS),
            read_rubric(config.getoption("--rubric", default=None) or RUBRIC, ALL_CHECKS).at_stage(
                config.getoption("--stage", default=LAST_STAGE)
            ),
        )
    except DataError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each requirement."""
    if "requirement" in metafunc.fixturenames:
        requirements = _chosen(metafunc.config)[1].requirements
        metafunc.parametrize("requirement", requirements, ids=lambda one: str(one.id))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave nothing but the grading when a submission is given."""
    if config.getoption("--submission", default=None):
        items[:] = [item for item in items if "requirement" in getattr(item, "fixturenames", ())]


@pytest.fixture
def english() -> Iterator[None]:
    """Let complaints be English, and then again what they were."""
    before = language()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LANGUAGE", before)
        set_language("en")
        yield
        set_language(before)


@pytest.fixture(scope="module")
def grading(request: pytest.FixtureRequest) -> Iterator[Grading]:
    """The grading of the submission, which the requirements' tests go on with."""
    submission, rubric = _chosen(request.config)
    with Grading(submission, rubric) as grading:
        yield grading
        request.config.stash[_GRADE] = grading.grade()


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Print the rubric, and write the files that were asked for."""
    grade = config.stash.get(_GRADE, None)
    if grade is None:
        return
    console = Console()
    console.print()
    output.show(grade, console)
    files = (config.getoption(name, default=None) for name in ("--grade-json", "--grade-md"))
    output.write(grade, *files)
