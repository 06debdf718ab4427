"""The questions to the readers of the report: each says where its answer is, and that is there."""

import json
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = sorted(Path(__file__).with_name("questions").glob("*.toml"))


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_each_question_names_a_section_that_is_there(path: Path) -> None:
    questions = tomllib.loads(path.read_text("utf-8"))["question"]
    assert len(questions) >= 10
    for question in questions:
        assert question["ru"].strip()
        assert question["en"].strip()
        name, _sharp, cell_id = question["section"].partition("#")
        for lang in ("ru", "en"):
            notebook = json.loads((ROOT / "notebooks" / lang / f"{name}.ipynb").read_text("utf-8"))
            found = [cell for cell in notebook["cells"] if cell["id"] == cell_id]
            assert found, question["section"]
            assert "".join(found[0]["source"]).startswith("#"), question["section"]
