"""``make``: what it lists, and what it says when there is no Python to work with."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # Under `make test` this is no part of the make that runs the tests.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_make_alone_lists_every_target_with_a_line_of_help() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony is not None
    lines = make(ROOT).stdout.splitlines()
    listed = {line.split()[1]: line.split()[2:] for line in lines}
    assert list(listed) == phony[1].split()
    assert all(listed.values())


def test_without_a_python_that_runs_it_says_so_in_a_sentence(tmp_path: Path) -> None:
    # A version manager may leave a command behind that only complains.
    shim = tmp_path / "python-shim"
    shim.write_text("#!/bin/sh\necho no such version >&2\nexit 127\n")
    shim.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    done = make(tmp_path, "report", f"PYTHON={shim}")
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith("Нужен Python 3.11 или новее")
    assert "no such version" not in done.stderr
    assert not (tmp_path / ".venv").exists()
