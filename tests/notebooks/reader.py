"""Goes through a notebook as a reader does: cell by cell, some of them twice, and with Ctrl-C.

Every cell is run. A quick one is run again at once: it works again, or its output says from which
cell to start over. The first cells that open a server are interrupted while it is up: nothing of
it may be left. A program of its own, so that the kernel's sockets and threads end with it.
"""

import contextlib
import queue
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

SECONDS = 120
QUICK = 1.0
"""Seconds; a cell that took longer is not run again."""
INTERRUPTIONS = 4
"""In a notebook, at most."""
TRIES = 3  # a cell may be over before its server is seen
# A server that the cell itself opens, and not a function in it.
OPENS_A_SERVER = re.compile(r"^(with ChatServer\(|    ChatServer\()", re.MULTILINE)
SNAPSHOT = "from chat.lab import background as _background\n_before = _background.Snapshot()"
# Ctrl-C inside Popen leaves a child that nobody waits for; it ends when its pipes are closed.
CHECK = """\
for _child in _background.Snapshot().children - _before.children:
    _child.wait(10)
_background.assert_nothing_left(_before)
"""
START_OVER = re.compile(r"начался в ячейке \[(\d+)\]")
"""What `chat.lab.cells` says after a failure in an experiment that takes several cells."""


class CellError(Exception):
    """A cell failed; the text says which, and how."""


class Reader:
    """A kernel, and what has been run in it."""

    def __init__(self, folder: Path) -> None:
        """Start a kernel in *folder*, as Jupyter does."""
        specs = KernelSpecManager(kernel_dirs=[])  # this Python's, and nobody else's
        self._manager = KernelManager(kernel_name="python3", kernel_spec_manager=specs)
        self._manager.start_kernel(cwd=str(folder))
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=SECONDS)
        [self._kernel] = psutil.Process().children()
        self._run_as: dict[int, int] = {}
        """The position of a cell by the number that Jupyter shows beside it."""

    def close(self) -> None:
        """End the kernel."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def run(self, source: str, cell: str, position: int = -1) -> None:
        """Run *source*. Raises CellError."""
        printed: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            printed.append(message["content"].get("text", ""))

        reply = self._client.execute_interactive(source, timeout=SECONDS, output_hook=keep)
        content = reply["content"]
        self._run_as[content["execution_count"]] = position
        if content["status"] != "ok":
            said = f"{content['ename']}: {content['evalue']}\n{''.join(printed)}"
            raise CellError(f"{cell}: {said}")

    def begun(self, error: CellError) -> int | None:
        """Return the position of the cell from which *error* says to start over."""
        found = START_OVER.search(str(error))
        return None if found is None else self._run_as[int(found[1])]

    def interrupt(self, source: str) -> bool:
        """Run *source*, interrupt it once it listens; return False if it was over before that."""
        before = self._listening()
        requests = {self._client.execute(source, stop_on_error=False)}
        seen = False
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if not seen and self._listening() - before:
                seen = True
                self._manager.interrupt_kernel()
            if seen:  # interrupted between two cells, a kernel forgets to answer: ask it again
                requests.add(self._client.execute(""))
            with contextlib.suppress(queue.Empty):
                reply = self._client.get_shell_msg(timeout=1 if seen else 0)
                if reply["parent_header"].get("msg_id") in requests:
                    return seen
        raise CellError("the kernel does not answer")

    def _listening(self) -> set[int]:
        return {
            connection.laddr.port
            for connection in self._kernel.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }


def main(path: Path) -> None:
    """Read the notebook at *path*. Raises CellError."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    reader = Reader(path.parent)
    interrupted = again = 0
    failures = []
    try:
        for position, cell in enumerate(cells):
            if interrupted < INTERRUPTIONS and OPENS_A_SERVER.search(cell.source):
                reader.run(SNAPSHOT, "snapshot")
                if any(reader.interrupt(cell.source) for _ in range(TRIES)):
                    interrupted += 1
                    reader.run(CHECK, f"{cell.id}, interrupted")
            started = time.monotonic()
            reader.run(cell.source, cell.id, position)
            if time.monotonic() - started > QUICK or position == len(cells) - 1:
                continue
            again += 1
            try:
                reader.run(cell.source, f"{cell.id}, run again", position)
            except CellError as error:
                first = reader.begun(error)
                if first is None:
                    failures.append(str(error))
                    continue
                for place in range(first, position + 1):
                    reader.run(cells[place].source, f"{cells[place].id}, started over", place)
    finally:
        reader.close()
    if failures:
        raise CellError("\n\n".join(failures))
    print(f"{len(cells)} cells, {again} of them twice, {interrupted} interrupted")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
