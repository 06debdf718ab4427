"""Many submissions at once: one table, and nobody waits for one that hangs."""

import csv
import json
import shutil
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from . import describe, many
from .archives import handed_in
from .mutants import EXAMPLES, GOOD
from .rubric import RUBRIC as COURSE

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
    (folder / "hangs" / "server.py").write_text("raise OSError('it crashed')\n")
    (folder / "broken.zip").write_text("no archive")
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
    assert "it crashed" in rows["hangs"]["mark"]
    assert "describe" in rows["undescribed"]["trouble"]
    assert "broken.zip" in rows["broken"]["trouble"]
    for name in rows:
        results = json.loads((output / f"{name}.json").read_text(encoding="utf-8"))
        assert results["score"] == float(rows[name]["points"])
        assert (output / f"{name}.html").exists()
    index = (output / "index.html").read_text(encoding="utf-8")
    assert '<a href="petrov.html">' in index
    assert "⚠ server: OSError: it crashed" in index
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
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["extra_data"]["fault"] == trouble


@pytest.mark.timeout(200)
@pytest.mark.usefixtures("english")
def test_from_the_course_systems_export_to_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the manual says: a folder of archives, two commands, and the table is there."""
    place = tmp_path / "Лабораторная 3"
    place.mkdir()
    student = "Иванова Мария_11234_assignsubmission_file_"
    with zipfile.ZipFile(place / f"{student}.zip", "w") as archive:
        for name in ("server.py", "client.py", "report.md"):
            archive.write(GOOD / name, f"работа/{name}")
    folder = place / "Petrov_5_assignsubmission_file_"  # a folder with an archive in it
    folder.mkdir()
    with tarfile.open(folder / "chat.tar.gz", "w:gz") as tar:
        for name in ("server.py", "client.py"):
            tar.add(GOOD.parent / "colours" / name, f"colours/{name}")
    (tmp_path / "rubric.toml").write_text(RUBRIC)
    assert describe.main(["--all", str(place), "--lang", "en"]) == 0
    said = capsys.readouterr().out
    assert said.count("? history") == 1, "of Petrov's"
    assert f"make grade-all DIR='{place}'" in said, "as it can be typed: there is a space in it"
    many.main([str(place), "--rubric", str(tmp_path / "rubric.toml"), "--lang", "en"])
    with (place / "grades" / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["folder"]: row["points"] for row in csv.DictReader(file)}
    assert rows == {"Иванова Мария": "5", "Petrov": "5"}


@pytest.mark.timeout(1200)
def test_thirty_submissions_take_less_than_four_minutes(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """Measured when asked for (``--thorough``), with two processors and nothing else to do."""
    if not pytestconfig.getoption("--thorough", default=False):
        pytest.skip("takes minutes: --thorough")
    names = ("good", "words", "accounts", "third", "dash")
    for number in range(30):
        shutil.copytree(EXAMPLES / names[number % 5], tmp_path / "all" / f"{number:02}")
    started = time.monotonic()
    rows = many.grade_all(
        tmp_path / "all",
        tmp_path / "grades",
        jobs=many.JOBS,
        rubric=COURSE,
        told=lambda row, of: print(f"{time.monotonic() - started:5.1f} s: {row.title}, 1 of {of}"),
    )
    assert not any(row.trouble for row in rows)
    points = {(int(row.folder) % 5, row.points) for row in rows}
    assert len(points) == 5, f"equal points for equal chats: {sorted(points)}"
    assert time.monotonic() - started < 240


def test_an_archive_from_an_old_windows_keeps_its_russian_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("server.py", "")
        archive.writestr("X.txt", "")
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"X.txt", "Ж.txt".encode("cp866")))
    [folder], troubles = handed_in(tmp_path, tmp_path / "grades")
    assert not troubles
    assert {path.name for path in folder.iterdir()} == {"server.py", "Ж.txt"}


@pytest.mark.usefixtures("english")
def test_an_empty_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert many.main([str(tmp_path), "--lang", "en"]) == 1
    assert "no submissions" in capsys.readouterr().err


def test_what_is_packed_cannot_get_out_of_its_folder(tmp_path: Path) -> None:
    place = tmp_path / "all"
    place.mkdir()
    with tarfile.open(place / "ivanov.tar", "w") as tar:
        for name in ("server.py", "../../above.py", f"{tmp_path}/absolute.py"):
            tar.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    [folder], troubles = handed_in(place, place / "grades")
    assert troubles == {}
    assert (folder / "server.py").is_file()
    assert not (folder / "link").is_symlink()
    assert list(folder.rglob("absolute.py"))
    assert [path.name for path in tmp_path.iterdir()] == ["all"]
