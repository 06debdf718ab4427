"""What was measured, drawn for the report; each function takes the results and returns a figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from chat.app.i18n import gettext as _
from chat.app.i18n import ngettext
from chat.lab.figures import (
    ACCENT,
    GREY,
    PALE,
    WIDTH,
    WORDS,
    End,
    duration,
    name_ends,
    number,
    plain_axes,
    size,
    styled,
)

from .goals import Measured
from .plan import CROWDS, EVERYBODY, FOR_LATENCY, FOR_MEMORY, PACES, SCALING, WINDOW
from .servers import titles

Results = dict[str, Any]

OURS = "chat"


def _look(peer: str) -> dict[str, Any]:
    """Return how a server is drawn: ours in the accent and in front, all others alike."""
    if peer == OURS:
        return {"color": ACCENT, "marker": "o", "linewidth": 2.2, "zorder": 5}
    return {"color": PALE, "marker": "o", "linewidth": 1.2, "markersize": 3.5}


def _end(peer: str, x: float, y: float) -> End:
    return End(x, y, titles()[peer], ACCENT if peer == OURS else GREY, bold=peer == OURS)


Panel = tuple[str, dict[str, float | None], Callable[[float], str], bool]
"""A title, values by server, how a value is written, and whether more is better."""


@styled
def comparison(results: Results) -> Figure:
    """Draw the three results that tell most, ours among the others: the best is on top of each."""
    measured = Measured(results)
    clients, pace = PACES[0]
    panels: tuple[Panel, ...] = (
        (
            _("Deliveries per second,\n{clients} clients").format(clients=100),
            {peer: measured.median("rate", "throughput", peer, 100, WINDOW) for peer in EVERYBODY},
            thousands,
            True,
        ),
        (
            _("99 of 100 deliveries within\n({clients} clients, {pace} per second)").format(
                clients=clients, pace=pace
            ),
            {peer: measured.median("p99", "latency", peer, clients) for peer in FOR_LATENCY},
            duration,
            False,
        ),
        (
            _("Memory per connection"),
            {peer: _memory_for_one(measured, peer) for peer in FOR_MEMORY},
            size,
            False,
        ),
    )
    fig = Figure(figsize=(WIDTH, 4.0))
    grid = fig.add_gridspec(2, 2, wspace=0.04)
    parts = [grid[:, 0], grid[0, 1], grid[1, 1]]
    for part, (title, values, show, most_first) in zip(parts, panels, strict=True):
        panel = fig.add_subfigure(part)
        _ranking(panel.add_subplot(), values, show, most_first=most_first)
        panel.suptitle(title, x=0.02, ha="left", fontsize=WORDS, weight="bold")
    return fig


def _memory_for_one(measured: Measured, peer: str) -> float | None:
    case = measured.find("memory", peer)
    if case is None:
        return None
    (few, before), (many, after) = case["middle"]["points"][0], case["middle"]["points"][-1]
    return float((after - before) / (many - few))


def _ranking(
    ax: Axes,
    values: dict[str, float | None],
    show: Callable[[float], str],
    *,
    most_first: bool,
) -> None:
    known = {peer: value for peer, value in values.items() if value is not None}
    order = sorted(known, key=known.__getitem__, reverse=most_first)
    for row, peer in enumerate(order):
        ours = peer == OURS
        ax.barh(row, known[peer], height=0.6, color=ACCENT if ours else PALE)
        ax.annotate(
            show(known[peer]),
            (known[peer], row),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=WORDS,
            weight="bold" if ours else "normal",
        )
    ax.set_yticks(range(len(order)), [titles()[peer] for peer in order], fontsize=WORDS)
    ax.set_ylim(len(order) - 0.5, -0.5)
    ax.set_xlim(0, 1.7 * max(known.values(), default=1))
    ax.set_xticks([])
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="y", length=0)


@styled
def throughput(results: Results) -> Figure:
    """Draw deliveries per second over the number of clients, and over the window."""
    measured = Measured(results)
    fig = Figure(figsize=(WIDTH, 3.6))
    over_window, over_crowd = fig.subplots(1, 2, sharey=True, width_ratios=(2, 5))
    windows = (1, 16, WINDOW)
    cases = [(100, window) for window in windows]
    in_windows = [_line(over_window, measured, peer, cases, windows) for peer in ("chat", "naive")]
    cases = [(clients, WINDOW) for clients in CROWDS]
    in_crowds = [_line(over_crowd, measured, peer, cases, CROWDS) for peer in EVERYBODY]
    over_window.set_ylabel(_("Deliveries per second"))
    over_crowd.set_xlabel(_("Clients, {window} messages in flight").format(window=WINDOW))
    over_window.set_xlabel(_("Messages in flight, 100 clients"))
    for ax, ticks in ((over_crowd, CROWDS), (over_window, windows)):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: thousands(value)))
    name_ends(over_window, [end for end in in_windows if end])
    name_ends(over_crowd, [end for end in in_crowds if end])
    return fig


def _line(
    ax: Axes,
    measured: Measured,
    peer: str,
    cases: Sequence[tuple[int, int]],
    places: Sequence[int],
) -> End | None:
    """Draw the rates of *peer*, from the least to the most measured; return where the line ends."""
    found = [measured.find("throughput", peer, clients, window) for clients, window in cases]
    points = [(x, case) for x, case in zip(places, found, strict=True) if case is not None]
    if not points:
        return None
    look = _look(peer)
    for x, case in points:
        low, high = case["least"]["rate"], case["most"]["rate"]
        ax.plot([x, x], [low, high], color=look["color"], linewidth=1)
    rates = [case["median"]["rate"] for _x, case in points]
    ax.plot([x for x, _case in points], rates, **look)
    return _end(peer, points[-1][0], rates[-1])


def thousands(value: float) -> str:
    """Return a count as a reader takes it in: “773 thousand”, “6.13 million”."""
    if value >= 1e6:
        return _("{n} million").format(n=number(value / 1e6))
    if value < 1e3:
        return number(value)
    shown = number(value / 1e3)
    whole = int(shown) if shown.isdecimal() else 2  # «2,5 тысячи», as «2 тысячи»
    return ngettext("{n} thousand", "{n} thousand", whole).format(n=shown)


@styled
def latency(results: Results) -> Figure:
    """Draw the time to arrival: a dot for one half of the messages, a line up to 99 of 100."""
    measured = Measured(results)
    fig = Figure(figsize=(WIDTH, 2.3))
    axes = fig.subplots(1, len(PACES), sharey=True)
    for ax, (clients, pace) in zip(axes, PACES, strict=True):
        for row, peer in enumerate(FOR_LATENCY):
            half = measured.median("p50", "latency", peer, clients)
            most = measured.median("p99", "latency", peer, clients)
            if half is None or most is None:
                continue
            color = ACCENT if peer == OURS else GREY
            ax.plot([1000 * half, 1000 * most], [row, row], color=color, linewidth=2.5)
            ax.plot([1000 * half], [row], "o", color=color, markersize=6)
        ax.set_xlim(left=0)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.set_xlabel(_("Time to arrival, ms"))
        ax.set_title(
            _("{clients} clients,\n{pace} messages per second").format(clients=clients, pace=pace)
        )
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(FOR_LATENCY)), [titles()[peer] for peer in FOR_LATENCY])
    axes[0].set_ylim(len(FOR_LATENCY) - 0.5, -0.5)
    return fig


@styled
def memory(results: Results) -> Figure:
    """Draw how the resident memory of the servers grows with their connections."""
    measured = Measured(results)
    fig = Figure(figsize=(WIDTH, 2.7))
    ax = fig.add_subplot()
    ends = []
    for peer in FOR_MEMORY:
        case = measured.find("memory", peer)
        if case is None:
            continue
        points = case["middle"]["points"]
        empty = points[0][1]
        clients = [clients for clients, _bytes in points]
        more = [(bytes_ - empty) / 2**20 for _clients, bytes_ in points]
        ax.plot(clients, more, **_look(peer))
        ends.append(_end(peer, clients[-1], more[-1]))
    ax.set_xlabel(_("Connections"))
    ax.set_ylabel(_("Above idle, MiB"))
    plain_axes(ax)
    name_ends(ax, ends)
    return fig


@styled
def stalled(results: Results) -> Figure:
    """Draw what the others get in each tenth of a second, before, while and after one sleeps."""
    measured = Measured(results)
    fig = Figure(figsize=(WIDTH, 2.5))
    ax = fig.add_subplot()
    ends = []
    for name, label, color in (
        ("not stalled", _("all read"), GREY),
        ("stalled", _("one stops reading"), ACCENT),
    ):
        case = measured.find(name, OURS)
        if case is None:
            continue
        steps = list(pairwise(case["middle"]["timeline"]))
        moments = [end for _begin, (end, _count) in steps]
        rates = [(after - before) / (end - begin) / 1e6 for (begin, before), (end, after) in steps]
        ax.plot(moments, rates, color=PALE if color == GREY else color)
        ends.append(End(moments[-1], rates[-1], label, color, bold=color == ACCENT))
        if name == "stalled":
            asleep, dropped = case["middle"]["asleep"]
            ax.axvspan(asleep, dropped, color=ACCENT, alpha=0.12, lw=0)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(_("Time, s; tinted: from the sleeper’s last read to its disconnection"))
    ax.set_ylabel(_("Million deliveries per second"))
    plain_axes(ax)
    name_ends(ax, ends)
    return fig


@dataclass(frozen=True)
class Cost:
    """A line fitted to the processor's time for one message: so much, and for each recipient."""

    per_message: float
    """Seconds."""

    per_delivery: float
    """Seconds."""

    points: Sequence[tuple[int, float]]
    """Clients, and the seconds of processor time that the server spent on one message."""

    def of(self, clients: int) -> float:
        """Return the seconds that the line gives for a message to *clients* in all."""
        return self.per_message + self.per_delivery * (clients - 1)


def cost(results: Results) -> Cost:
    """Fit a line to what a message costs the server, by least squares of the relative error."""
    measured = Measured(results)
    points = []
    for clients in SCALING:
        case = measured.find("scaling", "chat", clients)
        if case is not None:
            median = case["median"]
            busy = median["server_busy"] * median["seconds"]
            points.append((clients, busy / median["messages"]))
    recipients = np.array([clients - 1 for clients, _seconds in points], dtype=float)
    seconds = np.array([seconds for _clients, seconds in points])
    equations = np.stack([1 / seconds, recipients / seconds], axis=1)
    solution, *_rest = np.linalg.lstsq(equations, np.ones(len(points)), rcond=None)
    return Cost(float(solution[0]), float(solution[1]), points)


@styled
def scaling(results: Results) -> Figure:
    """Draw what a message costs the server in processor time, over the number of clients."""
    line = cost(results)
    fig = Figure(figsize=(WIDTH, 2.0))
    ax = fig.add_subplot()
    crowds = np.geomspace(SCALING[0], SCALING[-1], 60)
    fitted = [1e6 * line.of(int(clients)) for clients in crowds]
    ax.plot(crowds, fitted, color=PALE, linewidth=1.2)
    clients, seconds = zip(*line.points, strict=True)
    ax.plot(clients, [1e6 * one for one in seconds], "o", color=ACCENT)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(SCALING, [number(clients) for clients in SCALING])
    ax.minorticks_off()
    ax.yaxis.set_major_locator(FixedLocator([10, 15, 20, 30, 40, 50, 60, 80, 100]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(float(value))))
    ax.set_xlabel(_("Clients"))
    ax.set_ylabel(_("Processor time, µs"))
    ends = [
        End(clients[-1], 1e6 * seconds[-1], _("measured"), ACCENT, bold=True),
        End(crowds[-1], fitted[-1], _("fitted line"), GREY),
    ]
    name_ends(ax, ends)
    return fig
