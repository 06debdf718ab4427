"""What is open across cells is closed by its last cell, by a failure, and by a second beginning."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chat.lab.cells import AcrossCells

BEGIN = """
from chat.lab.cells import AcrossCells
from chat.core.server import ChatServer
stage = AcrossCells()
server = stage.enter_context(ChatServer())
"""
TALK = "import socket\nsocket.create_connection(server.address, timeout=5).close()"

# A process of its own: a shell changes the interpreter that it lives in.
PROGRAM = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from chat.lab.background import Snapshot, wait_until
shell = InteractiveShell.instance()
before = Snapshot()
outcomes = [bool(shell.run_cell(cell).success) for cell in json.loads(sys.argv[1])]
wait_until(lambda: not before.leftovers())
print()
print(json.dumps(outcomes))
"""


def run(folder: Path, *cells: str) -> list[bool]:
    """Run *cells* in a shell; return which of them succeeded. Fails when they leave something."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(cells)],
        env=os.environ | {"IPYTHONDIR": str(folder)},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=40,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes: list[bool] = json.loads(done.stdout.splitlines()[-1])
    return outcomes


def test_it_stays_open_from_cell_to_cell(tmp_path: Path) -> None:
    assert run(tmp_path, BEGIN, TALK, "stage.close()", TALK) == [True, True, True, False]


@pytest.mark.parametrize("failure", ["1 / 0", "raise KeyboardInterrupt", "no syntax"])
def test_a_cell_that_fails_closes_it(tmp_path: Path, failure: str) -> None:
    assert run(tmp_path, BEGIN, failure) == [True, False]


def test_a_cell_that_begins_and_fails_closes_it(tmp_path: Path) -> None:
    assert run(tmp_path, BEGIN + "1 / 0") == [False]


def test_beginning_again_closes_what_was_begun_before(tmp_path: Path) -> None:
    assert run(tmp_path, BEGIN, BEGIN, "stage.close()") == [True, True, True]


def test_without_a_shell_it_is_an_exit_stack() -> None:
    closed: list[str] = []
    with AcrossCells() as stack:
        stack.callback(closed.append, "closed")
    assert closed == ["closed"]
