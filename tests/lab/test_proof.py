"""Every figure can be read, in both languages, in print and on a dark page."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.text import Text

from chat.app.i18n import set_language
from chat.lab import diagrams, figures
from chat.lab.proof import contrast, problems
from tests.benchmarks import figures as measured

from .drawings import DRAWINGS


@pytest.fixture(params=["ru", "en"], autouse=True)
def lang(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("LANGUAGE", "ru")
    set_language(request.param)
    yield request.param
    set_language("ru")


WRONG_MARK = {"ru": re.compile(r"\d\.\d"), "en": re.compile(r"\d,\d(?!\d\d)|\d,\d{4}")}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_can_be_read_and_writes_numbers_as_its_reader_does(name: str, lang: str) -> None:
    fig = DRAWINGS[name]()
    assert problems(fig) == []  # draws it, which makes the words of the axes
    texts = [text.get_text() for text in fig.findobj(Text)]
    assert [text for text in texts if WRONG_MARK[lang].search(text)] == []


def test_every_figure_has_an_example() -> None:
    examples = (Path(__file__).parent / "drawings.py").read_text("utf-8")
    for module in (figures, diagrams, measured):
        for name, draw in inspect.getmembers(module, inspect.isfunction):
            if draw.__module__ == module.__name__ and draw.__annotations__["return"] == "Figure":
                assert name.startswith("_") or name in examples


def written(*words: str, **look: object) -> Figure:
    with figures.style():
        fig = Figure(figsize=(3, 1))
        fig.set_layout_engine("none")
        for place, word in zip((0.2, 0.6), words, strict=False):
            fig.text(place, 0.5, word, **look)  # type: ignore[arg-type]
    return fig


def with_a_line(fig: Figure) -> Figure:
    fig.add_artist(Rectangle((0, 0.52), 1, 0.03, color="black"))
    return fig


def panels(between: float) -> Figure:
    """Return two panels, the words of one ending *between* inches before those of the other."""
    with figures.style():
        fig = Figure(figsize=(4, 1))
        fig.set_layout_engine("none")
        for left, place, side in ((0.0, 2 - between / 2, "right"), (0.5, between / 2, "left")):
            panel = fig.add_axes((left, 0.0, 0.5, 1.0))
            panel.set_axis_off()
            panel.text(place / 2, 0.5, "слово", ha=side)
    return fig


def beside_an_axis(between: float) -> Figure:
    """Return two panels, the name of the first one's axis *between* inches before the second."""
    with figures.style():
        fig = Figure(figsize=(4, 1))
        fig.set_layout_engine("none")
        for left in (0.3, 0.7):
            panel = fig.add_axes((left, 0.3, 0.1, 0.7))
            panel.set(xticks=[], yticks=[])
        fig.axes[0].text(2.8 - between, 0.5, "слово", ha="right", transform=fig.dpi_scale_trans)
    return fig


def labels_of_axes(between: float) -> Figure:
    """Return two panels: a word in one, *between* inches before a label of the other's axis."""
    with figures.style():
        fig = Figure(figsize=(4, 1))
        fig.set_layout_engine("none")
        for left in (0.1, 0.8):
            panel = fig.add_axes((left, 0.3, 0.1, 0.7))
            panel.set(xticks=[], yticks=[])
        panel.set_yticks([0.5], ["метка"])
        panel.set_ylim(0, 1)
        fig.draw_without_rendering()
        begin = panel.get_yticklabels()[0].get_window_extent().x0 / fig.dpi
        fig.axes[0].text(
            begin - between, 0.65, "слово", ha="right", va="center", transform=fig.dpi_scale_trans
        )
    return fig


def boxes(between: float) -> Figure:
    """Return two boxes, one *between* inches above the other, in a third."""
    with figures.style():
        fig = Figure(figsize=(4, 2))
        fig.set_layout_engine("none")
        ax = fig.add_axes((0.0, 0.0, 1.0, 1.0))
        ax.set_axis_off()
        ax.set(xlim=(0, 4), ylim=(0, 2))
        for corner, height in (((1, 0.4), 0.4), ((1, 0.8 + between), 0.4), ((0.8, 0.2), 1.6)):
            width = 2.4 if height > 1 else 2
            ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0"))
    return fig


@pytest.mark.parametrize(
    ("fig", "complaint"),
    [
        (written("один", "два"), ""),
        (written("один и ещё много слов", "два"), "cover each other"),
        (written("слова, " * 12), "leaves the canvas"),
        (written("мелко", fontsize=7.9), "7.9 points"),
        (written("бледно", color="#888888"), "contrast of 3.5"),
        (with_a_line(written("перечёркнуто")), "covers a mark"),
        (panels(0.3), ""),
        (panels(0.1), "too near each other"),
        (labels_of_axes(0.3), ""),
        (labels_of_axes(0.1), "too near each other"),
        (beside_an_axis(0.2), ""),
        (beside_an_axis(0.02), "touches an axis"),
        (boxes(0.2), ""),
        (boxes(0.05), "touch each other"),
    ],
)
def test_what_cannot_be_read_is_named(fig: Figure, complaint: str) -> None:
    found = problems(fig)
    assert len(found) == bool(complaint)
    assert all(complaint in problem for problem in found)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_the_dark_scheme_turns_lightness_over() -> None:
    assert contrast(figures.dark("#ffffff"), "#17191c") < 1.05
    assert contrast(figures.dark("#222222"), "#17191c") > 10
    for color in (figures.BLUE, figures.VERMILION, figures.GREEN, figures.PURPLE, figures.GREY):
        assert contrast(figures.dark(color), "#17191c") > 4.5
