"""Other chats, with other protocols and prompts: what they get, and why.

The good one is graded with the mutants that are made from it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from chat.app import i18n

from .many import grade_apart
from .mutants import quick_rubric

EXAMPLES = Path(__file__).with_name("examples")


def graded(name: str, folder: Path, *only: str) -> dict[str, dict[str, Any]]:
    """Return the tests of the grade of example *name*, by requirement."""
    trouble = grade_apart(
        EXAMPLES / name / "submission.toml",
        folder / "results.json",
        folder / "grade.md",
        seconds=200,
        rubric=quick_rubric(folder),
        only=only,
    )
    assert not trouble
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert document["score"] == pytest.approx(sum(test["score"] for test in document["tests"]))
    return {test["tags"][0]: test for test in document["tests"]}


@pytest.fixture(autouse=True)
def russian(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the reasons be Russian, as the assertions are."""
    monkeypatch.setattr("tests.grading.many.language", lambda: "ru")
    assert "ru" in i18n.LANGUAGES


@pytest.mark.timeout(200)
def test_a_naive_chat_loses_points_and_learns_why(tmp_path: Path) -> None:
    only = ("broadcast", "private_only", "unique_name", "bursts", "long_messages", "history")
    tests = graded("naive", tmp_path, *only, "report_parts", "screenshots")
    assert tests["broadcast"]["status"] == "passed"
    assert tests["private_only"]["status"] == "passed"
    for name in ("unique_name", "bursts", "long_messages", "history"):
        assert tests[name]["status"] == "failed"
        assert tests[name]["score"] == 0
    assert "Welcome anna!" in tests["unique_name"]["output"]
    # What was typed, what was expected on which screen, and what that screen showed.
    reason = tests["bursts"]["output"]
    assert reason.startswith("Набрано: anna: «text")
    assert "Ожидалось в окне «boris»: сообщения по порядку" in reason
    assert "│ anna: text" in reason
    assert 0 < tests["report_parts"]["score"] < tests["report_parts"]["max_score"]
    assert "«Теоретическая часть», «Выводы»" in tests["report_parts"]["output"]
    assert "выбор собеседника" in tests["screenshots"]["output"]


@pytest.mark.timeout(200)
def test_a_chat_that_crashes_loses_points_for_that_and_nothing_for_its_menu(
    tmp_path: Path,
) -> None:
    only = ("no_waiting", "bad_bytes", "private", "list_on_request", "history", "sliced")
    tests = graded("fragile", tmp_path, *only)
    assert {name for name, test in tests.items() if test["status"] == "passed"} == {
        "private",
        "list_on_request",
    }
    assert "history" not in tests, "the teacher skips it"
    assert "sliced" not in tests, "it cannot be told a port"
    assert "UnicodeDecodeError" in tests["bad_bytes"]["output"]
    page = (tmp_path / "grade.md").read_text(encoding="utf-8")
    assert "В задании этой группы истории не было." in page
    assert "    │ UnicodeDecodeError" in page
