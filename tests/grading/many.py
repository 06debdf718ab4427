"""Grades a folder of submissions: ``python -m tests.grading.many FOLDER`` (`make grade-all`).

Every folder in it that has a ``submission.toml`` is one. Each is graded by a process of its own,
several at a time, so that none can delay or disturb another. Written are a table (CSV and HTML),
and for each submission a page (Markdown and HTML) and Gradescope's results.json.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import pypandoc  # type: ignore[import-untyped]
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from chat.app import options as cli
from chat.app.i18n import gettext as _
from chat.app.i18n import language

from .engine import ALL_CHECKS
from .output import number
from .rubric import RUBRIC, DataError, read_rubric
from .submission import read_submission

DESCRIPTION = "submission.toml"
ROOT = Path(__file__).resolve().parents[2]

_GRACE = 60.0  # seconds that a grading may take beyond the rubric's limit
_ENDING = 20.0  # seconds that it has to put its things away
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.3em .7em;border-bottom:1px solid #ccc;"
    "text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "pre{overflow-x:auto;background:#f5f5f5;padding:1em}"
)


@dataclass(frozen=True)
class Row:
    """One submission in the table."""

    folder: str
    name: str
    results: dict[str, Any] = field(default_factory=dict)
    """What was written for Gradescope; empty when it could not be graded."""

    trouble: str = ""
    """Why it could not be graded."""

    @property
    def points(self) -> float:
        """The points reached."""
        return float(self.results.get("score", 0.0))

    @property
    def possible(self) -> float:
        """The points that could be reached."""
        return float(self.results.get("extra_data", {}).get("max_score", 0.0))

    def points_of(self, requirement: str) -> str:
        """Return the points for a requirement; nothing when it does not count."""
        for test in self.results.get("tests", []):
            if test["tags"] == [requirement]:
                return number(test["score"])
        return ""


def grade_apart(
    description: Path,
    json_path: Path,
    md_path: Path,
    *,
    seconds: float,
    rubric: Path = RUBRIC,
    only: Sequence[str] = (),
) -> str:
    """Grade the submission at *description* in a process of its own, which has *seconds*.

    Writes *json_path* and *md_path*. Returns why it was not graded, nothing if it was. Any thread.
    """
    command = [sys.executable, "-m", "tests.grading", "--submission", str(description.resolve())]
    command += ["--rubric", str(rubric.resolve()), "--lang", language()]
    command += ["--grade-json", str(json_path.resolve()), "--grade-md", str(md_path.resolve())]
    for requirement in only:
        command += ["--only", requirement]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            _out, complaint = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.communicate(timeout=_ENDING)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            return _("Not graded within {seconds:g} s.").format(seconds=seconds)
    if process.returncode in (0, cli.FAILURE_STATUS) and json_path.exists():
        return ""
    return complaint.strip().splitlines()[-1] if complaint.strip() else str(process.returncode)


def grade_all(
    folder: Path, output: Path, *, jobs: int, rubric: Path, told: Callable[[Row], None]
) -> list[Row]:
    """Grade every submission in *folder*, *jobs* at a time; return the table, best first.

    *told* gets every row when it is ready. Raises `DataError` when there are none, or the rubric
    cannot be used.
    """
    seconds = read_rubric(rubric, ALL_CHECKS).limits.seconds + _GRACE
    folders = _folders(folder, output)
    output.mkdir(parents=True, exist_ok=True)
    rows = []
    with ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(_grade_one, one, output, rubric, seconds) for one in folders]
        for task in as_completed(tasks):
            rows.append(task.result())
            told(rows[-1])
    return sorted(rows, key=lambda row: (-row.points, row.folder))


def _folders(folder: Path, output: Path) -> list[Path]:
    try:
        found = sorted(
            one
            for one in folder.iterdir()
            if one.is_dir() and not one.name.startswith(".") and one.resolve() != output.resolve()
        )
    except OSError as error:
        raise DataError(
            _("Cannot read {path}: {reason}.").format(path=folder, reason=error.strerror)
        ) from error
    if not found:
        raise DataError(_("There are no submissions in {path}.").format(path=folder))
    return found


def _grade_one(folder: Path, output: Path, rubric: Path, seconds: float) -> Row:
    description = folder / DESCRIPTION
    if not description.exists():
        return Row(
            folder.name,
            folder.name,
            trouble=_(
                "There is no {file}. It is written with: python -m tests.grading.describe {folder}"
            ).format(file=DESCRIPTION, folder=folder),
        )
    json_path, md_path = (output / f"{folder.name}.{kind}" for kind in ("json", "md"))
    json_path.unlink(missing_ok=True)
    try:
        name = read_submission(description).name
    except DataError as error:
        return Row(folder.name, folder.name, trouble=str(error))
    trouble = grade_apart(description, json_path, md_path, seconds=seconds, rubric=rubric)
    if trouble:
        return Row(folder.name, name, trouble=trouble)
    _write_page(md_path)
    return Row(folder.name, name, json.loads(json_path.read_text(encoding="utf-8")))


def _write_page(md_path: Path) -> None:
    body = pypandoc.convert_text(md_path.read_text(encoding="utf-8"), "html", format="gfm")
    md_path.with_suffix(".html").write_text(_page(md_path.stem, body), encoding="utf-8")


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="{language()}"><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>\n{body}\n</html>\n"
    )


def write_csv(rows: Sequence[Row], ids: Sequence[str], path: Path) -> None:
    """Write the table for a spreadsheet; the mark at its beginning tells Excel that it is UTF-8."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["folder", "name", "points", "possible", "trouble", *ids])
        for row in rows:
            total = [number(row.points), number(row.possible)]
            points = [row.points_of(requirement) for requirement in ids]
            writer.writerow([row.folder, row.name, *total, row.trouble, *points])


def write_html(rows: Sequence[Row], path: Path) -> None:
    """Write the table for a browser, with a link to the page of each submission."""
    head = "".join(f"<th>{escape(one)}</th>" for one in (_("Submission"), _("Points"), "%", ""))
    body = "\n".join(_html_rows(rows))
    path.write_text(
        _page(_("Grades"), f"<h1>{escape(_('Grades'))}</h1><table><tr>{head}</tr>{body}</table>"),
        encoding="utf-8",
    )


def _html_rows(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.trouble:
            yield (
                f"<tr><td>{escape(row.name)}</td><td class=n>—</td><td></td>"
                f"<td>{escape(row.trouble)}</td></tr>"
            )
            continue
        percent = 100 * row.points / row.possible if row.possible else 0
        yield (
            f'<tr><td><a href="{escape(row.folder)}.html">{escape(row.name)}</a></td>'
            f"<td class=n>{number(row.points)}/{number(row.possible)}</td>"
            f"<td class=n>{percent:.0f}</td><td></td></tr>"
        )


def main(arguments: list[str] | None = None) -> int:
    """Grade a folder; return 0 when every submission in it was graded."""
    cli.choose_language(arguments)
    options = _parser().parse_args(arguments)
    output = options.output or options.folder / "grades"
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        ids = [one.id for one in read_rubric(options.rubric, ALL_CHECKS).requirements]
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            task = progress.add_task("", total=len(_folders(options.folder, output)))

            def told(row: Row) -> None:
                shown = row.trouble or f"{number(row.points)}/{number(row.possible)}"
                console.print(f"{row.name}: {shown}", markup=False, highlight=False)
                progress.advance(task)

            rows = grade_all(
                options.folder, output, jobs=options.jobs, rubric=options.rubric, told=told
            )
        write_csv(rows, ids, output / "grades.csv")
        write_html(rows, output / "index.html")
    except (DataError, OSError) as error:
        return cli.fail(str(error))
    console.print(str(output / "index.html"), highlight=False)
    return cli.FAILURE_STATUS if any(row.trouble for row in rows) else 0


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="tests.grading.many", description=_("Grades every submission in a folder.")
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar=_("FOLDER"),
        help=_("has a folder for each submission, with its submission.toml"),
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar=_("FOLDER"),
        help=_("where the table and the pages go (default: “grades” in the folder)"),
    )
    parser.add_argument(
        "--rubric",
        type=Path,
        default=RUBRIC,
        metavar=_("FILE"),
        help=_("the requirements and their points (default: the course's)"),
    )
    parser.add_argument(
        "--jobs",
        type=cli.positive,
        default=max(1, os.cpu_count() or 1),
        metavar=_("N"),
        help=_("submissions graded at a time (default: %(default)s)"),
    )
    cli.add_language(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
