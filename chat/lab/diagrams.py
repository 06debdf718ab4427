"""Figures of how the chat is built: processes, threads, what they share, a connection's life.

They are drawn by hand, in inches on the page, not from a recording; the names on them are those of
the code. Each function returns a ``Figure`` in the style of `chat.lab.figures`.
"""

from __future__ import annotations

from enum import Enum

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from chat.app.i18n import gettext as _
from chat.lab.figures import BLACK, BLUE, GREEN, GREY, MONO, ORANGE, VERMILION, WIDTH, styled

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
        line = 0.135
        start = y + 0.15 if top else y + height / 2 - line / 2 * lines
        self.text((middle, start), text, weight="bold", size=8.5)
        if note:
            self.text((middle, start + line + line / 2 * (lines - 1)), note)

    def text(
        self,
        place: Point,
        text: str,
        *,
        size: float = 7.5,
        color: str = BLACK,
        weight: str = "normal",
        align: str = "center",
        mono: bool = False,
        paper: bool = False,
    ) -> None:
        """Write *text* around *place*; on *paper* it covers what is under it."""
        self._ax.text(
            *place,
            text,
            ha=align,
            va="center",
            fontsize=size,
            color=color,
            weight=weight,
            family=MONO if mono else "sans-serif",
            linespacing=1.25,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8} if paper else None,
        )

    def arrow(
        self,
        start: Point,
        end: Point,
        text: str = "",
        *,
        color: str = BLACK,
        at: float = 0.5,
        dashed: bool = False,
        bend: float = 0.0,
    ) -> None:
        """Draw an arrow, *text* standing beside its point *at* (0 its start, 1 its end)."""
        self._ax.add_patch(
            FancyArrowPatch(
                start,
                end,
                arrowstyle="-|>",
                connectionstyle=f"arc3,rad={bend}",
                mutation_scale=9,
                color=color,
                linewidth=1.2,
                linestyle=(0, (4, 2)) if dashed else "-",
                shrinkA=0,
                shrinkB=0,
            )
        )
        if text:
            x = start[0] + (end[0] - start[0]) * at
            y = start[1] + (end[1] - start[1]) * at
            self.text((x, y), text, color=color, paper=True)


def _legend(canvas: _Canvas, y: float, *looks: Look) -> None:
    meaning = {
        Look.THREAD: (0.35, _("thread of execution")),
        Look.SHARED: (2.65, _("shared data under a lock")),
        Look.PROCESS: (4.75, _("process")),
    }
    for look in looks:
        x, text = meaning[look]
        canvas.box((x, y - 0.07), (0.26, 0.15), "", look)
        canvas.text((x + 0.34, y), text, align="left")


@styled
def architecture() -> Figure:
    """Draw two clients and the server: processes, their threads, the connections between them."""
    canvas = _Canvas(3.8)
    keyboard, screen = (
        (_("main thread"), _("keyboard → say()")),
        ("chat listener", _("on_event() → screen")),
    )
    for y, who, rows in (
        (0.1, _("Anya"), (keyboard, screen)),
        (1.8, _("Borya"), (screen, keyboard)),
    ):
        canvas.box((0.1, y), (2.0, 1.5), _("Client: {who}").format(who=who), Look.PROCESS, top=True)
        for row, (thread, note) in enumerate(rows):
            canvas.box((0.22, y + 0.31 + row * 0.58), (1.76, 0.5), thread, Look.THREAD, note=note)
    canvas.box((3.4, 0.1), (3.0, 3.2), _("Server"), Look.PROCESS, top=True)
    for y, whose in ((0.41, _("recv() from Anya")), (2.69, _("recv() from Borya"))):
        canvas.box((3.55, y), (1.4, 0.5), "ClientConnection", Look.THREAD, note=whose)
    canvas.box((5.1, 0.41), (1.18, 0.5), "listener", Look.THREAD, note="accept()")
    canvas.box((3.55, 1.4), (1.36, 0.8), "Sender", Look.SHARED, note=_("a queue for each\nsocket"))
    canvas.box(
        (5.1, 1.4), (1.18, 0.8), "Room", Look.SHARED, note=_("who is here\nand what was said")
    )
    canvas.arrow((1.98, 0.66), (3.55, 0.66), _("frames of JSON"), color=BLUE, at=0.48)
    canvas.arrow((1.98, 2.94), (3.55, 2.94), color=BLUE)
    canvas.arrow((3.55, 1.65), (1.98, 1.24), color=VERMILION)
    canvas.arrow((3.55, 1.95), (1.98, 2.36), color=VERMILION)
    canvas.text((2.76, 1.8), _("messages,\nacknowledgements"), color=VERMILION, paper=True)
    canvas.text((2.76, 0.25), "TCP", weight="bold", size=8.5)
    canvas.arrow((5.1, 0.66), (4.95, 0.66), color=GREY)
    canvas.arrow((4.75, 0.91), (5.3, 1.4))
    canvas.arrow((4.75, 2.69), (5.3, 2.2))
    canvas.arrow((5.1, 1.8), (4.91, 1.8))
    _legend(canvas, 3.6, Look.THREAD, Look.SHARED, Look.PROCESS)
    return canvas.figure


@styled
def server_threads() -> Figure:
    """Draw the server's threads, what they share, under which lock, in the order of a message."""
    canvas = _Canvas(4.5)
    canvas.box(
        (0.15, 0.12),
        (1.75, 0.6),
        "listener",
        Look.THREAD,
        note=_("accept();\nopens and closes the house"),
    )
    for y, whose in (
        (1.12, _("recv() from Anya")),
        (2.0, _("recv() from Borya")),
        (2.88, _("recv() from Vera")),
    ):
        canvas.box((0.15, y), (1.75, 0.55), "ClientConnection", Look.THREAD, note=whose)
    canvas.box((0.15, 3.62), (1.75, 0.5), "sender", Look.THREAD, note=_("waits for full sockets"))
    shared = (1.5, 0.95)
    canvas.box(
        (2.75, 0.12),
        (1.5, 0.6),
        "_clients",
        Look.SHARED,
        note=_("whose threads live\nlock of ChatServer"),
    )
    canvas.box(
        (2.75, 1.0),
        shared,
        "Room",
        Look.SHARED,
        note=_("nicknames, order of\nmessages; history\nlocks of Room, History"),
    )
    canvas.box(
        (4.85, 1.0),
        shared,
        "Sender",
        Look.SHARED,
        note=_("list: which frame\ngoes to whom\nlock of Sender"),
    )
    canvas.box((4.85, 2.88), (1.5, 0.55), _("sockets"), Look.PLAIN, note=_("buffers in the kernel"))
    canvas.arrow((1.9, 0.42), (2.75, 0.42))
    canvas.arrow((1.02, 0.72), (1.02, 1.12), "start()", at=0.42)
    canvas.text((0.15, 0.98), "① recv()", color=BLUE, align="left")
    canvas.arrow((1.9, 1.4), (2.75, 1.4), color=BLUE)
    canvas.text((2.32, 1.24), "② say()", color=BLUE)
    canvas.arrow((4.25, 1.4), (4.85, 1.4), color=BLUE)
    canvas.text((4.55, 1.24), "③ post()", color=BLUE)
    canvas.arrow((1.9, 1.6), (4.85, 3.0), color=BLUE)
    canvas.text(
        (4.2, 2.3),
        _("④ flush(): write the history,\nfill the queues, one send()\nfor each socket"),
        color=BLUE,
        paper=True,
    )
    canvas.arrow((1.9, 3.87), (5.6, 3.43), color=VERMILION, bend=0.15)
    canvas.text((3.7, 3.72), _("⑤ a full socket: wait, send the rest"), color=VERMILION, paper=True)
    _legend(canvas, 4.34, Look.THREAD, Look.SHARED)
    return canvas.figure


@styled
def connection_life() -> Figure:
    """Draw the life of one connection in the server, from accept to close, and its early ends."""
    canvas = _Canvas(4.8)
    stages = [
        ("accept()", _("listener accepts and starts a thread"), Look.THREAD),
        ("run()", _("agree on encryption; send register"), Look.PLAIN),
        ("_register()", _("read until the nickname is accepted"), Look.PLAIN),
        ("_converse()", _("recv → frames → deeds → flush, again"), Look.PLAIN),
        (
            "_part()",
            _("free the nickname and tell the others,\nsend what is queued, end the stream (FIN)"),
            Look.PLAIN,
        ),
        ("discard()", _("read until the peer closes as well"), Look.PLAIN),
        ("close(), forget()", _("give back the descriptor; the thread ends"), Look.THREAD),
    ]
    step, heights = 0.67, [0.46, 0.46, 0.46, 0.46, 0.52, 0.46, 0.46]
    left, width = 0.15, 2.85
    for index, ((name, what, look), height) in enumerate(zip(stages, heights, strict=True)):
        y = 0.1 + index * step
        canvas.box((left, y), (width, height), name, look, note=what)
        if index:
            above = y - step + heights[index - 1]
            canvas.arrow((left + width / 2, above), (left + width / 2, y))
    ends = [
        (
            (2, 3),
            "register_timeout, server_full,\nframe_too_long",
            _("a refusal that ends the connection"),
            GREY,
        ),
        ((3,), "quit", _("asked to leave"), GREEN),
        ((3,), "replaced", _("came back on a new connection"), GREEN),
        ((3,), "lost, timeout", _("the connection is lost"), VERMILION),
        ((3,), "kicked, slow, flood", _("thrown out by the server"), VERMILION),
        ((3,), "shutdown", _("the whole server closes"), BLUE),
    ]
    exits, y = 4.05, 0.85
    for origins, reasons, meaning, color in ends:
        two_lines = 0.13 * reasons.count("\n")
        canvas.text((exits, y + two_lines / 2), reasons, align="left", mono=True, color=color)
        canvas.text((exits, y + 0.16 + two_lines), meaning, align="left")
        for stage in origins:
            out = (left + width, 0.1 + stage * step + heights[stage] / 2)
            end = (exits - 0.06, y + 0.07 + two_lines / 2)
            canvas.arrow(out, end, color=color, dashed=True)
        y += 0.48 + two_lines
    part = (left + width, 0.1 + 4 * step + heights[4] / 2)
    canvas.arrow((exits + 0.5, y - 0.1), part, bend=-0.3)
    canvas.text(
        (3.2, y + 0.14), _("each of these ends leads to _part()"), align="left", weight="bold"
    )
    return canvas.figure
