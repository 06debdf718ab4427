"""Ctrl-C in the middle of a cell: the reader goes on, and no server stays behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
import pytest
from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
CHECK = """
from chat.lab.background import assert_nothing_left as _check
_check(before)
"""


@contextmanager
def kernel(folder: Path) -> Iterator[tuple[object, object, psutil.Process]]:
    """A kernel that runs in *folder*, its client, and its process."""
    manager, client = start_new_kernel(cwd=str(folder))
    try:
        yield manager, client, psutil.Process(manager.provisioner.pid)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def listening(process: psutil.Process) -> set[int]:
    """Return the ports on which *process* and its children wait for connections."""
    family = [process, *process.children(recursive=True)]
    return {
        connection.laddr.port
        for one in family
        for connection in one.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("name", "cells"), [("03_practice", 4), ("05_conclusions", 2)])
def test_an_interrupted_cell_leaves_no_server(name: str, cells: int) -> None:
    """Each of the first *cells* that open a server is interrupted once the server is there."""
    path = ROOT / "notebooks" / "ru" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    interrupted = 0
    with kernel(path.parent) as (manager, client, process):
        run = client.execute_interactive  # type: ignore[attr-defined]

        def quietly(source: str) -> str:
            reply = run(source, timeout=SECONDS, output_hook=lambda _message: None)
            return str(reply["content"]["status"])

        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            if "ChatServer(" in cell.source and "def " not in cell.source.split("with", 1)[0]:
                before = listening(process)
                client.execute(cell.source)  # type: ignore[attr-defined]
                deadline = time.monotonic() + SECONDS
                while not listening(process) - before and time.monotonic() < deadline:
                    if process.status() == psutil.STATUS_ZOMBIE:
                        pytest.fail("the kernel died")
                manager.interrupt_kernel()  # type: ignore[attr-defined]
                client.get_shell_msg(timeout=SECONDS)  # type: ignore[attr-defined]
                assert quietly(CHECK) == "ok", cell.id
                interrupted += 1
                if interrupted == cells:
                    return
            assert quietly(cell.source) == "ok", cell.id
    pytest.fail(f"only {interrupted} cells open a server")
