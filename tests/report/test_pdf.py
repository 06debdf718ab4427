"""The PDF by its text, taken out by poppler, and by its structure, read by pikepdf.

What Typst promises of PDF/A and PDF/UA it checks itself as it writes: what would not be valid is an
error. Here is checked that the promise was asked for and what a reader who cannot see gets.
"""

import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pikepdf
import pytest
import typst
from PIL import Image

from report import pandoc, pdf, settings

from .conftest import PARTS

A4_POINTS = (595.3, 841.9)
MILLIMETRE = 72 / 25.4
RIGHT_MARGIN = 20 * MILLIMETRE

needs_poppler = pytest.mark.skipif(
    shutil.which("pdftohtml") is None, reason="pdftohtml is not installed (poppler-utils)"
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
        if (match := re.match(r"\s*\d (\w.*)\n", page)) and match[1] in PARTS
    ]
    # Further pages of a part begin with its running head.
    assert list(dict.fromkeys(beginnings)) == list(PARTS)


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
    assert {"Vollkorn", "JetBrainsMono", "NotoSans"} <= names, "the three families of the page"
    assert names <= {
        "Vollkorn",
        "JetBrainsMono",
        "NotoSans",
        "DejaVuSansMono",
        "DejaVuSans",
        "NewCMMath",
    }
    # "emb" and "uni": embedded, and the text can be copied.
    assert all(re.search(r" yes yes (yes|no) ", row) or " yes yes yes" in row for row in rows)


def test_a_character_without_a_glyph_is_named_by_its_number() -> None:
    assert pdf.spell_out_missing("а\u2764\ufe0f🦊\n", {ord("а"), 0x2764}) == "а\u2764[U+1F98A]\n"
    # Which DejaVu has a glyph for, and PDF/A forbids.
    assert pdf.spell_out_missing("\ue000\ufeffа", {ord("а"), 0xE000, 0xFEFF}) == "[U+E000]а"


def test_what_typst_refuses_is_reported_with_its_place(tmp_path: Path) -> None:
    prepare(tmp_path, "```{=typst}\n#no-such-function()\n```\n")
    with pytest.raises(pdf.TypstError, match="no-such-function"):
        pdf.write(tmp_path, tmp_path / "report.pdf")


def prepare(folder: Path, text: str, form: str = "book") -> None:
    """Write what pandoc is given of a report that says *text*."""
    folder.mkdir(exist_ok=True)
    (folder / "report.md").write_text(text, "utf-8")
    told = {
        "lang": "ru-RU",
        "title": "x",
        "form": form,
        "continued-listing": "Продолжение листинга {number}",
        "continued-table": "Продолжение таблицы {number}",
    }
    for name in (pandoc.METADATA, "markdown.json"):
        (folder / name).write_text(json.dumps(told), "utf-8")


# --- the structure: PDF/UA-1 (ISO 14289-1) and PDF/A-2a (ISO 19005-2) --------------------------


@pytest.fixture(scope="module")
def opened(output: Path) -> Iterator[pikepdf.Pdf]:
    with pikepdf.open(output / "report.pdf") as opened:
        yield opened


def tagged(element: pikepdf.Object) -> Iterator[pikepdf.Object]:
    """Yield all the elements of the tree of structure below *element*."""
    yield element
    children: Any = element.get("/K", [])
    for child in children if isinstance(children, pikepdf.Array | list) else [children]:
        if isinstance(child, pikepdf.Dictionary) and "/S" in child:
            yield from tagged(child)


def test_the_file_says_which_standards_it_keeps(opened: pikepdf.Pdf) -> None:
    with opened.open_metadata() as metadata:
        assert (metadata["pdfaid:part"], metadata["pdfaid:conformance"]) == ("2", "A")
        assert metadata["pdfuaid:part"] == "1"
        assert metadata["dc:title"] == "Чат на сокетах & потоках"
        assert metadata["dc:creator"] == ["Иванова А. С."]
    root = opened.Root
    assert str(root.Lang) == "ru-RU"
    assert root.MarkInfo.Marked
    assert root.ViewerPreferences.DisplayDocTitle
    assert root.OutputIntents[0].S == "/GTS_PDFA1"


def test_who_cannot_see_is_told_of_every_figure_formula_and_heading(opened: pikepdf.Pdf) -> None:
    elements = [*tagged(opened.Root.StructTreeRoot)][1:]
    kinds = [str(element.S) for element in elements]
    figures = [element for element in elements if element.S == "/Figure"]
    told = [str(figure.get("/Alt", "")) for figure in figures]
    assert {'Цветной "прямоугольник" one', 'Цветной "прямоугольник" two', "Кадр"} <= set(told)
    assert all(told)
    formulas = [str(element.get("/Alt", "")) for element in elements if element.S == "/Formula"]
    assert "\\frac{1}{n}" in formulas
    assert all(formulas)
    assert kinds.count("/H1") >= 6
    assert "/H2" in kinds
    assert {"/Table", "/TH", "/L", "/LI", "/Code", "/Link", "/Caption"} <= set(kinds)


def test_the_outline_leads_to_all_sections(opened: pikepdf.Pdf) -> None:
    with opened.open_outline() as outline:
        parts = [item.title for item in outline.root]
        inner = [child.title for item in outline.root for child in item.children]
    assert [part for part in parts if part[0].isdigit()] == [
        f"{number} {part}" for number, part in enumerate(PARTS, 1)
    ]
    assert "2.1 Кадры и поток" in inner


@needs_poppler
def test_code_is_not_smaller_than_8_points(output: Path) -> None:
    done = subprocess.run(
        ["pdftohtml", "-xml", "-i", "-zoom", "1", "-stdout", str(output / "report.pdf")],
        capture_output=True,
        text=True,
        check=True,
    )
    fonts = re.findall(r'<fontspec id="\d+" size="(\d+)" family="\w+\+([^"]+)"', done.stdout)
    code = [int(size) for size, family in fonts if family.startswith("JetBrainsMono")]
    assert min(code) >= 8, fonts


@needs_poppler
def test_a_listing_that_goes_on_says_so_and_pages_say_where_one_is(pages: list[str]) -> None:
    continued = [page for page in pages if "Продолжение листинга 1" in page]
    assert len(continued) > 1
    for page in continued:
        head, said = [line.strip() for line in page.split("\n") if line.strip()][:2]
        assert head == "3 Практическая часть"
        assert said == "Продолжение листинга 1"
    assert not any("Продолжение листинга 2" in page for page in pages)


@needs_poppler
@pytest.mark.parametrize("form", settings.FORMS)
@pytest.mark.parametrize("seed", [None, 3, 5])
def test_a_chapter_of_listings_that_go_on_comes_to_rest(
    tmp_path: Path, form: str, seed: int | None
) -> None:
    """What says that one goes on must not move the next one, whose words would move a third."""
    chance = random.Random(seed)
    listings = []
    for number in range(1, 41):
        lines, words = (52, 0) if seed is None else (chance.randint(20, 90), chance.randint(0, 200))
        code = "\n".join(f"слово = {line}" for line in range(lines))
        listings.append(
            f'::::: {{ #lst-{number} .listing prefix="Листинг" number="{number}" numbers="" }}\n'
            f"::: caption\nСлова\n:::\n\n```python\n{code}\n```\n:::::\n\n{'слово ' * words}\n"
        )
    prepare(tmp_path, "\n".join(listings), form)
    pdf.write(tmp_path, tmp_path / "report.pdf")
    assert pdftotext(tmp_path / "report.pdf").count("Продолжение листинга") > 9


@needs_poppler
def test_the_words_over_the_rest_of_a_listing_stand_clear_of_its_first_line(output: Path) -> None:
    boxes = re.findall(
        r'yMin="([\d.]+)" xMax="[\d.]+" yMax="([\d.]+)">([^<]*)<',
        pdftotext(output / "report.pdf", "-bbox"),
    )
    said = [index for index, (*_, word) in enumerate(boxes) if word == "Продолжение"]
    assert said
    for index in said:
        # Its three words, and the first of the line below.
        above, below = (
            (float(top) + float(bottom)) / 2 for top, bottom, _ in (boxes[index], boxes[index + 3])
        )
        assert below - above > 8.5


def test_a_picture_of_few_colours_becomes_a_palette_without_a_difference() -> None:
    points = bytes(value for point in range(400) for value in (point % 7, point % 5, 255))
    with pikepdf.new() as made:
        picture = made.make_stream(
            points,
            Subtype=pikepdf.Name.Image,
            Width=20,
            Height=20,
            BitsPerComponent=8,
            ColorSpace=pikepdf.Name.DeviceRGB,
        )
        pdf.index_colours(made)
        palette = bytes(picture.ColorSpace[3])
        assert picture.ColorSpace[0] == "/Indexed"
        shown = [palette[3 * index : 3 * index + 3] for index in picture.read_bytes()]
        assert b"".join(shown) == points


@needs_poppler
def test_a_question_stands_in_its_place_and_its_answer_at_the_end_of_the_section(
    pages: list[str],
) -> None:
    text = re.sub(r"\s+", " ", "\n".join(pages))
    question = text.index("(а) один; (б) по одному на клиента accept.")
    answer = text.index("Ответ на вопрос 1: (а). Порт – часть имени.")
    assert (
        question < text.index("print('x' * 300)") < answer < text.index("3 Практическая", question)
    )


def test_two_builds_of_one_text_are_the_same_and_small(output: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare(tmp_path / name, '# Раз { #sec-1 number="1" }\n\nСлова.\n')
        pdf.write(tmp_path / name, tmp_path / f"{name}.pdf")
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()
    # Its hundreds of small objects, which Typst writes one by one, are packed.
    assert b"/ObjStm" in (output / "report.pdf").read_bytes()


def test_words_of_a_drawing_with_an_arrow_are_set_without_serifs(tmp_path: Path) -> None:
    look = "font-size: 10px; font-family: 'Noto Sans', 'DejaVu Sans'"
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="40">'
        f'<text style="{look}" y="10">① кадры → обработка</text>'
        f'<text style="{look}" y="30">без стрелки</text></svg>'
    )
    (tmp_path / "arrow.svg").write_text(pdf.with_signs(drawing), "utf-8")
    (tmp_path / "page.typ").write_text('#image("arrow.svg")', "utf-8")
    pdf._unpack_fonts(tmp_path / "fonts")
    typst.compile(
        str(tmp_path / "page.typ"),
        str(tmp_path / "page.pdf"),
        font_paths=[str(tmp_path / "fonts"), str(pdf.FURTHER_FONTS)],
        ignore_system_fonts=True,
    )
    with pikepdf.open(tmp_path / "page.pdf") as file:
        fonts = {
            str(each.FontName).partition("+")[2]
            for each in file.objects
            if isinstance(each, pikepdf.Dictionary) and each.get("/Type") == "/FontDescriptor"
        }
    assert fonts == {"NotoSans-Regular", "DejaVuSans"}


@needs_poppler
def test_columns_are_no_narrower_than_their_longest_words(tmp_path: Path) -> None:
    head = ["Сбой", "Сообщение", "Порядок", "Других не задерживает", "В порядке", "Работает"]
    rows = [head, ["часы переведены, соединение опаздывает", *["да"] * 5]]
    prepare(tmp_path, table(rows))
    pdf.write(tmp_path, tmp_path / "report.pdf")
    words = pdftotext(tmp_path / "report.pdf").split()
    assert {"соединение", "опаздывает", "переведены,", "Сообщение", "задерживает"} <= set(words)


def table(rows: list[list[str]]) -> str:
    """Return a table with a caption, as pandoc is given it; the first of *rows* is its head."""
    lines = [rows[0], ["-"] * len(rows[0]), *rows[1:]]
    written = "\n".join(f"| {' | '.join(row)} |" for row in lines)
    return (
        '::::: { #tab-x .table prefix="Таблица" number="1" }\n::: caption\nСводка\n:::\n\n'
        f"{written}\n:::::\n"
    )


@needs_poppler
def test_a_name_in_a_table_is_whole_and_so_is_a_short_cell(tmp_path: Path) -> None:
    head = ["Дополнение", "Файл", "Как включить", "Кому"]
    rows = [["слово " * 4, "`promises/encryption.py`", "слово " * 5, "самому клиенту"]] * 3
    prepare(tmp_path, table([head, *rows]))
    pdf.write(tmp_path, tmp_path / "report.pdf")
    text = pdftotext(tmp_path / "report.pdf", "-layout").replace("\N{ZERO WIDTH SPACE}", "")
    assert text.count("promises/encryption.py") == 3
    assert text.count("самому клиенту") == 3


@needs_poppler
@pytest.mark.parametrize("form", settings.FORMS)
@pytest.mark.parametrize("words", range(420, 560, 20))
def test_a_short_table_is_on_one_page_and_a_row_is_never_torn(
    tmp_path: Path, words: int, form: str
) -> None:
    cell = "начало " + "слово " * 30 + "конец"
    short = table([["Что", "Сколько"], *[["слово", str(number)] for number in range(6)]])
    long = table([["Что", "Почему"], *[["раз", cell]] * 9]).replace("tab-x", "tab-y")
    prepare(tmp_path, f"{'слово ' * words}\n\n{short}\n\n{'слово ' * words}\n\n{long}", form)
    pdf.write(tmp_path, tmp_path / "report.pdf")
    pages = pdftotext(tmp_path / "report.pdf", "-layout").split("\f")
    assert len({number for number, page in enumerate(pages) if "Сколько" in page}) == 1
    for page in pages:
        assert page.count("начало") == page.count("конец")


@needs_poppler
@pytest.mark.parametrize("lines", range(36, 44))
def test_words_that_announce_a_list_stay_with_it(tmp_path: Path, lines: int) -> None:
    prepare(tmp_path, "слово\n\n" * lines + "**Каких ошибок избежали.**\n\n- первая\n- вторая\n")
    pdf.write(tmp_path, tmp_path / "report.pdf")
    pages = pdftotext(tmp_path / "report.pdf").split("\f")
    assert all(("избежали" in page) == ("первая" in page) for page in pages)


@needs_poppler
def test_code_in_a_line_is_not_torn(tmp_path: Path) -> None:
    options = " ".join(["`chat.client --admin-password-file`, `%%writefile`,"] * 40)
    lines = [f"x = {'1' * ones}  # ①" for ones in range(76, 86)]
    code = "\n".join(["```python", *lines, "```"])
    prepare(tmp_path, f"{options}\n\n{code}\n")
    pdf.write(tmp_path, tmp_path / "report.pdf")
    text = pdftotext(tmp_path / "report.pdf", "-layout")
    assert text.count("--admin-password-file") == 40
    assert text.count("%%writefile") == 40
    assert len(re.findall("#[\xa0 ]①", text)) == len(lines)


@needs_poppler
def test_a_picture_that_ends_a_part_is_not_at_the_foot_of_an_empty_page(tmp_path: Path) -> None:
    Image.new("RGB", (300, 240), "navy").save(tmp_path / "a.png")
    picture = (
        '::::: {{ #fig-{name} .figure prefix="Рис." number="{name}" }}\n::: caption\nвнизу\n:::\n\n'
        "![]({file}){{width=16cm}}\n:::::\n"
    ).format
    words = "\n\n".join(["слово " * 100] * 4)
    heading = "# Часть {{ #sec-{0} number={0} }}\n\n".format
    prepare(
        tmp_path,
        f"{heading(1)}{words}\n\n{picture(name='1', file='a.png')}\n{heading(2)}Конец.\n",
    )
    pdf.write(tmp_path, tmp_path / "report.pdf")
    boxes = pdftotext(tmp_path / "report.pdf", "-bbox")
    (top,) = re.findall(r'yMin="([\d.]+)"[^>]*>внизу<', boxes)
    assert float(top) < 0.7 * A4_POINTS[1]
