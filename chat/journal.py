"""The server's terminal: what happens in the chat, a line each, in the reader's language.

The server logs facts through the standard `logging`; here they become sentences. They are
printed by a thread of their own, because a terminal can stop taking output (Ctrl-S is enough),
and the threads that serve clients must not wait for it.
"""

import contextlib
import logging
import logging.handlers
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

from chat.cli import address_text, left_sentence, write
from chat.i18n import gettext as _
from chat.i18n import ngettext
from chat.protocol import printable

WAITING_LINES = 10_000
"""Lines that wait for a terminal that stands still; further ones are lost, the chat goes on."""

Facts = dict[str, Any]


class _Queue(logging.handlers.QueueHandler):
    """Takes records from any thread without waiting."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # it stays in this process: the facts travel as they are

    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)


class _Printer(logging.Handler):
    """Prints records on stdout. Only the thread that prints calls it."""

    def emit(self, record: logging.LogRecord) -> None:
        write(self.format(record) + "\n")


class ConsoleFormatter(logging.Formatter):
    """Turns a record of the server into a line: the time, then a sentence."""

    def __init__(self, *, show_text: bool) -> None:
        """Show the text of messages with *show_text*, else only their size in bytes."""
        super().__init__()
        self._show_text = show_text

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for *record*."""
        facts: Facts = record.__dict__.get("event", {"event": record.getMessage()})
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        if facts["event"] == "messages":
            return "\n".join(f"{moment}  {self._message(said)}" for said in facts["messages"])
        sentence = _SENTENCES.get(facts["event"], _other)
        return f"{moment}  {sentence(facts)}"

    def _message(self, facts: Facts) -> str:
        text = _message(facts)
        if self._show_text:
            text += ": " + printable(facts["text"].replace("\n", " ⏎ "))
        return text


@contextlib.contextmanager
def on_console(logger: logging.Logger, *, show_text: bool) -> Iterator[None]:
    """Print what *logger* records on stdout while the context lasts; the rest at its end."""
    handler = _Printer()
    handler.setFormatter(ConsoleFormatter(show_text=show_text))
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(WAITING_LINES)
    intake = _Queue(waiting)
    printer = logging.handlers.QueueListener(waiting, handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(intake)
    printer.start()
    try:
        yield
    finally:
        logger.removeHandler(intake)
        printer.stop()


def _who(facts: Facts) -> str:
    address = address_text(*facts["address"]) if "address" in facts else ""
    return f"{facts['nick']} ({address})" if address else facts["nick"]


def _message(facts: Facts) -> str:
    size = ngettext("{n} byte", "{n} bytes", facts["bytes"]).format(n=facts["bytes"])
    to = _("all") if facts["to"] is None else facts["to"]
    return f"{_who(facts)} → {to}, {size}"


def _left(facts: Facts) -> str:
    return left_sentence(facts["reason"]).format(nick=_who(facts))


def _admin(facts: Facts) -> str:
    sentence = _("{nick} is admin now") if facts["accepted"] else _("{nick} gave a wrong password")
    return sentence.format(nick=_who(facts))


def _stopped(facts: Facts) -> str:
    by_admin = facts["reason"] == "admin"
    return _("The server was stopped by the admin") if by_admin else _("The server has stopped")


def _other(facts: Facts) -> str:
    return " ".join(f"{key}={value}" for key, value in facts.items())


_SENTENCES: dict[str, Callable[[Facts], str]] = {
    "connected": lambda facts: _("{address} has connected").format(
        address=address_text(*facts["address"])
    ),
    "joined": lambda facts: _("{nick} has joined").format(nick=_who(facts)),
    "left": _left,
    "refused": lambda facts: _("{address} was refused: {code}").format(
        address=address_text(*facts["address"]), code=facts["code"]
    ),
    "disconnected": lambda facts: _("{address} has disconnected").format(
        address=address_text(*facts["address"])
    ),
    "admin": _admin,
    "exhausted": lambda facts: _("Cannot accept more connections: {reason}").format(
        reason=facts["reason"]
    ),
    "stopped": _stopped,
}
