"""``python -m tests.grading``: the grade of one submission."""

import signal
import sys
from pathlib import Path

from rich.console import Console

from chat.app import options as cli
from chat.app.i18n import gettext as _

from . import output
from .engine import ALL_CHECKS, grade
from .rubric import RUBRIC, DataError, Requirement, read_rubric
from .sandbox import SubmissionFilesError
from .submission import read_submission

OURS = Path(__file__).with_name("chat.toml")


def main(arguments: list[str] | None = None) -> int:
    """Grade; return 0 when no point was lost, 1 when some were, 2 when it could not be done."""
    cli.choose_language(arguments)
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    console = Console()
    try:
        rubric = read_rubric(options.rubric, ALL_CHECKS)
        submission = read_submission(options.submission)
        with console.status("") as status:

            def progress(done: int, total: int, requirement: Requirement) -> None:
                status.update(f"{done + 1}/{total} {requirement.title}")

            reached = grade(submission, rubric, only=options.only, progress=progress)
        if options.grade_json:
            options.grade_json.write_text(output.results_json(reached), encoding="utf-8")
        if options.grade_md:
            options.grade_md.write_text(output.markdown(reached), encoding="utf-8")
    except (DataError, SubmissionFilesError) as error:
        print(error, file=sys.stderr)
        return cli.USAGE_STATUS
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return cli.USAGE_STATUS
    output.show(reached, console)
    return 0 if reached.is_full else cli.FAILURE_STATUS


def _leave(_number: int, _frame: object) -> None:
    """End as after any error, so that everything that was started is ended too."""
    sys.exit(cli.FAILURE_STATUS)


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="tests.grading",
        description=_(
            "Grades a chat: plays its users at real terminals, gives points and reasons."
        ),
    )
    parser.add_argument(
        "--submission",
        type=Path,
        default=OURS,
        metavar=_("FILE"),
        help=_("the TOML file that describes the chat (default: this chat's own)"),
    )
    parser.add_argument(
        "--rubric",
        type=Path,
        default=RUBRIC,
        metavar=_("FILE"),
        help=_("the requirements and their points (default: the course's)"),
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar=_("REQUIREMENT"),
        help=_("check only this requirement of the rubric, by its id; may be repeated"),
    )
    parser.add_argument(
        "--grade-json",
        type=Path,
        metavar=_("FILE"),
        help=_("write the grade for Gradescope (results.json)"),
    )
    parser.add_argument(
        "--grade-md", type=Path, metavar=_("FILE"), help=_("write a page for the student")
    )
    cli.add_language(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
