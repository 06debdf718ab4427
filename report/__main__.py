"""``python -m report``: build the report, or say that it is fresh."""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chat.app.i18n import LANGUAGES, ngettext, set_language
from chat.app.i18n import gettext as _
from chat.lab.isolation import isolate

from . import ReportError
from .settings import FORMS

if TYPE_CHECKING:
    from rich.console import Console

    from .build import Place

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Build the reports that the command line asks for; return the exit status."""
    isolate(ROOT / "build" / "cache" / "home")
    set_language()
    options = _parser().parse_args(arguments)
    root = options.root.resolve()
    asked_for = options.lang or os.environ.get("LANG_EDITION")
    # Nothing heavy is loaded before the command line is known to be right.
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False)
    places, left_out = _places(root, asked_for, options.form)
    set_language(places[0].lang)
    for lang, misfits in left_out.items():
        print(_left_out(lang, misfits), file=sys.stderr)
    try:
        status = max([_build(place, console, force=options.force) for place in places])
        if options.watch:
            _watch(root, asked_for, options.form, console)
    except KeyboardInterrupt:
        if options.watch:
            return 0
        print(_("Interrupted: the report was not built."), file=sys.stderr)
        return 130
    return status


def _places(
    root: Path, asked_for: str | None, form: str
) -> tuple[list["Place"], dict[str, list[str]]]:
    """Return what is to be built, and the editions left out, each with the places that are wrong.

    Whoever changes the Russian chapters need not translate that to have a report: an edition that
    no longer says the same is built only when it is asked for.
    """
    from . import edition  # noqa: PLC0415
    from .build import Place  # noqa: PLC0415

    there = [lang for lang in LANGUAGES if Place(root, lang).notebooks]
    left_out = {
        lang: misfits
        for lang in there
        if (misfits := list(edition.misfits(root, lang, edition.chapters(root))))
    }
    fitting = [lang for lang in there if lang not in left_out]
    if asked_for in LANGUAGES:
        wanted, left_out = [asked_for], {}
    else:
        wanted = fitting or [LANGUAGES[0]]
    return [
        Place(root, lang, tuple(other for other in fitting if other != lang), form)
        for lang in wanted
    ], left_out


def _left_out(lang: str, misfits: list[str]) -> str:
    return ngettext(
        "The edition “{lang}” is left out: its chapters differ from the Russian ones in {count} "
        "place, {place}. `make edition` lists what has to be translated; "
        "`make report LANG_EDITION={lang}` builds it as it is.",
        "The edition “{lang}” is left out: its chapters differ from the Russian ones in {count} "
        "places, the first is {place}. `make edition` lists what has to be translated; "
        "`make report LANG_EDITION={lang}` builds it as it is.",
        len(misfits),
    ).format(lang=lang, count=len(misfits), place=misfits[0])


def _build(place: "Place", console: "Console", *, force: bool = False) -> int:
    """Build the report at *place*, if it is not fresh; return the exit status."""
    from . import build  # noqa: PLC0415

    started = time.monotonic()
    set_language(place.lang)
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


def _watch(root: Path, asked_for: str | None, form: str, console: "Console") -> None:
    """Build again after every change of a source, until Ctrl-C."""
    from watchfiles import watch  # noqa: PLC0415

    from . import build, digest  # noqa: PLC0415

    def is_source(_change: object, path: str) -> bool:
        return Path(path).suffix in digest.SOURCE_SUFFIXES

    folders = [root / name for name in ("chat", "notebooks", "report", "screenshots")]
    there = [folder for folder in folders if folder.is_dir()]
    console.print(_("Waiting for changes; Ctrl-C ends."))
    looked = False
    # It comes back in half a second too, without any changes: what was saved before the folders
    # were watched, while the report was being built, is found by looking once.
    for changes in watch(
        *there,
        watch_filter=is_source,
        raise_interrupt=True,
        rust_timeout=500,
        yield_on_timeout=True,
    ):
        if looked and not changes:
            continue
        looked = True
        places, _others = _places(root, asked_for, form)
        stale = [place for place in places if not build.is_fresh(place)]
        for place in stale:
            _build(place, console)
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
