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
shell = InteractiveShell.instance(colors="NoColor")
before = Snapshot()
cells = json.loads(sys.argv[1])
outcomes = [bool(shell.run_cell(cell, store_history=True).success) for cell in cells]
wait_until(lambda: not before.leftovers())
print()
print(json.dumps(outcomes))
"""


def run(folder: Path, *cells: str) -> list[bool]:
    """Run *cells* in a shell; return which of them succeeded. Fails when they leave something."""
    return play(folder, *cells)[0]


def play(folder: Path, *cells: str) -> tuple[list[bool], str]:
    """As `run`; return also what was printed."""
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
    return outcomes, done.stdout


def test_it_stays_open_from_cell_to_cell(tmp_path: Path) -> None:
    assert run(tmp_path, BEGIN, TALK, "stage.close()", TALK) == [True, True, True, False]


@pytest.mark.parametrize("failure", ["1 / 0", "raise KeyboardInterrupt", "no syntax"])
def test_a_cell_that_fails_closes_it(tmp_path: Path, failure: str) -> None:
    assert run(tmp_path, BEGIN, failure) == [True, False]


def test_a_cell_that_begins_and_fails_closes_it(tmp_path: Path) -> None:
    assert run(tmp_path, BEGIN + "1 / 0") == [False]


def test_beginning_again_closes_what_was_begun_before(tmp_path: Path) -> None:
    assert run(tmp_path, BEGIN, BEGIN, "stage.close()") == [True, True, True]


def test_the_reader_is_told_where_to_start_over(tmp_path: Path) -> None:
    before = "x = 1"
    outcomes, said = play(tmp_path, before, BEGIN, "1 / 0", "server.nonsense", "2 / 0")
    assert outcomes == [True, True, False, False, False]
    assert said.count("начался в ячейке [2]") == 3, said
    outcomes, said = play(tmp_path, BEGIN, "1 / 0", BEGIN, "stage.close()", "1 / 0")
    assert said.count("начался в ячейке") == 1, said


def test_an_assertion_says_what_was_expected_and_what_came(tmp_path: Path) -> None:
    cells = (
        "from chat.lab import show\nheard, calls = ['раз'], []",
        "assert len(heard) == 3",
        "def check():\n    assert not heard\ncheck()",
        "assert heard == 2, 'свои слова'",
        "assert calls.append(1) == 1",  # evaluated once
        "assert len(calls) == 1",
    )
    outcomes, said = play(tmp_path, *cells)
    assert outcomes == [True, False, False, False, False, True]
    assert "AssertionError: Ожидалось: len(heard) == 3" in said
    assert "Получилось: 1 и 3" in said
    assert "Ожидалось: not heard" in said
    assert "AssertionError: свои слова" in said


def test_without_a_shell_it_is_an_exit_stack() -> None:
    closed: list[str] = []
    with AcrossCells() as stack:
        stack.callback(closed.append, "closed")
    assert closed == ["closed"]
