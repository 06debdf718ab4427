"""Everything in order: screenshots, notebooks, one document, four files; with progress."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nbformat import NotebookNode
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import screenshots
from chat.app.i18n import gettext as _
from chat.lab.terminal import ScreenTimeout

from . import ReportError, digest, docx, execute, html, markdown, original, pandoc, pdf, settings
from .export import Document
from .merge import PICTURES, merge

FORMATS = ("html", "pdf", "docx", "md")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the sources of a report lie, and where it goes."""

    root: Path
    lang: str
    others: tuple[str, ...] = ()
    """The languages of the other editions, to which this one leads."""
    form: str = ""
    """How PDF and DOCX are set, one of settings.FORMS; empty: as report.toml says."""

    @property
    def notebooks(self) -> list[Path]:
        """The notebooks in the order of their numbers."""
        return sorted((self.root / "notebooks" / self.lang).glob("0*.ipynb"))

    @property
    def screenshots(self) -> Path:
        """The folder of the pictures that were taken for this report."""
        return self.root / "build" / "screenshots" / self.lang

    @property
    def output(self) -> Path:
        """The folder of the built report, which git ignores: what a student hands in."""
        return self.root / "build" / "report" / self.lang

    @property
    def published(self) -> Path:
        """The folder of the report that the repository shows; `report.publish` fills it."""
        return self.root / "report" / self.lang

    @property
    def files(self) -> list[Path]:
        """The four files of the built report."""
        return [self.output / f"report.{suffix}" for suffix in FORMATS]

    @property
    def cache(self) -> Path:
        """The folder of what may be thrown away at any time: cached runs, intermediate files."""
        return self.root / "build" / "cache" / "report" / self.lang


def build(place: Place, console: Console) -> None:
    """Build the report at *place* and say on *console* how it goes. Raises ReportError."""
    notebooks = place.notebooks
    if not notebooks:
        raise ReportError(
            _("There are no notebooks in {folder}.").format(
                folder=place.root / "notebooks" / place.lang
            )
        )
    sources, version = _state(place)
    told = place.root / "report" / "report.toml"
    title_page = settings.load(told, place.lang)
    paper = settings.load_paper(told, place.lang, place.form)
    with _steps(console) as step:
        _take_screenshots(place, step)
        executed = _execute(place, notebooks, step)
        changes = original.changes(place.root)
        if (chapter := original.chapter(changes)) is not None:
            executed.append((place.root / original.ARCHIVE, chapter))
        document = Document(
            merge(executed, place.lang),
            title_page,
            place.lang,
            sources,
            changes,
            place.others,
            version,
            paper,
        )
        finished = _write(document, place.cache, step)
    _move(finished, place)
    _stamp_file(place).write_text(json.dumps(_stamp(place, sources, version)), "utf-8")


# --- what is done already ---------------------------------------------------------------------


def is_fresh(place: Place) -> bool:
    """Whether the report at *place* was built here, from the sources as they are now.

    The digest inside the files alone would not do: in a fresh clone they come from somebody
    else's machine, and the first build here is to show this machine's runs.
    """
    try:
        kept = json.loads(_stamp_file(place).read_text("utf-8"))
        return bool(kept == _stamp(place, *_state(place)))
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def _state(place: Place) -> tuple[str, str]:
    return digest.sources_digest(place.root, place.lang), digest.version(place.root)


def _stamp_file(place: Place) -> Path:
    return place.cache / "stamp.json"


def _stamp(place: Place, sources: str, version: str) -> dict[str, object]:
    outputs = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.files}
    return {
        "sources": sources,
        "version": version,
        "others": list(place.others),
        "form": place.form,
        "outputs": outputs,
    }


# --- the steps --------------------------------------------------------------------------------

Report = Callable[[int, int, str], None]
"""Called with how much is done, of how much, and what comes next."""


@contextmanager
def _steps(console: Console) -> Iterator[Callable[[str], Report]]:
    """Yield a function that begins a step of the given name and returns its Report."""
    progress = Progress(
        TextColumn("{task.description:<30}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[now]}"),
        console=console,
        # Where nobody watches (a log of CI) a line for each step is enough.
        disable=not console.is_terminal,
    )

    def step(name: str) -> Report:
        task = progress.add_task(name, total=None, now="")
        if progress.disable:
            console.print(name)

        def report(done: int, total: int, now: str = "") -> None:
            progress.update(task, completed=done, total=total, now=now if done < total else "")

        return report

    with progress:
        yield step


def _take_screenshots(place: Place, step: Callable[[str], Report]) -> None:
    if not (place.root / "screenshots").is_dir():
        return
    taken = place.cache / "screenshots.digest"
    wanted = digest.digest_of(digest.screenshot_files(place.root), place.root)
    there = any(place.screenshots.glob("*.png"))
    if there and taken.is_file() and taken.read_text("utf-8") == wanted:
        return
    try:
        screenshots.take(place.lang, step(_("Screenshots")), folder=place.screenshots)
    except ScreenTimeout as error:
        raise ReportError(str(error)) from error
    taken.parent.mkdir(parents=True, exist_ok=True)
    taken.write_text(wanted, "utf-8")


def _execute(
    place: Place, notebooks: list[Path], step: Callable[[str], Report]
) -> list[tuple[Path, NotebookNode]]:
    return [(notebook, _execute_one(place, notebook, step)) for notebook in notebooks]


def _execute_one(place: Place, notebook: Path, step: Callable[[str], Report]) -> NotebookNode:
    report = step(notebook.name)

    def cell_begins(done: int, total: int) -> None:
        report(done, total, _("cell {number}").format(number=done + 1))

    if "screenshots" in notebook.read_text("utf-8"):
        depends_on = [*digest.screenshot_files(place.root), *sorted(place.screenshots.glob("*"))]
    else:
        depends_on = digest.run_files(place.root)
    cache = place.cache / "executed"
    book, cached = execute.cached_run(notebook, depends_on, place.root, cache, cell_begins)
    if cached:
        report(len(book.cells), len(book.cells), _("not changed"))
    return book


def _write(document: Document, folder: Path, step: Callable[[str], Report]) -> Path:
    """Write the document in every format into a folder below *folder* and return that."""
    finished, source = folder / "finished", folder / "pandoc"
    shutil.rmtree(finished, ignore_errors=True)
    finished.mkdir(parents=True)
    shutil.rmtree(source, ignore_errors=True)
    writers: list[tuple[str, Callable[[], None]]] = [
        ("HTML", lambda: html.write(document, finished / "report.html")),
        ("Markdown", lambda: markdown.write(document, finished / "report.md")),
        ("Pandoc", lambda: pandoc.prepare(document, source)),
        ("DOCX", lambda: docx.write(source, finished / "report.docx")),
        ("PDF", lambda: pdf.write(source, finished / "report.pdf")),
    ]
    report = step(_("Report"))
    for done, (name, write) in enumerate(writers):
        report(done, len(writers), name)
        write()
    report(len(writers), len(writers), "")
    return finished


def _move(finished: Path, place: Place) -> None:
    """Move the finished files to their place, all of them or, after an error, none."""
    place.output.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place.output / PICTURES, ignore_errors=True)
    for older in place.output.glob("*.md"):  # a part that is no more
        older.unlink()
    for path in finished.iterdir():
        path.rename(place.output / path.name)


def summary(place: Place, seconds: float) -> str:
    """Return the names and sizes of the four files, and how long building them took."""
    lines = [
        _("  {name}  {size} KiB").format(
            name=path.relative_to(place.root), size=round(path.stat().st_size / 1024)
        )
        for path in place.files
    ]
    took = _("Done in {seconds:.0f} s.").format(seconds=seconds)
    return "\n".join([_("The report:"), *lines, took])
