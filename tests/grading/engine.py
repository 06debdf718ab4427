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
from .python import choose
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
    missed: Missed | None = None
    """What went wrong at the terminals, with the exchange that led to it."""

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

    name: str
    """Of the submission."""

    rubric: Rubric
    results: tuple[Result, ...]
    seconds: float
    notes: tuple[str, ...] = field(default=())
    """What the system did not let us do, and what the submission lacks: sentences."""

    fault: str = ""
    """Why the grader could not grade it, which is not the student's fault."""

    @property
    def points(self) -> float:
        """The points reached."""
        return round(sum(result.points for result in self.results), 1)

    @property
    def possible(self) -> float:
        """The points that could be reached."""
        if self.fault:
            return float(sum(requirement.points for requirement in self.rubric.requirements))
        return sum(result.possible for result in self.results)

    @property
    def crash(self) -> str:
        """Which program has ended by itself, and its last words; nothing if none has."""
        found = (one.missed.crash for one in self.results if one.missed and one.missed.crash)
        return next(found, "")

    @property
    def is_full(self) -> bool:
        """Whether no point was lost."""
        return not self.fault and all(result.is_full for result in self.results)


def not_graded(name: str, rubric: Rubric | None, reason: str) -> Grade:
    """Return the grade of a submission that could not be graded for *reason*."""
    return Grade(name, rubric or Rubric({"": ""}, ()), (), 0.0, fault=reason)


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

    def __init__(
        self,
        submission: Submission,
        rubric: Rubric,
        *,
        external_port: int | None = None,
        install: bool = False,
        own_network: bool = True,
    ) -> None:
        """Grade *submission* by *rubric*. Raises `DataError` when they do not go together.

        With *external_port* the student has started the server, and it listens there. With
        *install* the packages that the submission asks for are installed. Without *own_network*
        its programs are on the machine's.
        """
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
        self._dead: Missed | None = None
        self._external_port = external_port
        self._plays = 0
        self._python = choose(submission.folder, install=install)
        self._sandbox = Sandbox(
            submission.folder,
            limits=rubric.limits,
            copy=submission.copy,
            env=submission.env,
            encoding=submission.encoding,
            own_network=own_network and external_port is None,
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
            share, reason, missed = self._judge(requirement)
            result = Result(requirement, share, reason, time.monotonic() - started, missed)
        if requirement.check == _FIRST and result.share == 0 and self._dead is None:
            sentence = _("Not checked, because this is not fulfilled: {title}.")
            self._dead = Missed(
                sentence.format(title=requirement.title),
                crash=result.missed.crash if result.missed else "",
            )
        self._results.append(result)
        return result

    def grade(self) -> Grade:
        """Return what has been reached so far."""
        is_full = all(result.is_full for result in self._results)
        lacking = () if is_full else self._python.lacking
        return Grade(
            self._submission.name,
            self._rubric,
            tuple(self._results),
            sum(result.seconds for result in self._results),
            (*self._python.notes, *lacking, *self._sandbox.without),
        )

    def _judge(self, requirement: Requirement) -> tuple[float | None, str, Missed | None]:
        try:
            outcome = self._play(requirement)
        except Missed as missed:
            return 0.0, str(missed), missed
        except LimitError as error:
            return 0.0, str(error), None
        except pexpect.ExceptionPexpect as error:
            return 0.0, str(error).splitlines()[0], None
        except CannotTell as unknown:
            return None, str(unknown), None
        return (1.0, "", None) if outcome is None else (outcome.share, outcome.reason, None)

    def _play(self, requirement: Requirement) -> Outcome | None:
        if requirement.check in PAPERS:
            return PAPERS[requirement.check](self._submission, **requirement.settings)
        if self._dead:
            raise self._dead
        names = self._submission.names
        if self._external_port is not None:  # it may remember who was there before
            names = tuple(f"{name}{10 + self._plays}" for name in names)
        self._plays += 1
        with Stage(
            self._sandbox,
            self._submission,
            self._rubric,
            python=self._python.path,
            external_port=self._external_port,
            names=names,
        ) as stage:
            return CHECKS[requirement.check](stage, **requirement.settings)


def grade(
    submission: Submission,
    rubric: Rubric,
    *,
    only: Collection[str] = (),
    progress: Progress | None = None,
    external_port: int | None = None,
    install: bool = False,
    own_network: bool = True,
) -> Grade:
    """Check the requirements of *rubric* for *submission*, or *only* some of them by their ids.

    Belongs to the thread that calls it. Raises `DataError` for an id that there is not, and
    `sandbox.SubmissionFilesError` when its files cannot be copied. See `Grading` for the rest.
    """
    requirements = wanted(rubric, only)
    with Grading(
        submission,
        rubric,
        external_port=external_port,
        install=install,
        own_network=own_network,
    ) as grading:
        for number, requirement in enumerate(requirements):
            if progress is not None:
                progress(number, len(requirements), requirement)
            grading.check(requirement)
        return grading.grade()
