"""The DOCX by its XML: real headings, captions that count, contents that lead somewhere."""

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

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


def test_captions_have_their_styles_and_count_by_themselves(body: ElementTree.Element) -> None:
    captions = paragraphs(body, "ImageCaption", "TableCaption")
    texts = [text_of(caption).replace("\N{NO-BREAK SPACE}", " ") for caption in captions]
    assert texts[:3] == [
        "Рис. 1. Рисунок one.",
        "Таблица 1. Сводка с кодом",
        "Рис. 2. Рисунок two.",
    ]
    assert texts[3].startswith("Листинг 1. Программа (chat/core/room.py, строки ")
    fields = [caption.find(f"{W}fldSimple") for caption in captions]
    codes = [field.get(f"{W}instr", "").split()[1] for field in fields if field is not None]
    assert codes == ["Рис", "Таблица", "Рис", "Листинг", "Листинг"]


def test_contents_and_references_lead_to_bookmarks(body: ElementTree.Element) -> None:
    bookmarks = {mark.get(f"{W}name") for mark in body.iter(f"{W}bookmarkStart")}
    anchors = {
        link.get(f"{W}anchor") for link in body.iter(f"{W}hyperlink") if link.get(f"{W}anchor")
    }
    pages = set(
        re.findall(
            r"PAGEREF (\S+)", "".join(code.text or "" for code in body.iter(f"{W}instrText"))
        )
    )
    assert len(paragraphs(body, "TOC1")) == 5
    assert len(pages) == 7
    assert pages <= bookmarks
    assert {"fig-one", "tab-sums", "lst-long", "sec-2"} <= anchors
    assert anchors <= bookmarks
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
