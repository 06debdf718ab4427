"""A grade for people and machines: in the terminal, as Markdown, as Gradescope's results.json."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chat.app.i18n import gettext as _

from .engine import Grade, Result


def number(points: float) -> str:
    """Return *points* without a decimal point that says nothing."""
    return f"{points:g}"


def show(grade: Grade, console: Console) -> None:
    """Print the rubric with the points, and a reason for every one that was lost."""
    table = Table(title=f"{escape(grade.submission.name)} — {grade.rubric.title}")
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
    said = ""
    for result in grade.results:
        if result.reason and result.reason != said:  # a server that does not start is told once
            said = result.reason
            console.print(f"\n[bold]{_sign(result)} {escape(result.requirement.title)}[/bold]")
            console.print(result.reason, markup=False, highlight=False, soft_wrap=True)
    for sentence in grade.without:
        console.print(f"\n{escape(sentence)}", style="yellow")


def markdown(grade: Grade) -> str:
    """Return a page for the student."""
    lines = [
        f"# {_plain(grade.submission.name)}",
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
    for result in grade.results:
        if result.reason:
            lines += ["", f"## {_sign(result)} {_plain(result.requirement.title)}", ""]
            lines += ["    " + line for line in result.reason.split("\n")]  # as it stands
    for sentence in grade.without:
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
                grade.submission.name,
                *grade.without,
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
                "output": result.reason,
                "tags": [result.requirement.id],
                "visibility": "visible",
            }
            for number, result in enumerate(grade.results, 1)
            if result.share is not None
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


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
