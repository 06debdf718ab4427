"""Draws what terminals show: every screen in a window of its own, several windows on one picture.

All that is read on a picture comes from a `chat.lab.terminal.Snapshot`: the characters, their
colours, the cursor, the window's title. Sizes are in pixels, a third more of them than the page of
the report has: letters are sharp on paper and on dense displays, and the report stays light.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from chat.lab.proof import contrast
from chat.lab.terminal import Cell, Snapshot

Rows = Sequence[Sequence[Snapshot]]

PIXELS_PER_INCH = 128

# DejaVu Sans Mono advances by 0.602 of its size, 12.04 pixels here: whole cells, no seams.
FONT_SIZE = 20
CELL_WIDTH = 12
CELL_HEIGHT = 24  # the font's own ascent and descent, so that frames drawn with text close up

# PADDING * 2 + GAP is four cells: two windows of 50 columns are together exactly as wide as one
# of 104.
PADDING = 16
GAP = 16
TITLE_HEIGHT = 38
RADIUS = 12
SINGLE_COLUMNS = 76
"""Columns of windows that stand alone or above one another: the letters are large."""

HALF_COLUMNS = 50
"""Columns of windows side by side."""

FULL_COLUMNS = 2 * HALF_COLUMNS + 4
"""Columns of a window that is as wide as two side by side."""

_BUTTON = 14
_SMOOTH = 4  # round shapes are drawn this many times larger, then reduced

# The window
_BACKGROUND = (27, 31, 42)
_FOREGROUND = (223, 227, 236)
_TITLE_BAR = (43, 49, 64)
_TITLE = (170, 178, 197)
_EDGE = (62, 70, 88)
_CURSOR = (143, 176, 224)
_BUTTONS = ((255, 95, 87), (254, 188, 46), (40, 200, 64))

_FAINT = 0.62  # share of the letter's own colour; the rest is the background's
_LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3

# The sixteen colours that a program may call by name: each at least 4.5 to 1 against the
# background (WCAG 2.2, 1.4.3), but for the two blacks, which are meant to recede. pyte calls
# yellow "brown", and misspells bright magenta as a background.
_NAMED = {
    "black": (76, 84, 104),
    "red": (255, 122, 133),
    "green": (143, 214, 148),
    "brown": (242, 207, 124),
    "blue": (127, 176, 255),
    "magenta": (216, 160, 250),
    "cyan": (127, 219, 224),
    "white": (223, 227, 236),
    "brightblack": (124, 134, 158),
    "brightred": (255, 158, 164),
    "brightgreen": (178, 236, 178),
    "brightbrown": (255, 226, 156),
    "brightblue": (166, 202, 255),
    "brightmagenta": (232, 190, 255),
    "bfightmagenta": (232, 190, 255),
    "brightcyan": (164, 240, 242),
    "brightwhite": (255, 255, 255),
}

Colour = tuple[int, int, int]


class Place(NamedTuple):
    """Where a cell stands on a picture."""

    left: int
    top: int


def png(picture: Image.Image, texts: Mapping[str, str]) -> bytes:
    """Return *picture* as a small PNG file that carries *texts* under their keywords.

    The colours of a screen fit into a palette. Keywords are Latin-1, texts may be anything (PNG
    specification, third edition, 11.3.3.4).
    """
    small = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    information = PngInfo()
    for keyword, text in texts.items():
        information.add_itxt(keyword, text)
    file = io.BytesIO()
    density = (PIXELS_PER_INCH, PIXELS_PER_INCH)
    small.save(file, "PNG", optimize=True, dpi=density, pnginfo=information)
    return file.getvalue()


def draw(rows: Rows) -> Image.Image:
    """Return a picture of *rows* of windows, transparent around them.

    Windows of a row are equally high: as many rows of text as the fullest of them shows.
    Raises ValueError when there is no window.
    """
    if not rows or not all(rows):
        raise ValueError("a picture needs a window in every row")
    heights = [max(map(used_rows, row)) for row in rows]
    width = max(_row_width(row) for row in rows)
    height = sum(map(_window_height, heights)) + GAP * (len(rows) - 1)
    picture = Image.new("RGBA", (width, height))
    top = 0
    for row, text_rows in zip(rows, heights, strict=True):
        left = (width - _row_width(row)) // 2
        for snapshot in row:
            window = _window(snapshot, text_rows)
            picture.paste(window, (left, top), _rounded(window.size))
            left += _window_width(snapshot.columns) + GAP
        top += _window_height(text_rows) + GAP
    return picture


def used_rows(snapshot: Snapshot) -> int:
    """Return how many rows, from the top, hold text or the cursor."""
    last = max((y for y in range(len(snapshot.rows)) if snapshot.text(y)), default=0)
    return max(last, snapshot.cursor[1] if snapshot.cursor else 0) + 1


def cell_place(column: int, row: int) -> Place:
    """Return the upper left corner of a cell, counted from 0, within its window."""
    return Place(PADDING + column * CELL_WIDTH, TITLE_HEIGHT + PADDING + row * CELL_HEIGHT)


# --- windows -------------------------------------------------------------------------------------


def _window_width(columns: int) -> int:
    return columns * CELL_WIDTH + 2 * PADDING


def _window_height(text_rows: int) -> int:
    return TITLE_HEIGHT + text_rows * CELL_HEIGHT + 2 * PADDING


def _row_width(row: Sequence[Snapshot]) -> int:
    return sum(_window_width(each.columns) for each in row) + GAP * (len(row) - 1)


def _rounded(size: tuple[int, int], inset: int = 0) -> Image.Image:
    """Return a mask: a rectangle with round corners, *inset* pixels within *size*."""
    width, height = size
    large = Image.new("L", (width * _SMOOTH, height * _SMOOTH))
    box = [inset * _SMOOTH] * 2 + [(side - inset) * _SMOOTH - 1 for side in size]
    ImageDraw.Draw(large).rounded_rectangle(box, (RADIUS - inset) * _SMOOTH, fill=255)
    return large.resize(size, Image.Resampling.LANCZOS)


def _window(snapshot: Snapshot, text_rows: int) -> Image.Image:
    size = _window_width(snapshot.columns), _window_height(text_rows)
    window = Image.new("RGB", size, _EDGE)
    inside = Image.new("RGB", size, _BACKGROUND)
    _draw_title_bar(inside, snapshot.title)
    _draw_screen(inside, snapshot, text_rows)
    window.paste(inside, mask=_rounded(size, inset=1))
    return window


def _draw_title_bar(window: Image.Image, title: str) -> None:
    pen = ImageDraw.Draw(window)
    pen.rectangle((0, 0, window.width, TITLE_HEIGHT - 1), fill=_TITLE_BAR)
    middle = TITLE_HEIGHT // 2
    for number, colour in enumerate(_BUTTONS):
        button = Image.new("L", (_BUTTON * _SMOOTH, _BUTTON * _SMOOTH))
        ImageDraw.Draw(button).ellipse((0, 0, *(side - 1 for side in button.size)), fill=255)
        mask = button.resize((_BUTTON, _BUTTON), Image.Resampling.LANCZOS)
        window.paste(colour, (PADDING + number * 24, middle - _BUTTON // 2), mask)
    pen.text((window.width // 2, middle), title, _TITLE, _font("DejaVuSans", 17), anchor="mm")


# --- text ----------------------------------------------------------------------------------------


def _draw_screen(window: Image.Image, snapshot: Snapshot, text_rows: int) -> None:
    pen = ImageDraw.Draw(window)
    for y, row in enumerate(snapshot.rows[:text_rows]):
        for x, cell in enumerate(row):
            if not cell.text:  # the right half of a wide character
                continue
            wide = x + 1 < len(row) and not row[x + 1].text
            here = (x, y) == snapshot.cursor
            _draw_cell(pen, cell, cell_place(x, y), CELL_WIDTH * (2 if wide else 1), here)


def _draw_cell(pen: ImageDraw.ImageDraw, cell: Cell, place: Place, width: int, here: bool) -> None:
    ink, paper = colours(cell)
    if here:
        ink, paper = _BACKGROUND, _CURSOR
    left, top = place
    right = left + width - 1
    if paper != _BACKGROUND:
        pen.rectangle((left, top, right, top + CELL_HEIGHT - 1), fill=paper)
    font = _font_for(cell)
    baseline = top + _ascent()
    if cell.text.strip():
        pen.text((left + width / 2, baseline), cell.text, ink, font, anchor="ms")
    if cell.underscore:
        pen.rectangle((left, baseline + 3, right, baseline + 3), fill=ink)
    if cell.strikethrough:
        pen.rectangle((left, baseline - 6, right, baseline - 6), fill=ink)


def colours(cell: Cell) -> tuple[Colour, Colour]:
    """Return the colours in which *cell* is drawn: the letter's and the background's."""
    ink, paper = _colour(cell.fg, _FOREGROUND), _colour(cell.bg, _BACKGROUND)
    if cell.reverse:
        ink, paper = paper, ink
    elif cell.fg not in {"default", *_NAMED}:
        ink = _legible(ink, paper)
    if cell.faint:
        ink = _blend(ink, paper)
    return ink, paper


def _colour(name: str, default: Colour) -> Colour:
    if name == "default":
        return default
    if name in _NAMED:
        return _NAMED[name]
    red, green, blue = bytes.fromhex(name)
    return red, green, blue


def _blend(ink: Colour, paper: Colour, share: float = _FAINT) -> Colour:
    red, green, blue = (
        round(share * own + (1 - share) * under) for own, under in zip(ink, paper, strict=True)
    )
    return red, green, blue


@functools.cache
def _legible(ink: Colour, paper: Colour) -> Colour:
    """Return *ink*, made lighter until it can be read on *paper*, as many terminals do.

    The chat's colours for nicknames are to be read on light backgrounds too.
    """
    for tenths in range(10):
        lighter = _blend(ink, _NAMED["brightwhite"], 1 - tenths / 10)
        if contrast(_hex(lighter), _hex(paper)) >= _LEAST_CONTRAST:
            return lighter
    return ink


def _hex(colour: Colour) -> str:
    return f"#{bytes(colour).hex()}"


# --- fonts ---------------------------------------------------------------------------------------


def _font_for(cell: Cell) -> ImageFont.FreeTypeFont:
    style = {
        (False, False): "DejaVuSansMono",
        (True, False): "DejaVuSansMono-Bold",
        (False, True): "DejaVuSansMono-Oblique",
        (True, True): "DejaVuSansMono-BoldOblique",
    }[cell.bold, cell.italics]
    # The proportional face knows many more signs: arrows, faces, mathematics.
    known = ord(cell.text[0]) in _characters(style)
    return _font(style if known else "DejaVuSans", FONT_SIZE)


@functools.cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_font_file(name)), size)


@functools.cache
def _characters(name: str) -> frozenset[int]:
    return frozenset(FT2Font(_font_file(name)).get_charmap())


@functools.cache
def _ascent() -> int:
    return _font("DejaVuSansMono", FONT_SIZE).getmetrics()[0]


def _font_file(name: str) -> Path:
    """Return the path of a font that comes with matplotlib, the same on every machine."""
    return Path(mpl.get_data_path(), "fonts", "ttf", f"{name}.ttf")
