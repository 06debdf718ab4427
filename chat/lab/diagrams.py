"""Figures of how the chat is built: processes, threads, what they share, a connection's life.

They are drawn by hand, in inches on the page, not from a recording; the names on them are those of
the code. Each function returns a ``Figure`` in the style of `chat.lab.figures`.
"""

from __future__ import annotations

from enum import Enum

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from chat.app.i18n import gettext as _
from chat.lab.figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MONO,
    ORANGE,
    VERMILION,
    WIDTH,
    WORDS,
    styled,
    width_of,
)

Point = tuple[float, float]


class Look(Enum):
    """What a box stands for: its colour, and whether its corners are round."""

    THREAD = (BLUE, 0.14)
    SHARED = (ORANGE, 0.02)
    PROCESS = (GREY, 0.06)
    PLAIN = (GREEN, 0.06)


class _Canvas:
    """A page to draw on, in inches; y grows downwards."""

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(WIDTH, height))
        self.figure.set_layout_engine("none")
        self._ax: Axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self._ax.set_axis_off()
        self._ax.set_xlim(0, WIDTH)
        self._ax.set_ylim(height, 0)

    def box(
        self,
        corner: Point,
        size: Point,
        text: str,
        look: Look,
        *,
        note: str = "",
        top: bool = False,
    ) -> None:
        """Draw a box with *text* in bold and a *note* under it; at its *top*, or in the middle."""
        (x, y), (width, height) = corner, size
        color, rounding = look.value
        strength = 0.06 if look is Look.PROCESS else 0.22
        self._ax.add_patch(
            FancyBboxPatch(
                corner,
                width,
                height,
                boxstyle=f"round,pad=0,rounding_size={min(rounding, height / 2.5)}",
                facecolor=tuple(1 - strength + strength * part for part in to_rgb(color)),
                edgecolor=color,
                linewidth=1,
                linestyle="-" if look is not Look.PROCESS else (0, (4, 2)),
            )
        )
        middle = x + width / 2
        lines = note.count("\n") + 1 if note else 0
        line = 0.145
        start = y + 0.15 if top else y + height / 2 - line / 2 * lines
        self.text((middle, start), text, weight="bold")
        if note:
            self.text((middle, start + line + line / 2 * (lines - 1)), note)

    def text(
        self,
        place: Point,
        text: str,
        *,
        color: str = BLACK,
        weight: str = "normal",
        align: str = "center",
        mono: bool = False,
    ) -> None:
        """Write *text* around *place*, or from there to the right."""
        self._ax.text(
            *place,
            text,
            ha=align,
            va="center",
            fontsize=WORDS,
            color=color,
            weight=weight,
            family=MONO if mono else None,
            linespacing=0.95,
        )

    def frame(self, corner: Point, size: Point) -> None:
        """Draw a line around what belongs together."""
        self._ax.add_patch(
            Rectangle(corner, *size, facecolor="none", edgecolor=GREY, linewidth=0.8)
        )

    def arrow(
        self,
        start: Point,
        end: Point,
        *,
        color: str = BLACK,
    ) -> None:
        """Draw an arrow."""
        self._ax.add_patch(
            FancyArrowPatch(
                start,
                end,
                arrowstyle="-|>",
                mutation_scale=9,
                color=color,
                linewidth=1.2,
                shrinkA=0,
                shrinkB=0,
            )
        )


def _legend(canvas: _Canvas, y: float, *looks: Look) -> None:
    meaning = {
        Look.THREAD: _("thread of execution"),
        Look.SHARED: _("shared data under a lock"),
        Look.PROCESS: _("process"),
    }
    x = 0.05
    for look in looks:
        canvas.box((x, y - 0.07), (0.26, 0.15), "", look)
        canvas.text((x + 0.34, y), meaning[look], align="left")
        x += 0.34 + width_of(meaning[look], WORDS) + 0.3


@styled
def architecture() -> Figure:
    """Draw two clients and the server: processes, threads, what they share, a message's way."""
    canvas = _Canvas(3.7)
    keyboard, screen = (
        (_("main thread"), _("keyboard → say()")),
        ("chat listener", _("on_event() → screen")),
    )
    for y, who, rows in (
        (0.05, _("Anya"), (keyboard, screen)),
        (1.85, _("Borya"), (screen, keyboard)),
    ):
        canvas.box(
            (0.05, y), (1.9, 1.5), _("Client: {who}").format(who=who), Look.PROCESS, top=True
        )
        for row, (thread, note) in enumerate(rows):
            canvas.box((0.15, y + 0.31 + row * 0.61), (1.7, 0.5), thread, Look.THREAD, note=note)
    canvas.box((2.85, 0.05), (3.4, 3.3), _("Server"), Look.PROCESS, top=True)
    for y, whose in ((0.36, _("recv() from Anya")), (2.52, _("recv() from Borya"))):
        canvas.box((2.95, y), (1.35, 0.5), "ClientConnection", Look.THREAD, note=whose)
    canvas.box((4.9, 0.36), (1.25, 0.5), "listener", Look.THREAD, note="accept()")
    canvas.box(
        (4.9, 1.35), (1.25, 0.72), "Room", Look.SHARED, note=_("who is here\nand what was said")
    )
    canvas.box((2.95, 1.42), (1.35, 0.58), "Writer", Look.THREAD, note=_("writes all sockets"))
    canvas.text((2.4, 0.13), "TCP", weight="bold")
    canvas.arrow((1.85, 0.61), (2.95, 0.61), color=BLUE)
    canvas.text((2.4, 0.49), _("① message"), color=BLUE)
    canvas.arrow((4.3, 0.75), (5.05, 1.35), color=BLUE)
    canvas.text((4.62, 1.14), "② say()", color=BLUE, align="right")
    canvas.arrow((4.9, 1.71), (4.3, 1.71), color=BLUE)
    canvas.text((4.6, 1.58), "③ post()", color=BLUE)
    canvas.arrow((2.95, 1.6), (1.85, 1.22), color=VERMILION)
    canvas.arrow((2.95, 1.82), (1.85, 2.41), color=VERMILION)
    canvas.text((2.05, 1.7), "④ send()", color=VERMILION, align="left")
    canvas.arrow((1.85, 3.02), (2.95, 2.77), color=GREY)
    canvas.arrow((4.3, 2.77), (5.3, 2.07), color=GREY)
    canvas.arrow((4.9, 0.61), (4.3, 0.61), color=GREY)
    canvas.text((4.6, 0.49), "start()", color=GREY)
    _legend(canvas, 3.55, Look.THREAD, Look.SHARED, Look.PROCESS)
    return canvas.figure


@styled
def connection_life() -> Figure:
    """Draw the life of one connection in the server, from accept to close, and what ends it."""
    stages = [
        ("accept()", _("listener accepts and starts a thread"), Look.THREAD),
        ("_shake_hands()", _("agree on encryption, if there is TLS"), Look.PLAIN),
        ("_converse()", _("recv() → frames → dispatch, again;\na nickname first"), Look.PLAIN),
        ("_leave()", _("leave the room, tell the others"), Look.PLAIN),
        ("_drain()", _("send the rest, then a FIN;\nread until the peer closes, too"), Look.PLAIN),
        ("close()", _("free the descriptor; the thread ends"), Look.THREAD),
    ]
    ends = [
        ("register_timeout, server_full\nframe_too_long", _("a refusal")),
        ("quit", _("asked to leave")),
        ("replaced", _("came back on a new connection")),
        ("lost, timeout", _("the connection is lost")),
        ("kicked, slow, flood", _("removed by the server")),
        ("shutdown", _("the server stops")),
    ]
    width = max(width_of(what, WORDS) for _name, what, _look in stages) + 0.2
    canvas = _Canvas(4.15)
    middles = []
    y, apart = 0.05, 0.2
    for index, (name, what, look) in enumerate(stages):
        height = 0.46 + 0.14 * what.count("\n")
        canvas.box((0.05, y), (width, height), name, look, note=what)
        middles.append(y + height / 2)
        y += height + apart
        if index + 1 < len(stages):
            canvas.arrow((0.05 + width / 2, y - apart), (0.05 + width / 2, y))
    left = 0.05 + width + 0.75
    top, y = 0.75, 0.93
    canvas.text((left + 0.12, y), _("What ends the conversation"), weight="bold", align="left")
    for reasons, meaning in ends:
        lines = reasons.split("\n")
        for line in lines:
            y += 0.17
            canvas.text((left + 0.12, y), line, align="left", mono=True)
        y += 0.145
        canvas.text((left + 0.12, y), meaning, align="left", color=GREY)
        y += 0.02
    bottom = y + 0.16
    canvas.frame((left, top), (WIDTH - left - 0.05, bottom - top))
    canvas.arrow((0.05 + width, middles[2]), (left, middles[2]), color=GREY)
    canvas.arrow((left, middles[3]), (0.05 + width, middles[3]))
    return canvas.figure
