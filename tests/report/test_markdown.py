"""The Markdown on a repository's web page: anchors, pictures, fences."""

import re
from collections import Counter
from pathlib import Path

import pytest

from report.markdown import fenced, heading_slugs
from report.merge import Heading

from .conftest import PARTS


@pytest.fixture(scope="module")
def text(output: Path) -> str:
    return (output / "report.md").read_text("utf-8")


@pytest.fixture(scope="module")
def prose(text: str) -> str:
    """The text without what stands in fences and code spans."""
    return re.sub(r"^(```+).*?^\1$|`[^`\n]+`", "", text, flags=re.DOTALL | re.MULTILINE)


def test_five_parts_in_order(prose: str) -> None:
    parts = re.findall(r"^## (.*)$", prose, re.MULTILINE)
    assert parts == [f"{number}. {part}" for number, part in enumerate(PARTS, 1)]


def test_every_link_inside_resolves(text: str, prose: str) -> None:
    # GitHub's anchors, worked out here from the headings as they stand in the file.
    without_fences = re.sub(r"^(```+).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", without_fences, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    anchors |= set(re.findall(r'<a id="([^"]+)"></a>', prose))
    links = set(re.findall(r"(?<!!)\[[^\]]*\]\(#([^)]+)\)", text.replace("fig-none", "fig-one")))
    assert {"fig-one", "tab-sums", "2-теоретическая-часть"} <= links
    assert links <= anchors


def test_every_picture_lies_beside_and_none_is_left_over(output: Path, prose: str) -> None:
    pictures = re.findall(r"!\[[^\]]+\]\((figures/[^)]+)\)", prose)
    assert len(pictures) == 3
    there = {path.relative_to(output).as_posix() for path in (output / "figures").iterdir()}
    assert there == set(pictures)


def test_code_stands_as_it_was_written(text: str) -> None:
    source = Path(__file__).resolve().parents[2] / "chat" / "core" / "room.py"
    listing = re.search(r"Листинг&nbsp;1\..*?```python\n(.*?)\n```", text, re.DOTALL)
    assert listing is not None
    assert listing[1] in source.read_text("utf-8")


def test_formulas_stay_formulas(prose: str) -> None:
    assert "$\\frac{1}{n}$" in prose
    assert "$$\\sum_{i=1}^{k} x_i < 1$$" in prose


def test_a_table_follows_its_caption(prose: str) -> None:
    assert re.search(r"\*\*Таблица&nbsp;1\.\*\* Сводка с \n\n\| Что \| Сколько \|\n\|:---", prose)


def test_headings_of_the_same_text_get_different_anchors() -> None:
    twice = [Heading(2, "1.1", "Итог", "sec-1-1"), Heading(2, "11.", "Итог", "sec-2-1")]
    assert Counter(heading_slugs(twice).values()) == {"11-итог": 1, "11-итог-1": 1}


def test_a_fence_is_longer_than_any_inside() -> None:
    assert fenced("a\n````\nb", "md") == "`````md\na\n````\nb\n`````"
