"""The PDF by its text, taken out by poppler: parts, contents, captions, no line over the edge."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from report import pdf

from .conftest import PARTS

A4_POINTS = (595.3, 841.9)
MILLIMETRE = 72 / 25.4
RIGHT_MARGIN = 20 * MILLIMETRE

needs_poppler = pytest.mark.skipif(
    shutil.which("pdftotext") is None, reason="pdftotext is not installed (poppler-utils)"
)


def pdftotext(path: Path, *options: str) -> str:
    done = subprocess.run(
        ["pdftotext", *options, str(path), "-"], capture_output=True, text=True, check=True
    )
    return done.stdout.replace("\N{WORD JOINER}", "")


@pytest.fixture(scope="module")
def pages(output: Path) -> list[str]:
    return pdftotext(output / "report.pdf", "-layout").split("\f")


@needs_poppler
def test_title_contents_and_five_parts_each_on_a_new_page(pages: list[str]) -> None:
    assert "Чат на сокетах & потоках" in pages[0]
    assert "Иванова А. С." in pages[0]
    assert pages[0].split()[-1] == "2026"
    contents = dict(re.findall(r"^ *(\d) +(\D+?) ?(?:\. ?)+ *\d+$", pages[1], re.MULTILINE))
    assert list(contents.values()) == list(PARTS)
    beginnings = [
        match[1]
        for page in pages[2:]
        if (match := re.match(r"\s*\d (\w.*)", page)) and match[1] in PARTS
    ]
    assert beginnings == list(PARTS)


@needs_poppler
def test_the_contents_tell_the_right_pages(pages: list[str]) -> None:
    told = re.findall(r"^ *(\d(?:\.\d)?) .*?\. ?(\d+)$", pages[1], re.MULTILINE)
    assert len(told) == 7
    for number, page in told:
        assert re.search(rf"^ *{re.escape(number)} \w", pages[int(page) - 1], re.MULTILINE)


@needs_poppler
def test_every_character_has_a_glyph_and_every_caption_its_number(pages: list[str]) -> None:
    text = "\n".join(pages)
    assert "\N{REPLACEMENT CHARACTER}" not in text
    assert "\x00" not in text
    for caption in ("Рис. 1. Рисунок one", "Таблица 1. Сводка", "Рис. 2. Рис", "Листинг 2. Прог"):
        assert caption in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "[U+1F98A]" in text  # a fox, for which no font travels with the libraries


@needs_poppler
def test_no_line_is_clipped(output: Path) -> None:
    boxes = pdftotext(output / "report.pdf", "-bbox")
    rights = [float(edge) for edge in re.findall(r'<word .*?xMax="([\d.]+)"', boxes)]
    assert len(rights) > 300
    # Half a point of grace: italics lean over the edge of their box.
    assert max(rights) <= A4_POINTS[0] - RIGHT_MARGIN + 0.5
    # All 300 letters of the long word that the notebook printed are there.
    assert pdftotext(output / "report.pdf").count("x") >= 300


@needs_poppler
def test_fonts_do_not_come_from_this_machine(output: Path) -> None:
    done = subprocess.run(
        ["pdffonts", str(output / "report.pdf")], capture_output=True, text=True, check=True
    )
    rows = done.stdout.splitlines()[2:]
    names = {row.split()[0].partition("+")[2].partition("-")[0] for row in rows}
    assert names <= {"LibertinusSerif", "DejaVuSansMono", "DejaVuSans", "NewCMMath"}
    # "emb" and "uni": embedded, and the text can be copied.
    assert all(re.search(r" yes yes (yes|no) ", row) or " yes yes yes" in row for row in rows)


def test_a_character_without_a_glyph_is_named_by_its_number() -> None:
    assert pdf.spell_out_missing("а\u2764\ufe0f🦊\n", {ord("а"), 0x2764}) == "а\u2764[U+1F98A]\n"


def test_what_typst_refuses_is_reported_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("```{=typst}\n#no-such-function()\n```\n", "utf-8")
    (tmp_path / "metadata.json").write_text('{"lang": "ru-RU", "title": "x"}', "utf-8")
    with pytest.raises(pdf.TypstError, match="no-such-function"):
        pdf.write(tmp_path, tmp_path / "report.pdf")
