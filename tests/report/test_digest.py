"""The digest of the sources: the same wherever they lie, another when they change."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from report import digest

ROOT = Path(__file__).resolve().parents[2]

# What git keeps beside the sources without any influence on what the report says.
NO_SOURCES = {".mo", ".txt", ".typed", ".png", ".md", ".html", ".pdf", ".docx"}
NO_SOURCES_IN = ("report/ru/", "report/en/", "report/editions/", "chat/promises/deploy/")

BOOK = {
    "cells": [
        {
            "cell_type": "code",
            "source": ["x = 1\n", "x"],
            "metadata": {"tags": ["hide-input"]},
            "outputs": [],
            "execution_count": None,
        },
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}
FILES = {
    "chat/core/room.py": "room = 1\n",
    "chat/app/locale/ru/LC_MESSAGES/chat.po": 'msgid "a"\nmsgstr "б"\n',
    "notebooks/ru/01_description.ipynb": json.dumps(BOOK),
    "screenshots/scenarios.py": "scenes = 1\n",
    "report/build.py": "steps = 1\n",
    "report/report.toml": "[title_page]\n",
    "report/templates/html/style.css": "a { color: red }\n",
    "requirements/report.lock": "rich==1\n",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "clone", FILES)


def test_a_copy_elsewhere_at_another_time_has_the_same_digest(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(root, other)
    for file in other.rglob("*"):
        os.utime(file, (1, 1))
    assert digest.sources_digest(other, "ru") == digest.sources_digest(root, "ru")


@pytest.mark.parametrize("name", FILES)
def test_every_source_counts(root: Path, name: str) -> None:
    before = digest.sources_digest(root, "ru")
    changed = FILES[name].replace("x = 1", "x = 2") if "x = 1" in FILES[name] else "changed\n"
    (root / name).write_text(changed, "utf-8")
    assert digest.sources_digest(root, "ru") != before


@pytest.mark.parametrize("name", FILES)
def test_a_source_that_is_gone_counts(root: Path, name: str) -> None:
    before = digest.sources_digest(root, "ru")
    (root / name).unlink()
    assert digest.sources_digest(root, "ru") != before


@pytest.mark.parametrize(
    "name",
    [
        "chat/__pycache__/room.cpython-311.pyc",
        "chat/__pycache__/left_by_somebody.py",
        "chat/.room.py.swp",
        "chat/core/room.py~",
        "chat/app/locale/ru/LC_MESSAGES/chat.mo",
        "notebooks/ru/.ipynb_checkpoints/01_description-checkpoint.ipynb",
        "notebooks/en/01_description.ipynb",
        "screenshots/ru/01.png",
        "report/ru/report.html",
        "report/ru/figures/fig.svg",
        "build/report/ru/report.html",
    ],
)
def test_what_appears_by_itself_does_not_count(root: Path, name: str) -> None:
    before = digest.sources_digest(root, "ru")
    write(root, {name: "anything"})
    assert digest.sources_digest(root, "ru") == before


def test_line_endings_do_not_count(root: Path) -> None:
    before = digest.sources_digest(root, "ru")
    file = root / "chat" / "core" / "room.py"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert digest.sources_digest(root, "ru") == before


def test_running_a_notebook_does_not_count(root: Path) -> None:
    before = digest.sources_digest(root, "ru")
    book = json.loads(json.dumps(BOOK))
    book["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    book["cells"][0]["execution_count"] = 7
    book["cells"][0]["metadata"]["execution"] = {"iopub.status.idle": "2026-01-01"}
    book["cells"][0]["source"] = "x = 1\nx"  # nbformat allows a string as well as lines
    book["metadata"]["language_info"] = {"name": "python"}
    write(root, {"notebooks/ru/01_description.ipynb": json.dumps(book, indent=1)})
    assert digest.sources_digest(root, "ru") == before


@pytest.mark.parametrize(
    "change",
    [{"source": "x = 2"}, {"cell_type": "markdown"}, {"metadata": {"tags": []}}],
)
def test_what_an_author_writes_into_a_notebook_counts(
    root: Path, change: dict[str, object]
) -> None:
    before = digest.sources_digest(root, "ru")
    book = {**BOOK, "cells": [{**BOOK["cells"][0], **change}]}  # type: ignore[index]
    write(root, {"notebooks/ru/01_description.ipynb": json.dumps(book)})
    assert digest.sources_digest(root, "ru") != before


def test_no_kind_of_source_is_forgotten() -> None:
    """Every file that git keeps (or would) where sources lie counts, or is known not to."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip(f"not a git repository: {listed.stderr.strip()}")
    counted = {file.relative_to(ROOT).as_posix() for file in digest.source_files(ROOT, "ru")}
    forgotten = [
        name
        for name in listed.stdout.splitlines()
        if name.startswith(("chat/", "notebooks/ru/", "screenshots/", "report/"))
        and not name.startswith(NO_SOURCES_IN)
        and Path(name).suffix not in NO_SOURCES
        and (ROOT / name).is_file()
        and name not in counted
    ]
    assert forgotten == []


@pytest.mark.parametrize("suffix", ["html", "pdf", "docx", "md"])
def test_every_format_carries_the_digest_of_its_sources(project: Path, suffix: str) -> None:
    built = project / "build" / "report" / "ru" / f"report.{suffix}"
    assert digest.embedded_digest(built) == digest.sources_digest(project, "ru")


@pytest.mark.parametrize("suffix", ["html", "pdf", "docx", "md"])
def test_a_file_without_a_digest_is_told_from_one_with_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"report.{suffix}"
    assert digest.embedded_digest(path) is None
    path.write_text("source-digest: by hand")
    assert digest.embedded_digest(path) is None
