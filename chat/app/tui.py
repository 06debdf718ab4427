"""The full-screen client: the conversation, the list of users, the line being typed.

It needs Textual, the extra ``tui``; without it the client uses `chat.app.console`. There are three
threads:

* the main thread, Textual's, draws and handles keys, and never waits for the network;
* the thread of `Talk` handles what was typed, in order, and may wait for the server;
* the client's listener thread handles events.

The last two put what is to be shown into an inbox, which the main thread empties every `TICK`.
"""

import asyncio
import codecs
import contextlib
import os
import queue
import re
import sys
import threading
import time
from argparse import Namespace
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TextIO

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style as RichStyle
from rich.text import Text
from textual import events, on
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.keys import Keys
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Label, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from chat.app import options as cli
from chat.app.conversation import (
    INDENT,
    Conversation,
    Line,
    Part,
    addressee,
    clock,
    command_in,
    date,
    is_goodbye,
    nick_colour,
    shown_nick,
)
from chat.app.i18n import gettext as _
from chat.app.i18n import ngettext
from chat.app.sentences import end_sentence
from chat.core.client import ChatClient, ConnectionClosedError
from chat.core.protocol import Message, nick_key, printable

KEPT_LINES = 5000
"""Lines of one conversation that stay in memory; the server's history has more."""

TICK = 1 / 30
"""Seconds between two looks at what other threads have to show."""

TASKS_AT_ONCE = 500
"""Tasks from other threads that are done before keys are handled again."""

PEOPLE_SHOWN = 500
"""Users in the list beside the conversation: /users shows all of them."""

NARROW = 60
"""Columns below which the list of users is hidden until it is asked for."""

QUIT_TIMEOUT = 2.0
"""Seconds on leaving for what was typed last."""

COLOURS = not os.environ.get("NO_COLOR")
"""Whether to use colours, see no-color.org. Textual's own filter makes the line black on black."""

# Most terminals send these two bytes for Alt+Enter; Textual reads them as Enter.
ANSI_SEQUENCES_KEYS["\x1b\r"] = (Keys.ControlJ,)  # type: ignore[index]

_STYLES = {
    "plain": RichStyle(),
    "quiet": RichStyle(dim=True),
    "lock": RichStyle(dim=True),
    "private": RichStyle(color="magenta"),
    "mention": RichStyle(bold=True, reverse=True),
    "warning": RichStyle(color="red"),
}


def _style(part: Part) -> RichStyle:
    style = _STYLES.get(part.role)
    if style is None:  # a nickname
        style = RichStyle(bold=True, color=f"color({nick_colour(part.text)})")
    return style if COLOURS else style.without_color


def _text(parts: tuple[Part, ...]) -> Text:
    text = Text(end="")
    for part in parts:
        text.append("\N{LOCK}" if part.role == "lock" else part.text, _style(part))
    return text


# The conversation, and its thread


class Talk(Conversation):
    """A conversation on a full screen. What is typed is handled in a thread of its own."""

    def __init__(
        self, client: ChatClient, log: TextIO | None = None, *, bell: bool = False
    ) -> None:
        """Drive *client*; the rest is as in `Conversation`."""
        super().__init__(client, log, bell=bell)
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="chat speaker")
        self._app: ChatApp
        self.attempt = 0
        """The number of the attempt to reconnect; 0: there is a connection."""
        self.unsent: list[str] = []
        """Lines that were typed and could not be sent any more."""

    # The screen's thread

    def start(self, app: "ChatApp") -> None:
        """Begin, on the screen of *app*, with a greeting."""
        self._app = app
        self.greet()
        self._thread.start()
        self.client.listen()

    def stop(self) -> None:
        """Leave the chat; first send what was typed, within `QUIT_TIMEOUT`. Waits."""
        self._tasks.put(None)
        if self._thread.ident is not None:
            self._thread.join(QUIT_TIMEOUT)
        self.client.close()
        if self._thread.ident is not None:
            self._thread.join()

    def submit(self, line: str) -> None:
        """Handle *line* when its turn comes."""
        self._tasks.put(lambda: self._try(line))

    def choose(self, partner: str | None) -> None:
        """Send what is typed from now on to *partner*, None for everybody."""
        self._tasks.put(lambda: super(Talk, self).talk_to(partner))

    def refuse(self, partner: str) -> None:
        """Warn that *partner* has left and that nothing was sent."""
        sentence = _("{nick} has left, so nothing was sent. Alt+↑ or /all: talk to everybody.")
        self._warn(sentence, nick=shown_nick(partner))

    def keys(self) -> list[tuple[str, str]]:
        """Return the keys and what they do."""
        return [
            ("Tab", _("complete a nickname or a command; again: the next one")),
            ("Alt+↑, Alt+↓", _("talk to the previous or the next one in the list")),
            ("Shift+Tab", _("go to the list of users: arrows and Enter choose, Esc returns")),
            ("PgUp, PgDn", _("read what was said before")),
            ("↑, ↓", _("what you have typed before")),
            ("Alt+Enter, Ctrl-J", _("another row in the same message")),
            ("Ctrl-C", _("clear the line; on an empty line, twice: leave")),
        ]

    # The thread that handles what was typed

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

    def _try(self, line: str) -> None:
        try:
            self._handle(line)
        except ConnectionClosedError:
            self.unsent.append(line)
            self._warn(_("The conversation is over. Not sent: {line}"), line=line)

    def talk_to(self, partner: str | None) -> None:
        """Talk to *partner*, and show that conversation."""
        super().talk_to(partner)
        self._app.deliver(lambda: self._app.show_pane(partner))

    def said(self, text: str, to: str | None) -> None:
        """Show the user's own message: the server does not send it back."""
        event: Message = {"from": self.client.nick, "to": to, "text": text, "time": time.time()}
        event["sealed"] = self.client.cipher is not None
        self._show(self._message_line(event, tuple({to: None, self._partner: None})))

    def ask_password(self) -> None:
        """Ask for the password in a window of its own."""

        def answered(password: str | None) -> None:
            if password:
                self._tasks.put(lambda: self._become_admin(password))

        self._app.deliver(lambda: self._app.ask_password(answered))

    def _become_admin(self, password: str) -> None:
        try:
            self.client.become_admin(password)
        except ConnectionClosedError:
            self._warn(_("There is no connection at the moment. Try again when it is back."))

    # The listener's thread

    def on_event(self, event: Message) -> None:
        """Show *event*, and update the list of users and the status line."""
        if event["type"] == "reconnecting":
            self.attempt = event["attempt"]
        elif event["type"] == "reconnected":
            self.attempt = 0
        super().on_event(event)
        self._app.deliver(lambda: None)

    def ring(self) -> None:
        """Ring the terminal's bell."""
        self._app.deliver(self._app.bell)

    def over(self) -> None:
        """Do nothing: the screen stays, so that the conversation can be read."""

    # Any thread

    def display(self, lines: list[Line]) -> None:
        """Put *lines* into their panes."""
        self._app.deliver(lambda: self._app.add(lines))


# The parts of the screen


@dataclass
class Pane:
    """One conversation on the screen: with everybody, or with one user."""

    partner: str | None
    lines: list[Line] = field(default_factory=list)
    unread: int = 0
    first_unread: int | None = None
    """The first line below the mark "new"."""
    top: int | None = None
    """The line at the top of the view; None: the view follows new lines."""
    draft: str = ""
    """The text that is typed and not sent yet."""

    def add(self, line: Line) -> int:
        """Add *line*; return how many of the oldest lines were dropped for it."""
        self.lines.append(line)
        surplus = KEPT_LINES // 10 if len(self.lines) > KEPT_LINES else 0
        del self.lines[:surplus]
        if self.first_unread is not None:
            self.first_unread = max(0, self.first_unread - surplus)
        if self.top is not None:
            self.top = max(0, self.top - surplus)
        return surplus


class Scrollback(ScrollView, can_focus=False):
    """Shows the lines of a pane, wrapped to its width, and keeps the scroll position."""

    def __init__(self) -> None:
        """Show nothing yet."""
        super().__init__()
        self.pane = Pane(None)
        self._rows: list[Strip] = []
        self._starts: list[int] = []  # the first row of each line
        self._started = date(time.time())
        self._day = self._started

    @property
    def following(self) -> bool:
        """Whether the view follows new lines."""
        return self.pane.top is None

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow new lines if, and only if, the last row is in view."""
        super().watch_scroll_y(old_value, new_value)
        line = max(0, bisect_right(self._starts, self.scroll_offset.y) - 1)
        self.pane.top = None if new_value >= self.max_scroll_y else line

    def follow(self) -> None:
        """Scroll to the last row and follow new lines."""
        self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)
        self.pane.top = None

    def show(self, pane: Pane) -> None:
        """Show *pane* at its scroll position."""
        self.pane = pane
        self._wrap_all()

    def on_resize(self) -> None:
        """Wrap all lines to the new width."""
        self._wrap_all()

    def add(self, line: Line, dropped: int) -> None:
        """Show *line*, which was added to the pane, from which the first *dropped* were dropped."""
        if dropped:
            self._wrap_all()
        else:
            top = self.pane.top
            self._wrap(len(self.pane.lines) - 1, line)
            self._resize_virtually(top)

    def show_last(self, number: int) -> None:
        """Scroll to the first of the last *number* lines if they do not all fit."""
        top = self._starts[-number:][0]
        if len(self._rows) - top > self.scrollable_content_region.height:
            self.scroll_to(y=top, animate=False, immediate=True)

    def render_line(self, y: int) -> Strip:
        """Return row *y* of what is in view."""
        row = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        if row >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        return self._rows[row].crop_extend(0, width, self.rich_style)

    def _wrap_all(self) -> None:
        top = self.pane.top
        self._rows.clear()
        self._starts.clear()
        self._day = self._started
        for number, line in enumerate(self.pane.lines):
            self._wrap(number, line)
        self._resize_virtually(top)
        if top is not None and self._starts:
            row = self._starts[min(top, len(self._starts) - 1)]
            self.scroll_to(y=row, animate=False, immediate=True)

    def _resize_virtually(self, top: int | None) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows))
        self.pane.top = top  # a smaller view has changed it
        if top is None:
            self.follow()
        self.refresh()

    def _wrap(self, number: int, line: Line) -> None:
        width = max(2 * INDENT, self.scrollable_content_region.width)
        if number == self.pane.first_unread:
            self._rows.append(self._rule(_("new"), width))
        if line.time is not None and date(line.time) != self._day:
            self._day = date(line.time)
            self._rows.append(self._rule(self._day, width))
        self._starts.append(len(self._rows))
        body = _text(line.parts)
        indent, margin = INDENT, Text(clock(line.time or 0).ljust(INDENT), _STYLES["quiet"])
        if line.time is None:
            indent = min(line.indent, width // 2)
            margin, body = body.divide([indent if line.kind == "help" else 0])
        body.expand_tabs(8)
        for row in body.wrap(self.app.console, width - indent):
            self._rows.append(self._strip(Text.assemble(margin, row, end="")))
            margin = Text(" " * indent)

    def _rule(self, words: str, width: int) -> Strip:
        rule = Text.assemble((f"── {words} ".ljust(width, "─"), _STYLES["quiet"]), end="")
        return self._strip(rule)

    def _strip(self, text: Text) -> Strip:
        # Textual's filter for NO_COLOR fails on a segment without a style.
        segments = text.render(self.app.console)
        return Strip(Segment(said, style or RichStyle()) for said, style, _control in segments)


class People(OptionList):
    """The list of users, with everybody on top."""

    def __init__(self) -> None:
        """Show nobody yet."""
        super().__init__(compact=True)
        self._shown: list[tuple[str, Text]] = []

    def show(self, entries: list[tuple[str, Text]], current: str) -> None:
        """Show *entries*, a key and a label each; *current* is the key of the partner."""
        chosen = self.highlighted_option
        key = chosen.id if self.has_focus and chosen is not None else current
        if entries != self._shown:
            self._shown = entries
            self.set_options([Option(label, id=key) for key, label in entries])
        keys = [entry for entry, _label in entries]
        self.highlighted = keys.index(key if key in keys else current)


class Completer:
    """Completes the word before the cursor; asked again, tries the next candidate."""

    def __init__(self, candidates: Callable[[str, str], list[str]]) -> None:
        """Get candidates from *candidates*, called with the text before the word and the word."""
        self._candidates = candidates
        self._offers: list[str] = []
        self._last = ("", 0)  # the result; another line has been edited since
        self._before = self._after = ""

    def complete(self, line: str, cursor: int) -> tuple[str, int]:
        """Return *line* and *cursor* after one press of Tab; unchanged if nothing fits."""
        if (line, cursor) == self._last and self._offers:
            self._offers.append(self._offers.pop(0))
        else:
            start = re.search(r"\S*$", line[:cursor]).start()  # type: ignore[union-attr]
            self._before, self._after = line[:start], line[cursor:]
            self._offers = self._candidates(self._before, line[start:cursor])
            if not self._offers:
                return line, cursor
        completed = self._before + self._offers[0]
        rest = self._after
        if completed.endswith(" ") and rest.startswith(" "):
            rest = rest[1:]
        self._last = (completed + rest, len(completed))
        return self._last


class Draft(TextArea):
    """The line being typed, which may have several rows."""

    def __init__(
        self,
        completer: Completer,
        submit: Callable[[str], None],
        keys: Mapping[str, Callable[[], None]],
    ) -> None:
        """Complete words with *completer*; Enter passes the text to *submit*.

        *keys* are handled here too, so that they keep their order with typed characters.
        """
        super().__init__(compact=True, highlight_cursor_line=False, soft_wrap=True)
        self._keys = {
            "enter": lambda: submit(self.text),
            "alt+enter": self._break,
            "shift+enter": self._break,
            "ctrl+j": self._break,
            "tab": self._complete,
            **keys,
        }
        self._completer = completer
        self._typed: list[str] = []  # earlier lines
        self._place = 0  # of the line shown among the earlier ones; after the last: the new one
        self._new = ""  # the new line, while an earlier one is shown

    def remember(self, line: str) -> None:
        """Keep *line* for the arrow keys."""
        if line.strip() and line not in self._typed[-1:]:
            self._typed.append(line)
        self._place = len(self._typed)

    def put(self, line: str) -> None:
        """Replace the text by *line*."""
        self.text = line
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        act = self._keys.get(event.key)
        if event.key == "up" and self.cursor_location[0] == 0:
            act = partial(self._look_at, -1)
        elif event.key == "down" and self.cursor_location[0] == self.document.line_count - 1:
            act = partial(self._look_at, 1)
        if act is None:
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        act()

    async def _on_paste(self, event: events.Paste) -> None:  # `TextArea` inserts it afterwards
        event.text = event.text.rstrip("\r\n")

    def _break(self) -> None:
        self.insert("\n")

    def _complete(self) -> None:
        row, column = self.cursor_location
        line = self.document.get_line(row)
        completed, cursor = self._completer.complete(line, column)
        if completed != line or cursor != column:
            self.replace(completed, (row, 0), (row, len(line)))
            self.move_cursor((row, cursor))

    def _look_at(self, step: int) -> None:
        """Show the previous or the next of the lines typed."""
        if self._place == len(self._typed):
            self._new = self.text
        lines = [*self._typed, self._new]
        if 0 <= self._place + step < len(lines):
            self._place += step
            self.put(lines[self._place])


class PasswordScreen(ModalScreen[str | None]):
    """Asks for the admin's password."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+c", "dismiss", show=False)]

    def compose(self) -> ComposeResult:
        """Show one line for the password."""
        with Horizontal():
            yield Label(_("Admin password: "))
            yield Input(password=True, compact=True)

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)


class ChatApp(App[None]):
    """The whole screen."""

    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-wide")]  # noqa: RUF012
    CSS_PATH = "tui.tcss"
    # For when the list of users has the focus; the line being typed handles keys itself.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "clear_or_leave", show=False),
        Binding("ctrl+q", "leave", show=False, priority=True),
        Binding("alt+up", "neighbour(-1)", show=False),
        Binding("alt+down", "neighbour(1)", show=False),
        Binding("escape,tab,shift+tab", "write", show=False),
    ]

    def __init__(self, talk: Talk, about: Mapping[str, str]) -> None:
        """Show *talk*; *about*: ``address`` and ``encryption``."""
        super().__init__()
        self.theme = "ansi-dark"  # the terminal's own colours, be it dark or light
        self.talk = talk
        self.scrollback = Scrollback()
        self.people = People()
        self.draft = Draft(
            Completer(talk.candidates),
            self._submit,
            {
                "ctrl+c": self.action_clear_or_leave,
                "ctrl+d": self.action_leave_if_empty,
                "pageup": partial(self.action_page, -1),
                "pagedown": partial(self.action_page, 1),
                "ctrl+end": self.action_follow,
                "alt+up": partial(self.action_neighbour, -1),
                "alt+down": partial(self.action_neighbour, 1),
                "shift+tab": self.action_people,
            },
        )
        self._prompt = Static(id="prompt")
        self._status = Static(id="status")
        self._about = about
        self._pane = Pane(None)
        self._panes = {_key(None): self._pane}
        self._leaving = False
        self._sure = False  # Ctrl-C was pressed on an empty line: the next one leaves
        self._inbox: deque[Callable[[], None]] = deque()

    def compose(self) -> ComposeResult:
        """Return the parts of the screen."""
        with Horizontal(id="main"):
            yield self.scrollback
            yield self.people
        yield self._status
        with Horizontal(id="line"):
            yield self._prompt
            yield self.draft

    def on_mount(self) -> None:
        """Begin the conversation."""
        loop = asyncio.get_running_loop()
        for number in cli.stop_signals():
            with contextlib.suppress(NotImplementedError, RuntimeError):  # Windows; a test's thread
                loop.add_signal_handler(number, self.action_leave)
        self.draft.focus()
        self.scrollback.show(self._pane)
        self.talk.start(self)
        self.set_interval(TICK, self._take)
        self._refresh_edges()

    def on_resize(self) -> None:
        """Use the new width."""
        self._refresh_edges()

    # Any thread

    def deliver(self, task: Callable[[], None]) -> None:
        """Have the screen's thread do *task*, unless the user is leaving. Does not wait."""
        if not self._leaving:
            self._inbox.append(task)

    # The screen's thread

    def _take(self) -> None:
        if not self._inbox:
            return
        for _number in range(TASKS_AT_ONCE):
            if self._inbox:
                self._inbox.popleft()()
        self._refresh_edges()

    def add(self, lines: list[Line]) -> None:
        """Add *lines* to their panes; show a long help text from its beginning."""
        for line in lines:
            for pane in self._panes_of(line):
                self._add(line, pane)
        if lines[0].kind == "help":
            self.scrollback.show_last(len(lines))

    def _add(self, line: Line, pane: Pane) -> None:
        here = pane is self._pane
        dropped = pane.add(line)
        if line.kind == "message" and not line.own and not (here and self.scrollback.following):
            pane.unread += 1
            if pane.first_unread is None and not here:
                pane.first_unread = len(pane.lines) - 1
        if here:
            self.scrollback.add(line, dropped)

    def _panes_of(self, line: Line) -> list[Pane]:
        if not line.panes:
            return [self._pane]
        if line.kind == "message":
            for partner in line.panes:
                self._panes.setdefault(_key(partner), Pane(partner))
        keys = map(_key, line.panes)
        return [self._panes[key] for key in keys if key in self._panes]

    def show_pane(self, partner: str | None) -> None:
        """Show the conversation with *partner*, None: with everybody."""
        self._pane.draft = self.draft.text
        self._pane.first_unread = None
        self._pane = self._panes.setdefault(_key(partner), Pane(partner))
        self.scrollback.show(self._pane)
        self.draft.put(self._pane.draft)
        if self.scrollback.following:
            self._pane.unread = 0
        self._refresh_edges()

    def _choose(self, partner: str | None) -> None:
        self.talk.choose(partner)
        self.show_pane(partner)

    def _partners(self) -> dict[str, str | None]:
        """Return the partners in the list: everybody, present users, and earlier partners."""
        here = {_key(user): user for user in self.talk.client.users[:PEOPLE_SHOWN]}
        return (
            {_key(None): None}
            | here
            | {key: pane.partner for key, pane in self._panes.items() if key not in here}
        )

    def _refresh_edges(self) -> None:
        """Update the list of users, the prompt, and the status line."""
        if self.scrollback.following:
            self._pane.unread = 0
        current = self._pane.partner
        here = {_key(None), *map(_key, self.talk.client.users)}
        partners = self._partners().items()
        entries = [(key, self._label(key, partner, key in here)) for key, partner in partners]
        self.people.show(entries, _key(current))
        name = addressee(current, here=_key(current) in here)
        role = "plain" if current is None else "nick"
        self._prompt.update(Text.assemble("[", _text((Part(name, role),)), "] "))
        words = self._status_words()
        for least in ("address", "users", "encryption"):
            if cell_len(" · ".join(words.values())) <= self.size.width:
                break
            words.pop(least, None)
        status = Text(" · ".join(words.values()))
        status.pad_right(max(0, self.size.width - status.cell_len))
        self._status.update(status)

    def _label(self, key: str, partner: str | None, here: bool) -> Text:
        if partner is None:
            label = Text(_("Everybody"))
        elif here:
            label = _text((Part(shown_nick(partner), "nick"),))
        else:
            label = Text(addressee(partner, here=False), "dim")
        if key in self._panes and (unread := self._panes[key].unread):
            label.append(f" {unread}", RichStyle(bold=True, reverse=True))
        return label

    def _status_words(self) -> dict[str, str]:
        words = {
            "nick": f" {shown_nick(self.talk.client.nick)}",
            "connection": self._connection_words(),
        }
        if waiting := len(self.talk.client.unacknowledged):
            words["waiting"] = _("not confirmed: {n}").format(n=waiting)
        if unread := [pane for pane in self._panes.values() if pane.unread]:
            names = [f"{addressee(pane.partner, here=True)} {pane.unread}" for pane in unread]
            words["unread"] = _("unread: {names}").format(names=", ".join(names))
        number = len(self.talk.client.users)
        users = ngettext("{n} more user", "{n} more users", number).format(n=number)
        return {**words, **self._about, "users": users if number else _("nobody else")}

    def _connection_words(self) -> str:
        if self._leaving:
            return _("leaving…")
        if self.talk.client.closed:
            return _("the conversation is over, Ctrl-C leaves")
        if self._sure:
            return _("Ctrl-C again: leave")
        if self.talk.attempt:
            return _("reconnecting, attempt {n}").format(n=self.talk.attempt)
        return _("online")

    def ask_password(self, answered: Callable[[str | None], None]) -> None:
        """Ask for the admin's password and call *answered* with it, or with None."""
        self.push_screen(PasswordScreen(), answered)

    def _submit(self, line: str) -> None:
        partner = self._pane.partner
        if is_goodbye(line):
            self.draft.put("")
            self.action_leave()
        elif self.talk.client.closed:  # the text stays in the line
            self.bell()
        elif partner and line.strip() and not command_in(line) and not self.talk.is_here(partner):
            self.talk.refuse(partner)
        else:
            self.draft.remember("" if command_in(line) == "admin" else line)
            self.draft.put("")
            self.action_follow()
            self.talk.submit(line)

    @on(OptionList.OptionSelected)
    def _choose_option(self, event: OptionList.OptionSelected) -> None:
        partners = self._partners()
        if event.option_id in partners:
            self._choose(partners[event.option_id])
        self.action_write()

    # Actions of keys

    def action_page(self, direction: int) -> None:
        """Scroll by a page, up or down."""
        step = max(1, self.scrollback.size.height - 1)
        self.scrollback.scroll_relative(y=direction * step, animate=False, immediate=True)
        self._refresh_edges()

    def action_follow(self) -> None:
        """Go to the end of the conversation."""
        self.scrollback.follow()
        self._refresh_edges()

    def action_neighbour(self, step: int) -> None:
        """Talk to the next or the previous user in the list."""
        partners = self._partners()
        place = list(partners).index(_key(self._pane.partner)) + step
        self._choose([*partners.values()][place % len(partners)])

    def action_people(self) -> None:
        """Move the focus to the list of users."""
        self.screen.add_class("asked")
        self.people.focus()

    def action_write(self) -> None:
        """Move the focus back to the line being typed."""
        self.screen.remove_class("asked")
        self.draft.focus()

    def action_clear_or_leave(self) -> None:
        """Clear the line (the arrow keys restore it); on an empty line, the second time, leave."""
        if self.talk.client.closed or (self._sure and not self.draft.text):
            self.action_leave()
            return
        if self.draft.text:
            self.draft.remember(self.draft.text)
            self.draft.put("")
        else:
            self._sure = True
        self._refresh_edges()

    @on(TextArea.Changed)
    def _stay(self) -> None:
        self._sure = False
        self._refresh_edges()

    def action_leave_if_empty(self) -> None:
        """Leave the chat if nothing is typed."""
        if not self.draft.text:
            self.action_leave()

    def action_leave(self) -> None:
        """Leave the chat."""
        if not self._leaving:
            self._leaving = True
            self._inbox.clear()  # it is not emptied any more
            self._refresh_edges()
            self.run_worker(self._leave(), exit_on_error=True)

    async def _leave(self) -> None:
        await asyncio.to_thread(self.talk.stop)
        self._pane.draft = self.draft.text
        self.exit()

    @property
    def drafts(self) -> list[str]:
        """Texts that were typed and never sent."""
        return [pane.draft for pane in self._panes.values() if pane.draft.strip()]


def _key(partner: str | None) -> str:
    return "everybody" if partner is None else f"@{nick_key(partner)}"


class _Output:
    """The stream that the screen is written to; it survives the loss of the terminal.

    An error would end Textual's writing thread; this calls *lose* and discards the rest.
    """

    def __init__(self, file: TextIO, lose: Callable[[], None]) -> None:
        self._file = file
        self._lose = lose

    def write(self, text: str) -> None:
        try:
            self._file.write(text)
            self._file.flush()
        except OSError:
            with open(os.devnull, "wb") as void:  # noqa: PTH123
                os.dup2(void.fileno(), self._file.fileno())
            self._lose()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def run(talk: Talk, options: Namespace) -> int:
    """Show *talk* on the full screen until the user leaves; return the exit status."""
    encryption = ["TLS"] if options.tls else []
    if options.passphrase_file:
        encryption.append(_("encrypted end-to-end"))
    about = {"address": cli.address_text(options.host, options.port)}
    if encryption:
        about["encryption"] = " · ".join(encryption)
    os.environ.pop("NO_COLOR", None)  # `COLOURS` has noted it
    app = ChatApp(talk, about)
    # Typed bytes may not be UTF-8, and an error would end Textual's reading thread.
    module: Any = sys.modules[app.driver_class.__module__]
    if hasattr(module, "getincrementaldecoder"):
        module.getincrementaldecoder = lambda name: partial(
            codecs.getincrementaldecoder(name), "replace"
        )
    sys.__stderr__ = _Output(sys.stderr, partial(app.deliver, app.action_leave))  # type: ignore[misc, assignment]
    try:
        app.run()
    finally:
        talk.stop()
    if talk.end_reason != "quit":
        cli.write(end_sentence(talk.end_reason) + "\n")
    for text in [*talk.unsent, *app.drafts]:
        cli.write(printable(_("Not sent: {line}").format(line=text)) + "\n")
    return app.return_code or 0
