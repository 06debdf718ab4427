"""The page in a real browser, on a desk and on a phone, by day and by night."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
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
    pen.font = style.font;
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
    characters = visit.page.evaluate(MEASURE)
    visit.page.close()
    # The measure is 60 to 75 characters in the fonts that the page asks for first; those of
    # this machine may be narrower or wider.
    assert 55 <= characters <= 80
