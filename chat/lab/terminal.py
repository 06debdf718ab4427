"""Real programs at real terminals, played by code: what a person would type, what they would see.

A `Terminal` starts a program in a pseudo-terminal (pty(7)) and stands where the person sits: it
types, and a terminal emulator turns what the program prints into a screen. Every wait is for
something on the *screen*, with a deadline: a byte stream full of cursor movements is not what a
person sees, and a pause proves nothing::

    with Terminal(["python", "-m", "chat.client"], title="Аня") as anya:
        anya.wait_for("ник")
        anya.enter("Аня")

No thread reads in the background. Whenever one terminal waits, the output of all of them is taken
in, because a program whose terminal nobody reads stops as soon as the kernel's buffer is full.
A terminal therefore belongs to the thread that opened it.
"""

from __future__ import annotations

import codecs
import contextlib
import copy
import errno
import itertools
import os
import re
import selectors
import signal
import sys
import threading
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Self

import pexpect
import psutil
import pyte
import pyte.modes
from pyte.screens import Char
from wcwidth import wcwidth

from chat.app.i18n import gettext as _

TIMEOUT = 10.0
"""Seconds that a wait lasts unless told otherwise."""

SCROLLBACK_ROWS = 2000
"""Rows that are remembered after they have scrolled off the top."""

_READ_BYTES = 65536
_ASKED_TO_END = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
_TYPED_SHOWN = 5  # lines typed last, in the message of a ScreenTimeout
# The end of a process cannot be selected on: while a terminal waits, it is asked this often.
_LOOK_SECONDS = 0.05
_SHORT_LOOK_SECONDS = 0.02


class ScreenTimeout(AssertionError):  # noqa: N818 - as subprocess.TimeoutExpired
    """The screen did not show in time what a person would have waited for.

    The text says what was typed, what was expected, and what the screen shows instead.
    """


# --- what is on a screen -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """One place on the screen, with the colours that the program asked for."""

    text: str
    """The character with its combining marks; empty in the right half of a wide one."""

    fg: str
    """``"default"``, a colour's name (``"red"``, ``"brightblue"``) or six hexadecimal digits."""

    bg: str
    bold: bool
    faint: bool
    italics: bool
    underscore: bool
    strikethrough: bool
    reverse: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a terminal showed at one moment."""

    title: str
    columns: int
    rows: tuple[tuple[Cell, ...], ...]
    cursor: tuple[int, int] | None
    """Column and row, counted from 0; None when the program has hidden the cursor."""

    def text(self, row: int) -> str:
        """Return the text of *row* without the blanks at its end."""
        return "".join(cell.text for cell in self.rows[row]).rstrip()


# --- the emulator --------------------------------------------------------------------------------

_ALTERNATE_SCREEN = {47, 1047, 1049}  # the private modes of xterm that full-screen programs set
_FAINT = "faint "  # pyte has no such attribute: it travels in front of the colour's name

# Letters of one column each, nearly all that is ever printed: pyte draws them quickly.
_PLAIN = re.compile("[ -~\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0482\u048a-\u052f]*")

# What a terminal of today takes in silence, and pyte would show as text or take for a colour:
# requests marked with < = > (ECMA-48, 5.4.1, private use) and control strings (ECMA-48, 5.6).
_UNKNOWN = re.compile(r"\x1b\[[<=>][0-?]*[ -/]*[@-~]|\x1b[PX^_][^\x1b]*\x1b\\")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[PX^_][^\x1b]*\x1b?)?\Z")
_SEQUENCE = re.compile(r"(\x1b\[[0-?]*[ -/]*[@-~])")
_LONGEST_SEQUENCE = 4096  # characters after which an unfinished one is taken for text


class _Stream(pyte.Stream):
    """pyte's parser with the SCO sequences that consoles of PCs know: save, restore, scroll."""

    csi = {  # noqa: RUF012 - as pyte declares it
        **pyte.Stream.csi,
        "s": "save_position",
        "u": "restore_position",
        "S": "scroll_up",
    }
    events = pyte.Stream.events | {"save_position", "restore_position", "scroll_up"}


class _Emulator(pyte.Screen):
    """pyte's screen and what programs of today need besides.

    The alternate screen, faint text, combining characters of every kind, a scrollback.
    """

    def __init__(self, columns: int, rows: int, answer: Callable[[str], None]) -> None:
        """Make a blank screen; *answer* takes what the terminal itself says to the program."""
        self.scrolled: deque[str] = deque(maxlen=SCROLLBACK_ROWS)
        self.gone: list[str] = []
        """The lines that were erased from the screen, each once, with their line feeds."""

        self.page: list[str] = []
        """The lines that the screen had when it was erased last, and what had scrolled off."""

        self.rows_since = 0
        """How many rows have scrolled off since then."""

        self._answer = answer
        self._unfinished = ""
        super().__init__(columns, rows)
        self._stream = _Stream(self)

    def feed(self, text: str) -> None:
        """Take in what the program prints."""
        text = _UNKNOWN.sub("", self._unfinished + text)
        unfinished = _UNFINISHED.search(text)
        cut = unfinished.start() if unfinished else len(text)
        self._unfinished = text[cut:] if len(text) - cut <= _LONGEST_SEQUENCE else ""
        for part in _SEQUENCE.split(text.removesuffix(self._unfinished)):
            with contextlib.suppress(TypeError):  # more numbers than the sequence takes
                self._stream.feed(part)

    def row_text(self, y: int) -> str:
        """Return the text of row *y* without the blanks at its end."""
        row = self.buffer[y]  # holds the cells that were written to: most rows are short
        end = min(max(row, default=-1) + 1, self.columns)
        return "".join([row[x].data for x in range(end)]).rstrip()

    def row_is_full(self, y: int) -> bool:
        """Tell whether row *y* is filled to its end, as it is when a long line goes on below."""
        return self.buffer[y][self.columns - 1].data != " "

    def joined_rows(self, end: int | None = None) -> str:
        """Return the rows before *end*, long lines joined."""
        rows = range(self.lines if end is None else end)
        return "".join(self.row_text(y) + ("" if self.row_is_full(y) else "\n") for y in rows)

    def page_lines(self, end: int | None = None) -> list[str]:
        """Return the lines since the screen was erased last, those before row *end*."""
        begin = max(0, len(self.scrolled) - self.rows_since)
        text = "".join(itertools.islice(self.scrolled, begin, None)) + self.joined_rows(end)
        return text.rstrip("\n").splitlines(keepends=True)

    def new_lines(self, end: int | None = None) -> list[str]:
        """Return those of `page_lines` that were not there before the screen was erased last."""
        lines = self.page_lines(end)
        if not self.page:
            return lines
        before, now = ([line.strip() for line in page] for page in (self.page, lines))
        steps = SequenceMatcher(None, before, now, autojunk=False).get_opcodes()
        added = [lines[j1:j2] for tag, _i1, _i2, j1, j2 in steps if tag in ("insert", "replace")]
        return [line for part in added for line in part]

    def _turn_page(self) -> None:
        """Remember what stands on the screen: it is about to be erased."""
        lines = self.page_lines()
        if any(line.strip() for line in lines):
            self.gone += [f"{line.rstrip()}\n" for line in self.new_lines()]
            self.page = lines
        self.rows_since = 0

    # Called by pyte

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        if how in (2, 3) or (how == 0 and (self.cursor.x, self.cursor.y) == (0, 0)):
            self._turn_page()
        super().erase_in_display(how, *args, **kwargs)

    def save_position(self, _private: int = 0) -> None:
        """Remember where the cursor is, and nothing from before (SCO, SCOSC)."""
        self.savepoints.clear()
        self.save_cursor()

    def restore_position(self, _private: int = 0) -> None:
        """Put the cursor where it was remembered; it stays remembered (SCO, SCORC)."""
        if self.savepoints:
            saved = self.savepoints[-1]
            again = saved._replace(cursor=copy.copy(saved.cursor))
            self.restore_cursor()
            self.savepoints.append(again)

    def scroll_up(self, count: int = 1) -> None:
        """Move all rows up by *count*, the cursor stays (ECMA-48, 8.3.147, SU)."""
        at = self.cursor.x, self.cursor.y
        for _row in range(min(count or 1, self.lines)):
            self.cursor.y = self.lines - 1 if self.margins is None else self.margins.bottom
            self.index()
        self.cursor.x, self.cursor.y = at

    def reset(self) -> None:
        super().reset()
        self._main: tuple[dict[int, Any], pyte.screens.Cursor] | None = None

    def draw(self, data: str) -> None:
        if _PLAIN.fullmatch(data):
            super().draw(data)
            return
        for character in data:
            width = wcwidth(character)
            if width == 0:
                self._combine(character)
            elif width > 0:
                if width == 2 and self.cursor.x == self.columns - 1 and self._wraps():
                    super().draw(" ")  # half a character does not fit: it goes to the next row
                super().draw(character)

    def _wraps(self) -> bool:
        return pyte.modes.DECAWM in self.mode

    def _combine(self, mark: str) -> None:
        row = self.buffer[self.cursor.y]
        x = self.cursor.x - 1
        if x > 0 and not row[x].data:  # the right half of a wide character
            x -= 1
        if x >= 0:
            row[x] = row[x]._replace(data=unicodedata.normalize("NFC", row[x].data + mark))

    def index(self) -> None:
        top_is_lost = self.margins is None or self.margins.top == 0
        bottom = self.lines - 1 if self.margins is None else self.margins.bottom
        if self.cursor.y == bottom and top_is_lost and self._main is None:
            ending = "" if self.row_is_full(0) else "\n"
            self.scrolled.append(self.row_text(0) + ending)
            self.rows_since += 1
        super().index()

    def select_graphic_rendition(self, *attrs: int, private: bool = False) -> None:
        if private:  # not a colour: xterm's key modifier options
            return
        faint = self.cursor.attrs.fg.startswith(_FAINT)
        super().select_graphic_rendition(*attrs)
        codes = iter(attrs or (0,))
        for code in codes:
            if code in (38, 48):  # the numbers that follow name a colour
                for _number in range({5: 1, 2: 3}.get(next(codes, 0), 0)):
                    next(codes, None)
            elif code == 2:
                faint = True
            elif code in (0, 22):
                faint = False
        colour = self.cursor.attrs.fg.removeprefix(_FAINT)
        self.cursor.attrs = self.cursor.attrs._replace(fg=_FAINT + colour if faint else colour)

    def set_mode(self, *modes: int, **kwargs: Any) -> None:
        super().set_mode(*modes, **kwargs)
        if kwargs.get("private") and _ALTERNATE_SCREEN.intersection(modes) and self._main is None:
            self._main = dict(self.buffer), copy.copy(self.cursor)
            self.buffer.clear()

    def reset_mode(self, *modes: int, **kwargs: Any) -> None:
        super().reset_mode(*modes, **kwargs)
        if kwargs.get("private") and _ALTERNATE_SCREEN.intersection(modes) and self._main:
            self.buffer.clear()
            rows, self.cursor = self._main
            self.buffer.update(rows)
            self._main = None

    def write_process_input(self, data: str) -> None:
        self._answer(data)


def _cell(char: Char) -> Cell:
    return Cell(
        text=char.data,
        fg=char.fg.removeprefix(_FAINT),
        bg=char.bg,
        bold=char.bold,
        faint=char.fg.startswith(_FAINT),
        italics=char.italics,
        underscore=char.underscore,
        strikethrough=char.strikethrough,
        reverse=char.reverse,
    )


# --- the terminal --------------------------------------------------------------------------------


class _Opened(threading.local):
    """The terminals that this thread has open: they are pumped together."""

    def __init__(self) -> None:
        self.terminals: list[Terminal] = []


_opened = _Opened()


class Terminal:
    """A program in a pseudo-terminal, and the screen that its user would see.

    A context manager: the program runs from the call of the constructor, and has ended, with all
    that it started in its session, when the context ends. All methods belong to the thread that
    made the terminal. Text is UTF-8.

    *What* to wait for is a string or a compiled pattern. A string is found when its words stand
    on the screen, with any blanks or a line's end between them. A pattern is searched in the rows,
    joined by newlines. A line that was too long for the screen counts as one.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        title: str,
        columns: int = 80,
        rows: int = 24,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        most_output: int | None = None,
        encoding: str = "utf-8",
    ) -> None:
        """Start *argv* in folder *cwd*, on a screen of *columns* by *rows* characters.

        The program sees nothing of this process's environment but `clean_environment`, and *env*
        on top of it. *title* names the window in pictures and error messages. A program that
        prints more than *most_output* bytes is killed, and what it prints further is not shown.
        It reads and prints text in *encoding*.
        Raises `pexpect.ExceptionPexpect` when there is no such program.
        """
        self.title = title
        self._screen = _Emulator(columns, rows, self._queue_input)
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._unsent = b""
        self._typed: deque[str] = deque(maxlen=_TYPED_SHOWN)
        self.bytes_printed = 0
        """How much the program has printed so far: who looks again sees whether there is more."""

        self._output_left = most_output
        self._hung_up = False  # the program's side of the terminal is closed
        self._closed = False
        environment = clean_environment() | dict(env or {})
        if pexpect.which(argv[0], env=environment) is None:  # what runs *argv* would say it inside
            raise pexpect.ExceptionPexpect(f"There is no program {argv[0]}")
        program, *arguments = with_default_signals(argv)
        self._child: Any = pexpect.spawn(
            program,
            arguments,
            dimensions=(rows, columns),
            env=environment,
            cwd=None if cwd is None else str(cwd),
        )
        self._descriptor: int = self._child.child_fd
        os.set_blocking(self._descriptor, False)
        _opened.terminals.append(self)

    def __enter__(self) -> Self:
        """Return the terminal."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """End the program."""
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the program, which leads a session of its own."""
        return int(self._child.pid)

    @property
    def foreground(self) -> int:
        """The id of the process, or of the group's leader, that has the terminal just now."""
        return os.tcgetpgrp(self._descriptor)

    # What a person does

    def type(self, text: str) -> None:
        r"""Press the keys of *text*; the Enter key is ``\r``.

        Returns when the terminal has taken all of it. Raises `ScreenTimeout` when it does not
        within `TIMEOUT` seconds, or when the program has ended.
        """
        self._typed.append(text)
        self._queue_input(text)
        self.wait_until(lambda _screen: not self._unsent, _("the program to take what is typed"))

    def enter(self, line: str) -> None:
        """Type *line* and press Enter."""
        self.type(line + "\r")

    def interrupt(self) -> None:
        """Press Ctrl-C: the terminal sends SIGINT to what runs in its foreground."""
        self.type("\x03")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send signal *number* to what runs in the foreground, as another program could."""
        os.killpg(self.foreground, number)

    # What a person sees

    @property
    def screen_text(self) -> str:
        """The rows of the screen, without blanks at their ends and blank rows at the bottom."""
        rows = [self._screen.row_text(y) for y in range(self._screen.lines)]
        return "\n".join(rows).rstrip("\n")

    @property
    def scrollback_text(self) -> str:
        """The rows that have scrolled off the top, long lines joined."""
        return "".join(self._screen.scrolled)

    @property
    def text(self) -> str:
        """All that is remembered: the scrollback and the screen, long lines joined."""
        return self.scrollback_text + self._joined_rows()

    @property
    def cursor_row_begin(self) -> int:
        """Where in `text` the cursor's row begins: what comes next stands there or further on."""
        above = self._screen.joined_rows(self.cursor[1])
        return min(len(self.scrollback_text) + len(above), len(self.text))

    @property
    def transcript(self) -> str:
        """All that has been seen on the screen, in order: also what the program has erased.

        A line that stood there before the screen was erased, and stands there again afterwards,
        is the same line and is told once.
        """
        return "".join([*self._screen.gone, *self._screen.new_lines()]).rstrip("\n") + "\n"

    @property
    def transcript_row_begin(self) -> int:
        """Where in `transcript` the cursor's row begins."""
        above = [*self._screen.gone, *self._screen.new_lines(self.cursor[1])]
        return min(len("".join(above)), len(self.transcript))

    @property
    def is_alive(self) -> bool:
        """Whether the program is still running."""
        return bool(self._child.isalive())

    @property
    def status(self) -> int | None:
        """The exit status of the program, negative for a signal; None while it runs."""
        return None if self._child.isalive() else self._status()

    @property
    def is_too_loud(self) -> bool:
        """Whether the program has printed more than it was allowed to."""
        return self._output_left is not None and self._output_left < 0

    @property
    def cursor(self) -> tuple[int, int]:
        """The cursor's column and row, counted from 0."""
        cursor = self._screen.cursor
        return min(cursor.x, self._screen.columns - 1), cursor.y

    @property
    def line_before_cursor(self) -> str:
        """The text of the cursor's row up to the cursor: a prompt and what is being typed."""
        cursor = self._screen.cursor
        row = self._screen.buffer[cursor.y]
        return "".join(row[x].data for x in range(cursor.x))

    def find(self, what: str | re.Pattern[str]) -> re.Match[str] | None:
        """Return where *what* stands on the screen or above its top, None if nowhere."""
        return _pattern(what).search(self.text)

    def snapshot(self) -> Snapshot:
        """Return the screen as it is now, with its colours."""
        _pump(0)
        screen = self._screen
        return Snapshot(
            title=self.title,
            columns=screen.columns,
            rows=tuple(
                tuple(_cell(screen.buffer[y][x]) for x in range(screen.columns))
                for y in range(screen.lines)
            ),
            cursor=None if screen.cursor.hidden else self.cursor,
        )

    # What a person waits for

    def wait_for(self, what: str | re.Pattern[str], timeout: float = TIMEOUT) -> re.Match[str]:
        """Wait until *what* is on the screen, or has scrolled off its top; return the match.

        Raises `ScreenTimeout` after *timeout* seconds, or at once when the program has ended.
        """
        found: list[re.Match[str]] = []

        def shown(_terminal: Terminal) -> bool:
            match = self.find(what)
            if match is not None:
                found.append(match)
            return match is not None

        self.wait_until(shown, _words(what), timeout)
        return found[0]

    def wait_gone(self, what: str | re.Pattern[str], timeout: float = TIMEOUT) -> None:
        """Wait until *what* is not on the screen. Raises as `wait_for` does."""
        pattern = _pattern(what)
        self.wait_until(
            lambda _terminal: pattern.search(self._joined_rows()) is None,
            _("no more of {what}").format(what=_words(what)),
            timeout,
        )

    def wait_until(
        self, condition: Callable[[Terminal], bool], expected: str, timeout: float = TIMEOUT
    ) -> None:
        """Wait until *condition* holds of this terminal; *expected* names it in words.

        It is asked after every piece of output, so it must be quick. Raises as `wait_for` does,
        and `RuntimeError` when the terminal is closed or belongs to another thread.
        """
        if self not in _opened.terminals:
            raise RuntimeError("this terminal is closed, or another thread has opened it")
        deadline = time.monotonic() + timeout
        while not condition(self):
            ended = not self._child.isalive()
            _pump(0 if ended else min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
            if condition(self):
                return
            if time.monotonic() >= deadline or (ended and not self._has_output()):
                raise ScreenTimeout(self._complaint(expected, timeout))

    def wait_until_exit(self, timeout: float = TIMEOUT) -> int:
        """Wait until the program has ended; return its status, negative for a signal.

        Raises `ScreenTimeout` when it goes on for *timeout* seconds.
        """
        self.wait_until(
            lambda _terminal: not self._child.isalive(), _("the program to end"), timeout
        )
        while self._has_output():  # its last words may still be on their way
            _pump(0)
        return self._status()

    def close(self) -> None:
        """End the program and all of its session, by SIGKILL. May be called again."""
        if self._closed:
            return
        self._closed = True
        _opened.terminals.remove(self)
        alive = self._child.isalive()
        self._kill_session()
        if alive:
            self._child.wait()
        self._child.ptyproc.delayafterclose = 0  # seconds of sleep, for a process that has ended
        self._child.close()

    def _kill_session(self) -> None:
        session = _session(self.pid)
        if self._child.isalive() or self.pid not in session:  # else it is somebody else's by now
            for pid in session:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # Output and input

    def _queue_input(self, text: str) -> None:
        self._unsent += text.encode(self._encoding, errors="replace")

    def _interest(self) -> int:
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def _take_output(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # Linux says so when the other side is closed
                raise
            data = b""
        if not data:
            self._hung_up = True
            return
        self.bytes_printed += len(data)
        if not self.is_too_loud:
            self._screen.feed(self._decoder.decode(data))
            if self._output_left is not None:
                self._output_left -= len(data)
                if self.is_too_loud:
                    self._kill_session()

    def _send_input(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._descriptor, self._unsent) :]
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._hung_up = True

    def _has_output(self) -> bool:
        if self._hung_up:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            return bool(selector.select(0))

    # Words

    def _joined_rows(self) -> str:
        return self._screen.joined_rows().rstrip("\n") + "\n"

    def _status(self) -> int:
        if self._child.signalstatus is not None:
            return -int(self._child.signalstatus)
        return int(self._child.exitstatus)

    def _complaint(self, expected: str, timeout: float) -> str:
        lines = [
            _("In the window “{title}”, expected within {seconds:g} s: {what}").format(
                title=self.title, seconds=timeout, what=expected
            )
        ]
        if self._typed:
            typed = " ".join(repr(text) for text in self._typed)
            lines.append(_("Typed last: {typed}").format(typed=typed))
        if not self._child.isalive():
            lines.append(_("The program has ended with status {n}.").format(n=self._status()))
        lines.append(_("The screen shows:"))
        lines += [f"│ {row}" for row in self.screen_text.split("\n")]
        return "\n".join(lines)


def clean_environment() -> dict[str, str]:
    """Return the variables that every program gets: the same on every machine, nothing personal.

    ``python`` is the Python that runs this; settings in the home folder are ignored.
    """
    here = str(Path(sys.executable).parent)
    environment = {
        "PATH": os.pathsep.join([here, os.environ.get("PATH", os.defpath)]),
        "TERM": "xterm-256color",
        "CHAT_CONFIG": os.devnull,
        "LANG": "C.UTF-8",
        "INPUTRC": os.devnull,
    }
    if "TZ" in os.environ:
        environment["TZ"] = os.environ["TZ"]
    return environment


_DEFAULT_SIGNALS = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
os.execvp(sys.argv[1], sys.argv[1:])
"""


def with_default_signals(argv: Sequence[str]) -> list[str]:
    """Return a command that runs *argv* with every signal handled as by default.

    What a process ignores or blocks, its children ignore and block too (signal(7), execve(2)): a
    shell makes what it starts in the background ignore SIGINT, and nohup(1) ignores SIGHUP. The
    process that runs *argv* keeps its id. May be called from any thread.
    """
    ignored = any(signal.getsignal(number) is signal.SIG_IGN for number in _ASKED_TO_END)
    if not ignored and not signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        return list(argv)
    return [sys.executable, "-I", "-S", "-c", _DEFAULT_SIGNALS, *argv]


def wait_for_all(condition: Callable[[], bool], seconds: float) -> bool:
    """Take in the output of all terminals of this thread until *condition*; tell whether it held.

    Goes on for *seconds* at most, also when programs have ended. *condition* must be quick.
    """
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        _pump(_SHORT_LOOK_SECONDS)
    return met


def _pump(seconds: float) -> None:
    """Take in output and send input of this thread's terminals; wait *seconds* for the first."""
    with selectors.DefaultSelector() as selector:
        for terminal in _opened.terminals:
            if not terminal._hung_up:
                selector.register(terminal._descriptor, terminal._interest(), terminal)
        for key, events in selector.select(seconds):
            if events & selectors.EVENT_WRITE:
                key.data._send_input()
            if events & selectors.EVENT_READ:
                key.data._take_output()


def _session(leader: int) -> list[int]:
    """Return the ids of all processes in the session that *leader* leads or led."""
    members = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError):  # it has gone, or is none of ours
            if os.getsid(pid) == leader:
                members.append(pid)
    return members


def _pattern(what: str | re.Pattern[str]) -> re.Pattern[str]:
    if isinstance(what, re.Pattern):
        return what
    return re.compile(r"\s+".join(map(re.escape, what.split())))


def _words(what: str | re.Pattern[str]) -> str:
    return f"/{what.pattern}/" if isinstance(what, re.Pattern) else f"“{what}”"
