"""GOST 7.32-2017 as a checklist: the PDF and the DOCX are measured, clause by clause."""

import copy
import re
import shutil
import subprocess
import zipfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import docx
import nbformat
import pytest
from docx.document import Document as Docx
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml.ns import qn
from docx.shared import Pt
from docx.text.paragraph import Paragraph
from nbformat import NotebookNode, v4

from chat.app.i18n import set_language
from report import docx as report_docx
from report import gost, pandoc, pdf, settings, sources
from report.export import Document
from report.merge import merge
from report.original import Changes
from report.settings import Paper, TitlePage

from .conftest import PARTS, markdown

MILLIMETRE = 72 / 25.4
STRUCTURE = [
    "ВВЕДЕНИЕ",
    *[f"{number} {part}" for number, part in enumerate(PARTS, 1)],
    "ЗАКЛЮЧЕНИЕ",
    "СПИСОК ИСПОЛЬЗОВАННЫХ ИСТОЧНИКОВ",
    "ПРИЛОЖЕНИЕ А",
]
LONG_TABLE = 60

needs_poppler = pytest.mark.skipif(
    shutil.which("pdftohtml") is None, reason="pdftohtml is not installed (poppler-utils)"
)


class Line(NamedTuple):
    """A piece of a line of the PDF, in points from the top left corner of the page."""

    page: int
    top: float
    left: float
    width: float
    size: float
    family: str
    colour: str
    text: str
    bold: bool

    @property
    def right(self) -> float:
        return self.left + self.width


def executed(project: Path) -> list[tuple[Path, NotebookNode]]:
    """Return the notebooks of the small project as its build ran them."""
    cache = project / "build" / "cache" / "report" / "ru" / "executed"
    return [
        (project / "notebooks" / "ru" / f"{path.name.split('.')[0]}.ipynb", nbformat.read(path, 4))  # type: ignore[no-untyped-call]
        for path in sorted(cache.glob("*.ipynb"))
    ]


def table(rows: int, label: str) -> NotebookNode:
    """Return a cell that has shown a table."""
    lines = [
        f"| {row} | значение номер {row} | `tests/lab/test_figures.py` |" for row in range(rows)
    ]
    return v4.new_code_cell(  # type: ignore[no-any-return, no-untyped-call]
        "",
        outputs=[
            v4.new_output(  # type: ignore[no-untyped-call]
                "display_data",
                {"text/markdown": "\n".join(["| № | Что | Где |", "|---:|:---|:---|", *lines])},
                metadata={"report": {"kind": "table", "label": label, "caption": "длинная."}},
            )
        ],
    )


def as_document(books: list[tuple[Path, NotebookNode]]) -> Document:
    paper = Paper("gost", "О чём отчёт.\n\nИ что вышло.", "чат, сокет, TCP, поток, протокол")
    page = TitlePage(title="Чат & `сокеты` [1]", kind="Отчёт", student="Иванова А. С.", year="2026")
    return Document(merge(books, "ru"), page, "ru", "0" * 64, Changes([], [], []), paper=paper)


@pytest.fixture(scope="module")
def document(project: Path) -> Document:
    """The small report with a conclusion and a table of several pages."""
    set_language("ru")
    books = copy.deepcopy(executed(project))
    last = books[-1][1]
    last.cells[1:1] = [
        markdown("## Что измерено", "Слова перед таблицей, о которой никто не сказал."),
        table(LONG_TABLE, "tab-long"),
        markdown("## Заключение", "Чат работает: **все** довольны."),
    ]
    last.cells.insert(-1, markdown("## Источники"))
    return as_document(books)


@pytest.fixture(scope="module")
def folder(document: Document, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both files."""
    folder = tmp_path_factory.mktemp("gost")
    pandoc.prepare(document, folder / "source")
    pdf.write(folder / "source", folder / "report.pdf")
    report_docx.write(folder / "source", folder / "report.docx")
    return folder


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[Line]:
    done = subprocess.run(
        ["pdftohtml", "-xml", "-i", "-zoom", "1", "-stdout", str(folder / "report.pdf")],
        capture_output=True,
        check=True,
    )
    # Poppler crosses <b> and <i> where both begin or end; only the text and <b> are wanted.
    xml = re.sub(rb"</?[ia]\b[^>]*>", b"", done.stdout)
    xml = re.sub(rb"<!DOCTYPE[^>]*>|<outline>.*</outline>", b"", xml, flags=re.DOTALL)
    fonts: dict[str, ElementTree.Element] = {}
    found = []
    for page in ElementTree.fromstring(xml).iter("page"):
        fonts |= {font.get("id", ""): font for font in page.iter("fontspec")}
        for text in page.iter("text"):
            font = fonts[text.get("font", "")]
            found.append(
                Line(
                    int(page.get("number", 0)),
                    float(text.get("top", 0)),
                    float(text.get("left", 0)),
                    float(text.get("width", 0)),
                    float(font.get("size", 0)),
                    font.get("family", "").partition("+")[2],
                    font.get("color", ""),
                    "".join(text.itertext()).replace("\N{NO-BREAK SPACE}", " "),
                    text.find("b") is not None,
                )
            )
    return found


@pytest.fixture(scope="module")
def words(folder: Path) -> list[tuple[int, float, float, float, float, str]]:
    """Every word of the PDF with its page and its box in points, as exact as the PDF."""
    done = subprocess.run(
        ["pdftotext", "-bbox", str(folder / "report.pdf"), "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = []
    for number, page in enumerate(done.stdout.split("<page ")[1:], 1):
        for match in re.finditer(
            r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*?)<', page
        ):
            left, top, right, bottom = (float(side) for side in match.groups()[:4])
            found.append((number, left, top, right, bottom, match[5]))
    return found


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    done = subprocess.run(
        ["pdftotext", "-layout", str(folder / "report.pdf"), "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.replace("\N{NO-BREAK SPACE}", " ").replace("\N{WORD JOINER}", "")


@pytest.fixture(scope="module")
def word_file(folder: Path) -> Docx:
    return docx.Document(str(folder / "report.docx"))


def paragraphs(word_file: Docx, style: str) -> list[Paragraph]:
    return [p for p in word_file.paragraphs if p.style is not None and p.style.name == style]


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{EN SPACE}", " ")


def body_lines(lines: list[Line]) -> list[Line]:
    """What is not in a table, a listing or a formula, and not a page's number."""
    return [line for line in lines if line.size == 14 and line.family.startswith("STIXGeneral")]


# --- 6.1: the page ----------------------------------------------------------------------------


@needs_poppler
def test_margins_are_30_15_20_20(words: list[tuple[int, float, float, float, float, str]]) -> None:
    inside = [word for word in words if not (word[4] > 785 and word[5].isdigit())]
    assert min(word[1] for word in inside) >= 30 * MILLIMETRE - 0.6
    assert max(word[3] for word in inside) <= (210 - 15) * MILLIMETRE + 0.6
    assert min(word[2] for word in inside) >= 20 * MILLIMETRE - 4  # the box of a letter is higher
    assert max(word[4] for word in inside) <= (297 - 20) * MILLIMETRE + 4
    # And the text fills the room between them: justified lines end at the right margin.
    rights = Counter(round(word[3]) for word in inside)
    assert rights[round((210 - 15) * MILLIMETRE)] > 10


@needs_poppler
def test_letters_are_of_14_points_in_a_times_and_black(lines: list[Line]) -> None:
    letters = Counter[str]()
    for line in lines:
        letters[f"{line.family.split('-')[0]} {line.size:g}"] += len(line.text)
    text = Counter({font: n for font, n in letters.items() if "Mono" not in font})
    assert text.most_common(1)[0][0] == "STIXGeneral 14"
    small = {line.size for line in lines if line.family.startswith("STIXGeneral")} - {14.0}
    assert small <= {12.0}, "tables and the numbers of pages may be smaller, by 6.6 and 6.3"
    # But in a drawing, whose letters are those of the page.
    written = [line for line in lines if not line.family.startswith("NotoSans")]
    assert {line.colour for line in written} == {"#000000"}


@needs_poppler
def test_lines_stand_one_and_a_half_apart(
    words: list[tuple[int, float, float, float, float, str]],
) -> None:
    # The sources are the longest running text here.
    tops = sorted({(page, round(top, 1)) for page, left, top, _r, _b, _t in words if left < 120})
    gaps = Counter(
        round(below[1] - above[1], 1) for above, below in pairwise(tops) if above[0] == below[0]
    )
    assert gaps[24.1] + gaps[24.2] > 3, gaps


@needs_poppler
def test_paragraphs_are_indented_by_12_5_millimetres(lines: list[Line]) -> None:
    first = next(line for line in body_lines(lines) if line.text.startswith("Слова перед"))
    assert first.left == pytest.approx((30 + 12.5) * MILLIMETRE, abs=1)


def test_the_page_and_the_text_of_the_docx(word_file: Docx) -> None:
    section = word_file.sections[0]
    sides = (section.left_margin, section.right_margin, section.top_margin, section.bottom_margin)
    assert [round(side.mm) for side in sides if side is not None] == [30, 15, 20, 20]
    normal = word_file.styles["Normal"].font
    assert (normal.name, normal.size) == ("Times New Roman", Pt(14))
    for name in ("Body Text", "First Paragraph", "Compact"):
        layout = word_file.styles[name].paragraph_format
        assert layout.line_spacing == 1.5
        assert layout.first_line_indent is not None
        assert layout.first_line_indent.mm == pytest.approx(12.5, abs=0.1)
        assert layout.alignment == WD_ALIGN_PARAGRAPH.JUSTIFY


def test_everything_in_the_docx_is_black(folder: Path) -> None:
    with zipfile.ZipFile(folder / "report.docx") as package:
        written = package.read("word/styles.xml") + package.read("word/document.xml")
    assert set(re.findall(rb'w:color w:val="(\w+)"', written)) <= {b"000000", b"auto"}
    assert b"<w:shd" not in written


# --- 6.2, 6.3: structure and pages ------------------------------------------------------------


@needs_poppler
def test_structural_headings_and_sections_begin_pages_in_order(text: str) -> None:
    beginnings = [page.strip().split("\n")[0].strip() for page in text.split("\f")]
    begun = [re.sub(r"\s+", " ", line) for line in beginnings]
    assert [line for line in begun if line in STRUCTURE] == STRUCTURE
    assert begun.index("РЕФЕРАТ") < begun.index("СОДЕРЖАНИЕ") < begun.index("ВВЕДЕНИЕ")


@needs_poppler
def test_structural_headings_stand_in_the_middle_and_sections_at_the_indent(
    lines: list[Line],
) -> None:
    middle = (30 + (210 - 30 - 15) / 2) * MILLIMETRE
    structural = [
        line
        for line in lines
        if line.bold
        and line.text.strip() in (*STRUCTURE, "СОДЕРЖАНИЕ", "РЕФЕРАТ")
        and line.text.isupper()
    ]
    assert len(structural) == 6
    for line in structural:
        assert (line.left + line.right) / 2 == pytest.approx(middle, abs=4), line
    sections = [line for line in lines if line.bold and re.match(r"\d(\.\d+)? ", line.text)]
    assert len(sections) >= 5 + 3
    for line in sections:
        assert line.left == pytest.approx((30 + 12.5) * MILLIMETRE, abs=1.5), line
        assert not line.text.rstrip().endswith(".")


@needs_poppler
def test_bold_is_for_headings(lines: list[Line]) -> None:
    bold = {line.text.strip() for line in lines if line.bold}
    assert not any("все" in text for text in bold)  # which the notebook had emphasized
    headings = r"\d+(\.\d+)*\s|[А-Я ]+$|Листинги программ|требуется"
    assert all(re.match(headings, text) for text in bold), bold


@needs_poppler
def test_pages_are_numbered_at_the_bottom_in_the_middle_but_the_first(lines: list[Line]) -> None:
    middle = (30 + (210 - 30 - 15) / 2) * MILLIMETRE
    last = {line.page: line for line in lines if line.top > 780}
    assert 1 not in last
    assert sorted(last) == list(range(2, max(line.page for line in lines) + 1))
    for page, line in last.items():
        assert line.text.strip() == str(page)
        assert (line.left + line.right) / 2 == pytest.approx(middle, abs=2)


@needs_poppler
def test_the_contents_tell_the_right_pages(text: str) -> None:
    pages = text.split("\f")
    contents = next(page for page in pages if page.strip().startswith("СОДЕРЖАНИЕ"))
    told = dict(re.findall(r"^ *(\S.*?) ?(?:\. ?){3,} ?(\d+)$", contents, re.MULTILINE))
    assert [title for title in told if re.match(r"\d |[А-Я]{5}", title)] == [
        *STRUCTURE[:-1],
        "ПРИЛОЖЕНИЕ А Листинги программ",
    ]
    for title, number in told.items():
        start = re.sub(r"(ПРИЛОЖЕНИЕ А).*", r"\1", title)
        assert start in re.sub(r" +", " ", pages[int(number) - 1]), title


@needs_poppler
def test_the_abstract_counts_pages_and_the_rest(text: str) -> None:
    pages = text.rstrip("\f").split("\f")
    abstract = re.sub(r"\s+", " ", next(page for page in pages if "РЕФЕРАТ" in page[:200]))
    size = f"Отчёт {len(pages)} с., 2 рис., 2 табл., 1 источн., 1 прил."
    assert size in abstract
    assert "ЧАТ, СОКЕТ, TCP, ПОТОК, ПРОТОКОЛ О чём отчёт. И что вышло." in abstract


def test_headings_of_the_docx(word_file: Docx) -> None:
    structural = [plain(p.text) for p in paragraphs(word_file, report_docx.STRUCTURAL)]
    assert structural == [*STRUCTURE[:1], *STRUCTURE[6:8], "ПРИЛОЖЕНИЕ А\nЛистинги программ"]
    assert [plain(p.text) for p in paragraphs(word_file, "Heading 1")] == STRUCTURE[1:6]
    style = word_file.styles[report_docx.STRUCTURAL]
    assert style.paragraph_format.alignment == WD_ALIGN_PARAGRAPH.CENTER
    section = word_file.styles["heading 1"].paragraph_format
    assert section.first_line_indent is not None
    assert section.first_line_indent.mm == pytest.approx(12.5, abs=0.1)
    assert section.page_break_before
    for name in (report_docx.STRUCTURAL, "heading 1", "heading 2"):
        font = word_file.styles[name].font
        assert (font.bold, font.size) == (True, Pt(14))
    assert "NUMPAGES" in word_file.element.body.xml
    assert word_file.sections[0].different_first_page_header_footer
    assert "PAGE" in word_file.sections[0].footer.paragraphs[0]._p.xml


# --- 6.4 to 6.6: lists, figures, tables -------------------------------------------------------


@needs_poppler
def test_captions_are_written_as_the_standard_wants(lines: list[Line], text: str) -> None:
    middle = (30 + (210 - 30 - 15) / 2) * MILLIMETRE
    for caption in ("Рисунок 1 – Рисунок one", "Рисунок 2 – Рисунок two"):
        line = next(line for line in lines if line.text.startswith(caption))
        assert line.text.strip() == caption, "no point at the end"
        assert (line.left + line.right) / 2 == pytest.approx(middle, abs=2)
    for caption in ("Таблица 1 – Сводка", "Таблица 2 – Длинная"):
        line = next(line for line in lines if line.text.startswith(caption))
        assert line.left == pytest.approx(30 * MILLIMETRE, abs=1)
    assert not re.search(r"\b(Рис|Табл)\.", text)


def test_captions_of_the_docx(word_file: Docx) -> None:
    pictures = [plain(p.text) for p in paragraphs(word_file, "Image Caption")]
    assert pictures == ["Рисунок 1 – Рисунок one", "Рисунок 2 – Рисунок two"]
    others = [plain(p.text) for p in paragraphs(word_file, "Table Caption")]
    assert others[0] == "Таблица 1 – Сводка с кодом"
    assert others[1].startswith("Листинг 1 – Программа (chat/core/protocol.py, строка ")
    assert others[2:4] == ["Таблица 2 – Длинная", "Продолжение таблицы 2"]
    assert others[-1].startswith("Листинг А.1 – Программа (chat/core/room.py, строки ")
    styles = word_file.styles
    assert styles["Image Caption"].paragraph_format.alignment == WD_ALIGN_PARAGRAPH.CENTER
    assert styles["Table Caption"].paragraph_format.first_line_indent in (None, 0)


@needs_poppler
def test_a_table_that_goes_on_says_so_on_each_page(lines: list[Line], text: str) -> None:
    pages = text.split("\f")
    with_rows = [n for n, page in enumerate(pages, 1) if "значение номер" in page]
    assert len(with_rows) > 1
    told = [line for line in lines if line.text.startswith("Продолжение таблицы 2")]
    assert [line.page for line in told] == with_rows[1:]
    for line in told:
        assert line.left == pytest.approx(30 * MILLIMETRE, abs=1)
        assert line.top < 80
    rows = re.findall(r"значение номер (\d+)", text)
    assert rows == [str(row) for row in range(LONG_TABLE)]


def test_tables_of_the_docx_are_cut_into_pages(word_file: Docx) -> None:
    parts = [t for t in word_file.tables if t.rows[0].cells[0].text == "№"]
    assert len(parts) > 1
    rows = [row.cells[0].text for part in parts for row in part.rows[1:]]
    assert rows == [str(row) for row in range(LONG_TABLE)]
    continued = [p for p in paragraphs(word_file, "Table Caption") if "Продолжение" in p.text]
    assert len(continued) == len(parts) - 1
    assert all(p.paragraph_format.page_break_before for p in continued)
    borders = word_file.styles["Table"].element.find(".//" + qn("w:tblBorders"))
    assert {child.tag.partition("}")[2] for child in borders} >= {"top", "left", "bottom", "right"}


@needs_poppler
def test_everything_with_a_caption_is_mentioned(text: str, word_file: Docx) -> None:
    from_docx = "\n".join(plain(p.text) for p in word_file.paragraphs)
    for told in (re.sub(r"\s+", " ", text), from_docx):
        for word, number in [
            ("рисун", "1"),
            ("рисун", "2"),
            ("таблиц", "1"),
            ("таблиц", "2"),
            ("листинг", "А.1"),
            ("листинг", "1"),
        ]:
            mentions = re.findall(rf"(?<!Продолжение )\b[{word[0]}]{word[1:]}\w* {number}\b", told)
            assert mentions, (word, number)


def test_references_in_the_docx_are_fields(word_file: Docx) -> None:
    body = word_file.element.body
    codes = [(code.text or "").split() for code in body.iter(qn("w:instrText"))]
    marks = {mark.get(qn("w:name")) for mark in body.iter(qn("w:bookmarkStart"))}
    named = {code[1] for code in codes if code and code[0] == "REF"}
    assert {"_Ref_fig_one", "_Ref_lst_long", "_Ref_tab_long", "_Ref_src_1"} <= named
    assert named <= marks
    assert ["SEQ", "Листинг_А", "\\*", "ARABIC"] in codes


@needs_poppler
def test_a_long_listing_is_in_the_appendix(text: str) -> None:
    pages = text.split("\f")
    place = next(n for n, page in enumerate(pages) if page.strip().startswith("ПРИЛОЖЕНИЕ А"))
    for page, listing in (("Листинг А.1 – Программа", place), ("Листинг 1 – Программа", 0)):
        found = [n for n, each in enumerate(pages) if page in each]
        assert found == [place] if listing else found[0] < place
    assert "Продолжение листинга А.1" in pages[place + 1]


@needs_poppler
def test_lists_and_formulas(text: str, word_file: Docx) -> None:
    assert re.search(r"^ *– *0 потерянных сообщений;", text, re.MULTILINE)
    assert re.search(r"< 1 +\(1\)$", text, re.MULTILINE)
    formula = paragraphs(word_file, "Formula")
    assert len(formula) == 1
    assert plain(formula[0].text).replace("\t", "").endswith("(1)")
    marks = word_file.part.numbering_part.element.iter(qn("w:lvlText"))
    assert not any("•" in (mark.get(qn("w:val")) or "") for mark in marks)


# --- the order and the numbers, without the paper ---------------------------------------------


def book(*cells: NotebookNode) -> NotebookNode:
    return v4.new_notebook(cells=list(cells))  # type: ignore[no-any-return, no-untyped-call]


def arranged(*books: NotebookNode) -> list[tuple[str, str]]:
    """Return number and title of every heading of the report made of *books*."""
    paths = [Path(f"0{n}_x.ipynb") for n in range(1, len(books) + 1)]
    document = gost.arrange(as_document(list(zip(paths, books, strict=True))))
    return [(heading.number, heading.title) for heading in document.headings]


def test_sections_called_introduction_and_conclusion_are_taken_from_where_they_stand() -> None:
    set_language("ru")
    headings = arranged(
        book(markdown("# А", "Слова."), markdown("## Введение", "Начало.", "### Цель", "Такая.")),
        book(markdown("# Б"), markdown("## Раз"), markdown("## Заключение", "Конец.")),
    )
    assert headings == [
        ("", "ВВЕДЕНИЕ"),
        ("1", "А"),
        ("2", "Б"),
        ("2.1", "Раз"),
        ("", "ЗАКЛЮЧЕНИЕ"),
    ]


def test_without_them_the_opening_and_the_last_section_stand_for_them() -> None:
    set_language("ru")
    headings = arranged(
        book(markdown("# А", "Слова."), markdown("## Раз", "Начало.")),
        book(markdown("# Б"), markdown("## Раз"), markdown("## Два", "Конец.")),
    )
    assert headings == [
        *[("", "ВВЕДЕНИЕ"), ("1", "А"), ("1.1", "Раз")],
        *[("2", "Б"), ("2.1", "Раз"), ("", "ЗАКЛЮЧЕНИЕ")],
    ]


def test_what_the_standard_wants_and_the_text_lacks_is_said() -> None:
    set_language("ru")
    with pytest.raises(gost.GostError, match="введение"):
        arranged(book(markdown("# А", "Слова.")))
    with pytest.raises(gost.GostError, match="заключение"):
        arranged(book(markdown("# А", "Слова."), markdown("## Раз", "И всё.")))


def test_what_nobody_mentions_is_mentioned_where_it_stands(document: Document) -> None:
    cells = gost.arrange(document).merged.notebook.cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert any(
        text.endswith("о которой никто не сказал ([таблица\N{NO-BREAK SPACE}2](#tab-long)).")
        for text in texts
    )
    # What is mentioned already is not mentioned twice in a row.
    assert sum("#fig-one" in text for text in texts) == 1


@pytest.mark.parametrize(
    ("language", "form"),
    [
        ("ru", "URL: <{address}> (дата обращения: "),
        ("en", "Accessed: Nov. {day}, 2026. [Online]. Available: <{address}>"),
    ],
)
def test_every_source_has_its_address_as_its_language_writes_it(language: str, form: str) -> None:
    known = sources.Sources(language)
    for address in known._by_address:
        known.cite(address)
    for (address, source), entry in zip(known._by_address.items(), known.references(), strict=True):
        day = source["accessed"]["date-parts"][0][2]
        assert form.format(address=address, day=day) in entry.replace("\\", ""), entry
        assert not re.match(r"\W?\d+[.\]]", entry), entry  # the list has numbers of its own
        if language == "en":
            assert "№" not in entry


# --- how the form is chosen -------------------------------------------------------------------


def test_the_form_is_chosen_in_the_settings_or_by_the_command(tmp_path: Path) -> None:
    told = tmp_path / "report.toml"
    told.write_text('format = "gost"\n[abstract]\nkeywords = "чат"\nabstract = "О чём."\n', "utf-8")
    assert settings.load_paper(told, "ru") == Paper("gost", "О чём.", "чат")
    assert settings.load_paper(told, "ru", "book").form == "book"
    told.write_text("", "utf-8")
    assert settings.load_paper(told, "ru") == Paper("book")
    assert settings.load_paper(told, "ru", "gost").form == "gost"


def test_a_form_that_is_not_known_is_refused_in_a_sentence(tmp_path: Path) -> None:
    set_language("ru")
    told = tmp_path / "report.toml"
    told.write_text('format = "госст"\n', "utf-8")
    with pytest.raises(settings.SettingsError, match=r"'госст'.*book, gost"):
        settings.load_paper(told, "ru")
    told.write_text('[abstract]\ntext = "О чём."\n', "utf-8")
    with pytest.raises(settings.SettingsError, match=r"\[abstract\].*text.*keywords"):
        settings.load_paper(told, "ru")
