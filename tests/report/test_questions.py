"""The questions that a reader should be able to answer: each names the section that answers it."""

import tomllib
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tests" / "report" / "questions").glob("part*.toml"))


def sections(part: int) -> set[str]:
    """Return the headings of a part as links name them (report/AUTHORING.md)."""
    [path] = (ROOT / "notebooks" / "ru").glob(f"0{part}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    lines = [
        line
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
    ]
    headings = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
    return {heading.replace("`", "").replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_question_names_a_section_that_is_there(path: Path) -> None:
    """In both languages, with the answer that is looked for."""
    questions = tomllib.loads(path.read_text("utf-8"))["question"]
    assert len(questions) >= 8
    known = sections(int(path.stem.removeprefix("part")))
    for question in questions:
        assert question["ru"].endswith("?")
        assert question["en"].endswith("?")
        assert question["section"] in known
