"""Interrupts cells of a notebook while their server is up; fails if anything is left afterwards.

A program of its own, so that the client's sockets and threads end with it.
"""

import contextlib
import queue
import re
import sys
import time
from pathlib import Path

import nbformat
import psutil
from jupyter_client.manager import start_new_kernel

SECONDS = 60
TRIES = 5  # a quick cell may be over before its server is seen
# A server that the cell itself opens, and not a function in it.
OPENS_A_SERVER = re.compile(r"^(with ChatServer\(|    ChatServer\()", re.MULTILINE)
CHECK = "from chat.lab.background import assert_nothing_left as _check\n_check(before)"


def main(path: Path, cells: int) -> None:
    """Run the notebook at *path*; interrupt the first *cells* that open a server, once it is there.

    The notebook's first cell has to take the snapshot `before`.
    """
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    manager, client = start_new_kernel(cwd=str(path.parent))
    [kernel] = psutil.Process().children()
    try:
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            if OPENS_A_SERVER.search(cell.source) and any(
                _interrupt(manager, client, kernel, cell.source) for _ in range(TRIES)
            ):
                _run(client, CHECK, cell.id)
                print("interrupted", cell.id)
                cells -= 1
                if not cells:
                    return
            _run(client, cell.source, cell.id)  # again: later cells may need what it makes
        raise AssertionError(f"{cells} cells too few open a server")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _run(client, source: str, cell: str) -> None:  # type: ignore[no-untyped-def] # jupyter's
    reply = client.execute_interactive(source, timeout=SECONDS, output_hook=lambda _message: None)
    assert reply["content"]["status"] == "ok", (cell, reply["content"])


def _interrupt(manager, client, kernel: psutil.Process, source: str) -> bool:  # type: ignore[no-untyped-def]
    """Run *source*, interrupt it once it listens; return False if it was over before that."""
    before = _listening(kernel)
    requests = {client.execute(source, stop_on_error=False)}
    seen = False
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if not seen and _listening(kernel) - before:
            seen = True
            manager.interrupt_kernel()
        if seen:  # interrupted between two cells, a kernel forgets to answer: ask it again
            requests.add(client.execute(""))
        with contextlib.suppress(queue.Empty):
            reply = client.get_shell_msg(timeout=1 if seen else 0)
            if reply["parent_header"].get("msg_id") in requests:
                return seen
    raise AssertionError("the kernel does not answer")


def _listening(kernel: psutil.Process) -> set[int]:
    return {
        connection.laddr.port
        for connection in kernel.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
