"""What is looked up in the files of a submission: the report, the pictures, the code.

Nothing of the submission runs here. Every check returns None when the requirement is fulfilled,
an `Outcome` for a part of the points, and raises `Missed` or `CannotTell`.
"""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from html import unescape
from pathlib import Path

import pypandoc  # type: ignore[import-untyped]

from chat.app.i18n import gettext as _
from chat.app.i18n import ngettext

from .checks import Outcome
from .python import own_files, source, tree
from .stage import CannotTell, Missed
from .submission import Submission

_FORMATS = {
    ".md": "markdown",
    ".docx": "docx",
    ".odt": "odt",
    ".html": "html",
    ".htm": "html",
    ".ipynb": "ipynb",
    ".rtf": "rtf",
}
_SHOWN = 5  # problems of the code that a reason lists
_SECONDS = 120  # for a converter


# The report


@dataclass
class Section:
    """A heading and what stands under it, up to the next one of its level."""

    heading: str
    level: int
    text: str = ""
    pictures: int = 0


def report_parts(submission: Submission, *, parts: Sequence[str]) -> Outcome | None:
    """The report has its parts, each under a heading."""
    report = _report(submission)
    missing = [part for part in parts if _section(report, part) is None]
    return _share(
        len(parts) - len(missing),
        len(parts),
        _("No heading in the report: {parts}.").format(
            parts=", ".join(f"«{part}»" for part in missing)
        ),
    )


def screenshots(
    submission: Submission, *, part: str, situations: Sequence[dict[str, str]]
) -> Outcome | None:
    """The report shows the situations: a picture for each, and words that name it."""
    section = _section(_report(submission), part)
    if section is None:
        raise Missed(_("No heading in the report: {parts}.").format(parts=f"«{part}»"))
    unnamed = [
        one["name"]
        for one in situations
        if re.search(one["re"], section.text, re.IGNORECASE) is None
    ]
    named = len(situations) - len(unnamed)
    reasons = []
    if section.pictures < len(situations):
        sentence = ngettext(
            "There is {n} picture in the part “{part}”, for {most} situations.",
            "There are {n} pictures in the part “{part}”, for {most} situations.",
            section.pictures,
        )
        reasons.append(sentence.format(n=section.pictures, part=part, most=len(situations)))
    if unnamed:
        reasons.append(
            _("The part does not say where this is seen: {names}.").format(names=", ".join(unnamed))
        )
    return _share(min(section.pictures, named), len(situations), " ".join(reasons))


def _report(submission: Submission) -> list[Section]:
    if not submission.report_files:
        raise Missed(_("{file} names no report under [report].").format(file=submission.path.name))
    for pattern in submission.report_files:
        if files := sorted(submission.folder.glob(pattern)):  # one, or a file for each part
            return [section for path in files for section in _sections_of(path)]
    raise Missed(_("There is no report: {files}.").format(files=", ".join(submission.report_files)))


def _sections_of(path: Path) -> list[Section]:
    """Return the sections in one file of a report. Raises `Missed`, `CannotTell`."""
    if path.suffix.lower() == ".pdf":
        return _pdf(path)
    if path.suffix.lower() not in _FORMATS:
        raise CannotTell(
            _("{file}: a report is read as {kinds}.").format(
                file=path.name, kinds=", ".join([*_FORMATS, ".pdf"])
            )
        )
    try:
        text = pypandoc.convert_file(
            str(path),
            "html",
            format=_FORMATS[path.suffix.lower()],
            sandbox=True,
        )
    except (RuntimeError, OSError) as error:
        raise Missed(
            _("The report {file} cannot be read: {reason}").format(
                file=path.name, reason=str(error).strip().splitlines()[-1]
            )
        ) from error
    return _sections(text)


def _sections(html: str) -> list[Section]:
    """Return the sections of a page as pandoc writes it, where no tag stands in a text."""
    _before, *parts = re.split(r"<h([1-6])\b[^>]*>(.*?)</h\1>", html, flags=re.DOTALL)
    sections: list[Section] = []
    around: list[Section] = []  # those in which the next one stands
    for level, heading, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        around = [one for one in around if one.level < int(level)]
        around.append(Section(_text(heading), int(level)))
        sections.append(around[-1])
        for section in around:
            section.text += f" {_text(heading)} {_text(body)}"
            section.pictures += len(re.findall(r"<(?:img|svg)\b", body, re.IGNORECASE))
    return sections


def _text(html: str) -> str:
    html = re.sub(r"<img\b[^>]*\balt=\"([^\"]*)\"[^>]*>", r" \1 ", html)
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def _pdf(path: Path) -> list[Section]:
    """Return a PDF's lines as sections; every line could be a heading. By poppler."""
    if shutil.which("pdftotext") is None or shutil.which("pdfimages") is None:
        raise CannotTell(_("A report in PDF is read with pdftotext (poppler-utils)."))
    text = _output(["pdftotext", str(path), "-"])
    listed = _output(["pdfimages", "-list", str(path)]).splitlines()[2:]
    pictures = [int(row.split()[0]) for row in listed]  # the page of each
    sections: list[Section] = []
    for number, page in enumerate(text.split("\f"), 1):
        for line in page.splitlines():
            if line.strip():
                sections.append(Section(line.strip(), 1))
        for section in sections:  # a heading's part goes on to the end of the document
            section.text += " " + page
            section.pictures += pictures.count(number)
    return sections


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Missed(
            _("The report {file} cannot be read: {reason}").format(file=command[-2], reason=error)
        ) from error


def _section(report: list[Section], name: str) -> Section | None:
    """Return the last section whose heading is *name*, with a number before it or without."""
    wanted = name.casefold()
    for section in reversed(report):
        heading = re.sub(r"^[\W\d]+", "", " ".join(section.heading.split()))
        heading = re.sub(r"^(глава|часть|раздел)\s+\d+\W*", "", heading.casefold())
        if heading.rstrip(" .:").startswith(wanted):
            return section
    return None


# The code


def style(
    submission: Submission,
    *,
    select: Sequence[str],
    line_length: int = 100,
    allowed: float = 2.0,
    worst: float = 20.0,
) -> Outcome | None:
    """The code is written as Python is: problems that ruff finds, a hundred lines.

    Up to *allowed* of them leave all points, *worst* takes all.
    """
    files = _code(submission)
    lines = sum(_lines_of_code(path) for path in files)
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--exit-zero"]
    command += ["--select", ",".join(select), "--line-length", str(line_length)]
    command += ["--output-format", "json", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        raise CannotTell(_("ruff did not work: {reason}").format(reason=done.stderr.strip()[-300:]))
    problems = json.loads(done.stdout)
    rate = 100 * len(problems) / max(1, lines)
    if rate <= allowed:
        return None
    shown = [
        f"{Path(one['filename']).name}:{one['location']['row']}: {one['code']} {one['message']}"
        for one in problems[:_SHOWN]
    ]
    found = ngettext("ruff finds {n} problem", "ruff finds {n} problems", len(problems))
    where = ngettext(
        "in {n} line: {rate:.1f} a hundred.", "in {n} lines: {rate:.1f} a hundred.", lines
    )
    summary = f"{found.format(n=len(problems))} {where.format(n=lines, rate=rate)}"
    share = max(0.0, (worst - rate) / (worst - allowed))
    return Outcome(share, "\n".join([summary, *shown]))


def comments(submission: Submission, *, share: float = 0.5) -> Outcome | None:
    """Functions and classes are explained: *share* of them have a docstring or a comment."""
    explained, unexplained = 0, []
    for path in _code(submission):
        text = source(path)
        try:
            module = tree(path)
            rows = {
                token.start[0]
                for token in tokenize.generate_tokens(io.StringIO(text).readline)
                if token.type == tokenize.COMMENT
            }
        except (SyntaxError, tokenize.TokenError, ValueError) as error:
            raise Missed(f"{path.name}: {error}") from error
        for node in ast.walk(module):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            near = range(node.lineno - 1, (node.end_lineno or node.lineno) + 1)
            if ast.get_docstring(node) or rows.intersection(near):
                explained += 1
            else:
                unexplained.append(f"{path.name}:{node.lineno}: {node.name}")
    total = explained + len(unexplained)
    if total == 0:
        raise Missed(_("The code has no functions."))
    if explained >= share * total:
        return None
    summary = ngettext(
        "{n} of {total} functions and classes has a docstring or a comment.",
        "{n} of {total} functions and classes have a docstring or a comment.",
        explained,
    ).format(n=explained, total=total)
    return Outcome(explained / (share * total), "\n".join([summary, *unexplained[:_SHOWN]]))


def _code(submission: Submission) -> list[Path]:
    files = [
        path
        for path in own_files(submission.folder)
        if path.suffix == ".py"
        and any(
            fnmatch(path.relative_to(submission.folder).as_posix(), pattern.removeprefix("**/"))
            for pattern in submission.code_files
        )
    ]
    if not files:
        raise CannotTell(_("There is no code in Python to look at."))
    return files


def _lines_of_code(path: Path) -> int:
    return sum(1 for line in source(path).splitlines() if line.strip())


def _share(reached: int, wanted: int, reason: str) -> Outcome | None:
    return None if reached >= wanted else Outcome(reached / wanted, reason)


PAPERS: dict[str, Callable[..., Outcome | None]] = {
    check.__name__: check for check in (report_parts, screenshots, style, comments)
}
