"""Ctrl-C in the middle of a cell: the reader goes on, and no server stays behind."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(240)
def test_an_interrupted_cell_leaves_no_server() -> None:
    program = Path(__file__).with_name("interrupt.py")
    notebook = ROOT / "notebooks" / "ru" / "03_practice.ipynb"
    finished = subprocess.run(
        [sys.executable, program, notebook, "4"], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("interrupted") == 4
