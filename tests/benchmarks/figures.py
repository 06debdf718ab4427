"""What was measured, drawn for the report; each function takes the results and returns a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from chat.app.i18n import gettext as _
from chat.lab.figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH,
    number,
    styled,
)

from .goals import Measured
from .plan import CROWDS, EVERYBODY, FOR_LATENCY, FOR_MEMORY, PACES, SCALING, WINDOW
from .servers import titles

Results = dict[str, Any]

# Colour and marker of each server; dashes for those in C, so that they differ in print as well.
_LOOKS: dict[str, dict[str, Any]] = {
    "chat": {"color": BLUE, "marker": "o", "linewidth": 2.2, "zorder": 5},
    "naive": {"color": VERMILION, "marker": "s"},
    "streams": {"color": ORANGE, "marker": "^"},
    "coalescing": {"color": GREEN, "marker": "D"},
    "websocket": {"color": PURPLE, "marker": "v"},
    "ngircd": {"color": GREY, "marker": "P", "linestyle": "--"},
    "inspircd": {"color": BLACK, "marker": "X", "linestyle": "--"},
    "relay": {"color": SKY, "marker": "*", "linestyle": ":", "markersize": 8},
    "relay-each": {"color": SKY, "marker": "h", "linestyle": ":"},
}


@styled
def throughput(results: Results) -> Figure:
    """Draw deliveries per second over the number of clients, and over the window."""
    measured = Measured(results)
    fig = Figure(figsize=(WIDTH, 4.4))
    over_crowd, over_window = fig.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for peer in EVERYBODY:
        _line(over_crowd, measured, peer, [(clients, WINDOW) for clients in CROWDS], CROWDS)
    windows = (1, 16, WINDOW)
    for peer in ("chat", "naive"):
        _line(over_window, measured, peer, [(100, window) for window in windows], windows)
    over_crowd.set_ylabel(_("Deliveries a second"))
    over_crowd.set_xlabel(_("Clients, {window} messages in flight").format(window=WINDOW))
    over_window.set_xlabel(_("Messages in flight, 100 clients"))
    for ax, ticks in ((over_crowd, CROWDS), (over_window, windows)):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(_thousands))
    fig.legend(*over_crowd.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


def _line(
    ax: Axes,
    measured: Measured,
    peer: str,
    cases: Sequence[tuple[int, int]],
    places: Sequence[int],
) -> None:
    found = [measured.find("throughput", peer, clients, window) for clients, window in cases]
    points = [(x, case) for x, case in zip(places, found, strict=True) if case is not None]
    if not points:
        return
    rates = [case["median"]["rate"] for _x, case in points]
    spread = [
        [rate - case["least"]["rate"] for rate, (_x, case) in zip(rates, points, strict=True)],
        [case["most"]["rate"] - rate for rate, (_x, case) in zip(rates, points, strict=True)],
    ]
    crowds = [x for x, _case in points]
    ax.errorbar(crowds, rates, yerr=spread, capsize=2, label=titles()[peer], **_LOOKS[peer])


def _thousands(value: float, _position: object) -> str:
    if value >= 1e6:
        return _("{n} million").format(n=number(value / 1e6))
    return _("{n} thousand").format(n=number(value / 1e3)) if value >= 1e3 else number(value)


@styled
def latency(results: Results) -> Figure:
    """Draw which share of the deliveries had arrived after which time."""
    measured = Measured(results)
    fig = Figure(figsize=(WIDTH, 3.2))
    axes = fig.subplots(1, len(PACES), sharey=True)
    for ax, (clients, pace) in zip(axes, PACES, strict=True):
        for peer in FOR_LATENCY:
            case = measured.find("latency", peer, clients)
            if case is None:
                continue
            shares, times = zip(*case["middle"]["quantiles"], strict=True)
            look = _LOOKS[peer] | {"marker": ""}
            ax.plot([1000 * time for time in times], shares, label=titles()[peer], **look)
        ax.set_xscale("log")
        ax.set_xlabel(_("Time to arrival, ms"))
        ax.set_title(
            _("{clients} clients, {pace} messages a second").format(clients=clients, pace=pace)
        )
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(float(value))))
    axes[0].set_ylabel(_("Share of the deliveries"))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


@styled
def memory(results: Results) -> Figure:
    """Draw how the resident memory of the servers grows with their connections."""
    measured = Measured(results)
    fig = Figure(figsize=(WIDTH, 2.9))
    ax = fig.add_subplot()
    for peer in FOR_MEMORY:
        case = measured.find("memory", peer)
        if case is None:
            continue
        points = case["middle"]["points"]
        empty = points[0][1]
        ax.plot(
            [clients for clients, _bytes in points],
            [(size - empty) / 2**20 for _clients, size in points],
            label=titles()[peer],
            **_LOOKS[peer],
        )
    ax.set_xlabel(_("Connections"))
    ax.set_ylabel(_("More than empty, MiB"))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(int(value))))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(float(value))))
    ax.legend()
    return fig


@styled
def stalled(results: Results) -> Figure:
    """Draw what the others get, tenth of a second by tenth, before, while and after one sleeps."""
    measured = Measured(results)
    fig = Figure(figsize=(WIDTH, 2.5))
    ax = fig.add_subplot()
    words = {
        "not stalled": (_("all read"), GREY, "--"),
        "stalled": (_("one falls asleep"), BLUE, "-"),
    }
    for name, (label, color, dash) in words.items():
        case = measured.find(name, "chat")
        if case is None:
            continue
        steps = list(pairwise(case["middle"]["timeline"]))
        if name == "stalled":
            asleep, dropped = case["middle"]["asleep"]
            ax.axvspan(asleep, dropped, color=BLUE, alpha=0.15, lw=0, label=_("it is asleep"))
        ax.plot(
            [end for _begin, (end, _count) in steps],
            [(after - before) / (end - begin) / 1e6 for (begin, before), (end, after) in steps],
            dash,
            color=color,
            label=label,
        )
    ax.set_ylim(bottom=0)
    ax.set_xlabel(_("Time, s"))
    ax.set_ylabel(_("Million deliveries a second"))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _place: number(float(value))))
    ax.legend(loc="lower right")
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
    fig = Figure(figsize=(WIDTH, 2.8))
    ax = fig.add_subplot()
    crowds = np.geomspace(SCALING[0], SCALING[-1], 60)
    ax.plot(
        crowds,
        [1e6 * line.of(int(clients)) for clients in crowds],
        color=GREY,
        linestyle="--",
        label=_("fitted line"),
    )
    clients, seconds = zip(*line.points, strict=True)
    ax.plot(clients, [1e6 * one for one in seconds], "o", color=BLUE, label=_("measured"))
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(SCALING, [number(clients) for clients in SCALING])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(float(value))))
    ax.set_xlabel(_("Clients"))
    ax.set_ylabel(_("Processor for a message, µs"))
    ax.legend()
    return fig
