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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from itertools import pairwise
from pathlib import Path
from typing import ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from chat.app.i18n import gettext as _
from chat.app.i18n import language, ngettext
from chat.lab.wiretap import Direction, Kind, Record, Stage

STYLE = Path(__file__).with_name("lab.mplstyle")
WIDTH = 6.5
"""Inches: the width of the text on a printed page."""

BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW, BLACK, GREY = "#E69F00", "#56B4E9", "#F0E442", "#222222", "#777777"
MONO = "monospace"

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
    return f"«{text}»" if len(text) <= width else f"«{text[: width - 1]}…»"


def _drawable(character: str) -> str:
    """Return *character*, or a dot where the font has no picture of it."""
    return character if character.isprintable() and ord(character) in _font_characters() else "·"


@cache
def _font_characters() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


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
    rows = lowest + (3.1 if outcomes else 2.2)
    fig = Figure(figsize=(WIDTH, 0.25 * rows + 0.3 * any(charts)))
    axes = fig.subplots(1, len(charts), squeeze=False)[0]
    for ax, (title, (steps, heights)) in zip(axes, layouts.items(), strict=True):
        _draw_lanes(ax, lanes, lowest + 0.9)
        _draw_sequence(ax, steps, heights, lanes, describe)
        ax.text(0, lowest + 1.5, outcomes.get(title, ""), va="center", fontsize=8.5, weight="bold")
        ax.set_ylim(rows - 0.9, -1.3)
        ax.set_title(title)
    return fig


def _layout(steps: list[_Step]) -> tuple[list[_Step], list[float]]:
    """Return the rows' heights: one apart, and more after a long pause."""
    heights = [0.0]
    for earlier, later in pairwise(steps):
        pause = later.record.time - earlier.record.time
        heights.append(heights[-1] + (2.3 if pause > LONG_PAUSE else 1.25))
    return steps, heights


def _draw_lanes(ax: Axes, lanes: Sequence[str], bottom: float) -> None:
    ax.set_axis_off()
    ax.set_xlim(-0.4, len(lanes) - 0.7)
    for x, name in enumerate(lanes):
        ax.text(x, -0.95, name, ha="center", va="center", weight="bold", fontsize=8.5)
        ax.plot([x, x], [-0.55, bottom], color="#BBBBBB", linewidth=1.2, zorder=0)


def _draw_sequence(
    ax: Axes,
    steps: list[_Step],
    heights: list[float],
    lanes: Sequence[str],
    describe: Callable[[bytes], str],
) -> None:
    clients = len(lanes) - 2
    network, server = float(clients), float(clients + 1)
    start = steps[0].record.time
    for row, (step, y) in enumerate(zip(steps, heights, strict=True)):
        above = heights[row - 1] if row else None
        with _marked_as_step(ax, row + 1):
            record = step.record
            client = float(min(record.connection, clients) - 1)
            ends = {
                (True, Stage.IN): (client, server),
                (True, Stage.OUT): (client, server),
                (False, Stage.IN): (client, network),
                (False, Stage.OUT): (network, server),
            }[step.through, record.stage]
            if record.direction is Direction.TO_CLIENT:
                ends = {
                    (client, network): (server, network),
                    (network, server): (network, client),
                    (client, server): (server, client),
                }[ends]
            _arrow(ax, ends, y, record, describe)
            moment = _milliseconds(record.time - start)
            ax.text(-0.07, y, moment, ha="right", va="center", fontsize=7, color=GREY)
            if above is not None and y - above > 2:
                _pause(ax, (above + y) / 2, server / 2)
    ax.text(-0.07, -0.4, _("ms"), ha="right", va="center", fontsize=7, color=GREY)


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


def _arrow(
    ax: Axes,
    ends: tuple[float, float],
    y: float,
    record: Record,
    describe: Callable[[bytes], str],
) -> None:
    color = TO_SERVER_COLOR if record.direction is Direction.TO_SERVER else TO_CLIENT_COLOR
    violent = record.kind in (Kind.RESET, Kind.CUT)
    ax.add_patch(
        FancyArrowPatch(
            (ends[0], y),
            (ends[1], y),
            arrowstyle="-|>",
            mutation_scale=9,
            color=BLACK if violent else color,
            linestyle="-" if record.kind is Kind.DATA else (0, (4, 2)),
            linewidth=1.3,
            shrinkA=1,
            shrinkB=1,
        )
    )
    if record.kind is Kind.DATA:
        label = f"{describe(record.data)}  {size(len(record.data))}"
    else:
        label = _kind_name(record.kind)
    if violent:
        label = f"✕ {label}"
    ax.text(
        sum(ends) / 2,
        y - 0.14,
        label,
        ha="center",
        va="bottom",
        fontsize=7.5,
        color=BLACK if violent else color,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.85},
    )


def _pause(ax: Axes, y: float, x: float) -> None:
    ax.text(x, y - 0.1, "⋮", ha="center", va="center", fontsize=11, color=GREY)


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
    fig = _bare_figure(rows * cell * 4.6 + 0.1)
    ax = fig.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_axis_off()
    ax.set_xlim(-0.4 - margin, per_row + 0.4 + margin)
    ax.set_ylim(rows * 4.6 - 0.2, -0.4)

    def place(position: int) -> tuple[float, float]:
        return position % per_row, position // per_row * 4.6 + 1.3

    characters = _characters(stream)
    for position, byte in enumerate(stream):
        x, y = place(position)
        belongs = _piece_of(frames, position)
        fill = _tint(BLUE if belongs % 2 == 0 else ORANGE, 0.22)
        ax.add_patch(Rectangle((x, y), 1, 1.7, facecolor=fill, edgecolor="white", linewidth=1))
        ax.text(x + 0.5, y + 0.55, f"{byte:02x}", ha="center", va="center", fontsize=7, family=MONO)
        if position in characters:
            character, width = characters[position]
            on_one_row = position % per_row + width <= per_row
            ax.text(
                x + (width if on_one_row else 1) / 2,
                y + 1.25,
                character,
                ha="center",
                va="center",
                fontsize=8,
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
                    fontsize=7.5,
                    color=color,
                )
                labelled = True
        if end < total:
            x, y = place(end - 1)
            reach = (y - 0.5, y + 1.7) if above else (y, y + 2.2)
            ax.plot(
                [x + 1, x + 1], reach, color=color, linewidth=2, linestyle="-" if above else ":"
            )
        start = end


def _tint(color: str, strength: float) -> tuple[float, float, float]:
    red, green, blue = (1 - strength + strength * part for part in to_rgb(color))
    return red, green, blue


# --- quantities over time ------------------------------------------------------------------------


@styled
def queue_lengths(
    steps: Sequence[float],
    queues: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    events: Mapping[float, str] | None = None,
) -> Figure:
    """Draw how many bytes wait in each queue, one upon the other; *events* mark moments."""
    fig = Figure(figsize=(WIDTH, 3.0))
    ax = fig.add_subplot()
    colors = [_tint(color, 0.55) for color in (BLUE, ORANGE, GREEN, PURPLE)]
    stacks = ax.stackplot(steps, *queues.values(), labels=list(queues), colors=colors)
    for stack, hatch in zip(stacks, ("", "////", "....", "xxxx"), strict=False):
        stack.set_hatch(hatch)  # told apart without colour, too
        stack.set_edgecolor("white")
        stack.set_linewidth(0)
    highest = max(map(sum, zip(*queues.values(), strict=True)))
    ax.set_ylim(0, highest * 1.15)
    for moment, text in (events or {}).items():
        ax.axvline(moment, color=BLACK, linewidth=1, linestyle=(0, (4, 2)))
        late = moment > (steps[0] + steps[-1]) / 2
        ax.text(
            moment,
            highest * 1.14,
            f" {text} ",
            ha="right" if late else "left",
            va="top",
            fontsize=8,
        )
    # A step of a power of two: whole kibibytes and mebibytes on the axis.
    ax.yaxis.set_major_locator(MultipleLocator(2 ** math.floor(math.log2(highest / 2.5))))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: size(value)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: number(value)))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(_("Bytes in the kernel's queues"))
    ax.set_xlim(steps[0], steps[-1])
    fig.legend(loc="outside upper center", ncols=len(queues))
    return fig


@styled
def measured_times(
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    logarithmic: bool = True,
) -> Figure:
    """Draw times in seconds, one point for each repetition, a marker for each series."""
    fig = Figure(figsize=(WIDTH, 2.9))
    ax = fig.add_subplot()
    for (name, times), marker in zip(series.items(), "osD^", strict=False):
        ax.plot(range(1, len(times) + 1), times, marker, label=name, markersize=5.5)
    if logarithmic:
        ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: duration(value)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.legend(loc="center right")
    return fig


@styled
def bars(
    values: Mapping[str, float],
    *,
    xlabel: str,
    show: Callable[[float], str] = number,
    mark: tuple[float, str] | None = None,
    colors: Sequence[str] | None = None,
) -> Figure:
    """Draw a horizontal bar for each value, the number at its end; *mark* is a line to compare."""
    fig = Figure(figsize=(WIDTH, 0.42 * len(values) + 0.85))
    ax = fig.add_subplot()
    positions = range(len(values))
    colors = colors or [(BLUE, ORANGE, GREEN, PURPLE, SKY)[index % 5] for index in positions]
    ax.barh(positions, list(values.values()), color=[_tint(c, 0.75) for c in colors], height=0.62)
    highest = max([*values.values(), mark[0] if mark else 0])
    for position, value in zip(positions, values.values(), strict=True):
        ax.text(
            value + highest * 0.012,
            position,
            show(value),
            va="center",
            fontsize=8.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
    if mark:
        ax.axvline(mark[0], color=BLACK, linewidth=1, linestyle=(0, (4, 2)))
        ax.text(mark[0], -0.62, f" {mark[1]}", ha="left", va="bottom", fontsize=8)
    ax.set_yticks(positions, list(values))
    ax.set_xlim(0, highest * 1.16)
    ax.set_ylim(len(values) - 0.5, -0.9 if mark else -0.5)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: show(value)))
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0, labelsize=8.5)
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

    *kinds* are the things that spans can be about, in the order of the legend.
    """
    look = {
        kind: (_tint(color, 0.75), hatch)
        for kind, color, hatch in zip(
            kinds,
            (BLUE, ORANGE, GREEN, PURPLE, SKY),
            ("", "////", "....", "xxxx", "||||"),
            strict=False,
        )
    }
    rows = [list(dict.fromkeys(span.row for span in spans)) for spans in charts.values()]
    fig = Figure(figsize=(WIDTH, 0.3 * sum(map(len, rows)) + 0.35 * len(charts) + 0.9))
    axes = fig.subplots(
        len(charts), 1, sharex=True, squeeze=False, height_ratios=[len(names) for names in rows]
    )[:, 0]
    for ax, names, (title, spans) in zip(axes, rows, charts.items(), strict=True):
        for span in spans:
            color, hatch = look[span.what]
            ax.barh(
                names.index(span.row),
                span.end - span.start,
                left=span.start,
                height=0.62,
                color=color,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.5,
            )
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0, labelsize=8.5)
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.set_title(title)
    axes[-1].set_xlabel(xlabel or _("Time, s"))
    axes[-1].set_xlim(left=0)
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _position: number(value)))
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=color, hatch=hatch, edgecolor="white")
        for color, hatch in look.values()
    ]
    # Long names in one row would run out of the figure at both sides.
    columns = len(kinds) if sum(map(len, kinds)) <= 60 else 2
    fig.legend(handles, kinds, loc="outside lower center", ncols=columns)
    return fig


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
    palette = (SKY, BLUE, GREEN, ORANGE, VERMILION, PURPLE, YELLOW, GREY)
    paint = {state: palette[index % len(palette)] for index, state in enumerate(states)}
    paint |= colors or {}
    fig = _bare_figure(0.36 * len(steps) + 0.45)
    ax = fig.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set_axis_off()
    text_width = 2.1
    ax.set_xlim(0, text_width + len(lanes))
    ax.set_ylim(len(steps) + 0.05, -0.95)
    ax.text(0, -0.5, left or _("What the program did"), va="center", weight="bold", fontsize=8.5)
    for index, lane in enumerate(lanes):
        ax.text(text_width + index + 0.5, -0.5, lane, ha="center", va="center", weight="bold")
    for row, (done, after) in enumerate(steps):
        ax.plot([0, text_width + len(lanes)], [row, row], color="#DDDDDD", linewidth=0.6)
        with _marked_as_step(ax, row + 1):
            ax.text(0, row + 0.5, done, va="center", fontsize=8.5)
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
    ax.text(x + 0.5, row + 0.52, state, ha="center", va="center", fontsize=8)


@styled
def layers(rows: Sequence[tuple[str, str, str]], *, border_after: int) -> Figure:
    """Draw the layers that data goes down through: name, what it is there, how many there were.

    After the first *border_after* layers runs the border between the program and the kernel.
    """
    fig = _bare_figure(0.55 * len(rows) + 0.45)
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
                (0.1, y + 0.1),
                9.8,
                0.8,
                boxstyle="round,pad=0,rounding_size=0.12",
                facecolor=_tint(color, 0.25),
                edgecolor=color,
                linewidth=1,
            )
        )
        ax.text(0.35, y + 0.5, name, va="center", weight="bold", fontsize=9.5)
        ax.text(3.3, y + 0.5, unit, va="center", fontsize=8.5)
        ax.text(9.7, y + 0.5, count, va="center", ha="right", fontsize=8.5)
        if index + 1 < len(rows) and index + 1 != border_after:
            ax.annotate(
                "",
                xy=(2.8, y + 1.12),
                xytext=(2.8, y + 0.88),
                arrowprops={"arrowstyle": "-|>", "color": GREY},
            )
    y = border_after + gap / 2
    ax.plot([0, 10], [y, y], color=BLACK, linewidth=1.2, linestyle=(0, (4, 2)))
    ax.text(
        5,
        y,
        "  " + _("the socket: border of program and kernel") + "  ",
        ha="center",
        va="center",
        fontsize=8.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )
    return fig


@styled
def delivered(rows: Mapping[str, Sequence[bool]], *, xlabel: str) -> Figure:
    """Draw which of many numbered messages arrived: a row of cells each, empty where lost."""
    fig = Figure(figsize=(WIDTH, 0.52 * len(rows) + 0.75))
    ax = fig.add_subplot()
    longest = max(map(len, rows.values()))
    for row, arrived in enumerate(rows.values()):
        color = (GREEN, VERMILION, BLUE)[row % 3]
        for position, here in enumerate(arrived):
            ax.add_patch(
                Rectangle(
                    (position + 0.5, row - 0.3),
                    1,
                    0.6,
                    facecolor=_tint(color, 0.75) if here else "white",
                    edgecolor="none" if here else "#CCCCCC",
                    linewidth=0.3,
                )
            )
        ax.text(
            longest + 0.5 + longest * 0.015,
            row,
            _("{here} of {all}").format(here=sum(arrived), all=len(arrived)),
            va="center",
            fontsize=8.5,
        )
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_xlim(0.5, longest * 1.17 + 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xticks([1, *range(longest // 5, longest + 1, max(1, longest // 5))])
    ax.set_xlabel(xlabel)
    ax.tick_params(axis="y", length=0, labelsize=8.5)
    ax.grid(visible=False)
    ax.spines["left"].set_visible(False)
    return fig
