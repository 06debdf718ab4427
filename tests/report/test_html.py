"""The page by its text: one file, nothing from outside, every link inside resolves."""

import base64
import io
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from chat.lab.proof import contrast
from report import html
from report.merge import Heading

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
    assert not [tag for tag, _ in page.elements if tag in ("iframe", "object")]
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
    assert not [drawing for drawing in drawings(text) if "made today" in drawing]


def drawings(text: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", text, re.DOTALL)


def test_words_in_a_drawing_are_text_in_the_font_of_the_page(text: str) -> None:
    for drawing in drawings(text):
        assert re.search(r"<text [^>]*>слово (one|two)</text>", drawing)
        assert "font-family" not in drawing


def test_a_drawing_has_another_colour_on_a_dark_page(text: str) -> None:
    (name,) = set(re.findall(r"fill: var\((--d\d+)\)", "".join(drawings(text))))
    day, night = re.findall(rf"{name}: (#\w+);", text)
    assert day == "#222222"
    assert contrast(night, "#17191c") > 10


def test_a_prediction_is_whole_without_a_script(text: str) -> None:
    (question,) = re.findall(r'<div class="prediction".*?</details>\s*</div>', text, re.DOTALL)
    assert 'data-answer="а"' in question
    assert re.findall(r'data-letter="(\w)"', question) == ["а", "б"]
    assert "<strong>(а)</strong> Порт\N{NO-BREAK SPACE}– часть имени." in question
    assert "Ответ на вопрос" not in text  # that is for paper


def test_notes_of_a_listing_have_their_numbers(text: str) -> None:
    (noted,) = re.findall(r'<div class="noted">.*?</ol>\s*</div>', text, re.DOTALL)
    (line,) = re.findall(r'<span class="line".*?\n</span>', noted, re.DOTALL)[-1:]
    assert '<b class="mark" data-mark="1"></b>' in noted
    assert "<code>1023</code>" in noted
    assert line.count("<span") == line.count("</span>")


def test_what_is_said_about_the_page_is_what_it_begins_with(page: Page) -> None:
    metas = {
        attributes.get("name") or attributes.get("property"): attributes.get("content")
        for tag, attributes in page.elements
        if tag == "meta"
    }
    assert metas["description"] == metas["og:description"] == "Это чат."
    assert metas["og:title"] == "Чат на сокетах & потоках"
    (icon,) = (attributes for tag, attributes in page.elements if tag == "link")
    assert icon["rel"] == "icon"
    assert icon["href"].startswith("data:image/svg+xml")


def test_the_front_page_comes_before_the_contents_and_the_parts(text: str) -> None:
    assert text.index("Это чат.</p>") < text.index("<dd>9 000</dd>") < text.index("<main")
    assert '<a href="report.pdf">' in text
    assert '<a href="../../notebooks/ru/02_theory.ipynb">' in text
    assert text.count('<span class="minutes">') == 2 * len(PARTS)


def test_nothing_is_focusable_that_may_not_scroll(page: Page) -> None:
    assert not [tag for tag, attributes in page.elements if "tabindex" in attributes]


def test_a_source_and_a_term_stand_in_the_margin_once_in_a_section(text: str) -> None:
    notes = re.findall(r'<span class="sidenote" aria-hidden="true">(.*?)</span>', text)
    terms = [note for note in notes if "кусок потока, с заголовком" in note]
    assert terms == ["<b>сегмент</b> – кусок потока, с заголовком"]


def test_hidden_code_is_folded_where_it_tells_something(text: str) -> None:
    folded = re.findall(r'<details class="hidden-code">.*?</details>', text, re.DOTALL)
    assert any("show.table(" in code for code in folded)
    assert not any("notes=" in code for code in folded)  # the listing is there itself


HEADINGS = [(1, "1"), (3, "1.0.1"), (2, "1.1"), (3, "1.1.1"), (4, "1.1.1.1"), (1, "2")]


def test_lists_in_the_contents_open_and_close_whatever_levels_follow() -> None:
    headings = [Heading(level, number, number, number) for level, number in HEADINGS]
    lists = list(html.nested(headings, 3))
    assert [heading.number for heading, _opens, _closes in lists] == [
        *("1", "1.0.1", "1.1", "1.1.1", "2")
    ]
    opened = sum(opens for _heading, opens, _closes in lists)
    assert opened == sum(closes for _heading, _opens, closes in lists) == 2


def test_a_picture_of_the_screen_is_packed_without_loss() -> None:
    screen = Image.new("RGB", (400, 200), "navy")
    screen.putpixel((3, 3), (1, 2, 3))
    png = io.BytesIO()
    screen.save(png, "png", compress_level=0)
    shown = html.photograph("a.png", png.getvalue(), 'экран "А"')
    assert 'width="200" height="100"' in shown
    assert 'alt="экран &#34;А&#34;"' in shown
    packed = base64.b64decode(shown.partition("base64,")[2].partition('"')[0])
    image = Image.open(io.BytesIO(packed))
    assert image.format == "WEBP"
    assert image.convert("RGB").tobytes() == screen.tobytes()


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
