"""A grade for people and machines: in the terminal, as Markdown, as Gradescope's results.json."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chat.app.i18n import gettext as _

from .engine import Grade, Result
from .stage import Event

_LONGEST = 70  # characters of a line in the table of the exchange


def number(points: float) -> str:
    """Return *points* without a decimal point that says nothing."""
    return f"{points:g}"


def write(grade: Grade, json_path: Path | None, md_path: Path | None) -> None:
    """Write the files that are asked for. Raises `OSError`."""
    if json_path is not None:
        json_path.write_text(results_json(grade), encoding="utf-8")
    if md_path is not None:
        md_path.write_text(markdown(grade), encoding="utf-8")


def show(grade: Grade, console: Console) -> None:
    """Print the rubric with the points, and a reason for every one that was lost."""
    table = Table(title=f"{escape(grade.name)} — {grade.rubric.title}")
    table.add_column("")
    table.add_column(_("Requirement"))
    table.add_column(_("Points"), justify="right", no_wrap=True)
    table.add_column(_("Time, s"), justify="right", no_wrap=True)
    for result in grade.results:
        table.add_row(
            _sign(result),
            escape(result.requirement.title),
            _points(result),
            f"{result.seconds:.1f}",
        )
    table.add_section()
    table.add_row(
        "",
        _("Total"),
        f"{number(grade.points)}/{number(grade.possible)}",
        f"{grade.seconds:.1f}",
        style="bold",
    )
    console.print(table)
    for results in _by_reason(grade):
        console.print()
        for result in results:
            console.print(f"[bold]{_sign(result)} {escape(result.requirement.title)}[/bold]")
        console.print(results[0].reason, markup=False, highlight=False, soft_wrap=True)
    for sentence in grade.notes:
        console.print(f"\n{escape(sentence)}", style="yellow")


def markdown(grade: Grade) -> str:
    """Return a page for the student."""
    lines = [
        f"# {_plain(grade.name)}",
        "",
        f"{_plain(grade.rubric.title)}. "
        + _("Points: **{points}** of {possible}.").format(
            points=number(grade.points), possible=number(grade.possible)
        ),
        "",
        "| | {requirement} | {points} | {time} |".format(
            requirement=_("Requirement"), points=_("Points"), time=_("Time, s")
        ),
        "|---|---|---:|---:|",
    ]
    for result in grade.results:
        title = _plain(result.requirement.title)
        lines.append(f"| {_sign(result)} | {title} | {_points(result)} | {result.seconds:.1f} |")
    if grade.fault:
        lines += ["", _fault(grade)]
    for results in _by_reason(grade):
        for result in results:
            lines += ["", f"## {_sign(result)} {_plain(result.requirement.title)}"]
        lines += ["", *("    " + line for line in results[0].reason.split("\n"))]  # as it stands
        if results[0].missed is not None:
            lines += _exchange(results[0].missed.exchange)
    for sentence in grade.notes:
        lines += ["", f"> {_plain(sentence)}"]
    return "\n".join(lines) + "\n"


def results_json(grade: Grade) -> str:
    """Return what Gradescope reads as /autograder/results/results.json.

    Gradescope's "Autograder Specifications", "Output format"
    (gradescope-autograders.readthedocs.io/en/latest/specs). What does not count is in ``output``
    and has no points; the total possible is then the sum of the ``max_score``.
    """
    document: dict[str, Any] = {
        "score": grade.points,
        "execution_time": round(grade.seconds),
        "output": "\n".join(
            [
                grade.name,
                *([_fault(grade)] if grade.fault else []),
                *grade.notes,
                *(
                    _("Does not count: {title}. {reason}").format(
                        title=result.requirement.title, reason=result.reason
                    )
                    for result in grade.results
                    if result.share is None
                ),
            ]
        ),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {
            "max_score": grade.possible,
            "crash": grade.crash,
            "fault": grade.fault,
            "notes": list(grade.notes),
            "seconds": {
                result.requirement.id: round(result.seconds, 2) for result in grade.results
            },
        },
        "tests": [
            {
                "name": result.requirement.title,
                "number": str(number),
                "score": result.points,
                "max_score": result.possible,
                "status": "passed" if result.is_full else "failed",
                "output": _short_reason(result, grade),
                "tags": [result.requirement.id],
                "visibility": "visible",
            }
            for number, result in enumerate(grade.results, 1)
            if result.share is not None
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _fault(grade: Grade) -> str:
    return _("The grader could not grade this; it is not the student's fault: {reason}").format(
        reason=grade.fault
    )


def _by_reason(grade: Grade) -> list[list[Result]]:
    """Return the results that have a reason, those together that have the same one.

    One crash is one reason, however many requirements it cost.
    """
    groups: dict[str, list[Result]] = {}
    for result in grade.results:
        if result.reason:
            crash = result.missed.crash if result.missed is not None else ""
            groups.setdefault(re.sub(r"\d+", "0", crash) or result.reason, []).append(result)
    return list(groups.values())


def _short_reason(result: Result, grade: Grade) -> str:
    """Return the reason of *result*, or where it stands already."""
    for first, *others in _by_reason(grade):
        if result in others and first.missed is not None and first.missed.crash:
            sentence = _("See “{title}”: {reason}")
            return sentence.format(title=first.requirement.title, reason=first.missed.crash)
    return result.reason


def _exchange(events: Sequence[Event]) -> list[str]:
    """Return a table of what happened in which window, from above to below in order of time."""
    windows = list(dict.fromkeys(event.window for event in events))
    if len(events) < 2:
        return []
    time, expected = _("Time, s"), _("expected:")
    lines = ["", f"| {time} | {' | '.join(map(_plain, windows))} |"]
    lines.append(f"|---:|{'---|' * len(windows)}")
    for event in events:
        text = _plain(event.text if len(event.text) <= _LONGEST else f"{event.text[:_LONGEST]}…")
        shown = {
            "typed": f"⌨ **{text or '↵'}**",
            "done": f"*{text}*",
            "expected": f"✗ *{expected}* {text}",
        }.get(event.kind, text)
        cells = [shown if window == event.window else "" for window in windows]
        lines.append(f"| {event.seconds:.1f} | {' | '.join(cells)} |")
    return lines


def _sign(result: Result) -> str:
    if result.share is None:
        return "–"
    if result.is_full:
        return "✓"
    return "✗" if result.share == 0 else "½"


def _points(result: Result) -> str:
    if result.share is None:
        return "—"
    return f"{number(result.points)}/{number(result.possible)}"


def _plain(text: str) -> str:
    """Return *text* as Markdown shows it letter by letter."""
    for character in "\\`*_[]<>|#":
        text = text.replace(character, f"\\{character}")
    return text
