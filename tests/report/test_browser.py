"""The page in a real browser, on a desk and on a phone, by day and by night."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, sync_playwright

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
MEASURE = """() => {
    const text = document.querySelector("main p");
    const style = getComputedStyle(text);
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const sample = "Сообщение приходит целиком, сколько бы сегментов ни понадобилось.";
    return text.clientWidth / (pen.measureText(sample).width / sample.length);
}"""


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


def test_nobody_is_shut_out(visit: Visit) -> None:
    """The rules of WCAG that a program can check, by axe-core."""
    results = Axe().run(visit.page, options={"resultTypes": ["violations"]})
    found = [
        (violation["id"], [node["html"][:120] for node in violation["nodes"][:3]])
        for violation in results.response["violations"]
    ]
    assert found == []


def test_a_source_shows_in_the_margin_while_one_points_at_its_number(
    browser: Browser, output: Path
) -> None:
    """By the mouse, by the keyboard, and on a phone without widening it."""
    for width in (1600, 390):
        visit = Visit(browser, output / "report.html", width, "light")
        link = visit.page.locator("main p a[href^='#src-']").first
        note = visit.page.locator("#note")
        assert not note.is_visible()
        link.scroll_into_view_if_needed()
        link.hover()
        assert note.is_visible()
        number = (link.get_attribute("href") or "").removeprefix("#src-")
        entry = visit.page.locator(f"#src-{number}").text_content() or ""
        assert entry.strip() in (note.text_content() or "")
        box, text = note.bounding_box(), link.locator("xpath=ancestor::p").bounding_box()
        assert box is not None
        assert text is not None
        if width == 1600:
            assert box["x"] >= text["x"] + text["width"]
        assert box["x"] + box["width"] <= width
        visit.page.mouse.move(0, 0)
        link.focus()
        assert note.is_visible()
        visit.page.keyboard.press("Escape")
        assert not note.is_visible()
        visit.page.close()
