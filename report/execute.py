"""Run a notebook from beginning to end in a fresh kernel, or take the cached run of it.

A run is kept in ``build/`` under a key of everything that could change its outcome, so that
a build after a change executes only the notebooks which that change touches.
"""

import asyncio
import hashlib
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from chat.app.i18n import gettext as _

from . import ReportError, digest
from .export import plain

_HEADING = re.compile(r"#{1,6} ")
CELL_SECONDS = 180
"""A cell that takes longer than this is taken for hung."""

Progress = Callable[[int, int], None]
"""Called with the number of cells done and the number of all cells."""


class CellError(ReportError):
    """A cell raised an error, hung, or killed its kernel; the message shows where and why."""


def run(notebook: Path, progress: Progress) -> NotebookNode:
    """Execute the file *notebook* in a fresh kernel and return it with its outputs.

    The kernel runs under this very interpreter, in the notebook's own folder as it does in
    Jupyter, and is gone when this function returns or raises, KeyboardInterrupt included.
    Call it from the main thread. Raises CellError.
    """
    book: NotebookNode = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        book,
        km=_kernel_manager(),
        timeout=CELL_SECONDS,
        coalesce_streams=True,
        resources={"metadata": {"path": str(notebook.parent)}},
    )
    client.reset_execution_trackers()
    # What the kernel itself says (warnings, the last words of a crash) would tear the progress
    # bar apart; it is kept aside for the one case in which somebody needs it.
    with (
        tempfile.TemporaryFile() as murmur,
        client.setup_kernel(cleanup_kc=True, stdout=murmur, stderr=murmur),
    ):
        for index, cell in enumerate(book.cells):
            progress(index, len(book.cells))
            try:
                client.execute_cell(cell, index)
            except (CellExecutionError, CellTimeoutError) as error:
                raise CellError(_explain(notebook, index, book.cells, error)) from error
            except DeadKernelError as error:
                murmur.seek(0)
                last_words = murmur.read().decode(errors="replace")[-2000:]
                error.add_note(last_words)
                raise CellError(_explain(notebook, index, book.cells, error)) from error
            except KeyboardInterrupt:
                _call_off(ensure_event_loop())
                raise
    progress(len(book.cells), len(book.cells))
    return book


def _call_off(loop: asyncio.AbstractEventLoop) -> None:
    """End what waits for a cell, so that it does not complain of the end of the kernel."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))


def _kernel_manager() -> AsyncKernelManager:
    # Without any directory of kernel specifications there is only the native one: this
    # interpreter's. A "python3" that the user once installed elsewhere cannot step in.
    specs = KernelSpecManager(kernel_dirs=[])
    return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)


def _explain(notebook: Path, index: int, cells: list[NotebookNode], error: Exception) -> str:
    where = _("{notebook}, cell {number} of {count}, section “{section}”:").format(
        notebook=notebook.name,
        number=index + 1,
        count=len(cells),
        section=_section(cells[:index]),
    )
    source = "\n".join(f"    {line}" for line in cells[index].source.splitlines())
    details = ""
    match error:
        case CellExecutionError():
            tracebacks = [
                "\n".join(output.traceback)
                for output in cells[index].outputs
                if output.output_type == "error"
            ]
            # The sentence first, for the author of a chapter; then what a programmer wants.
            reason = plain(f"{error.ename}: {error.evalue}")
            details = plain("\n".join(tracebacks))
        case CellTimeoutError():
            reason = _("The cell has run for {seconds} seconds without an end.").format(
                seconds=CELL_SECONDS
            )
        case _:
            last_words = "\n".join(getattr(error, "__notes__", []))
            reason = _("The kernel died. Its last words:\n{words}").format(words=last_words)
    return "\n\n".join(filter(None, [f"{where}\n{reason}", source, details]))


def _section(cells: list[NotebookNode]) -> str:
    """Return the last heading of *cells*, which every notebook begins with."""
    headings = [
        line.lstrip("#").strip()
        for cell in cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if _HEADING.match(line)
    ]
    return headings[-1] if headings else ""


def cached_run(
    notebook: Path, depends_on: Iterable[Path], root: Path, cache: Path, progress: Progress
) -> tuple[NotebookNode, bool]:
    """Return *notebook* executed, and whether the run was found in the folder *cache*.

    *depends_on*: the files (below *root*) that the notebook's outcome depends on, beside the
    notebook itself and the version of Python. A new run takes the place of the older ones.
    """
    key = hashlib.sha256(
        "\n".join(
            [sys.version, digest.notebook_digest(notebook), digest.digest_of(depends_on, root)]
        ).encode()
    ).hexdigest()
    kept = cache / f"{notebook.stem}.{key[:16]}.ipynb"
    if kept.is_file():
        return nbformat.read(kept, as_version=4), True  # type: ignore[no-untyped-call]
    executed = run(notebook, progress)
    cache.mkdir(parents=True, exist_ok=True)
    for older in cache.glob(f"{notebook.stem}.*.ipynb"):
        older.unlink()
    unfinished = kept.with_suffix(".part")
    nbformat.write(executed, unfinished)  # type: ignore[no-untyped-call]
    unfinished.replace(kept)
    return executed, False
