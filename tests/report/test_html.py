"""The page by its text: one file, nothing from outside, every link inside resolves."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from report import html

from .conftest import PARTS

# Attributes by which a page makes a browser fetch something.
FETCHING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "xlink:href"}


class Page(HTMLParser):
    """Collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.headings: list[str] = []
        self._in_heading = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag == "h2":
            self._in_heading = True
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "h2":
            self._in_heading = False

    def handle_data(self, data: str) -> None:
        if self._in_heading:
            self.headings[-1] += data


@pytest.fixture(scope="module")
def text(output: Path) -> str:
    return (output / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_five_parts_in_order(page: Page) -> None:
    assert page.headings == [f"{number} {part}" for number, part in enumerate(PARTS, 1)]


def test_nothing_is_loaded_from_anywhere(page: Page, text: str) -> None:
    assert not [tag for tag, _ in page.elements if tag in ("link", "iframe", "object")]
    assert not [tag for tag, attributes in page.elements if tag == "script" and "src" in attributes]
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            if name in FETCHING or (name == "href" and tag != "a"):
                assert value.startswith(("data:", "#")), f"<{tag} {name}={value[:60]!r}>"
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "@import" not in styles
    assert not re.findall(r"url\((?!#|data:)", text)


def test_identifiers_are_unique_and_links_inside_resolve(page: Page) -> None:
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert not [name for name, count in ids.items() if count > 1]
    targets = {
        attributes["href"].removeprefix("#")
        for _, attributes in page.elements
        if attributes.get("href", "").startswith("#")
    }
    assert targets <= set(ids)
    assert {"fig-one", "fig-two", "lst-long", "tab-sums", "sec-2", "sec-2-1"} <= targets


def test_pictures_say_what_they_show(page: Page) -> None:
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(images) == 1
    assert len(drawings) == 2
    assert all(attributes["alt"] for attributes in images)
    assert drawings[0]["aria-label"] == 'Цветной "прямоугольник" one'


def test_two_drawings_with_the_same_identifiers_do_not_meet(text: str) -> None:
    for label in ("fig-one", "fig-two"):
        assert f'clip-path="url(#{label}-1)"' in text
        assert f'href="#{label}-2"' in text
    assert "made today" not in text


def test_formulas_are_mathml(text: str) -> None:
    assert "<mfrac>" in text
    assert 'display="block"' in text
    assert "$" not in re.sub(r"<(pre|script).*?</\1>", "", text, flags=re.DOTALL)


def test_captions_carry_numbers_and_listings_their_place(text: str) -> None:
    captions = [
        re.sub(r"<[^>]+>", "", caption).replace("&nbsp;", " ")
        for caption in re.findall(r"<figcaption>(.*?)</figcaption>", text, re.DOTALL)
    ]
    assert captions[0] == "Рис. 1. Рисунок one."
    assert captions[1] == "Таблица 1. Сводка с кодом"
    assert captions[2] == "Рис. 2. Рисунок two."
    assert re.fullmatch(
        r"Листинг 1\. Программа \(chat/core/room\.py, строки \d+–\d+\)", captions[3]
    )
    assert re.fullmatch(
        r"Листинг 2\. Программа \(chat/core/protocol\.py, строк\w .*\)", captions[4]
    )


def test_a_long_listing_folds_and_a_short_one_does_not(text: str) -> None:
    long, short = re.findall(r'<figure class="listing".*?</figure>', text, re.DOTALL)
    assert "<details>" in long
    assert "<details>" not in short
    numbers = [int(number) for number in re.findall(r'class="line" data-n="(\d+)"', long)]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_the_title_page_is_escaped(text: str) -> None:
    assert "<h1>Чат на сокетах &amp; потоках</h1>" in text


def test_lines_left_out_have_no_number() -> None:
    shown = html.listing("a = 1\n# …\nb = 2", [1, None, 9])
    assert re.findall(r'data-n="(\d*)"', shown) == ["1", "", "9"]


def test_a_docstring_over_several_lines_keeps_each_line_whole() -> None:
    for line in re.findall(
        r'<span class="line".*?\n</span>', html.listing('"""a\nb\nc"""', [1, 2, 3])
    ):
        assert line.count("<span") == line.count("</span>")
