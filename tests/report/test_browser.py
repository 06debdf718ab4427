"""The page in a real browser, on a desk and on a phone, by day and by night."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, FloatRect, Locator, Page, sync_playwright

from chat.app.i18n import set_language
from chat.lab import figures
from report import html
from report.export import TEMPLATES
from tests.lab.drawings import DRAWINGS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"
)

OVERFLOWING = """() => {
    const page = document.documentElement;
    if (page.scrollWidth <= page.clientWidth) return [];
    return [...document.querySelectorAll("body *")]
        .filter(element => element.getBoundingClientRect().right > page.clientWidth + 1)
        .map(element => element.outerHTML.slice(0, 100));
}"""
BROKEN_PICTURES = """() => [...document.images]
    .filter(image => !image.complete || !image.naturalWidth || !image.alt)
    .map(image => image.outerHTML.slice(0, 100))"""
BROKEN_LINKS = """() => [...document.querySelectorAll('a[href^="#"]')]
    .map(link => decodeURIComponent(link.hash.slice(1)))
    .filter(id => !document.getElementById(id))"""
SCROLLING_ARE_REACHED = """() =>
    [...document.querySelectorAll("pre, .scroll")].every(
        box => (box.scrollWidth > box.clientWidth + 1) === (box.tabIndex === 0)
            || box.scrollHeight > box.clientHeight + 1)"""
MEASURE = """() => {
    const text = document.querySelector("main section > p:not(.about-part)");
    const style = getComputedStyle(text);
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const sample = "Сообщение приходит целиком, сколько бы сегментов ни понадобилось.";
    return text.clientWidth / (pen.measureText(sample).width / sample.length);
}"""


WRAPPED_LINES = """() => [...document.querySelectorAll("pre.code .line")].flatMap(line => {
    const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    const rows = new Map();
    for (let text; (text = texts.nextNode());)
        for (const word of text.data.matchAll(/\\S+/g)) {
            range.setStart(text, word.index);
            range.setEnd(text, word.index + word[0].length);
            for (const box of range.getClientRects()) {
                const row = Math.round(box.top / 4);
                rows.set(row, Math.min(rows.get(row) ?? Infinity, box.left));
            }
        }
    const [first, ...rest] = [...rows.entries()].sort((one, other) => one[0] - other[0]);
    return rest.length ? [Math.min(...rest.map(row => row[1])) - first[1]] : [];
})"""


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> None:
    """Leave the proof to the end: the browser starts and ends its helpers when it likes."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests here, which is gone after the last with all its processes."""
    before = set(psutil.Process().children(recursive=True))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()
    left = set(psutil.Process().children(recursive=True)) - before
    _gone, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []


class Visit:
    """A page that was opened, and everything that it did which it should not."""

    def __init__(self, browser: Browser, path: Path, width: int, scheme: str) -> None:
        self.page: Page = browser.new_page(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("networkidle")


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=str)
def visit(request: pytest.FixtureRequest, browser: Browser, output: Path) -> Iterator[Visit]:
    visit = Visit(browser, output / "report.html", *request.param)
    yield visit
    visit.page.close()


def test_the_page_is_whole_and_keeps_to_itself(visit: Visit, output: Path) -> None:
    outside = [url for url in visit.requests if not url.startswith("data:")]
    assert outside == [(output / "report.html").as_uri()]
    assert visit.complaints == []
    assert visit.page.evaluate(BROKEN_PICTURES) == []
    assert visit.page.evaluate(BROKEN_LINKS) == []


def test_nothing_hangs_over_the_edge(visit: Visit) -> None:
    visit.page.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")
    assert visit.page.evaluate(OVERFLOWING) == []
    page_width, view_width = visit.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert page_width <= view_width


def test_the_contents_stand_aside_on_a_desk_and_fold_on_a_phone(visit: Visit) -> None:
    width = (visit.page.viewport_size or {"width": 0})["width"]
    aside = visit.page.locator("nav.contents.aside")
    folded = visit.page.locator("details.contents.inline")
    assert aside.is_visible() == (width == 1280)
    assert folded.is_visible() == (width == 390)
    if width == 390:
        link = folded.locator("a").nth(2)
        assert not link.is_visible()
        folded.locator("summary").click()
        assert link.is_visible()


def test_day_and_night_differ_and_are_legible(browser: Browser, output: Path) -> None:
    ways = []
    for scheme in ("light", "dark"):
        visit = Visit(browser, output / "report.html", 1280, scheme)
        style = "getComputedStyle(document.documentElement)"
        ways.append(visit.page.evaluate(f"[{style}.backgroundColor, {style}.color]"))
        visit.page.close()
    (day_paper, day_ink), (night_paper, night_ink) = (
        [_lightness(colour) for colour in way] for way in ways
    )
    assert day_paper - day_ink > 0.5
    assert night_ink - night_paper > 0.5


def _lightness(colour: str) -> float:
    red, green, blue = (int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(","))
    return (red * 0.2126 + green * 0.7152 + blue * 0.0722) / 255


def test_a_line_of_text_is_easy_to_read(browser: Browser, output: Path) -> None:
    visit = Visit(browser, output / "report.html", 1280, "light")
    visit.page.evaluate("document.fonts.ready")
    characters = visit.page.evaluate(MEASURE)
    visit.page.close()
    assert 60 <= characters <= 75


# With the script


def test_the_contents_follow_the_reader(browser: Browser, output: Path) -> None:
    visit = Visit(browser, output / "report.html", 1280, "light")
    current = visit.page.locator(".contents.aside [aria-current]")
    assert current.count() == 0
    visit.page.locator("#sec-2").evaluate("it => it.scrollIntoView({behavior: 'instant'})")
    current.wait_for()
    assert current.get_attribute("href") == "#sec-2"
    visit.page.close()


def test_code_is_copied_whole_and_without_its_numbers(browser: Browser, output: Path) -> None:
    visit = Visit(browser, output / "report.html", 1280, "light")
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    listing = visit.page.locator("figure.listing").first
    listing.hover()
    listing.locator("button.copy").click()
    listing.get_by_text("Скопировано").wait_for()
    copied = visit.page.evaluate("navigator.clipboard.readText()")
    lines = listing.locator("pre.code").all_text_contents()
    assert copied == "\n".join(part.rstrip("\n") for part in lines) + "\n"
    assert not re.search(r"^\d", copied)
    visit.page.close()


def test_a_sequence_is_seen_step_by_step(browser: Browser, output: Path) -> None:
    visit = Visit(browser, output / "report.html", 1280, "light")
    figure = visit.page.locator("#fig-one")
    parts = figure.locator('[id*="-step-"]')

    def hidden() -> list[str]:
        found: list[str] = parts.evaluate_all(
            "them => them.filter(it => it.style.opacity === '0').map(it => it.id)"
        )
        return found

    assert hidden() == []
    figure.get_by_role("button", name="По шагам").click()
    first = len(hidden())
    assert 0 < first < parts.count()
    figure.get_by_role("button", name="Дальше").press("Enter")
    assert len(hidden()) < first
    assert "Шаг 2 из" in (figure.get_by_role("status").text_content() or "")
    figure.get_by_role("button", name="Всё сразу").click()
    assert hidden() == []
    visit.page.close()


def test_without_scripts_everything_is_there(browser: Browser, output: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto((output / "report.html").as_uri())
    assert page.locator("button").count() == 0
    assert page.locator("figure.listing pre").first.is_visible()
    page.close()


def lay_out(page: Page) -> None:
    """Open whatever is folded and far from the screen: only then is it known what scrolls."""
    page.add_style_tag(content="section { content-visibility: visible !important; }")
    page.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")
    page.wait_for_function(SCROLLING_ARE_REACHED)


def test_nobody_is_shut_out(visit: Visit) -> None:
    """The rules of WCAG that a program can check, by axe-core."""
    lay_out(visit.page)
    results = Axe().run(visit.page, options={"resultTypes": ["violations"]})
    found = [
        (violation["id"], [node["html"][:120] for node in violation["nodes"][:3]])
        for violation in results.response["violations"]
    ]
    assert found == []


WORDS_THAT_DO_NOT_FIT = """() => [...document.querySelectorAll("svg")].flatMap(svg => {
    const canvas = svg.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll("text")].map(text => {
        const box = text.getBoundingClientRect();
        const empty = Math.min(box.width, box.height) / 4;  // above and below the letters
        return { words: text.textContent, left: box.left + 1, right: box.right - 1,
                 top: box.top + empty, bottom: box.bottom - empty };
    });
    const outside = boxes.filter(box => box.left < canvas.left || box.right > canvas.right
        || box.top < canvas.top || box.bottom > canvas.bottom);
    const covered = boxes.filter((one, index) => boxes.slice(index + 1).some(other =>
        one.left < other.right && other.left < one.right
        && one.top < other.bottom && other.top < one.bottom));
    return [...outside, ...covered].map(box => `${svg.getAttribute("aria-label")}: ${box.words}`);
})"""


@pytest.mark.parametrize("lang", ["ru", "en"])
def test_the_words_of_every_figure_fit_in_a_browser_too(
    browser: Browser, lang: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `chat.lab.proof` has it, where the words are text in the fonts of the page."""
    monkeypatch.setenv("LANGUAGE", "ru")
    set_language(lang)
    drawings: list[str] = []
    for name, draw in DRAWINGS.items():
        drawn = io.StringIO()
        with figures.style():
            draw().savefig(drawn, format="svg")
        drawings.append(html.inline_svg(drawn.getvalue(), f"fig-{len(drawings)}", name))
    set_language("ru")
    fonts = "".join(
        f'@font-face {{ font-family: "{family}"; font-weight: {weight};'
        f" src: url({html.file_uri(f'fonts/{file}.woff2')}); }}"
        for family, weight, file in (
            ("Noto Sans", 400, "NotoSans-Regular"),
            ("Noto Sans", 600, "NotoSans-Bold"),
            ("JetBrains Mono", 400, "JetBrainsMono-Regular"),
            ("DejaVu Signs", 400, "DejaVuSans-Signs"),
        )
    )
    style = (TEMPLATES / "html" / "style.css").read_text("utf-8")
    cards = "".join(f'<div class="card">{drawing}</div>' for drawing in drawings)
    page_file = tmp_path / "figures.html"
    page_file.write_text(f"<!DOCTYPE html><meta charset=utf-8><style>{fonts}{style}</style>{cards}")
    visit = Visit(browser, page_file, 1200, "light")
    visit.page.evaluate("document.fonts.ready")
    found = visit.page.evaluate(WORDS_THAT_DO_NOT_FIT)
    visit.page.close()
    assert found == []


# Notes, previews, questions


@pytest.fixture
def desk(browser: Browser, output: Path) -> Iterator[Page]:
    """The page on a wide screen."""
    visit = Visit(browser, output / "report.html", 1600, "light")
    yield visit.page
    assert visit.complaints == []
    visit.page.close()


def box_of(found: Locator) -> FloatRect:
    box = found.bounding_box()
    assert box is not None
    return box


def test_a_source_stands_in_the_margin_where_there_is_one(browser: Browser, output: Path) -> None:
    for width in (1600, 1000):
        visit = Visit(browser, output / "report.html", width, "light")
        link = visit.page.locator("main p a[href^='#src-']").first
        note = link.locator("xpath=following-sibling::span[@class='sidenote']")
        assert note.is_visible() == (width == 1600)
        if width == 1600:
            text = box_of(link.locator("xpath=ancestor::p"))
            assert box_of(note)["x"] >= text["x"] + text["width"]
        visit.page.close()


def test_what_a_reference_means_shows_by_mouse_and_by_keyboard(desk: Page) -> None:
    preview = desk.locator("#preview")
    for target, content in (
        ("src-1", "RFC 9293"),
        ("term-1", "кусок потока"),
        ("fig-one", "Рисунок one"),
        ("lst-long", "class Room"),
    ):
        link = desk.locator(f"main section > p a[href='#{target}']").first
        link.scroll_into_view_if_needed()
        assert not preview.is_visible()
        link.hover()
        assert preview.is_visible()
        assert content in (preview.text_content() or "")
        box = box_of(preview)
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1600
        desk.mouse.move(0, 0)
        link.focus()
        assert preview.is_visible()
        desk.keyboard.press("Escape")
        assert not preview.is_visible()
    ids = desk.evaluate("[...document.querySelectorAll('[id]')].map(it => it.id)")
    assert len(ids) == len(set(ids))


def test_a_tap_shows_what_a_reference_means_and_a_second_one_goes_there(
    browser: Browser, output: Path
) -> None:
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto((output / "report.html").as_uri())
    link = page.locator("main section > p a[href='#term-1']")
    link.tap()
    preview = page.locator("#preview")
    preview.wait_for()
    assert page.url.endswith("report.html")
    assert box_of(preview)["x"] + box_of(preview)["width"] <= 390
    preview.get_by_text("Перейти").tap()
    page.wait_for_url("**#term-1")
    assert not preview.is_visible()
    context.close()


def test_a_choice_says_whether_it_was_right_and_why(desk: Page) -> None:
    question = desk.locator("#question-1")
    reason = question.get_by_text("Порт – часть имени.")
    wrong, right = question.get_by_role("button").nth(1), question.get_by_role("button").nth(0)
    assert not reason.is_visible()
    wrong.click()
    assert reason.is_visible()
    assert "Нет" in (wrong.text_content() or "")
    right.press("Enter")
    assert "Верно" in (right.text_content() or "")
    assert "Нет" not in (wrong.text_content() or "")
    assert [each.get_attribute("aria-pressed") for each in (wrong, right)] == ["false", "true"]


def test_without_scripts_an_answer_unfolds(browser: Browser, output: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto((output / "report.html").as_uri())
    question = page.locator("#question-1")
    reason = question.get_by_text("Порт – часть имени.")
    assert not reason.is_visible()
    question.get_by_text("Ответ", exact=True).click()
    assert reason.is_visible()
    told = page.locator("#fig-one .told")
    told.locator("summary").click()
    assert told.get_by_text("Раз.").is_visible()
    page.close()


def test_each_step_of_a_figure_has_its_sentence_and_the_arrow_keys_turn_them(desk: Page) -> None:
    figure = desk.locator("#fig-one")
    figure.get_by_role("button", name="По шагам").click()
    sentence = figure.locator(".sentence")
    assert sentence.text_content() == "Раз."
    for key, text in (
        ("Right", "Два: ack."),
        ("Right", "Три."),
        ("Right", "Три."),
        ("Left", "Два: ack."),
    ):
        desk.keyboard.press(f"Arrow{key}")
        assert sentence.text_content() == text


def test_a_picture_can_be_enlarged(desk: Page) -> None:
    card = desk.locator("#fig-two .card")
    small = box_of(card.locator("svg"))
    card.hover()
    card.get_by_role("button", name="Увеличить").click()
    large = desk.locator("dialog svg")
    assert box_of(large)["width"] > small["width"]
    desk.keyboard.press("Escape")
    assert not large.is_visible()


def test_words_are_found_in_prose_code_and_drawings(desk: Page) -> None:
    contents = desk.locator(".contents.aside")
    search = contents.get_by_role("searchbox")
    for wanted in ("кадров", "class Room", "слово two"):
        search.fill(wanted)
        found = contents.locator(".found a").first
        assert wanted in (found.locator("mark").text_content() or "")
    found.click()
    desk.wait_for_function(
        "() => { const box = document.querySelector('#fig-two svg').getBoundingClientRect();"
        " return box.top >= 0 && box.bottom <= innerHeight; }"
    )
    search.fill("нет такого слова")
    assert contents.get_by_text("Ничего не нашлось.").is_visible()
    search.fill("")
    assert contents.locator(".contents-list").is_visible()


def test_notes_stand_beside_their_lines(desk: Page) -> None:
    noted = desk.locator(".noted")
    noted.scroll_into_view_if_needed()
    mark, note = noted.locator(".mark").first, noted.locator(".notes li").first
    assert box_of(note)["x"] > box_of(noted.locator("pre"))["x"] + 200
    assert abs(box_of(note)["y"] - box_of(mark)["y"]) < 20


def test_only_what_scrolls_is_reached_by_the_keyboard(visit: Visit) -> None:
    lay_out(visit.page)
    focusable = visit.page.locator("main [tabindex='0']").evaluate_all(
        "them => them.map(it => Math.max(it.scrollWidth - it.clientWidth,"
        " it.scrollHeight - it.clientHeight))"
    )
    assert all(more > 0 for more in focusable)


@pytest.mark.parametrize("width", [720, 900, 1119])
def test_no_code_is_cut_off_between_a_phone_and_a_desk(
    browser: Browser, output: Path, width: int
) -> None:
    visit = Visit(browser, output / "report.html", width, "light")
    cut = visit.page.locator("pre.code").evaluate_all(
        "them => them.filter(it => it.scrollWidth > it.clientWidth + 1).map(it => it.textContent)"
    )
    visit.page.close()
    assert cut == []


BROKEN_WORDS = """selector => [...document.querySelectorAll(selector)].flatMap(box => {
    const broken = [];
    const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
        for (const word of text.data.matchAll(/[\\p{L}\\d]+/gu)) {
            const range = document.createRange();
            range.setStart(text, word.index);
            range.setEnd(text, word.index + word[0].length);
            const lines = new Set([...range.getClientRects()].map(line => Math.round(line.top)));
            if (lines.size > 1) broken.push(word[0]);
        }
    }
    return broken;
})"""


def test_what_does_not_fit_a_line_of_code_goes_on_deeper(browser: Browser, output: Path) -> None:
    visit = Visit(browser, output / "report.html", 720, "light")
    visit.page.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")
    deeper = visit.page.evaluate(WRAPPED_LINES)
    assert len(deeper) > 3
    assert min(deeper) > 10
    visit.page.close()


def test_paper_is_white_by_night_too(browser: Browser, output: Path) -> None:
    seen = []
    for scheme in ("light", "dark"):
        visit = Visit(browser, output / "report.html", 1280, scheme)
        visit.page.emulate_media(media="print")
        seen.append(
            visit.page.evaluate(
                """() => [document.body, document.querySelector(".line *")]
                    .map(element => getComputedStyle(element))
                    .flatMap(style => [style.getPropertyValue("--paper"), style.color])"""
            )
        )
        visit.page.close()
    assert seen[0] == seen[1]


@pytest.mark.parametrize("width", [390, 720, 1400])
def test_no_word_is_broken_by_force(browser: Browser, output: Path, width: int) -> None:
    visit = Visit(browser, output / "report.html", width, "light")
    visit.page.evaluate(
        "document.querySelector('h1').textContent ="
        " 'Многопользовательский чат на сокетах TCP и потоках'"
    )
    broken = visit.page.evaluate(BROKEN_WORDS, "h1, h2, h3, th, td, figcaption, .numbers, .kind")
    visit.page.close()
    assert broken == []


def test_a_phone_has_a_way_up_and_free_first_lines(browser: Browser, output: Path) -> None:
    context = browser.new_context(
        has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800}
    )
    page = context.new_page()
    page.goto((output / "report.html").as_uri())
    listing = page.locator("figure.listing").first
    listing.scroll_into_view_if_needed()
    copy = listing.locator(".copy")
    copy.wait_for()
    code = box_of(listing.locator("pre").first)
    assert box_of(copy)["y"] >= code["y"] + code["height"]
    page.get_by_label("К началу").tap()
    page.wait_for_function("() => scrollY === 0")
    context.close()


def test_the_front_page_is_on_the_first_screen(desk: Page) -> None:
    numbers = box_of(desk.locator(".front .numbers"))
    assert numbers["y"] + numbers["height"] < 900
