"""Executes a notebook twice over in one kernel, as «Run all» pressed twice in Jupyter does.

A program of its own, so that the kernel's sockets and threads end with it.
"""

import copy
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

CELL_SECONDS = 120


def main(path: Path) -> None:
    """Execute the notebook at *path* from its own folder; raises when a cell fails."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    again = copy.deepcopy(notebook.cells)
    for cell in again:
        cell.id += "-again"
    notebook.cells += again
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=resources
    ).execute()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
