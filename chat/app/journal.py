"""The server's journal: a line for each event in the chat, in the reader's language.

The server logs events through the standard `logging`, with their facts in ``record.event``; here
they become sentences, or JSON for programs. A terminal can stop accepting output (Ctrl-S suffices),
and the threads that serve clients must not wait for it: they put records into a queue, which one
thread prints. Nor may a flood fill the terminal or the memory: per second at most `LINES_OF_ONE`
lines are printed about one address and `LINES_OF_ALL` in total, and one line says how many more
there were. While the terminal is stopped, no new second begins.
"""

import contextlib
import json
import logging
import queue
import sys
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from typing import Any
from urllib.parse import urlsplit

from chat.app.i18n import gettext as _
from chat.app.i18n import mark, ngettext, nmark
from chat.app.options import address_text, fitting, write
from chat.app.sentences import left_sentence, phrase
from chat.core.history import Entry
from chat.core.protocol import Limits, nick_key, printable
from chat.core.server import Address

LINES_OF_ONE = 300
"""Lines per second about one address: more than anybody can read."""

LINES_OF_ALL = 3000
"""Lines per second in total, for someone with many addresses."""

TICK = 0.05
"""Seconds between two looks into the queue: a thread that wakes for every record would take the
interpreter from the threads that deliver messages."""

STOP_TIMEOUT = 2.0
"""Seconds that a terminal gets for the last lines at the end."""

Facts = dict[str, Any]


# From the threads that log to the one that prints


class Journal(QueueHandler):
    """Takes records from any thread without waiting; a thread of its own prints them.

    Not a `QueueListener`, which wakes and writes for each record.
    """

    def __init__(self, line_for: Callable[[float, Facts], str], *, show_text: bool = False) -> None:
        """Format events by *line_for*; include the texts of messages with *show_text*."""
        # Its `put` may be interrupted by a signal's handler that logs, too.
        self.waiting: queue.SimpleQueue[tuple[float, Facts]] = queue.SimpleQueue()
        super().__init__(self.waiting)
        self._line_for = line_for
        self._show_text = show_text
        self._stopping = threading.Event()
        # A daemon, because it may wait for the terminal for ever.
        self._thread = threading.Thread(target=self._print, name="chat journal", daemon=True)
        self._second = time.monotonic()  # when the present one began
        # Guarded by the handler's own lock.
        self._tally = Tally()
        self._lines: Counter[str] = Counter()  # of this second, by host
        self._all_lines = 0  # of this second
        self._omitted: Counter[str] = Counter()  # messages, bytes and other lines

    # Any thread

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return *record* unchanged: it is formatted where it is printed."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put an item for each event of *record* into the queue, if there is room.

        `emit` calls it under its lock, and handles its exceptions, so that an invalid record is the
        only one lost.
        """
        facts: Facts = record.__dict__.get("event", {"event": record.getMessage()})
        self._tally.note(facts)
        if facts["event"] == "messages":
            for entry in facts["messages"]:
                self._put_message(record.created, entry)
        elif facts["event"] == "stopped":
            self._put_omitted()
            self.waiting.put((record.created, self._tally.summary()))
            self.waiting.put((record.created, facts))
        elif self._has_room(facts.get("address")):
            self.waiting.put((record.created, facts))
        else:
            self._omitted["lines"] += 1

    def _put_message(self, moment: float, entry: Entry) -> None:
        size = len(entry.text.encode())
        self._tally.note_message(size)
        if self._has_room(entry.address):
            said: Facts = {"event": "message", "address": entry.address, "nick": entry.sender}
            said |= {"to": entry.to, "sealed": entry.sealed, "bytes": size}
            if self._show_text:
                said["text"] = entry.text
            self.waiting.put((moment, said))
        else:
            self._omitted["messages"] += 1
            self._omitted["bytes"] += size

    def _has_room(self, address: Address | None) -> bool:
        host = address[0] if address else ""
        if self._all_lines >= LINES_OF_ALL or self._lines[host] >= LINES_OF_ONE:
            return False
        self._all_lines += 1
        self._lines[host] += 1
        return True

    def _put_omitted(self) -> None:
        if self._omitted:
            self.waiting.put((time.time(), {"event": "omitted", **self._omitted}))
            self._omitted.clear()

    # The main thread

    def start(self) -> None:
        """Start printing."""
        self._thread.start()

    def stop(self) -> None:
        """Print what is left, but do not wait for a stopped terminal."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT)

    # The thread that prints

    def _print(self) -> None:
        while not self._stopping.wait(TICK):
            self._print_waiting()
        self._print_waiting()

    def _print_waiting(self) -> None:
        if (now := time.monotonic()) >= self._second + 1:
            self._second = now
            with self.lock or contextlib.nullcontext():
                self._lines.clear()
                self._all_lines = 0
                self._put_omitted()
        lines = []
        while not self.waiting.empty():
            moment, facts = self.waiting.get()
            try:
                lines.append(self._line_for(moment, facts) + "\n")
            except Exception:  # noqa: BLE001 - only this line is lost
                self.handleError(logging.makeLogRecord({"msg": facts}))
        if lines:
            write("".join(lines))


class Tally:
    """Counts events since the start. Not thread-safe by itself."""

    def __init__(self) -> None:
        """Start counting now."""
        self._started = time.monotonic()
        self._present: set[str] = set()
        self._nicks: dict[Address, str] = {}  # by the clients' addresses
        self._counts = dict.fromkeys(("users", "most_users", "messages", "bytes"), 0)

    def note(self, facts: Facts) -> None:
        """Count *facts*, and add the nickname to a refusal."""
        match facts["event"]:
            case "joined":
                self._nicks[facts["address"]] = facts["nick"]
                self._present.add(nick_key(facts["nick"]))
                self._counts["users"] += 1
                self._counts["most_users"] = max(self._counts["most_users"], len(self._present))
            case "left":
                self._present.discard(nick_key(facts["nick"]))
            case "disconnected":
                self._nicks.pop(facts["address"], None)
            case "refused":
                facts["nick"] = self._nicks.get(facts["address"])

    def note_message(self, size: int) -> None:
        """Count a message of *size* bytes."""
        self._counts["messages"] += 1
        self._counts["bytes"] += size

    def summary(self) -> Facts:
        """Return the counts as an event."""
        seconds = round(time.monotonic() - self._started, 3)
        return {"event": "summary", "seconds": seconds, **self._counts}


@contextlib.contextmanager
def on_console(
    logger: logging.Logger, address: Address, limits: Limits, options: Namespace
) -> Iterator[None]:
    """Print the records of *logger* on stdout within the context.

    First says what server it is: it listens on *address*, with *limits* and the other *options*.
    """
    about = _about(address, limits, options)
    line_for, start = line, _start_sentences(about)
    if options.log_format == "json":
        line_for, start = json_line, [json_line(time.time(), about)]
    write("\n".join(start) + "\n")
    journal = Journal(line_for, show_text=options.show_text)
    logger.setLevel(logging.INFO)
    logger.addHandler(journal)
    journal.start()
    try:
        yield
    finally:
        logger.removeHandler(journal)
        journal.stop()


# A line


def line(moment: float, facts: Facts) -> str:
    """Return the line for people about *facts* at *moment* (Unix seconds), in local time."""
    text = sentence(facts)
    if "text" in facts and not facts["sealed"]:
        text += ": " + facts["text"]
    text = printable(text).replace("\n", " ⏎ ")
    return f"{time.strftime('%H:%M:%S', time.localtime(moment))}  {text}"


def json_line(moment: float, facts: Facts) -> str:
    """Return the line for programs: a JSON object, with the time in ISO 8601 and UTC.

    An address is one string, ``HOST:PORT``.
    """
    stamp = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    shown = {"time": stamp, **facts}
    if facts.get("address"):
        shown["address"] = _address(facts)
    return json.dumps(shown, ensure_ascii=False)


# What a line says

_SENTENCES = {
    "connected": mark("{address} has connected"),
    "disconnected": mark("{address} has disconnected"),
    "joined": mark("{who} has joined"),
    "refused": mark("{who} was refused: {reason} ({code})"),
    "not_encrypted": mark("{address}: no TLS connection: {reason}"),
    "not_recorded": mark("The history cannot be written, so messages are refused: {reason}"),
    "store_lost": mark("Redis cannot be reached, so what is said waits: {reason}"),
    "store_back": mark("Redis can be reached again"),
    "evicting": mark(
        "Redis may delete what it is to keep when its memory is full: its maxmemory-policy is "
        "{policy} and should be noeviction"
    ),
    "exhausted": mark("Cannot accept more connections: {reason}"),
    "renewed": mark("The certificate was read again; new connections get it"),
    "not_renewed": mark("The certificate stays as it was: {reason}"),
    "admin": mark("{nick} is admin now"),
    "not_admin": mark("{nick} gave a wrong password"),
    "stopped": mark("The server has stopped"),
    "stopped_by_admin": mark("The server was stopped by the admin"),
    "failed": mark("Something went wrong, and only this was given up: {reason}"),
}
_REFUSALS = {
    "": mark("asked for something impossible"),
    "bad_frame": mark("sent something that is not a message of this chat"),
    "unknown_type": mark("asked for something that this server does not know"),
    "not_registered": mark("asked for something before giving a nickname"),
    "bad_nick": mark("wanted a nickname that is not allowed"),
    "nick_taken": mark("wanted a nickname that is taken"),
    "no_such_user": mark("wrote to somebody who is not here"),
    "bad_text": mark("sent a text that is empty or has forbidden characters"),
    "text_too_long": mark("sent a text that is too long"),
    "too_fast": mark("sends too fast (see --rate)"),
    "not_admin": mark("tried what only the admin may do"),
    "frame_too_long": mark("sent more than a message may be long"),
    "server_full": mark("came when the chat was full (see --max-clients)"),
    "register_timeout": mark("gave no nickname in time (see --register-timeout)"),
    "unavailable": mark("could not be served without the store"),
    "not_recorded": mark("sent a message that could not be recorded"),
}


def sentence(facts: Facts) -> str:
    """Return a sentence about *facts*."""
    kind, nick, address = facts["event"], facts.get("nick"), _address(facts)
    who = f"{nick} ({address})" if nick and address else nick or address
    match kind:
        case "message":
            to = _("all") if facts["to"] is None else facts["to"]
            sealed = ", " + _("encrypted end-to-end") if facts["sealed"] else ""
            return f"{who} → {to}, {_count(_BYTES, facts['bytes'])}{sealed}"
        case "left":
            return left_sentence(facts["reason"]).format(nick=who)
        case "omitted":
            return _omitted(facts)
        case "summary":
            return _summary(facts)
        case "admin" if not facts["accepted"]:
            kind = "not_admin"
        case "stopped" if facts["reason"] == "admin":
            kind = "stopped_by_admin"
    if kind not in _SENTENCES:
        return " ".join(f"{key}={value}" for key, value in facts.items())
    reason = phrase(str(facts.get("reason", "")))
    if kind == "refused":
        reason = _(_REFUSALS.get(facts["code"], _REFUSALS[""]))
    values = facts | {"who": who, "nick": who, "address": address, "reason": reason}
    return _(_SENTENCES[kind]).format(**values)


def _address(facts: Facts) -> str:
    address = facts.get("address")
    return address_text(*address[:2]) if address else ""


def _omitted(facts: Facts) -> str:
    what = []
    if messages := facts.get("messages"):
        what.append(f"{_count(_MESSAGES, messages)} ({_count(_BYTES, facts['bytes'])})")
    if lines := facts.get("lines"):
        what.append(_count(nmark("{n} line", "{n} lines"), lines))
    return _("… and more, not shown one by one: {what}").format(what=", ".join(what))


def _summary(facts: Facts) -> str:
    users = _count(nmark("{n} user came in", "{n} users came in"), facts["users"])
    if facts["most_users"] > 1:
        users += " " + _("(up to {n} at a time)").format(n=facts["most_users"])
    return _("In {time}: {users}, {messages}, {bytes}").format(
        time=duration(facts["seconds"]),
        users=users,
        messages=_count(_MESSAGES, facts["messages"]),
        bytes=_count(_BYTES, facts["bytes"]),
    )


# The first lines


def _about(address: Address, limits: Limits, options: Namespace) -> Facts:
    redis = urlsplit(options.backplane or "")
    return {
        "event": "listening",
        "address": address,
        "max_clients": limits.max_clients,
        "rate": limits.rate,
        "text_chars": limits.text_chars,
        "history": options.history,
        "backplane": f"{redis.hostname}:{redis.port or 6379}" if options.backplane else None,
        "history_messages": None if options.history else limits.history_messages,
        "tls": bool(options.tls_cert),
    }


def _start_sentences(facts: Facts) -> list[str]:
    """Return the first lines; the first one ends in the address, for programs that start us."""
    rate = _("{rate:.12g} a second from each") if facts["rate"] else _("at any rate")
    limits = [
        _count(nmark("up to {n} user", "up to {n} users"), facts["max_clients"]),
        _count(nmark("{n} character a message", "{n} characters a message"), facts["text_chars"]),
        rate.format(rate=facts["rate"]),
    ]
    last = nmark("the last {n} message", "the last {n} messages")
    history = _("in memory, {messages}")
    if facts["backplane"]:
        history = _("in Redis at {address}, shared with other servers")
    elif facts["history"]:
        history = _("in the file {path}")
    history = history.format(
        address=facts["backplane"],
        path=facts["history"],
        messages=_count(last, facts["history_messages"] or 0),
    )
    tls = _("on") if facts["tls"] else _("off: anybody can read along in transit")
    lines = [
        _("The server is listening on {address}").format(address=_address(facts)),
        "  " + _("Limits: {limits}").format(limits=", ".join(limits)),
        "  " + _("History: {history}").format(history=history),
        "  " + _("Encryption (TLS): {tls}").format(tls=tls),
        "  " + _("Ctrl-C stops the server."),
    ]
    return [fitting(line, sys.stdout, indent=4) for line in lines]


# Amounts

_BYTES = nmark("{n} byte", "{n} bytes")
_MESSAGES = nmark("{n} message", "{n} messages")
_UNITS = (
    (86400, nmark("{n} day", "{n} days")),
    (3600, nmark("{n} hour", "{n} hours")),
    (60, nmark("{n} minute", "{n} minutes")),
    (1, nmark("{n} second", "{n} seconds")),
)


def _count(forms: tuple[str, str], number: int) -> str:
    return ngettext(*forms, number).format(n=number)


def duration(seconds: float) -> str:
    """Return *seconds* in words, in the two largest units."""
    left = round(seconds)
    amounts: list[str] = []
    for size, forms in _UNITS:
        amount, left = divmod(left, size)
        if amount or (size == 1 and not amounts):
            amounts.append(_count(forms, amount))
    return " ".join(amounts[:2])
