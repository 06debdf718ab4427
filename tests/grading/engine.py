"""All requirements of a rubric for one submission: points, and reasons for every one lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Self

import pexpect

from chat.app.i18n import gettext as _

from .checks import CHECKS, Outcome
from .papers import PAPERS
from .rubric import DataError, Requirement, Rubric
from .sandbox import LimitError, Sandbox
from .stage import CannotTell, Missed, Stage
from .submission import Submission

ALL_CHECKS: dict[str, Callable[..., Outcome | None]] = {**CHECKS, **PAPERS}

_FIRST = "starts"  # without it nothing else can be played


@dataclass(frozen=True)
class Result:
    """One requirement, checked."""

    requirement: Requirement
    share: float | None
    """Of the points, from 0 to 1; None when it does not count."""

    reason: str = ""
    """Why points were lost, or why it does not count."""

    seconds: float = 0.0

    @property
    def points(self) -> float:
        """The points reached, to the tenth."""
        return round(self.requirement.points * (self.share or 0.0), 1)

    @property
    def possible(self) -> float:
        """The points that could be reached; 0 when it does not count."""
        return 0.0 if self.share is None else float(self.requirement.points)

    @property
    def is_full(self) -> bool:
        """Whether no point was lost."""
        return self.share is None or self.share >= 1


@dataclass(frozen=True)
class Grade:
    """What one submission has reached."""

    submission: Submission
    rubric: Rubric
    results: tuple[Result, ...]
    seconds: float
    without: tuple[str, ...] = field(default=())
    """What the system did not let us do: sentences for the teacher."""

    @property
    def points(self) -> float:
        """The points reached."""
        return round(sum(result.points for result in self.results), 1)

    @property
    def possible(self) -> float:
        """The points that could be reached."""
        return sum(result.possible for result in self.results)

    @property
    def is_full(self) -> bool:
        """Whether no point was lost."""
        return all(result.is_full for result in self.results)


Progress = Callable[[int, int, Requirement], None]
"""Is told before each requirement: how many are done, how many there are, which one is next."""


def wanted(rubric: Rubric, only: Collection[str]) -> list[Requirement]:
    """Return the requirements of *rubric*, or those whose id is in *only*. Raises `DataError`."""
    ids = [requirement.id for requirement in rubric.requirements]
    for name in only:
        if name not in ids:
            raise DataError(
                _("There is no requirement {name}; there are: {names}").format(
                    name=name, names=", ".join(ids)
                )
            )
    return [one for one in rubric.requirements if not only or one.id in only]


class Grading:
    """The grading of one submission, a requirement after another. A context manager.

    It belongs to the thread that made it.
    """

    def __init__(self, submission: Submission, rubric: Rubric) -> None:
        """Grade *submission* by *rubric*. Raises `DataError` when they do not go together."""
        for name in submission.skip:
            if name not in {requirement.id for requirement in rubric.requirements}:
                raise DataError(
                    _("{path}: [skip] names {name}, which the rubric does not have").format(
                        path=submission.path, name=name
                    )
                )
        self._submission = submission
        self._rubric = rubric
        self._results: list[Result] = []
        self._dead = ""
        self._sandbox = Sandbox(
            submission.folder, limits=rubric.limits, copy=submission.copy, env=submission.env
        )

    def __enter__(self) -> Self:
        """Make a place for the programs."""
        self._sandbox.__enter__()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all programs, remove their files."""
        self._sandbox.__exit__()

    def check(self, requirement: Requirement) -> Result:
        """Check *requirement* and remember the result.

        Raises `sandbox.SubmissionFilesError` when the submission's files cannot be copied.
        """
        if requirement.id in self._submission.skip:
            result = Result(requirement, None, self._submission.skip[requirement.id])
        else:
            started = time.monotonic()
            share, reason = self._judge(requirement)
            result = Result(requirement, share, reason, time.monotonic() - started)
        if requirement.check == _FIRST and result.share == 0:
            self._dead = _("Not checked, because this is not fulfilled: {title}.").format(
                title=requirement.title
            )
        self._results.append(result)
        return result

    def grade(self) -> Grade:
        """Return what has been reached so far."""
        return Grade(
            self._submission,
            self._rubric,
            tuple(self._results),
            sum(result.seconds for result in self._results),
            tuple(self._sandbox.without),
        )

    def _judge(self, requirement: Requirement) -> tuple[float | None, str]:
        try:
            outcome = self._play(requirement)
        except (Missed, LimitError) as missed:
            return 0.0, str(missed)
        except pexpect.ExceptionPexpect as error:
            return 0.0, str(error).splitlines()[0]
        except CannotTell as unknown:
            return None, str(unknown)
        return (1.0, "") if outcome is None else (outcome.share, outcome.reason)

    def _play(self, requirement: Requirement) -> Outcome | None:
        if requirement.check in PAPERS:
            return PAPERS[requirement.check](self._submission, **requirement.settings)
        if self._dead:
            raise Missed(self._dead)
        with Stage(self._sandbox, self._submission, self._rubric) as stage:
            return CHECKS[requirement.check](stage, **requirement.settings)


def grade(
    submission: Submission,
    rubric: Rubric,
    *,
    only: Collection[str] = (),
    progress: Progress | None = None,
) -> Grade:
    """Check the requirements of *rubric* for *submission*, or *only* some of them by their ids.

    Belongs to the thread that calls it. Raises `DataError` for an id that there is not, and
    `sandbox.SubmissionFilesError` when its files cannot be copied.
    """
    requirements = wanted(rubric, only)
    with Grading(submission, rubric) as grading:
        for number, requirement in enumerate(requirements):
            if progress is not None:
                progress(number, len(requirements), requirement)
            grading.check(requirement)
        return grading.grade()
