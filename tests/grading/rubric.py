"""The rubric: what is required, and what it is worth. Data, read from a TOML file.

``rubric.toml`` beside this file is the course's own; its head says how to write another.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from chat.app.i18n import gettext as _
from chat.app.i18n import language

from .sandbox import SandboxLimits

LAST_STAGE = 3
"""At which everything is required."""

RUBRIC = Path(__file__).with_name("rubric.toml")


class DataError(Exception):
    """A TOML file of a teacher's that cannot be used; the text is a sentence for them."""


@dataclass(frozen=True)
class Requirement:
    """One line of the rubric."""

    id: str
    points: float
    check: str
    """The name of what checks it: a function of `checks` or `papers`."""

    titles: Mapping[str, str]
    """By language."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the check is told besides."""

    stage: int = LAST_STAGE
    """From which stage of the work on it is required."""

    by_stage: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """What the check is told instead, when the work is graded at an earlier stage."""

    @property
    def title(self) -> str:
        """What is required, in the current language or in the one there is."""
        return self.titles.get(language()) or next(iter(self.titles.values()))


@dataclass(frozen=True)
class Rubric:
    """All requirements, and what submissions may take while they are checked."""

    titles: Mapping[str, str]
    requirements: tuple[Requirement, ...]
    limits: SandboxLimits = field(default_factory=SandboxLimits)

    patience: float = 3.0
    """Seconds for which all programs of a submission must have stood still, doing nothing,
    before what has not appeared on a screen is taken not to come."""

    longest_wait: float = 30.0
    """Seconds after which it is taken not to come even if the programs are busy."""

    @property
    def title(self) -> str:
        """What is graded, in the current language or in the one there is."""
        return self.titles.get(language()) or next(iter(self.titles.values()))

    def at_stage(self, stage: int) -> Rubric:
        """Return what is required when the work has come to *stage*. Raises `DataError`."""
        if not 1 <= stage <= LAST_STAGE:
            raise DataError(_("There are the stages 1 to {last}.").format(last=LAST_STAGE))
        requirements = tuple(
            replace(one, settings={**one.settings, **one.by_stage.get(stage, {})})
            for one in self.requirements
            if one.stage <= stage
        )
        if not requirements:
            raise DataError(_("Nothing is required at stage {n}.").format(n=stage))
        return replace(self, requirements=requirements)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the document at *path*. Raises `DataError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            _("Cannot read {path}: {reason}.").format(path=path, reason=error.strerror)
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(
            _("{path} is no TOML file: {reason}.").format(path=path, reason=error)
        ) from error


def read_rubric(path: Path, checks: Mapping[str, Callable[..., Any]]) -> Rubric:
    """Return the rubric at *path*, whose requirements are checked by some of *checks*.

    Raises `DataError` when it names a check or a setting that there is not.
    """
    document = read_toml(path)
    know(document, {"title", "limits", "waiting", "requirement"}, path)
    rows = document.get("requirement", [])
    if not rows:
        raise DataError(_("{path}: there is no [[requirement]].").format(path=path))
    requirements = tuple(_requirement(row, path, checks) for row in rows)
    ids = [requirement.id for requirement in requirements]
    for name in ids:
        if ids.count(name) > 1:
            raise DataError(
                _("{path}: two requirements are called {name}.").format(path=path, name=name)
            )
    limits = document.get("limits", {})
    know(limits, {one.name for one in fields(SandboxLimits)}, path)
    waiting = document.get("waiting", {})
    know(waiting, {"patience", "longest_wait"}, path)
    for name, number in (limits | waiting).items():
        _positive(number, name, path)
    return Rubric(
        titles=_titles(document.get("title"), path, "title"),
        requirements=requirements,
        limits=SandboxLimits(**limits),
        **waiting,
    )


def _requirement(
    row: dict[str, Any], path: Path, checks: Mapping[str, Callable[..., Any]]
) -> Requirement:
    missing = {"id", "points"} - set(row)
    if missing:
        raise DataError(
            _("{path}: a requirement lacks {name}: {row}").format(
                path=path, name=", ".join(sorted(missing)), row=row
            )
        )
    name = row["id"]
    by_stage = {n: row.pop(f"stage_{n}") for n in range(1, LAST_STAGE) if f"stage_{n}" in row}
    stage = row.get("stage", LAST_STAGE)
    if isinstance(stage, bool) or not isinstance(stage, int) or not 1 <= stage <= LAST_STAGE:
        raise DataError(
            _("{path}: {name}: stage must be a number from 1 to {last}").format(
                path=path, name=row["id"], last=LAST_STAGE
            )
        )
    own = ("id", "points", "check", "title", "stage")
    settings = {key: value for key, value in row.items() if key not in own}
    check = row.get("check", name)
    if check not in checks:
        raise DataError(
            _("{path}: {name}: there is no check {check}; there are: {names}").format(
                path=path, name=name, check=check, names=", ".join(sorted(checks))
            )
        )
    known = [
        parameter.name
        for parameter in inspect.signature(checks[check]).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    for told in (settings, *by_stage.values()):
        know(told, set(known), path, f"{name}: ")
    if isinstance(row["points"], bool) or not isinstance(row["points"], int | float):
        raise DataError(_("{path}: {name}: points is no number").format(path=path, name=name))
    if row["points"] < 0:
        raise DataError(_("{path}: {name}: points below 0").format(path=path, name=name))
    return Requirement(
        id=name,
        points=row["points"],
        check=check,
        titles=_titles(row.get("title"), path, name),
        settings=settings,
        stage=stage,
        by_stage=by_stage,
    )


def _titles(value: object, path: Path, name: str) -> dict[str, str]:
    if isinstance(value, str):
        return {"": value}
    if isinstance(value, dict) and value and all(isinstance(one, str) for one in value.values()):
        return dict(value)
    raise DataError(
        _('{path}: {name} needs a title: title = "…", or title.ru and title.en').format(
            path=path, name=name
        )
    )


def _positive(number: object, name: str, path: Path) -> None:
    if isinstance(number, bool) or not isinstance(number, int | float) or number <= 0:
        raise DataError(_("{path}: {name} must be a number above 0").format(path=path, name=name))


def know(table: Mapping[str, Any], known: set[str], path: Path, where: str = "") -> None:
    """Raise `DataError` when *table* has a key that is not *known*: most likely it is misspelt.

    *where* begins the sentence: which table of the file at *path* it is.
    """
    for key in table:
        if key not in known:
            raise DataError(
                _("{path}: {where}there is no setting {name}; there are: {names}").format(
                    path=path,
                    where=where,
                    name=key,
                    names=", ".join(sorted(known)) or "—",
                )
            )
