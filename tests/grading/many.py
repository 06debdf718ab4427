"""Grades a folder of submissions: ``python -m tests.grading.many FOLDER`` (`make grade-all`).

Every folder in it is one, and every archive. Each is graded by a process of its own,
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
from urllib.parse import quote

import pypandoc  # type: ignore[import-untyped]
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from chat.app import options as cli
from chat.app.i18n import gettext as _
from chat.app.i18n import language
from chat.lab.terminal import with_default_signals

from . import output
from .__main__ import add_grading_options
from .archives import ArchiveError, handed_in, student
from .engine import ALL_CHECKS, not_graded
from .output import number
from .rubric import RUBRIC, DataError, Rubric, read_rubric

DESCRIPTION = "submission.toml"
ROOT = Path(__file__).resolve().parents[2]

JOBS = 2 * (os.cpu_count() or 1)
"""Submissions at a time: their programs wait for one another more than they compute."""

_GRACE = 60.0  # seconds that a grading may take beyond the rubric's limit
_ENDING = 20.0  # seconds that it has to put its things away
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.3em .7em;border-bottom:1px solid #ccc;"
    "text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "pre{overflow-x:auto;background:#f5f5f5;padding:1em}"
    "td{vertical-align:top;overflow-wrap:anywhere}"
)


@dataclass(frozen=True)
class Row:
    """One submission in the table."""

    folder: str
    name: str
    results: dict[str, Any] = field(default_factory=dict)
    """What was written for Gradescope."""

    @property
    def trouble(self) -> str:
        """Why it could not be graded, nothing if it was."""
        return str(self.results.get("extra_data", {}).get("fault", ""))

    @property
    def mark(self) -> str:
        """What a teacher should know of it: a crash, a package that is missing."""
        extra = self.results.get("extra_data", {})
        return "; ".join(filter(None, [extra.get("crash", ""), *extra.get("notes", [])]))

    @property
    def title(self) -> str:
        """Whose it is, and what they call it."""
        return self.folder if self.name == self.folder else f"{self.folder}: {self.name}"

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
    options: Sequence[str] = (),
) -> str:
    """Grade the submission at *description* in a process of its own, which has *seconds*.

    Writes *json_path* and *md_path*, in every case. *options* are more of that program. Returns
    why it was not graded, nothing if it was. Any thread.
    """
    command = [sys.executable, "-m", "tests.grading", "--submission", str(description.resolve())]
    command += ["--rubric", str(rubric.resolve()), "--lang", language()]
    command += ["--grade-json", str(json_path.resolve()), "--grade-md", str(md_path.resolve())]
    for requirement in only:
        command += ["--only", requirement]
    json_path.unlink(missing_ok=True)
    complaint = _run([*command, *options], seconds)
    if not json_path.exists():  # it was ended, or it could not even begin
        fault = not_graded(description.resolve().parent.name, _readable(rubric), complaint)
        output.write(fault, json_path, md_path)
    document = json.loads(json_path.read_text(encoding="utf-8"))
    return str(document["extra_data"]["fault"])


def _readable(rubric: Path) -> Rubric | None:
    with contextlib.suppress(DataError):
        return read_rubric(rubric, ALL_CHECKS)
    return None


def _run(command: Sequence[str], seconds: float) -> str:
    """Run *command*, which has *seconds*; return its complaint."""
    process = subprocess.Popen(
        with_default_signals(command),
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
    lines = complaint.strip().splitlines()
    return lines[-1] if lines else _("It ended with status {n}.").format(n=process.returncode)


def grade_all(
    place: Path,
    output_folder: Path,
    *,
    jobs: int,
    rubric: Path,
    told: Callable[[Row, int], None],
    options: Sequence[str] = (),
) -> list[Row]:
    """Grade every submission in *place*, *jobs* at a time; return the table, best first.

    Archives in it are unpacked first. *told* gets every row when it is ready, and how many there
    will be; *options* are more of the program that grades one. Raises `DataError` when there are
    no submissions, or the rubric cannot be used, and `ArchiveError` when there is no such place.
    """
    seconds = read_rubric(rubric, ALL_CHECKS).limits.seconds + _GRACE
    folders, troubles = handed_in(place, output_folder)
    place = place.with_suffix("") if place.is_file() else place
    if not folders and not troubles:
        raise DataError(_("There are no submissions in {path}.").format(path=place))
    output_folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    submissions = troubles | _by_name(folders, place)

    def graded(name: str) -> Row:
        paths = [output_folder / f"{name}.{kind}" for kind in ("json", "md")]
        folder = submissions[name]
        trouble = folder if isinstance(folder, str) else ""
        if isinstance(folder, Path) and (folder / DESCRIPTION).exists():
            description = folder / DESCRIPTION
            grade_apart(description, *paths, seconds=seconds, rubric=rubric, options=options)
        elif not trouble:
            trouble = _(
                "There is no {file}. It is written with: "
                ".venv/bin/python -m tests.grading.describe {folder}"
            ).format(file=DESCRIPTION, folder=folder)
        if trouble:
            output.write(not_graded(name, _readable(rubric), trouble), *paths)
        return _row(name, *paths)

    with ThreadPoolExecutor(jobs) as pool:
        for task in as_completed([pool.submit(graded, name) for name in submissions]):
            rows.append(task.result())
            told(rows[-1], len(submissions))
    return sorted(rows, key=lambda row: (-row.points, row.folder))


def _by_name(folders: Sequence[Path], place: Path) -> dict[str, Path]:
    """Return *folders* by what their rows are called: the student, if that is enough."""
    students = [student(folder, place) for folder in folders]
    return {
        name if students.count(name) == 1 else folder.relative_to(place).parts[0]: folder
        for folder, name in zip(folders, students, strict=True)
    }


def _row(name: str, json_path: Path, md_path: Path) -> Row:
    body = pypandoc.convert_text(md_path.read_text(encoding="utf-8"), "html", format="gfm")
    md_path.with_suffix(".html").write_text(_page(name, body), encoding="utf-8")
    document = json.loads(json_path.read_text(encoding="utf-8"))
    return Row(name, document["output"].splitlines()[0], document)


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="{language()}"><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>\n{body}\n</html>\n"
    )


def write_csv(rows: Sequence[Row], ids: Sequence[str], path: Path) -> None:
    """Write the table for a spreadsheet; the mark at its beginning tells Excel that it is UTF-8."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["folder", "name", "points", "possible", "trouble", "mark", *ids])
        for row in rows:
            total = [number(row.points), number(row.possible)]
            points = [row.points_of(requirement) for requirement in ids]
            writer.writerow([row.folder, row.name, *total, row.trouble, row.mark, *points])


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
        percent = 100 * row.points / row.possible if row.possible else 0
        mark = f"⚠ {row.trouble or row.mark}" if row.trouble or row.mark else ""
        yield (
            f'<tr><td><a href="{quote(row.folder)}.html">{escape(row.title)}</a></td>'
            f"<td class=n>{number(row.points)}/{number(row.possible)}</td>"
            f"<td class=n>{percent:.0f}</td><td>{escape(mark)}</td></tr>"
        )


def main(arguments: list[str] | None = None) -> int:
    """Grade a folder; return 0 when every submission in it was graded."""
    cli.choose_language(arguments)
    options = _parser().parse_args(arguments)
    place = options.folder
    output_folder = (
        options.output or (place.with_suffix("") if place.is_file() else place) / "grades"
    )
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        required = read_rubric(options.rubric, ALL_CHECKS).at_stage(options.stage)
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            task = progress.add_task("", total=None)

            def told(row: Row, of: int) -> None:
                shown = row.trouble or f"{number(row.points)}/{number(row.possible)}"
                console.print(f"{row.folder}: {shown}", markup=False, highlight=False)
                progress.update(task, advance=1, total=of)

            rows = grade_all(
                place,
                output_folder,
                jobs=options.jobs,
                rubric=options.rubric,
                told=told,
                options=["--stage", str(options.stage), *(["--install"] * options.install)],
            )
        write_csv(rows, [one.id for one in required.requirements], output_folder / "grades.csv")
        write_html(rows, output_folder / "index.html")
    except (ArchiveError, DataError, OSError) as error:
        return cli.fail(str(error))
    console.print(str(output_folder / "index.html"), highlight=False)
    return cli.FAILURE_STATUS if any(row.trouble for row in rows) else 0


def add_jobs(parser: cli.ArgumentParser) -> None:
    """Add the option that says how many submissions are worked on at a time."""
    parser.add_argument(
        "--jobs",
        type=cli.positive,
        default=JOBS,
        metavar=_("N"),
        help=_("submissions at a time (default: %(default)s)"),
    )


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="tests.grading.many", description=_("Grades every submission in a folder.")
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar=_("FOLDER"),
        help=_("has a folder or an archive for each submission, with its submission.toml"),
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
    add_jobs(parser)
    add_grading_options(parser)
    cli.add_language(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
