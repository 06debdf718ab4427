"""Many submissions at once: one table, and nobody waits for one that hangs."""

import csv
import shutil
from pathlib import Path

import pytest

from . import many
from .mutants import GOOD

RUBRIC = """
title = "t"
[limits]
seconds = 20
[waiting]
patience = 1
longest_wait = 5
[[requirement]]
id = "starts"
points = 3
title = "It starts"
clients = 1
[[requirement]]
id = "broadcast"
points = 2
title = "To all"
"""


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("english")
def test_a_folder_is_graded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "submissions"
    for name in ("petrov", "hangs", "undescribed"):
        shutil.copytree(GOOD, folder / name)
    (folder / "undescribed" / "submission.toml").unlink()
    (folder / "hangs" / "server.py").write_text("while True: pass\n")
    (tmp_path / "rubric.toml").write_text(RUBRIC)
    status = many.main(
        [str(folder), "--rubric", str(tmp_path / "rubric.toml"), "--jobs", "2", "--lang", "en"]
    )
    assert status == 1
    output = folder / "grades"
    with (output / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["folder"]: row for row in csv.DictReader(file)}
    assert rows["petrov"]["points"] == rows["petrov"]["possible"] == "5"
    assert rows["petrov"]["broadcast"] == "2"
    assert rows["hangs"]["points"] == "0"
    assert "describe" in rows["undescribed"]["trouble"]
    index = (output / "index.html").read_text(encoding="utf-8")
    assert '<a href="petrov.html">' in index
    page = (output / "hangs.html").read_text(encoding="utf-8")
    assert "Expected in the window" in page
    assert "5/5" in capsys.readouterr().out


def test_a_grading_that_does_not_end_is_ended(tmp_path: Path) -> None:
    shutil.copytree(GOOD, tmp_path / "slow")
    trouble = many.grade_apart(
        tmp_path / "slow" / "submission.toml",
        tmp_path / "a.json",
        tmp_path / "a.md",
        seconds=1.5,
    )
    assert "1.5" in trouble


@pytest.mark.usefixtures("english")
def test_an_empty_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert many.main([str(tmp_path), "--lang", "en"]) == 1
    assert "no submissions" in capsys.readouterr().err
