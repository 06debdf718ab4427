"""Finds out how a chat is spoken to, and writes its file: ``python -m tests.grading.describe``.

`trial` tries it out. Here the teacher is talked to, the file is written, a bad grade is explained.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pexpect
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from chat.app import options as cli
from chat.app.i18n import gettext as _
from chat.app.i18n import language, ngettext

from .archives import ArchiveError, handed_in
from .engine import ALL_CHECKS, grade
from .findings import Findings, Step, Teacher, Window
from .many import DESCRIPTION, ROOT, add_jobs
from .play import NotFoundError, Play
from .python import own_files
from .rubric import RUBRIC, DataError, read_rubric
from .sandbox import SubmissionFilesError
from .submission import read_submission
from .trial import StrangeLettersError, Trial

ENCODINGS = ("utf-8", "cp1251", "cp866")
REPORTS = (".docx", ".md", ".pdf", ".odt", ".ipynb", ".html")

_ROWS_SHOWN = 12

# The file


def toml(folder: Path, found: Findings) -> str:
    """Return the text of the file for what was *found*."""
    used = [*found.server_command, *found.steps.get("steps", [])]
    lines = [f"name = {_toml(folder.resolve().name)}"]
    if found.encoding != "utf-8":
        lines.append(f"encoding = {_toml(found.encoding)}")
    lines += ["", "[server]", f"command = {_toml(found.server_command)}"]
    if not any("{port}" in str(one) for one in used):
        lines.append(f"port = {found.port}")
    for key in ("steps", "stop"):
        if key in found.steps:
            lines.append(f"{key} = {_steps(found.steps[key])}")
    lines += ["", "[client]", f"command = {_toml(found.client_command)}"]
    lines.append(f"login = {_toml(found.steps.get('login', []))}")
    lines.append(f"bad_lines = {_toml(_bad_lines(found))}")
    keys = "ready taken users all private leave history message private_message own left stopped"
    for key in keys.split():
        lines += _optional(found, key)
    reports = [
        path.relative_to(folder).as_posix()
        for kind in REPORTS
        for path in own_files(folder)
        if path.suffix.lower() == kind and "readme" not in path.name.lower()
    ]
    lines += ["", "[log]", f"files = {_toml([found.log] if found.log else [])}"]
    lines += ["", "[report]", f"files = {_toml(reports[:1])}"]
    lines += ["", "[code]", 'files = ["**/*.py"]', "", "[skip]"]
    lines.append("# history = " + _toml(_("It was not asked for.")))
    return "\n".join(lines) + "\n"


def _bad_lines(found: Findings) -> list[str]:
    """Return lines that make no sense, among them a private message without its parts."""
    lines = ["", "   ", "/", "/nosuchcommand x"]
    match found.steps.get("private"):
        case [str(line)]:
            word, _to, rest = line.partition("{to}")
            lines += filter(None, [word.strip(), f"{word}nobody".strip()])
            lines.append(f"{word}nobody{rest}".replace("{text}", "hello"))
    return lines


def _optional(found: Findings, key: str) -> list[str]:
    if key in found.steps:
        return [f"{key} = {_steps(found.steps[key])}"]
    if key in found.signs:
        return [f"{key} = {_toml(found.signs[key])}"]
    if key in found.questions:
        return [f'# ? {key} = "…"  # {found.questions[key]}']
    return []


def _steps(steps: Sequence[Step]) -> str:
    return _toml(steps[0] if len(steps) == 1 and isinstance(steps[0], str) else steps)


def _toml(value: str | dict[str, Any] | Sequence[Any]) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a basic string of TOML is one of JSON
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return "[" + ", ".join(map(_toml, value)) + "]"


def describe(
    folder: Path,
    teacher: Teacher,
    *,
    server: Sequence[str] | None = None,
    client: Sequence[str] | None = None,
) -> Findings:
    """Try the submission in *folder*, in the encoding that its programs speak.

    Raises `SubmissionFilesError`.
    """
    tried: list[str] = []
    for encoding in (*ENCODINGS, ENCODINGS[0]):
        found = Findings(teacher, encoding)
        with Trial(Play(folder, found)) as trial:
            try:
                trial.run(server, client, any_letters=encoding in tried)
            except StrangeLettersError:
                sentence = _("  The letters are strange in {encoding}.")
                teacher.say(sentence.format(encoding=encoding))
                tried.append(encoding)
                continue
            except NotFoundError as error:
                found.trouble = str(error)
                trial.find_ready()
            except pexpect.ExceptionPexpect as error:
                found.trouble = str(error).splitlines()[0]
            return found
    raise AssertionError("the last round accepts all letters")


# Of a grade that was bad


def explain(folder: Path, say: Callable[[str], None]) -> None:
    """Grade the submission in *folder*, and say which signs never came and what stood there.

    Raises `DataError` and `SubmissionFilesError`.
    """
    reached = grade(read_submission(folder / DESCRIPTION), read_rubric(RUBRIC, ALL_CHECKS))
    say(f"{reached.name}: {reached.points:g}/{reached.possible:g}")
    told = set()
    for result in reached.results:
        missed = result.missed
        if missed is None or (missed.sign, missed.crash) in told:
            continue
        told.add((missed.sign, missed.crash))
        say(f"\n✗ {result.requirement.title}")
        if missed.crash:
            say(_("  A program ended with an error: {reason}").format(reason=missed.crash))
        if not missed.exchange:
            say(f"  {missed}")
            continue
        *before, end = missed.exchange
        if missed.sign:
            sentence = _("  The sign {key} never came in the window “{window}”: {sign}")
            say(sentence.format(key=missed.sign, window=end.window, sign=end.text))
        else:
            sentence = _("  This never came in the window “{window}”: {what}")
            say(sentence.format(window=end.window, what=end.text))
        last = max((n for n, one in enumerate(before) if one.kind == "typed"), default=0)
        instead = [
            one.text for one in before[last:] if one.window == end.window and one.kind == "shown"
        ]
        if instead:
            say(_("  What stood there instead:"))
            for line in instead[-6:]:
                say(f"  │ {line}")
        else:
            say(_("  Nothing stood there instead."))
    if reached.is_full:
        say(_("No point was lost."))


# The script


def main(arguments: list[str] | None = None) -> int:
    """Try a submission out and write its file; return 0 when that was possible."""
    cli.choose_language(arguments)
    options = _parser().parse_args(arguments)
    try:
        if options.all:
            return _describe_all(options.folder, options.jobs, force=options.force)
        if not options.folder.is_dir():
            return cli.fail(_("There is no folder {path}.").format(path=options.folder))
        if options.explain:
            explain(options.folder, print)
            return 0
        return _describe_one(options)
    except (ArchiveError, DataError, SubmissionFilesError) as error:
        return cli.fail(str(error))


def _describe_one(options: argparse.Namespace) -> int:
    target = options.folder / DESCRIPTION
    if target.exists() and not options.force:
        return cli.fail(_("{path} is there already; --force replaces it.").format(path=target))
    teacher = Teacher(say=print)
    if not options.yes:
        asks = {"ask": _question} if sys.stdin.isatty() else {}
        teacher = Teacher(say=print, show=_side_by_side, **asks)
    found = describe(
        options.folder, teacher, server=_words(options.server), client=_words(options.client)
    )
    if found.trouble:
        print(found.trouble, file=sys.stderr)
        if not found.server_command:
            return cli.FAILURE_STATUS
    target.write_text(toml(options.folder, found), encoding="utf-8")
    if found.trouble:
        return cli.FAILURE_STATUS
    if found.questions:
        print(_("What has a question mark is asked in the file, too: write the answer there."))
    print(_("Written: {path}. Look it through, then grade:").format(path=target))
    print(f'  make grade ARGS="--submission {shlex.quote(str(target))}"')
    return 0


def _describe_all(place: Path, jobs: int, *, force: bool) -> int:
    """Describe every submission in *place* that has no file yet; say what was found of each."""
    folders, troubles = handed_in(place, place / "grades")
    for name, trouble in troubles.items():
        print(f"✗ {name}: {trouble}")
    if not folders and not troubles:
        return cli.fail(_("There are no submissions in {path}.").format(path=place))
    left = [folder for folder in folders if force or not (folder / DESCRIPTION).exists()]
    open_ones = len(troubles)
    with ThreadPoolExecutor(jobs) as pool:
        for folder, (done, said) in zip(left, pool.map(describe_apart, left), strict=True):
            questions = [line.strip() for line in said.splitlines() if line.startswith("  ? ")]
            open_ones += bool(questions) or not done
            print(f"{'✓' if done and not questions else '?' if done else '✗'} {folder}")
            for line in dict.fromkeys(questions) if done else said.splitlines()[-1:]:
                print(f"    {line}")
    sentence = ngettext(
        "{n} submission needs a look; this asks: "
        ".venv/bin/python -m tests.grading.describe FOLDER --force",
        "{n} submissions need a look; this asks: "
        ".venv/bin/python -m tests.grading.describe FOLDER --force",
        open_ones,
    )
    if open_ones:
        print(sentence.format(n=open_ones))
    print(_("Now grade them: make grade-all DIR={path}").format(path=shlex.quote(str(place))))
    return 0


def describe_apart(folder: Path) -> tuple[bool, str]:
    """Describe the submission in *folder* in a process of its own, from any thread.

    Returns whether that was possible, and what it said.
    """
    command = [sys.executable, "-m", "tests.grading.describe", str(folder.resolve())]
    done = subprocess.run(
        [*command, "--yes", "--force", "--lang", language()],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout


def _side_by_side(left: Window, right: Window) -> None:
    """Show what two windows show."""
    table = Table.grid(expand=True)
    panels = []
    for window in (left, right):
        rows = window.terminal.screen_text.split("\n")[-_ROWS_SHOWN:]
        panels.append(Panel(Text("\n".join(rows)), title=window.terminal.title))
        table.add_column(ratio=1)
    table.add_row(*panels)
    Console().print(table)


def _question(question: str) -> str:
    try:
        return input(f"{question} ").strip()
    except EOFError:
        return ""


def _words(command: str | None) -> list[str] | None:
    return command.split() if command else None


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="tests.grading.describe",
        description=_(
            "Tries out how a chat is started and spoken to, and writes its submission.toml."
        ),
    )
    parser.add_argument(
        "folder", type=Path, metavar=_("FOLDER"), help=_("the folder of the submission")
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help=_("the folder holds many, one folder or archive a student: unpack and try them all"),
    )
    add_jobs(parser)
    parser.add_argument(
        "--server",
        metavar=_("COMMAND"),
        help=_("what starts the server, with {port} where a port may be given"),
    )
    parser.add_argument(
        "--client",
        metavar=_("COMMAND"),
        help=_("what starts a client, with {port} where a port may be given"),
    )
    parser.add_argument(
        "--force", action="store_true", help=_("replace the submission.toml that is there")
    )
    parser.add_argument("--yes", action="store_true", help=_("ask nothing, and show no screens"))
    parser.add_argument(
        "--explain",
        action="store_true",
        help=_("grade by the submission.toml that is there; say which signs never came"),
    )
    cli.add_language(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
