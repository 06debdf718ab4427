"""``python -m report``: build the report, or say that it is fresh."""

import argparse
import shutil
import sys
import time
from pathlib import Path

from chat.i18n import LANGUAGES, set_language
from chat.i18n import gettext as _

from . import ReportError

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Build the report that the command line asks for; return the exit status."""
    started = time.monotonic()
    set_language()
    options = _parser().parse_args(arguments)
    set_language(options.lang)
    # Nothing heavy is loaded before the command line is known to be right.
    from rich.console import Console  # noqa: PLC0415

    from . import build  # noqa: PLC0415

    place = build.Place(options.root.resolve(), options.lang)
    console = Console(highlight=False)
    try:
        if not options.force and build.is_fresh(place):
            console.print(
                _("The sources have not changed since the last build: the report is fresh.")
            )
        else:
            if options.force:
                shutil.rmtree(place.build, ignore_errors=True)
            build.build(place, console)
    except ReportError as error:
        print(_("The report was not built."), error, sep="\n\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(_("Interrupted: the report was not built."), file=sys.stderr)
        return 130
    console.print(build.summary(place, time.monotonic() - started), markup=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m report",
        description=_(
            "Executes the notebooks, takes the screenshots and writes the report as HTML, PDF, "
            "DOCX and Markdown. What has not changed since the last build is not done again."
        ),
    )
    parser.add_argument(
        "--lang", choices=LANGUAGES, default="ru", help=_("the language of the report")
    )
    parser.add_argument(
        "--force", action="store_true", help=_("do everything again, changed or not")
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=ROOT,
        metavar="DIR",
        help=_("the folder with notebooks/ and report/ (default: where this program lies)"),
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
