"""The plain client: lines on a terminal, or through a pipe.

It has two threads: the main thread reads and handles what the user types, line by line; the
client's listener thread shows what arrives. On a terminal, a message that arrives while a line is
half typed is printed above that line, which is then drawn again.

Colours never carry information of their own: nothing is missing without them, or read aloud.
"""

import contextlib
import ctypes
import getpass
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from chat.app import options as cli
from chat.app.conversation import (
    INDENT,
    Conversation,
    Line,
    Part,
    clock,
    command_in,
    date,
    is_goodbye,
    nick_colour,
)
from chat.app.i18n import gettext as _
from chat.app.sentences import error_sentence
from chat.core.client import ChatClient, ConnectionClosedError, RefusedError

try:
    import readline
except ImportError:  # Windows
    readline = None  # type: ignore[assignment]

_COLOURS = {
    "quiet": "2",  # less important than a message
    "lock": "2",
    "private": "35",  # only two people see it
    "mention": "1;7",
    "warning": "31",
}

_LONGEST_LINE = 1024 * 1024
"""Longest line, in characters; a longer one is handled in parts."""


class Screen:
    """The terminal, shared by the line being typed and the lines that arrive.

    `read` belongs to the main thread; `show` may be called by any.
    """

    def __init__(self) -> None:
        """Use stdin and stdout; edit lines only when both are a terminal."""
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"  # see no-color.org
        self.colours = sys.stdout.isatty() and not plain
        self._editing = False  # a prompt and a half-typed line stand on the last rows
        self._settled = threading.Event()  # unset while the prompt is being drawn
        self._settled.set()
        self._prompt = ""
        self._redraws = self.interactive and hasattr(readline, "set_pre_input_hook")
        self._point = _rl_point() if self._redraws else None
        if self._redraws:
            readline.set_pre_input_hook(self._prompt_is_drawn)

    def complete_with(self, candidates: Callable[[str, str], list[str]]) -> None:
        """Let Tab replace a word by its *candidates*, one after another."""
        if not self._redraws:
            return

        def complete(word: str, number: int) -> str | None:
            found = candidates(readline.get_line_buffer()[: readline.get_begidx()], word)
            return found[number] if number < len(found) else None

        readline.set_completer(complete)
        readline.set_completer_delims(" \t\n")
        readline.parse_and_bind("tab: menu-complete")

    def read(self, prompt: str) -> str:
        """Return the next line typed. Raises `EOFError` at the end of input, for any reason."""
        self._prompt = prompt
        if self._redraws:
            self._settled.clear()
        try:
            line = input(prompt) if self.interactive else _next_line()
        except (EOFError, OSError, KeyboardInterrupt) as end:  # an OSError: the terminal is gone
            if self.interactive:  # the next output, perhaps a shell's prompt, needs its own row
                unused = isinstance(end, KeyboardInterrupt) and not self._typed()
                cli.write("\r\x1b[K" if unused else "\n")
            raise EOFError from None
        finally:
            self._editing = False
            self._settled.set()
        if self._redraws and command_in(line) == "admin":  # the history must not show a password
            readline.remove_history_item(readline.get_current_history_length() - 1)
        return line

    def read_password(self, prompt: str) -> str:
        """Return a password, typed unseen; from a pipe, the next line that is not empty.

        Raises as `read`.
        """
        if not sys.stdin.isatty():
            while not (password := _next_line()):
                pass
            return password
        try:
            return getpass.getpass(prompt)
        except (EOFError, OSError, KeyboardInterrupt):
            cli.write("\n")
            raise EOFError from None

    def show(self, texts: list[tuple[str, int]]) -> None:
        """Print *texts* together, above the half-typed line if there is one.

        The number beside a text is the indent of its further rows, in columns.
        """
        columns = shutil.get_terminal_size().columns
        if self.interactive:
            text = "\n".join(cli.wrapped(text, columns, indent) for text, indent in texts)
        else:
            text = "\n".join(text.replace("\n", "\n" + " " * indent) for text, indent in texts)
        self._settled.wait(1)
        # One call, so that texts of two threads are never mixed.
        if self._editing:
            typed = self._prompt + self._typed()
            before = len(self._prompt) + self._cursor()
            row, column = _place(typed[:before], columns, at_end=before == len(typed))
            last_row, _column = _place(typed, columns)
            back = f"{_up(last_row - row)}\x1b[{column + 1}G" if before < len(typed) else ""
            cli.write(f"\r{_up(row)}\x1b[J{text}\n{typed}{back}")
        else:
            cli.write(f"{text}\n")

    def _prompt_is_drawn(self) -> None:
        self._editing = True
        self._settled.set()

    def _typed(self) -> str:
        return readline.get_line_buffer() if self._redraws else ""

    def _cursor(self) -> int:
        """Return the position of the cursor in the line typed, in characters."""
        typed = self._typed()
        if self._point is None:
            return len(typed)
        data = typed.encode(errors="surrogateescape")
        return len(data[: self._point.value].decode(errors="replace"))


def _rl_point() -> "ctypes.c_int | None":
    """Return readline's ``rl_point``, the position of the cursor in the line in bytes.

    The module `readline` lacks it, the library has it ("Readline Variables" in the GNU Readline
    manual). None if it is not available: then the cursor is assumed to be at the end.
    """
    try:
        return ctypes.c_int.in_dll(ctypes.CDLL(readline.__file__), "rl_point")
    except (AttributeError, OSError, ValueError):  # built in; no such file; not GNU's
        return None


def _next_line() -> str:
    line = sys.stdin.readline(_LONGEST_LINE)
    if not line:
        raise EOFError
    # Some editors write a byte order mark, or end lines differently.
    return line.removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")


def _place(text: str, columns: int, *, at_end: bool = True) -> tuple[int, int]:
    """Return the row and column of the cursor after *text*, written from the first column on.

    At the end of the text the cursor stays in a full row; within the text it does not.
    """
    *above, last = text.split("\n")
    row = sum(1 + max(0, cli.text_width(full) - 1) // columns for full in above)
    width = cli.text_width(last)
    wraps = max(0, width - 1) // columns if at_end else width // columns
    return row + wraps, width - wraps * columns


def _up(rows: int) -> str:
    return f"\x1b[{rows}A" if rows > 0 else ""


class Console(Conversation):
    """A conversation on a `Screen`."""

    def __init__(
        self, client: ChatClient, screen: Screen, log: TextIO | None = None, *, bell: bool = False
    ) -> None:
        """Drive *client* from *screen*; the rest is as in `Conversation`."""
        super().__init__(client, log, bell=bell)
        self._screen = screen
        self._day = date(time.time())
        self._is_waiting = False  # the main thread, and a signal may end it
        self._over = False
        self._noticed = threading.Event()  # the main thread reads no more
        screen.complete_with(self.candidates)

    # The main thread

    def register(self, nick: str | None) -> None:
        """Register as *nick*, or under a name asked for until one is accepted.

        Raises `RefusedError` when the user cannot be asked, `OSError` when the connection is lost.
        """
        if nick is None and not self._screen.interactive:
            raise cli.OptionError(
                _("Nobody can be asked for a nickname here: give one with --nick NICK.")
            )
        while True:
            name = self._screen.read(_("Your nickname: ")).strip() if nick is None else nick
            if nick is None and is_goodbye(name):
                raise EOFError
            try:
                self._register(name)
            except RefusedError as error:
                if error.code not in ("bad_nick", "nick_taken") or not self._screen.interactive:
                    raise
                self._warn(error_sentence(error.code))
                nick = None
            else:
                return

    def _register(self, nick: str) -> None:
        try:
            self.client.register(nick)
        except (RefusedError, ConnectionClosedError) as error:
            if isinstance(error, RefusedError) and error.code != "register_timeout":
                raise
            self.client.connect()  # the user took their time, and the server did not wait
            self.client.register(nick)

    def converse(self) -> None:
        """Greet the user and handle what they type, until they leave or the conversation ends."""
        ends = (EOFError, KeyboardInterrupt, ConnectionClosedError)
        self.greet()
        with contextlib.ExitStack() as restoring:
            for number in cli.stop_signals():
                restoring.callback(signal.signal, number, signal.signal(number, self._interrupt))
            self.client.listen()
            try:
                with contextlib.suppress(*ends):
                    while not is_goodbye(line := self._read()):
                        self._handle(line)
            finally:
                self._noticed.set()
            if not self._screen.interactive:
                with contextlib.suppress(*ends, TimeoutError), self.waiting():
                    self.client.wait_acknowledged()
            self.client.close()  # within: the signal that ends the waiting may come late

    def _read(self) -> str:
        with self.waiting():
            return self._screen.read(f"[{self.addressee}] ")

    def _interrupt(self, _number: int, _frame: object) -> None:
        """Handle a signal: interrupt only waiting, for input or for the server."""
        self._over = True
        if self._is_waiting:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a signal interrupt the context."""
        self._is_waiting = True
        try:
            if self._over:  # since the last line
                raise EOFError
            yield
        finally:
            self._is_waiting = False

    def ask_password(self) -> None:
        """Ask for the password and send it."""
        with self.waiting():
            password = self._screen.read_password(_("Admin password: "))
        if password:
            self.client.become_admin(password)
        else:
            self._warn(_("The password is missing: /admin PASSWORD"))

    # Any thread

    def display(self, lines: list[Line]) -> None:
        """Print *lines* above the half-typed one."""
        texts = []
        for line in lines:
            text, indent = "".join(map(self._paint, line.parts)), line.indent
            if line.time is not None:
                if date(line.time) != self._day:
                    self._day = date(line.time)
                    texts.append((self._paint(Part(f"{self._day}:", "quiet")), 0))
                text = f"{self._paint(Part(clock(line.time), 'quiet'))} {text}"
                indent = INDENT
            texts.append((text, indent))
        self._screen.show(texts)

    def _paint(self, part: Part) -> str:
        code = _COLOURS.get(part.role, "")
        if part.role == "nick":
            code = f"1;38;5;{nick_colour(part.text)}"
        return f"\x1b[{code}m{part.text}\x1b[0m" if code and self._screen.colours else part.text

    # The listener thread

    def ring(self) -> None:
        """Ring the terminal's bell."""
        if self._screen.interactive:
            cli.write("\a")

    def over(self) -> None:
        """Wake the main thread, which waits for a line."""
        if self.end_reason == "quit":
            return
        self._over = True
        main = threading.main_thread().ident
        if main is None or not hasattr(signal, "pthread_kill"):
            self._warn(_("Press Enter to end."))
            return
        # A signal just before the main thread starts to wait would be lost, so repeat it until it
        # is noticed.
        while not self._noticed.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            self._noticed.wait(0.1)
