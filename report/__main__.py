"""``python -m report``: build the report, or say that it is fresh."""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chat.app.i18n import LANGUAGES, set_language
from chat.app.i18n import gettext as _

from . import ReportError
from .settings import FORMS

if TYPE_CHECKING:
    from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Build the reports that the command line asks for; return the exit status."""
    set_language()
    options = _parser().parse_args(arguments)
    root = options.root.resolve()
    editions = [options.lang] if options.lang else _editions(root)
    set_language(editions[0])
    # Nothing heavy is loaded before the command line is known to be right.
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False)
    try:
        status = max(
            [
                _build(root, lang, options.form, console, force=options.force)
                for lang in editions
            ]
        )
        if options.watch:
            _watch(root, editions, options.form, console)
    except KeyboardInterrupt:
        if options.watch:
            return 0
        print(_("Interrupted: the report was not built."), file=sys.stderr)
        return 130
    return status


def _editions(root: Path) -> list[str]:
    """Return the languages in which there are notebooks, or the one that the environment names."""
    wanted = os.environ.get("LANG_EDITION")
    if wanted in LANGUAGES:
        return [wanted]
    there = [lang for lang in LANGUAGES if any((root / "notebooks" / lang).glob("0*.ipynb"))]
    return there or [LANGUAGES[0]]


def _build(
    root: Path, lang: str, form: str, console: "Console", *, force: bool = False
) -> int:
    """Build the report in *lang*, if it is not fresh; return the exit status."""
    from . import build  # noqa: PLC0415

    started = time.monotonic()
    set_language(lang)
    place = build.Place(root, lang, form)
    try:
        if not force and build.is_fresh(place):
            console.print(
                _("The sources have not changed since the last build: the report is fresh.")
            )
        else:
            if force:
                shutil.rmtree(place.cache, ignore_errors=True)
            build.build(place, console)
    except ReportError as error:
        print(_("The report was not built."), error, sep="\n\n", file=sys.stderr)
        return 1
    console.print(build.summary(place, time.monotonic() - started), markup=False)
    return 0


def _watch(root: Path, editions: list[str], form: str, console: "Console") -> None:
    """Build again after every change of a source, until Ctrl-C."""
    from watchfiles import watch  # noqa: PLC0415

    from . import build, digest  # noqa: PLC0415

    def is_source(_change: object, path: str) -> bool:
        return Path(path).suffix in digest.SOURCE_SUFFIXES

    folders = [root / name for name in ("chat", "notebooks", "report", "screenshots")]
    there = [folder for folder in folders if folder.is_dir()]
    console.print(_("Waiting for changes; Ctrl-C ends."))
    for _changes in watch(*there, watch_filter=is_source, raise_interrupt=True):
        stale = [lang for lang in editions if not build.is_fresh(build.Place(root, lang, form))]
        for lang in stale:
            _build(root, lang, form, console)
        if stale:
            console.print(_("Waiting for changes; Ctrl-C ends."))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m report",
        description=_(
            "Executes the notebooks, takes the screenshots and writes the report as HTML, PDF, "
            "DOCX and Markdown. What has not changed since the last build is not done again."
        ),
    )
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        help=_("only the edition in this language (default: LANG_EDITION, or all there are)"),
    )
    parser.add_argument(
        "--format",
        dest="form",
        choices=FORMS,
        default="",
        help=_("how PDF and DOCX are set: as a book, or by GOST 7.32-2017 (default: report.toml)"),
    )
    parser.add_argument(
        "--force", action="store_true", help=_("do everything again, changed or not")
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help=_("go on, and build again whenever something changes, until Ctrl-C"),
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
