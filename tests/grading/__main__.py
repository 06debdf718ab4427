"""``python -m tests.grading``: the grade of one submission."""

import signal
import sys
import traceback
from pathlib import Path

from rich.console import Console

from chat.app import options as cli
from chat.app.i18n import gettext as _

from . import output
from .engine import ALL_CHECKS, grade, not_graded
from .rubric import LAST_STAGE, RUBRIC, DataError, Requirement, Rubric, read_rubric
from .sandbox import SubmissionFilesError
from .submission import read_submission

OURS = Path(__file__).with_name("chat.toml")


def main(arguments: list[str] | None = None) -> int:
    """Grade; return 0 when no point was lost, 1 when some were, 2 when it could not be done.

    The files that were asked for are written in every case.
    """
    cli.choose_language(arguments)
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    console = Console()
    rubric: Rubric | None = None
    name = options.submission.resolve().parent.name
    try:
        rubric = read_rubric(options.rubric, ALL_CHECKS).at_stage(options.stage)
        submission = read_submission(options.submission)
        name = submission.name
        with console.status("") as status:

            def progress(done: int, total: int, requirement: Requirement) -> None:
                status.update(f"{done + 1}/{total} {requirement.title}")

            reached = grade(
                submission,
                rubric,
                only=options.only,
                progress=progress,
                external_port=options.external_port,
                install=options.install,
            )
    except (DataError, SubmissionFilesError) as error:
        reached = not_graded(name, rubric, str(error))
    except OSError as error:
        reached = not_graded(name, rubric, f"{error.filename}: {error.strerror}")
    except Exception as error:  # noqa: BLE001 - no student may lose a result to a fault of ours
        traceback.print_exc()
        reached = not_graded(name, rubric, f"{type(error).__name__}: {error}")
    try:
        output.write(reached, options.grade_json, options.grade_md)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return cli.USAGE_STATUS
    if reached.fault:
        print(reached.fault, file=sys.stderr)
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
    add_grading_options(parser)
    parser.add_argument(
        "--external-port",
        type=cli.positive,
        metavar=_("PORT"),
        help=_("grade the server that already runs, under a debugger perhaps, on this port"),
    )
    cli.add_language(parser)
    return parser


def add_grading_options(parser: cli.ArgumentParser) -> None:
    """Add the options that one submission and a folder of them have in common."""
    parser.add_argument(
        "--stage",
        type=int,
        choices=range(1, LAST_STAGE + 1),
        default=LAST_STAGE,
        help=_("what there must be by then: 1, one client; 2, several; 3, everything"),
    )
    parser.add_argument(
        "--install",
        action="store_true",
        help=_("install what requirements.txt names, in an environment of its own"),
    )


if __name__ == "__main__":
    sys.exit(main())
