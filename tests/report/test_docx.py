"""The DOCX by its XML: real headings, captions that count, contents that lead somewhere."""

import shutil
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pypandoc  # type: ignore[import-untyped]
import pytest
from openxml_audit import OpenXmlValidator  # type: ignore[import-untyped]

from report import docx

from .conftest import PARTS

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


@pytest.fixture(scope="module")
def package(output: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(output / "report.docx") as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def body(package: dict[str, bytes]) -> ElementTree.Element:
    return ElementTree.fromstring(package["word/document.xml"])


def text_of(element: ElementTree.Element) -> str:
    return "".join(text.text or "" for text in element.iter(f"{W}t"))


def paragraphs(body: ElementTree.Element, *styles: str) -> list[ElementTree.Element]:
    return [
        paragraph
        for paragraph in body.iter(f"{W}p")
        if (style := paragraph.find(f"{W}pPr/{W}pStyle")) is not None
        and style.get(f"{W}val") in styles
    ]


def fields(element: ElementTree.Element) -> list[str]:
    codes = [code.text or "" for code in element.iter(f"{W}instrText")]
    return [code for code in codes if code.strip()]


def test_it_is_valid_by_the_schemas_of_office_open_xml(output: Path) -> None:
    result = OpenXmlValidator().validate(output / "report.docx")
    assert result.is_valid, [str(error) for error in result.errors]


def test_every_part_of_the_package_is_xml(package: dict[str, bytes]) -> None:
    for name, content in package.items():
        if name.endswith((".xml", ".rels")):
            ElementTree.fromstring(content)


def test_five_parts_are_headings(body: ElementTree.Element) -> None:
    headings = [text_of(paragraph) for paragraph in paragraphs(body, "Heading1")]
    assert headings == [f"{number}\u2002{part}" for number, part in enumerate(PARTS, 1)]
    assert [text_of(paragraph) for paragraph in paragraphs(body, "Heading2")] == [
        "1.1\u2002Что требуется",
        "2.1\u2002Кадры и поток",
    ]


def test_another_reader_finds_the_same_headings(output: Path) -> None:
    """Pandoc once read a list, the last thing of a part, into the next part's heading."""
    read = pypandoc.convert_file(output / "report.docx", "markdown", extra_args=["--wrap=none"])
    headings = [line for line in read.splitlines() if line.startswith("# ")]
    assert headings == [f"# {number}\u2002{part}" for number, part in enumerate(PARTS, 1)]


def test_captions_have_their_styles_and_count_by_themselves(body: ElementTree.Element) -> None:
    captions = paragraphs(body, "ImageCaption", "TableCaption")
    texts = [text_of(caption).replace("\N{NO-BREAK SPACE}", " ") for caption in captions]
    assert texts[:3] == [
        "Рис. 1. Рисунок one.",
        "Таблица 1. Сводка с кодом",
        "Рис. 2. Рисунок two.",
    ]
    assert texts[3].startswith("Листинг 1. Программа (chat/core/room.py, строки ")
    codes = [field.split()[1] for caption in captions for field in fields(caption)]
    assert codes == ["Рис", "Таблица", "Рис", "Листинг", "Листинг"]


def test_contents_and_references_lead_to_bookmarks(body: ElementTree.Element) -> None:
    bookmarks = {mark.get(f"{W}name") for mark in body.iter(f"{W}bookmarkStart")}
    anchors = {
        link.get(f"{W}anchor") for link in body.iter(f"{W}hyperlink") if link.get(f"{W}anchor")
    }
    pages = {
        field.get(f"{W}instr", "").split()[1]
        for field in body.iter(f"{W}fldSimple")
        if "PAGEREF" in field.get(f"{W}instr", "")
    }
    assert len(paragraphs(body, "TOC1")) == 5
    assert len(pages) == 7
    assert pages <= bookmarks
    assert "sec-2" in anchors
    assert anchors <= bookmarks
    references = {code.split()[1] for code in fields(body) if code.split()[0] == "REF"}
    assert {"_Ref_fig_one", "_Ref_tab_sums", "_Ref_lst_long", "_Ref_src_1"} <= references
    assert references <= bookmarks
    # Word makes the contents from a field; LibreOffice, which does not make them anew, is told of
    # another one, whose lines have live fields for the pages.
    contents = [code for code in fields(body) if code.split()[0] in ("TOC", "QUOTE")]
    assert [code.split()[0] for code in contents] == ["TOC", "QUOTE"]
    ids = [mark.get(f"{W}id") for mark in body.iter(f"{W}bookmarkStart")]
    assert len(ids) == len(set(ids))


def test_every_style_in_use_is_defined(
    package: dict[str, bytes], body: ElementTree.Element
) -> None:
    styles = ElementTree.fromstring(package["word/styles.xml"])
    defined = {style.get(f"{W}styleId") for style in styles.iter(f"{W}style")}
    used = {
        element.get(f"{W}val")
        for tag in ("pStyle", "rStyle", "tblStyle")
        for element in body.iter(f"{W}{tag}")
    }
    assert used <= defined


def test_it_is_russian_and_its_pictures_are_inside(package: dict[str, bytes]) -> None:
    assert b"ru-RU" in package["word/styles.xml"]
    assert "Иванова А. С." in package["docProps/core.xml"].decode()
    pictures = [name for name in package if name.startswith("word/media/")]
    assert len(pictures) == 3


def test_pictures_fit_the_page_and_say_what_they_show(body: ElementTree.Element) -> None:
    drawing = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
    extents = [int(extent.get("cx", 0)) for extent in body.iter(f"{drawing}extent")]
    text_width = 16.5 * 360_000  # centimetres in English metric units
    assert len(extents) == 3
    assert all(0 < width <= text_width for width in extents)
    descriptions = [properties.get("descr") for properties in body.iter(f"{drawing}docPr")]
    assert descriptions[0] == 'Цветной "прямоугольник" one'


def test_code_has_one_size_and_hangs_where_it_wraps(
    package: dict[str, bytes], body: ElementTree.Element
) -> None:
    lines = paragraphs(body, "SourceCode")
    assert len(lines) > 30
    assert not any(line.find(f".//{W}br") is not None for line in lines), "a paragraph each"
    for line in lines:
        indent = len(text_of(line)) - len(text_of(line).lstrip(" "))
        layout = line.find(f"{W}pPr/{W}ind")
        assert layout is not None
        assert layout.get(f"{W}left") == layout.get(f"{W}hanging")
        hanging = int(layout.get(f"{W}hanging", 0)) / 20
        assert hanging == pytest.approx((indent + 4) * 0.6 * docx.CODE_POINTS["book"], abs=0.1)
    styles = ElementTree.fromstring(package["word/styles.xml"])
    sizes = {
        style.get(f"{W}styleId"): size.get(f"{W}val")
        for style in styles.iter(f"{W}style")
        if (size := style.find(f"{W}rPr/{W}sz")) is not None
    }
    assert sizes["SourceCode"] == sizes["Output"]
    assert "VerbatimChar" not in sizes
    assert not any(body.iter(f"{W}sz")), "no size but that of a style"


def test_a_number_of_two_digits_does_not_push_its_text_aside(package: dict[str, bytes]) -> None:
    numbering = ElementTree.fromstring(package["word/numbering.xml"])
    hanging = [
        int(layout.get(f"{W}hanging", 0)) / 20
        for level in numbering.iter(f"{W}lvl")
        if (kind := level.find(f"{W}numFmt")) is not None and kind.get(f"{W}val") == "decimal"
        if (layout := level.find(f"{W}pPr/{W}ind")) is not None
    ]
    assert hanging
    # A digit of a Times is half as wide as high, a full stop a quarter; and a gap.
    assert min(hanging) > (0.5 + 0.5 + 0.25) * 11 + 3


def letters(text: str) -> docx.Letters:
    return [(letter, 1000.0 * 360) for letter in text]


def test_no_column_is_narrower_than_its_longest_word() -> None:
    padding = docx._CELL_PADDING
    rows = [["да", "слово " * 30], ["самоедлинноеслово", "и" * 12]]
    texts = [[letters(cell) for cell in row] for row in rows]
    room = 60 * 360_000
    narrow, wide = docx.column_widths(texts, room)
    assert narrow >= 17 * 360_000 + padding
    assert wide >= 12 * 360_000 + padding
    assert narrow + wide <= room
    # What fits stays as narrow as it is.
    assert docx.column_widths([[letters("а"), letters("бб")]], room) == [
        360_000 + padding,
        720_000 + padding,
    ]
    # A name breaks where its parts meet, if there is no other way.
    texts = [[letters("tests/lab/test_figures.py"), letters("x" * 40)]]
    assert sum(docx.column_widths(texts, room)) <= room


def test_two_builds_of_one_text_are_the_same(project: Path, tmp_path: Path) -> None:
    prepared = project / "build" / "cache" / "report" / "ru" / "pandoc"
    for name in ("one.docx", "two.docx"):
        shutil.copytree(prepared, tmp_path / "source", dirs_exist_ok=True)
        docx.write(tmp_path / "source", tmp_path / name)
    assert (tmp_path / "one.docx").read_bytes() == (tmp_path / "two.docx").read_bytes()
