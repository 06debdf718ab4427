"""The Markdown on a repository's web page: anchors, pictures, fences."""

import re
from collections import Counter
from pathlib import Path

import pytest

from report import markdown
from report.markdown import fenced, heading_slugs
from report.merge import Heading

from .conftest import PARTS

FILES = [
    "report.md",
    *["01_description.md", "02_theory.md", "03_practice.md", "04_screenshots.md"],
    "05_conclusions.md",
]
FENCED = re.compile(r"^(```+).*?^\1$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def texts(output: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in sorted(output.glob("*.md"))}


@pytest.fixture(scope="module")
def text(texts: dict[str, str]) -> str:
    return "\n".join(texts.values())


@pytest.fixture(scope="module")
def prose(texts: dict[str, str]) -> dict[str, str]:
    """The texts without what stands in fences and code spans."""
    return {name: re.sub(r"`[^`\n]+`", "", FENCED.sub("", text)) for name, text in texts.items()}


def test_an_index_and_a_file_for_each_part(texts: dict[str, str], prose: dict[str, str]) -> None:
    assert sorted(texts) == sorted(FILES)
    for number, part in enumerate(PARTS, 1):
        [title] = re.findall(r"^# (.*)$", prose[FILES[number]], re.MULTILINE)
        assert title == f"{number}. {part}"


def test_every_part_leads_to_the_contents_and_to_its_neighbours(texts: dict[str, str]) -> None:
    for number, name in enumerate(FILES[1:], 1):
        first, last = texts[name].split("\n")[0], texts[name].rstrip().split("\n")[-1]
        assert first == last
        before, after = FILES[max(number - 1, 1) : number], FILES[number + 1 : number + 2]
        assert re.findall(r"\]\(([\w.]+)\)", first) == [*before, "report.md", *after]


def test_every_link_resolves_to_its_file_and_place(
    output: Path, texts: dict[str, str], prose: dict[str, str]
) -> None:
    anchors = {}
    for name, text in texts.items():
        # GitHub's anchors, worked out here from the headings as they stand in the file.
        headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
        anchors[name] = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
        anchors[name] |= set(re.findall(r'<a id="([^"]+)"></a>', prose[name]))
    found = set()
    for name, text in prose.items():
        for file, anchor in re.findall(r"(?<!!)\[[^\[\]]*\]?\]\(([\w.]*)#([^)]+)\)", text):
            assert anchor in anchors[file or name], (name, file, anchor)
            found.add((name, file, anchor))
    assert ("01_description.md", "", "fig-one") in found
    assert ("05_conclusions.md", "01_description.md", "tab-sums") in found
    assert ("02_theory.md", "05_conclusions.md", "src-1") in found
    assert ("01_description.md", "02_theory.md", "2-теоретическая-часть") in found


def test_every_picture_lies_beside_and_none_is_left_over(
    output: Path, prose: dict[str, str]
) -> None:
    pictures = re.findall(r"!\[[^\]]+\]\((figures/[^)]+)\)", "".join(prose.values()))
    assert len(pictures) == 3
    there = {path.relative_to(output).as_posix() for path in (output / "figures").iterdir()}
    assert there == set(pictures)


def test_code_stands_as_it_was_written(text: str) -> None:
    source = Path(__file__).resolve().parents[2] / "chat" / "core" / "room.py"
    listing = re.search(r"Листинг&nbsp;1\..*?```python\n(.*?)\n```", text, re.DOTALL)
    assert listing is not None
    assert listing[1] in source.read_text("utf-8")


def test_formulas_stay_formulas(text: str) -> None:
    assert "$\\frac{1}{n}$" in text
    assert "$$\\sum_{i=1}^{k} x_i < 1$$" in text


def test_a_table_follows_its_caption(text: str) -> None:
    assert re.search(
        r"\*\*Таблица&nbsp;1\.\*\* Сводка с `кодом`\n\n\| Что \| Сколько \|\n\|:---", text
    )


def test_headings_of_the_same_text_get_different_anchors() -> None:
    twice = [Heading(2, "1.1", "Итог", "sec-1-1"), Heading(2, "11.", "Итог", "sec-2-1")]
    assert Counter(heading_slugs(twice).values()) == {"11-итог": 1, "11-итог-1": 1}


def test_a_fence_is_longer_than_any_inside() -> None:
    assert fenced("a\n````\nb", "md") == "`````md\na\n````\nb\n`````"


def test_words_of_a_drawing_fit_where_its_font_is_missing(tmp_path: Path) -> None:
    drawing = b"<text style=\"font: 9px 'Noto Sans', 'DejaVu Sans'\">"
    markdown.write_pictures({"figures/a.svg": drawing, "figures/b.png": drawing}, tmp_path)
    written = (tmp_path / "figures" / "a.svg").read_text()
    assert 0 < written.index("'Noto Sans'") < written.index("Arial") < written.index("DejaVu Sans")
    assert (tmp_path / "figures" / "b.png").read_bytes() == drawing
