"""Figures of what the laboratory recorded, in one style; each function returns a ``Figure``.

Nothing here goes through pyplot, so no figure outlives the cell that made it. Text is in the
reader's language, with units. Times are taken as they were measured; where a chart is not to
scale, the times stand beside it in numbers.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from itertools import pairwise
from pathlib import Path
from typing import ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from chat.app.i18n import gettext as _
from chat.app.i18n import language, ngettext
from chat.lab.wiretap import Direction, Kind, Record, Stage

STYLE = Path(__file__).with_name("lab.mplstyle")
for _face in Path(__file__).with_name("fonts").glob("*.ttf"):
    fontManager.addfont(_face)
WIDTH = 6.3
"""Inches: the width of the text on a printed page."""

# Okabe and Ito's colours for those who do not tell all of them apart, dark enough to be read.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#B84A00", "#00755A", "#9A4A7C"
ORANGE, SKY, YELLOW, BLACK, GREY = "#E69F00", "#56B4E9", "#F0E442", "#222222", "#6B6B6B"
PALE = "#BBBBBB"
"""Lines that only guide the eye, and what others have, beside what is ours."""
ACCENT = BLUE
"""What a figure is about; all that it is compared with is grey."""
MONO = ("JetBrains Mono", "DejaVu Sans Mono", "DejaVu Sans")

P = ParamSpec("P")

_STEP = re.compile(r"step-(\d+)\.")


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Apply the laboratory's style while the block lasts."""
    with mpl.rc_context(fname=STYLE):
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make *draw* draw in the laboratory's style."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return in_style


def _bare_figure(height: float) -> Figure:
    """Return a figure in which the drawing fills the paper; *height* in inches."""
    fig = Figure(figsize=(WIDTH, height))
    fig.set_layout_engine("none")
    return fig


# --- colours and sizes ---------------------------------------------------------------------------


@cache
def dark(color: str) -> str:
    """Return what stands for *color*, ``#rrggbb``, on a dark page: its lightness turned over.

    White becomes the dark page's paper. The lightness is that of Oklab (B. Ottosson, "A perceptual
    color space for image processing", 2020).
    """
    red, green, blue = (_linear(part) for part in to_rgb(color))
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    middle = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    lightness = 0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short
    a = 1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short
    turned = _DARK_PAPER + (1 - _DARK_PAPER) * max(0.0, 1 - lightness) ** _LIFT
    while True:  # a colour that no screen can show gives way until one can
        parts = _from_oklab(turned, a, b)
        if all(-0.001 <= part <= 1.001 for part in parts):
            red, green, blue = (min(max(part, 0.0), 1.0) for part in parts)
            return to_hex((red, green, blue))
        a, b = a * 0.95, b * 0.95


_DARK_PAPER = 0.213
"""The lightness of the dark page, #17191c, in Oklab."""
_LIFT = 0.68
"""Below 1: middle colours, which words are set in, become lighter than a mirror makes them."""


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _from_oklab(lightness: float, a: float, b: float) -> list[float]:
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    return [
        12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055 for part in linear
    ]


def _tint(color: str, strength: float) -> str:
    red, green, blue = (1 - strength + strength * part for part in to_rgb(color))
    return to_hex((red, green, blue))


@cache
def width_of(text: str, points: float, *, bold: bool = False) -> float:
    """Return how wide the widest line of *text* is, in inches."""
    with style():
        font = FontProperties(size=points, weight="bold" if bold else "normal")
        pen = RendererAgg(1, 1, 72)  # type: ignore[no-untyped-call]
        measure = pen.get_text_width_height_descent
        widths = [float(measure(line, font, False)[0]) for line in text.split("\n")]  # type: ignore[no-untyped-call]
    return max(widths) / 72


def _shortened(text: str, room: float, points: float) -> str:
    """Return *text*, or as much of its beginning as is no wider than *room* inches."""
    if width_of(text, points) <= room:
        return text
    while text and width_of(f"{text}…", points) > room:
        text = text[:-1].rstrip()
    return f"{text}…"


# --- numbers, as the reader writes them ----------------------------------------------------------


_RUSSIAN_NUMBERS = str.maketrans(",.", "\N{NO-BREAK SPACE},")


def number(value: float, digits: int = 3) -> str:
    """Return *value* as the reader writes it; a float rounded to that many digits.

    Thousands are set apart: “1,234” and “0.25”, in Russian «1 234» and «0,25».
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = 0
    if isinstance(value, float):
        digits_after = digits - 1 - math.floor(math.log10(abs(value)))
        value = round(value, digits_after)
        places = max(0, digits_after)
    text = f"{value:,.{places}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.translate(_RUSSIAN_NUMBERS) if language() == "ru" else text


def duration(seconds: float, digits: int = 2) -> str:
    """Return a time with the unit that suits it: “0.35 ms”, “1.2 s”."""
    if abs(seconds) >= 1:
        factor, unit = 1.0, _("s")
    elif abs(seconds) >= 1e-3:
        factor, unit = 1e3, _("ms")
    else:
        factor, unit = 1e6, _("µs")
    return f"{number(seconds * factor, digits)}\N{NO-BREAK SPACE}{unit}"


def times(ratio: float, digits: int = 2) -> str:
    """Return how many times as much that is: “2.3 times”, “3,300 times”."""
    rounded = round(ratio, digits - 1 - math.floor(math.log10(abs(ratio))))
    word = ngettext("time", "times", 2 if rounded % 1 else int(rounded))
    return f"{number(rounded, digits)}\N{NO-BREAK SPACE}{word}"


def size(count: float, digits: int = 3) -> str:
    """Return a number of bytes with the unit that suits it: “12 B”, “2.5 MiB”."""
    if count < 1024:
        shown, unit = number(int(count)), _("B")
    elif count < 1024**2:
        shown, unit = number(count / 1024, digits), _("KiB")
    else:
        shown, unit = number(count / 1024**2, digits), _("MiB")
    return f"{shown}\N{NO-BREAK SPACE}{unit}"


# --- sequence charts -----------------------------------------------------------------------------

TO_SERVER_COLOR, TO_CLIENT_COLOR = BLUE, VERMILION
SAME_MOMENT = 0.02
"""Seconds within which a chunk that comes out as it went in is drawn as one arrow."""

LONG_PAUSE = 0.02
"""Seconds of silence that a chart points out."""


def _kind_name(kind: Kind) -> str:
    return {
        Kind.OPEN: _("connection"),
        Kind.END: _("end of the stream (FIN)"),
        Kind.RESET: _("reset (RST)"),
        Kind.CUT: _("cut"),
    }[kind]


def describe(data: bytes, width: int = 30) -> str:
    """Return a chunk in few words: the types of the frames in it, or its beginning."""
    frames = data.split(b"\n")
    names = []
    for frame in frames[:-1]:
        try:
            message = json.loads(frame)
        except ValueError:
            message = None
        if not isinstance(message, dict) or "type" not in message:
            return _abbreviate(data, width)
        names.append(str(message["type"]))
    if not names or frames[-1]:
        return _abbreviate(data, width)
    label = " + ".join(names)
    if len(label) <= width:
        return label
    number = len(names)
    return ngettext("{n} frame: {first}…", "{n} frames: {first}…", number).format(
        n=number, first=names[0]
    )


def _abbreviate(data: bytes, width: int) -> str:
    text = data.decode("utf-8", errors="replace").replace("\n", "⏎")
    text = "".join(map(_drawable, text))
    if len(text) > width:
        text = text[: width - 1] + "…"
    return _("“{text}”").format(text=text)


def _drawable(character: str) -> str:
    """Return *character*, or a dot where the font has no picture of it."""
    return character if character.isprintable() and ord(character) in _font_characters() else "·"


@cache
def _font_characters() -> frozenset[int]:
    with style():
        faces = (fontManager.findfont(name) for name in mpl.rcParams["font.family"])
        return frozenset(point for face in faces for point in get_font(face).get_charmap())


@dataclass(frozen=True)
class _Step:
    """One row of a sequence chart: one record, or a chunk's two when it passed straight through."""

    record: Record
    through: bool


def _steps(records: Sequence[Record]) -> list[_Step]:
    steps: list[_Step] = []
    used: set[int] = set()
    for position, record in enumerate(records):
        if position in used:
            continue
        out = None
        if record.stage is Stage.IN:
            out = _passed_straight(records, position, used)
        if out is not None:
            used.add(out)
        steps.append(_Step(record, through=out is not None))
    return steps


def _passed_straight(records: Sequence[Record], position: int, used: set[int]) -> int | None:
    """Return where *records* tell that the one at *position* came out, unchanged and at once."""
    came = records[position]
    for index in range(position + 1, len(records)):
        out = records[index]
        expected = (came.connection, came.direction, Stage.OUT)
        if index in used or (out.connection, out.direction, out.stage) != expected:
            continue
        same = (out.kind, out.data) == (came.kind, came.data)
        return index if same and out.time - came.time < SAME_MOMENT else None
    return None


@styled
def sequence_chart(
    records: Sequence[Record],
    lanes: Sequence[str] | None = None,
    *,
    describe: Callable[[bytes], str] = describe,
) -> Figure:
    """Draw what a wiretap recorded: time runs down, a lane each for client, network and server.

    With several connections name *lanes*: one for each client, then the network's and the server's.
    Rows are not to scale; the moments stand beside them, and long pauses are pointed out.
    """
    return _sequence_charts({"": records}, lanes, describe, {})


@styled
def sequence_charts(
    charts: Mapping[str, Sequence[Record]],
    lanes: Sequence[str] | None = None,
    *,
    describe: Callable[[bytes], str] = describe,
    outcomes: Mapping[str, str] | None = None,
) -> Figure:
    """Draw several sequence charts side by side, each under its title, what came of it below."""
    return _sequence_charts(charts, lanes, describe, outcomes or {})


ROW, PAUSE_ROW = 0.31, 0.55
"""Inches from an arrow to the next, and to the one after a long pause."""
WORDS = 8.0
"""Points: what stands beside and on a drawing."""


def _sequence_charts(
    charts: Mapping[str, Sequence[Record]],
    lanes: Sequence[str] | None,
    describe: Callable[[bytes], str],
    outcomes: Mapping[str, str],
) -> Figure:
    lanes = lanes or (_("Client"), _("Network"), _("Server"))
    if not all(charts.values()):
        raise ValueError("nothing was recorded")
    layouts = {title: _layout(_steps(records)) for title, records in charts.items()}
    lowest = max(heights[-1] for _rows, heights in layouts.values())
    top = 0.55 + 0.25 * any(charts)
    height = top + lowest + 0.15 + 0.3 * any(outcomes.values())
    fig = _bare_figure(height)
    width = WIDTH / len(charts)
    for column, (title, (steps, heights)) in enumerate(layouts.items()):
        # Each chart is drawn in inches, from the first arrow down.
        ax = fig.add_axes((column / len(charts), 0, 1 / len(charts), 1))
        ax.set_axis_off()
        ax.set_xlim(0, width)
        ax.set_ylim(height - top, -top)
        chart = _SequenceChart(ax, width, lanes, steps[0].record.time, describe)
        chart.draw(steps, heights, lowest + 0.12)
        ax.text(0.02, 0.12 - top, title, va="center", weight="bold", fontsize=9)
        ax.text(
            0.02,
            lowest + 0.3,
            outcomes.get(title, ""),
            va="center",
            weight="bold",
            fontsize=WORDS,
        )
    return fig


def _layout(steps: list[_Step]) -> tuple[list[_Step], list[float]]:
    """Return how far below the first each row is, in inches: farther after a long pause."""
    heights = [0.0]
    for earlier, later in pairwise(steps):
        pause = later.record.time - earlier.record.time
        heights.append(heights[-1] + (PAUSE_ROW if pause > LONG_PAUSE else ROW))
    return steps, heights


class _SequenceChart:
    """One chart: the moments at the left, a lane for each party, an arrow for each record."""

    def __init__(
        self,
        ax: Axes,
        width: float,
        lanes: Sequence[str],
        start: float,
        describe: Callable[[bytes], str],
    ) -> None:
        self._ax, self._lanes, self._start, self._describe = ax, lanes, start, describe
        self._moments = max(width_of("0000", WORDS), width_of(_("ms"), WORDS))
        half = [width_of(name, WORDS, bold=True) / 2 for name in (lanes[0], lanes[-1])]
        first = max(self._moments + 0.1, half[0] + 0.02)
        last = width - half[1] - 0.1
        gap = (last - first) / (len(lanes) - 1)
        self._places = [first + lane * gap for lane in range(len(lanes))]
        # Where a label stands on the line of a lane, the line is left out.
        self._labels: list[tuple[float, float, float]] = []

    def draw(self, steps: list[_Step], heights: list[float], bottom: float) -> None:
        for row, (step, y) in enumerate(zip(steps, heights, strict=True)):
            with _marked_as_step(self._ax, row + 1):
                self._arrow(step, y)
                moment = _milliseconds(step.record.time - self._start)
                self._beside(y, moment)
                if row and y - heights[row - 1] > (ROW + PAUSE_ROW) / 2:
                    self._pause((heights[row - 1] + y - 0.14) / 2)
        self._beside(-0.19, _("ms"))
        for x, name in zip(self._places, self._lanes, strict=True):
            self._ax.text(x, -0.42, name, ha="center", va="center", weight="bold", fontsize=WORDS)
            self._lane(x, bottom)

    def _beside(self, y: float, text: str) -> None:
        self._ax.text(self._moments, y, text, ha="right", va="center", fontsize=WORDS, color=GREY)

    def _lane(self, x: float, bottom: float) -> None:
        start = -0.32
        for y in sorted(y for y, left, right in self._labels if left < x < right):
            self._ax.plot([x, x], [start, y - 0.2], color=PALE, linewidth=1, zorder=0)
            start = y - 0.03
        self._ax.plot([x, x], [start, bottom], color=PALE, linewidth=1, zorder=0)

    def _ends(self, step: _Step) -> tuple[float, float]:
        record, clients = step.record, len(self._lanes) - 2
        client = self._places[min(record.connection, clients) - 1]
        network, server = self._places[-2:]
        if step.through:
            ends = (client, server)
        elif (record.stage is Stage.IN) == (record.direction is Direction.TO_SERVER):
            ends = (client, network)
        else:
            ends = (network, server)
        return ends if record.direction is Direction.TO_SERVER else (ends[1], ends[0])

    def _arrow(self, step: _Step, y: float) -> None:
        record = step.record
        start, end = self._ends(step)
        violent = record.kind in (Kind.RESET, Kind.CUT)
        to_server = record.direction is Direction.TO_SERVER
        color = BLACK if violent else TO_SERVER_COLOR if to_server else TO_CLIENT_COLOR
        self._ax.add_patch(
            FancyArrowPatch(
                (start, y),
                (end, y),
                arrowstyle="-|>",
                mutation_scale=9,
                color=color,
                linestyle="-" if record.kind is Kind.DATA else (0, (4, 2)),
                linewidth=1.3,
                shrinkA=1,
                shrinkB=1,
            )
        )
        label = self._label(record, abs(end - start) - 0.08)
        half, middle = width_of(label, WORDS) / 2 + 0.03, (start + end) / 2
        self._labels.append((y, middle - half, middle + half))
        self._ax.text(
            middle, y - 0.04, label, ha="center", va="bottom", fontsize=WORDS, color=color
        )

    def _label(self, record: Record, room: float) -> str:
        """Return what a record is: as many words as there is room for, in inches."""
        if record.kind is not Kind.DATA:
            crossed = "× " if record.kind in (Kind.RESET, Kind.CUT) else ""
            long, short = crossed + _kind_name(record.kind), crossed + _SHORT[record.kind]
            return long if width_of(long, WORDS) <= room or record.kind is Kind.CUT else short
        words, how_much = self._describe(record.data), size(len(record.data))
        both = f"{words}  {how_much}"
        return both if width_of(both, WORDS) <= room else _shortened(words, room, WORDS)

    def _pause(self, y: float) -> None:
        middle = (self._places[0] + self._places[-1]) / 2
        if len(self._places) % 2:  # beside the lane that runs down the middle
            middle += 0.12
        for step in (-0.05, 0.0, 0.05):
            self._ax.plot([middle], [y + step], ".", color=GREY, markersize=2)


_SHORT = {Kind.OPEN: "SYN", Kind.END: "FIN", Kind.RESET: "RST", Kind.CUT: "…"}


@contextlib.contextmanager
def _marked_as_step(ax: Axes, number: int) -> Iterator[None]:
    """Mark what is drawn inside as step *number*: the page can show a figure step by step."""
    known = ax.get_children()
    yield
    place = ax.figure.axes.index(ax)
    drawn = [artist for artist in ax.get_children() if artist not in known]
    for part, artist in enumerate(drawn):
        artist.set_gid(f"step-{number}.{place}-{part}")


def steps_in(fig: Figure) -> int:
    """Return how many steps *fig* can be seen in; 0 when it is whole."""
    marks = (str(artist.get_gid() or "") for artist in fig.findobj())
    return max((int(found[1]) for mark in marks if (found := _STEP.match(mark))), default=0)


def _milliseconds(seconds: float) -> str:
    milliseconds = seconds * 1000
    places = 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0
    text = f"{milliseconds:.{places}f}"
    return text.translate(_RUSSIAN_NUMBERS) if language() == "ru" else text


# --- the stream and its borders ------------------------------------------------------------------


@styled
def stream_bytes(
    chunks: Sequence[bytes],
    frames: Sequence[bytes],
    *,
    per_row: int = 24,
    chunk_name: str = "recv",
    frame_name: str | None = None,
) -> Figure:
    """Draw the bytes of one stream as cells, cut twice: into *chunks* above, *frames* below.

    A cell shows the byte in hexadecimal and, under the first byte of each, the character that
    it begins. Raises ValueError when the two are not the same stream.
    """
    stream = b"".join(chunks)
    if stream != b"".join(frames):
        raise ValueError("the chunks and the frames are not the same bytes")
    if not stream:
        raise ValueError("an empty stream")
    cell = WIDTH / per_row
    rows = math.ceil(len(stream) / per_row)
    widest, per_row = per_row, math.ceil(len(stream) / rows)  # no stump of a row at the end
    margin = (widest - per_row) / 2
    fig = _bare_figure(rows * cell * 4.2 + 0.1)
    ax = fig.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_axis_off()
    ax.set_xlim(-0.4 - margin, per_row + 0.4 + margin)
    ax.set_ylim(rows * 4.2 - 0.2, -0.4)

    def place(position: int) -> tuple[float, float]:
        return position % per_row, position // per_row * 4.2 + 1.2

    characters = _characters(stream)
    for position, byte in enumerate(stream):
        x, y = place(position)
        belongs = _piece_of(frames, position)
        fill = _tint(BLUE if belongs % 2 == 0 else ORANGE, 0.22)
        ax.add_patch(Rectangle((x, y), 1, 1.7, facecolor=fill, edgecolor="white", linewidth=1))
        ax.text(
            x + 0.5, y + 0.55, f"{byte:02x}", ha="center", va="center", fontsize=WORDS, family=MONO
        )
        if position in characters:
            character, width = characters[position]
            on_one_row = position % per_row + width <= per_row
            ax.text(
                x + (width if on_one_row else 1) / 2,
                y + 1.25,
                character,
                ha="center",
                va="center",
                fontsize=WORDS,
                weight="bold",
            )
    _borders(ax, chunks, place, per_row, above=True, name=chunk_name)
    _borders(ax, frames, place, per_row, above=False, name=frame_name or _("frame"))
    return fig


def _characters(stream: bytes) -> dict[int, tuple[str, int]]:
    """Return, for the first byte of each character, the character and how many bytes it takes."""
    characters = {}
    position = 0
    for character in stream.decode("utf-8", errors="surrogateescape"):
        width = len(character.encode("utf-8", errors="surrogateescape"))
        shown = {"\n": "⏎", " ": "␣"}.get(character, character)
        characters[position] = (_drawable(shown), width)
        position += width
    return characters


def _piece_of(pieces: Sequence[bytes], position: int) -> int:
    for index, piece in enumerate(pieces):
        position -= len(piece)
        if position < 0:
            return index
    return len(pieces)


def _borders(
    ax: Axes,
    pieces: Sequence[bytes],
    place: Callable[[int], tuple[float, float]],
    per_row: int,
    *,
    above: bool,
    name: str,
) -> None:
    """Draw a bracket over (or under) each piece, and a bar where it ends inside the stream."""
    color = VERMILION if above else BLUE
    total = sum(map(len, pieces))
    start = 0
    for index, piece in enumerate(pieces):
        end = start + len(piece)
        labelled = False
        for row_start in range(start - start % per_row, end, per_row):
            first, last = max(start, row_start), min(end, row_start + per_row)
            x0, y = place(first)
            x1 = place(last - 1)[0] + 1
            level = y - 0.28 if above else y + 1.98
            ax.plot([x0 + 0.14, x1 - 0.14], [level, level], color=color, linewidth=1.6)
            tick = 0.22 if above else -0.22
            for x, is_end in ((x0 + 0.14, first == start), (x1 - 0.14, last == end)):
                if is_end:  # a bracket is open where the piece goes on in another row
                    ax.plot([x, x], [level, level + tick], color=color, linewidth=1.6)
            if not labelled or last - first > (end - start) / 2:
                label = f"{name} {index + 1}"
                if x1 - x0 < len(label) * 0.42:
                    label = str(index + 1)
                ax.text(
                    (x0 + x1) / 2,
                    level - 0.16 if above else level + 0.16,
                    label,
                    ha="center",
                    va="bottom" if above else "top",
                    fontsize=WORDS,
                    color=color,
                )
                labelled = True
        if end < total:
            x, y = place(end - 1)
            # Not through the characters: a piece may end in the middle of one.
            reach = (y - 0.5, y + 0.9) if above else (y + 1.7, y + 2.2)
            ax.plot(
                [x + 1, x + 1], reach, color=color, linewidth=2, linestyle="-" if above else ":"
            )
        start = end


# --- quantities ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """Where a line ends, in the units of the axes, and what its name there looks like."""

    x: float
    y: float
    name: str
    color: str = BLACK
    bold: bool = False


def name_ends(ax: Axes, ends: Sequence[End]) -> None:
    """Write the names of lines at the right of *ax*, each beside the end of its line.

    Names whose lines end close to each other move apart; a thin line leads to the end of each.
    Call it when all the rest has been drawn.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # only now is it known how high the axes are
    height = ax.get_window_extent().height
    apart = 1.35 * WORDS / 72 * figure.dpi / height
    to_axes = ax.transData + ax.transAxes.inverted()
    wanted = {end: float(to_axes.transform((end.x, end.y))[1]) for end in ends}
    order = sorted(ends, key=wanted.__getitem__)
    for y, end in zip(_spread([wanted[end] for end in order], apart), order, strict=True):
        ax.annotate(
            end.name,
            xy=(end.x, end.y),
            xytext=(1.03, y),
            textcoords=ax.transAxes,
            va="center",
            fontsize=WORDS,
            color=end.color,
            weight="bold" if end.bold else "normal",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": PALE,
                "linewidth": 0.7,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )


def _spread(wanted: Sequence[float], apart: float) -> list[float]:
    """Return places near the ascending *wanted* ones, each at least *apart* from the next.

    Neighbours that are too close form a group, which stands around the middle of its places.
    """
    groups: list[list[float]] = []
    for place in wanted:
        groups.append([place])
        while len(groups) > 1:
            lower, upper = groups[-2], groups[-1]
            reach = (len(lower) + len(upper)) / 2 * apart
            if sum(upper) / len(upper) - sum(lower) / len(lower) >= reach:
                break
            groups[-2:] = [lower + upper]
    places = []
    for group in groups:
        middle = sum(group) / len(group)
        places += [middle + (index - (len(group) - 1) / 2) * apart for index in range(len(group))]
    return places


def plain_axes(ax: Axes, show_y: Callable[[float], str] = number) -> None:
    """Have the numbers at *ax* written as the reader writes them, those at the left by *show_y*."""
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: show_y(float(value))))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(float(value))))


@styled
def queue_lengths(
    steps: Sequence[float],
    queues: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    events: Mapping[float, str] | None = None,
) -> Figure:
    """Draw how many bytes wait in each queue, one upon the other; *events* mark moments."""
    fig = Figure(figsize=(WIDTH, 2.5))
    ax = fig.add_subplot()
    colors = (ACCENT, GREY, GREEN, PURPLE)[: len(queues)]
    ax.stackplot(
        steps, *queues.values(), colors=[_tint(color, 0.35) for color in colors], linewidth=0
    )
    totals = list(map(sum, zip(*queues.values(), strict=True)))
    highest = max(totals)
    ax.set_ylim(0, highest * (1.18 if events else 1.05))
    for moment, text in (events or {}).items():
        ax.plot([moment, moment], [0, highest * 1.08], color=BLACK, linewidth=0.8)
        late = moment > (steps[0] + steps[-1]) / 2
        ax.text(
            moment,
            highest * 1.13,
            text,
            ha="right" if late else "left",
            va="center",
            fontsize=WORDS,
        )
    # A step of a power of two: whole kibibytes and mebibytes on the axis.
    ax.yaxis.set_major_locator(MultipleLocator(2 ** math.floor(math.log2(highest / 2.5))))
    plain_axes(ax, size)
    ax.grid(visible=False)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(_("Bytes in the kernel's queues"))
    ax.set_xlim(steps[0], steps[-1])
    handles = [Rectangle((0, 0), 1, 1, facecolor=_tint(color, 0.35)) for color in colors]
    fig.legend(handles, list(queues), loc="outside upper center", ncols=_columns(list(queues)))
    return fig


@styled
def measured_times(
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    logarithmic: bool = True,
) -> Figure:
    """Draw times in seconds, one point for each repetition; the first series is the point of it."""
    fig = Figure(figsize=(WIDTH, 2.7))
    ax = fig.add_subplot()
    ends = []
    for index, ((name, times), marker) in enumerate(zip(series.items(), "osD^", strict=False)):
        color = GREY if index else ACCENT
        ax.plot(range(1, len(times) + 1), times, marker, color=color, markersize=4.5)
        ends.append(End(len(times), times[-1], name, color, bold=not index))
    if logarithmic:
        ax.set_yscale("log")
    plain_axes(ax, duration)
    ax.minorticks_off()
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    name_ends(ax, ends)
    return fig


@styled
def bars(
    values: Mapping[str, float],
    *,
    xlabel: str,
    show: Callable[[float], str] = number,
    mark: tuple[float, str] | None = None,
    ours: Collection[str] | None = None,
) -> Figure:
    """Draw a horizontal bar for each value, the number at its end; *mark* is a line to compare.

    The bars of the names in *ours* have the accent, the others are grey; without it all have it.
    """
    above = 0.22 * bool(mark)
    fig = Figure(figsize=(WIDTH, 0.3 * len(values) + 0.5 + above))
    ax = fig.add_subplot()
    positions = range(len(values))
    accents = values if ours is None else ours
    ax.barh(
        positions,
        list(values.values()),
        color=[ACCENT if name in accents else PALE for name in values],
        height=0.6,
    )
    highest = max([*values.values(), mark[0] if mark else 0])
    ends = list(values.values())
    if mark:
        bottom, top = len(values) - 0.6, -0.5
        ax.plot([mark[0], mark[0]], [top, bottom], color=BLACK, linewidth=0.8)
        ax.text(mark[0], -0.85, mark[1], ha="center", va="center", fontsize=WORDS)
        # A number that would stand on the line moves to its other side.
        near = highest * 0.14
        ends = [mark[0] if mark[0] - near < value < mark[0] else value for value in ends]
    for position, (value, end) in enumerate(zip(values.values(), ends, strict=True)):
        ax.text(end + highest * 0.012, position, show(value), va="center", fontsize=WORDS)
    ax.set_yticks(positions, list(values))
    ax.set_xlim(0, highest * 1.2)
    ax.set_ylim(len(values) - 0.6, -1.1 if mark else -0.6)
    # The numbers stand at the bars: an axis would say them again.
    ax.set_xticks([])
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="y", length=0, labelsize=WORDS)
    ax.set_xlabel(xlabel)
    return fig


# --- who did what, when --------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """Something that lasted: in which row, from when to when (seconds), and what it was."""

    row: str
    start: float
    end: float
    what: str


@styled
def timelines(
    charts: Mapping[str, Sequence[Span]], kinds: Sequence[str], *, xlabel: str | None = None
) -> Figure:
    """Draw who was busy with what and when; charts one under the other share one time axis.

    *kinds* are the things that spans can be about, in the order of the legend. There is no legend
    where the rows are called what they are about.
    """
    named = all(span.row == span.what for spans in charts.values() for span in spans)
    colors = (ACCENT,) if named else (ACCENT, PALE, GREEN, PURPLE, ORANGE, SKY)
    look = {kind: colors[index % len(colors)] for index, kind in enumerate(kinds)}
    rows = [list(dict.fromkeys(span.row for span in spans)) for spans in charts.values()]
    titles = [bool(title) for title in charts]
    fig = Figure(figsize=(WIDTH, 0.27 * sum(map(len, rows)) + 0.3 * sum(titles) + 0.8))
    axes = fig.subplots(
        len(charts), 1, sharex=True, squeeze=False, height_ratios=[len(names) for names in rows]
    )[:, 0]
    for ax, names, (title, spans) in zip(axes, rows, charts.items(), strict=True):
        for span in spans:
            ax.barh(
                names.index(span.row),
                span.end - span.start,
                left=span.start,
                height=0.6,
                color=look[span.what],
            )
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0, labelsize=WORDS)
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.set_title(title)
    axes[-1].set_xlabel(xlabel or _("Time, s"))
    axes[-1].set_xlim(left=0)
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _position: number(value)))
    if not named:
        handles = [Rectangle((0, 0), 1, 1, facecolor=color) for color in look.values()]
        fig.legend(handles, kinds, loc="outside lower center", ncols=_columns(kinds))
    return fig


def _columns(names: Sequence[str]) -> int:
    """Return how many columns of a legend the page has room for."""
    widest = max(width_of(name, WORDS) for name in names) + 0.6
    return max(1, min(len(names), int(WIDTH / widest)))


@styled
def lifelines(
    steps: Sequence[tuple[str, Mapping[str, str]]],
    lanes: Sequence[str],
    *,
    colors: Mapping[str, str] | None = None,
    left: str | None = None,
) -> Figure:
    """Draw the states that several parties went through: a row for each step, a lane for each.

    A step is what was done and the state of each lane after it. The same state has the same
    colour everywhere: *colors*, or one after another in the order in which they came.
    """
    states = list(dict.fromkeys(state for _done, after in steps for state in after.values()))
    taken = set((colors or {}).values())
    palette = [
        color
        for color in (SKY, BLUE, GREEN, ORANGE, VERMILION, PURPLE, YELLOW, GREY)
        if color not in taken
    ]
    paint = {state: palette[index % len(palette)] for index, state in enumerate(states)}
    paint |= colors or {}
    fig = _bare_figure(0.36 * len(steps) + 0.45)
    ax = fig.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set_axis_off()
    inches = WIDTH * 0.98
    room = max(width_of(done, WORDS) for done, _after in steps) + 0.12
    text_width = len(lanes) * room / (inches - room)  # where a lane is one wide
    ax.set_xlim(0, text_width + len(lanes))
    ax.set_ylim(len(steps) + 0.05, -0.95)
    ax.text(0, -0.5, left or _("What the program did"), va="center", weight="bold", fontsize=WORDS)
    for index, lane in enumerate(lanes):
        ax.text(text_width + index + 0.5, -0.5, lane, ha="center", va="center", weight="bold")
    for row, (done, after) in enumerate(steps):
        ax.plot([0, text_width + len(lanes)], [row, row], color="#DDDDDD", linewidth=0.6)
        with _marked_as_step(ax, row + 1):
            ax.text(0, row + 0.5, done, va="center", fontsize=WORDS)
            for index, lane in enumerate(lanes):
                if state := after.get(lane, ""):
                    _state(ax, text_width + index, row, state, paint[state])
    return fig


def _state(ax: Axes, x: float, row: int, state: str, color: str) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x + 0.07, row + 0.14),
            0.86,
            0.72,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=_tint(color, 0.35),
            edgecolor=color,
            linewidth=0.8,
        )
    )
    ax.text(x + 0.5, row + 0.52, state, ha="center", va="center", fontsize=WORDS)


@styled
def layers(rows: Sequence[tuple[str, str, str]], *, border_after: int) -> Figure:
    """Draw the layers that data goes down through: name, what it is there, how many there were.

    After the first *border_after* layers runs the border between the program and the kernel.
    """
    fig = _bare_figure(0.45 * len(rows) + 0.35)
    ax = fig.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set_axis_off()
    gap = 0.55
    height = len(rows) + gap
    ax.set_xlim(0, 10)
    ax.set_ylim(height + 0.05, -0.05)
    palette = (ORANGE, BLUE, SKY, GREEN, PURPLE)
    for index, (name, unit, count) in enumerate(rows):
        y = index + (gap if index >= border_after else 0)
        color = palette[index % len(palette)]
        ax.add_patch(
            FancyBboxPatch(
                (0.1, y + 0.13),
                9.8,
                0.74,
                boxstyle="round,pad=0,rounding_size=0.12",
                facecolor=_tint(color, 0.25),
                edgecolor=color,
                linewidth=1,
            )
        )
        ax.text(0.35, y + 0.5, name, va="center", weight="bold", fontsize=9.5)
        ax.text(3.3, y + 0.5, unit, va="center", fontsize=WORDS)
        ax.text(9.7, y + 0.5, count, va="center", ha="right", fontsize=WORDS)
        if index + 1 < len(rows) and index + 1 != border_after:
            ax.annotate(
                "",
                xy=(2.8, y + 1.12),
                xytext=(2.8, y + 0.88),
                arrowprops={"arrowstyle": "-|>", "color": GREY},
            )
    y = border_after + gap / 2
    words = _("the socket: boundary between program and kernel")
    half = width_of(words, WORDS) / WIDTH / 0.98 * 5 + 0.12
    for start, end in ((0.0, 5 - half), (5 + half, 10.0)):
        ax.plot([start, end], [y, y], color=BLACK, linewidth=1.2, linestyle=(0, (4, 2)))
    ax.text(5, y, words, ha="center", va="center", fontsize=WORDS)
    return fig
