"""Whether a figure can be read: its words are on the canvas, apart, large and dark enough.

The figure is drawn without its words: what is drawn where a word would stand is a mark that the
word covers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox, BboxBase

from chat.lab.figures import dark, style

DPI = 144
LEAST_POINTS = 8.0
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
MARK_CONTRAST = 1.5
"""What differs less than this from its background, such as a grid, may lie under a word."""
MARK_SHARE = 0.02
"""Of the area of a word, what a mark must take to count: less is an edge that touches it."""
LEAST_APART = 1.5
"""Between words of two panels on one line, in sizes of their letters: nearer, they read as one."""
LEAST_APART_FROM_AXIS = 0.6
"""Between a word and an axis of another panel, in sizes of its letters."""
LEAST_BETWEEN_BOXES = 0.1
"""Inches between two boxes that are not within each other."""


@dataclass(frozen=True)
class Word:
    """A line of text as it was drawn."""

    text: str
    points: float
    color: str
    box: Bbox
    """The part of the canvas, in pixels, that its letters fill."""
    panel: object = None
    """The axes that it belongs to."""


def problems(fig: Figure) -> list[str]:
    """Return what is wrong with *fig*, a sentence each; nothing when it can be read.

    Changes nothing in the figure. For the thread that made it.
    """
    before = fig.dpi
    fig.dpi = DPI
    try:
        with style():
            paper = _Paper(fig)
            fig.draw(paper)
        drawn = np.asarray(paper.buffer_rgba())  # type: ignore[no-untyped-call]
        pixels = drawn[::-1, :, :3]  # from the bottom up, as boxes are
        found = [*_off_the_canvas(paper.words, fig.bbox), *_too_small(paper.words)]
        found += [*_on_each_other(paper.words), *_boxes_touching(fig)]
        found += _near_other_axes(paper.words, fig.axes)
        return [*found, *_on_marks_or_faint(paper.words, pixels)]
    finally:
        fig.dpi = before


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, ``#rrggbb``, from 1 to 21 (WCAG 2.2, contrast ratio)."""
    return float(_contrasts(np.array([_rgb(one)]), _rgb(other))[0])


class _Paper(RendererAgg):
    """Draws everything but the words, and notes those."""

    def __init__(self, fig: Figure) -> None:
        super().__init__(round(fig.bbox.width), round(fig.bbox.height), DPI)  # type: ignore[no-untyped-call]
        self.words: list[Word] = []
        # Matplotlib does not tell a label of an axis which axes it belongs to.
        self._labels = {text: axes for axes in fig.findobj(Axes) for text in axes.findobj(Text)}

    def draw_text(  # noqa: PLR0917 - as the base class has it
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        """Note a line of text; *x* and *y*, from the top, are where its baseline begins."""
        if not s.strip():
            return
        width, height, descent = self.get_text_width_height_descent(s, prop, ismath)  # type: ignore[no-untyped-call]
        # Letters fill less than the box of their line: half of them have nothing below.
        ink = Bbox.from_extents(1, -0.4 * descent, width - 1, 0.88 * (height - descent))
        turned = Affine2D().rotate_deg(angle).translate(x, self.height - y)
        color = to_hex(gc.get_rgb())
        box = ink.transformed(turned)
        panel = self._labels.get(mtext)
        self.words.append(Word(s.strip(), float(prop.get_size_in_points()), color, box, panel))


def _off_the_canvas(words: Sequence[Word], canvas: BboxBase) -> Iterator[str]:
    for word in words:
        box = word.box
        inside = canvas.x0 <= box.x0 and box.x1 <= canvas.x1
        if not (inside and canvas.y0 <= box.y0 and box.y1 <= canvas.y1):
            yield f"“{word.text}” leaves the canvas"


def _too_small(words: Sequence[Word]) -> Iterator[str]:
    for word in words:
        if word.points < LEAST_POINTS:
            yield f"“{word.text}” is set in {word.points:g} points"


def _on_each_other(words: Sequence[Word]) -> Iterator[str]:
    for one, other in itertools.combinations(words, 2):
        if Bbox.intersection(one.box, other.box):
            yield f"“{one.text}” and “{other.text}” cover each other"
            continue
        if one.panel is other.panel or None in {one.panel, other.panel}:
            continue
        apart = LEAST_APART * max(one.points, other.points) * DPI / 72
        if Bbox.intersection(one.box, other.box.padded(apart, 0)):
            yield f"“{one.text}” and “{other.text}” are too near each other"


def _near_other_axes(words: Sequence[Word], panels: Sequence[Axes]) -> Iterator[str]:
    for word, panel in itertools.product(words, panels):
        if not panel.axison or word.panel in {None, panel}:
            continue
        apart = LEAST_APART_FROM_AXIS * word.points * DPI / 72
        axes = [spine for spine in panel.spines.values() if spine.get_visible()]
        if any(word.box.padded(apart, 0).overlaps(axis.get_window_extent()) for axis in axes):
            yield f"“{word.text}” touches an axis of another panel"


def _boxes_touching(fig: Figure) -> Iterator[str]:
    boxes = [box.get_window_extent() for box in fig.findobj(FancyBboxPatch)]
    between = LEAST_BETWEEN_BOXES * DPI
    for one, other in itertools.combinations(boxes, 2):
        near = Bbox.intersection(one, other.padded(between))
        if near and near.bounds != one.bounds and not _within(other, one):
            yield f"two boxes touch each other at {near.x0:.0f}, {near.y0:.0f}"


def _within(inner: BboxBase, outer: BboxBase) -> bool:
    return bool(Bbox.union([inner, outer]).bounds == Bbox.frozen(outer).bounds)


def _on_marks_or_faint(words: Sequence[Word], pixels: np.ndarray) -> Iterator[str]:
    for word in words:
        columns = slice(max(0, int(word.box.x0)), math.ceil(word.box.x1))
        rows = slice(max(0, int(word.box.y0)), math.ceil(word.box.y1))
        under = pixels[rows, columns].reshape(-1, 3)
        if not len(under):
            continue  # off the canvas, which is said already
        colors, counts = np.unique(under, axis=0, return_counts=True)
        background = colors[counts.argmax()]
        marks = counts[_contrasts(colors / 255, background / 255) > MARK_CONTRAST].sum()
        if marks > MARK_SHARE * counts.sum():
            yield f"“{word.text}” covers a mark"
        behind = to_hex(background / 255)
        for scheme, reached in (
            ("", contrast(word.color, behind)),
            (" in the dark scheme", contrast(dark(word.color), dark(behind))),
        ):
            if reached < LEAST_CONTRAST:
                yield f"“{word.text}” has a contrast of {reached:.1f}{scheme}"


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])


def _luminance(colors: np.ndarray) -> np.ndarray:
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    weighted: np.ndarray = linear @ np.array([0.2126, 0.7152, 0.0722])
    return weighted


def _contrasts(colors: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, fixed = _luminance(colors), _luminance(other)
    ratios: np.ndarray = (np.maximum(one, fixed) + 0.05) / (np.minimum(one, fixed) + 0.05)
    return ratios
