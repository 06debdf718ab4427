"""The questions to the readers of the report: each says where its answer is, and that is there."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = sorted(Path(__file__).with_name("questions").glob("*.toml"))


def sections() -> set[str]:
    """Return the headings of the Russian chapters, as links name them (report/AUTHORING.md)."""
    found: set[str] = set()
    for path in (ROOT / "notebooks" / "ru").glob("0*.ipynb"):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                headings = re.findall(r"^#+ (.*)$", "".join(cell["source"]), re.MULTILINE)
                found |= {re.sub("[`*]", "", heading).replace(" ", "-") for heading in headings}
    return found


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_each_question_names_a_section_that_is_there(path: Path) -> None:
    questions = tomllib.loads(path.read_text("utf-8"))["question"]
    assert len(questions) >= 8
    for question in questions:
        assert question["ru"].strip()
        assert question["en"].strip()
    assert {question["section"] for question in questions} <= sections()
