"""The chapters as a reader meets them: clean when opened, and every «Run all» works, twice."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from chat.core.protocol import DEFAULT_PORT, Limits
from chat.lab import show
from report.merge import APPENDIX

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*/0*.ipynb"))
PARTS = {
    "ru": [
        "Описание работы",
        "Теоретическая часть",
        "Практическая часть",
        "Скриншоты работы в разных ситуациях",
        "Выводы",
    ],
    "en": [
        "Description of the work",
        "Theory",
        "Practice",
        "Screenshots of different situations",
        "Conclusions",
    ],
}


def read(path: Path) -> nbformat.NotebookNode:
    """Return the notebook at *path*."""
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def name(path: Path) -> str:
    """Return how a test calls the notebook at *path*."""
    return f"{path.parent.name}-{path.stem}"


@pytest.mark.parametrize("language", PARTS)
def test_there_is_one_notebook_for_each_part_of_the_report(language: str) -> None:
    """The five fixed parts, in their order, under their names; appendices may follow."""
    parts = [path for path in NOTEBOOKS if not APPENDIX.match(path.name)]
    notebooks = [read(path) for path in parts if path.parent.name == language]
    titles = [notebook.cells[0].source.splitlines()[0] for notebook in notebooks]
    assert titles == [f"# {part}" for part in PARTS[language]]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    """Outputs belong to the report: a reader makes their own."""
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if "ru" in path.parts], ids=name)
def test_a_reader_can_run_it_cell_by_cell(path: Path) -> None:
    """From top to bottom, quick cells twice, and with Ctrl-C; see `tests/notebooks/reader.py`.

    Every figure that it shows must be one that can be read (`chat.lab.proof`). The English
    chapters have the same code (tests/report/test_editions.py).
    """
    program = Path(__file__).with_name("reader.py")
    finished = subprocess.run(
        [sys.executable, program, path],
        env=os.environ | {show.PROVE_FIGURES: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    print(finished.stdout)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_code_that_the_report_hides_is_folded_in_jupyter(path: Path) -> None:
    """``make edition`` sets it, for who writes a chapter has the tag in mind alone."""
    folded = [
        cell.id
        for cell in read(path).cells
        if cell.metadata.get("jupyter", {}).get("source_hidden", False)
    ]
    hidden = [cell.id for cell in read(path).cells if "hide-input" in cell.metadata.get("tags", [])]
    assert folded == hidden


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_no_default_is_written_into_the_prose(path: Path) -> None:
    """Whoever changes a port or a limit changes it in one place: code quotes it, prose does not.

    Looked for are the numbers that cannot mean anything else.
    """
    numbers = [DEFAULT_PORT, *dataclasses.astuple(Limits())]
    telling = {
        written
        for number in numbers
        if number > 1000 and number not in (1024, 10000, 65536)  # these mean other things too
        for written in (f"{number:.0f}", f"{number:,.0f}", f"{number:,.0f}".replace(",", " "))
    }
    quoted = [
        (cell.id, number)
        for cell in read(path).cells
        if cell.cell_type == "markdown"
        for number in re.findall(r"\d+(?:[ ,\N{NO-BREAK SPACE}]\d{3})*", cell.source)
        if number.replace("\N{NO-BREAK SPACE}", " ") in telling
    ]
    assert quoted == []
