"""The server's journal: what happens in the chat, a line each, in the reader's language.

The server logs facts through the standard `logging`, with the facts in ``record.event``; here they
become sentences, or JSON for machines. A terminal can stop taking output (Ctrl-S is enough), and
the threads that serve clients must not wait for it: a `QueueHandler` takes their records, a
`QueueListener` prints them. Nor may a flood fill the terminal or the memory: of one second only
`MESSAGES_A_SECOND` messages, and `LINES_A_SECOND` other lines from one address, are printed; one
line says how many more there were.
"""

import contextlib
import json
import logging
import queue
import shutil
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from typing import Any
from urllib.parse import urlsplit

from chat.app.i18n import gettext as _
from chat.app.i18n import mark, ngettext, nmark
from chat.app.options import address_text, write
from chat.app.sentences import left_sentence, phrase
from chat.core.history import Entry
from chat.core.protocol import Limits, nick_key, printable

MESSAGES_A_SECOND = 1000
"""Messages of one second that are printed one by one: more than anybody can read."""

LINES_A_SECOND = 300
"""Lines of one second about one address, other than messages."""

WAITING_LINES = 10_000
"""Lines that wait for a terminal that stands still; further ones are counted."""

TICK = 0.05
"""Seconds between two looks at an empty queue: a thread that woke for every message would take the
interpreter from those who deliver them."""

STOP_TIMEOUT = 2.0
"""Seconds that a terminal gets for what is left at the end."""

Facts = dict[str, Any]
Said = tuple[tuple[str, int], Entry]
"""A message, and from which address it came."""


# Printing


class Formatter(logging.Formatter):
    """Turns a record into lines for people: the local time, then a sentence."""

    def __init__(self, *, show_text: bool) -> None:
        """Show the text of messages with *show_text*, else only their size in bytes."""
        super().__init__()
        self._show_text = show_text

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines for *record*, a line for each of its messages."""
        return "\n".join(self.line(record.created, facts) for facts in _one_by_one(_facts(record)))

    def line(self, moment: float, facts: Facts) -> str:
        """Return the line that says *facts* of *moment* (Unix seconds)."""
        text = sentence(facts)
        if facts["event"] == "message" and self._show_text and not facts["sealed"]:
            text += ": " + facts["text"]
        text = printable(text).replace("\n", " ⏎ ")
        return f"{time.strftime('%H:%M:%S', time.localtime(moment))}  {text}"


class JsonFormatter(Formatter):
    """For machines: one JSON object a line, with the time in ISO 8601 and UTC."""

    def line(self, moment: float, facts: Facts) -> str:
        """Return the object; an address is one string, ``HOST:PORT``."""
        shown = {"time": datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")}
        for key, value in facts.items():
            if key == "address" and value:
                shown[key] = _address(facts)
            elif key != "text" or self._show_text:
                shown[key] = value
        return json.dumps(shown, ensure_ascii=False)


def _facts(record: logging.LogRecord) -> Facts:
    facts: Facts = record.__dict__.get("event", {"event": record.getMessage()})
    return facts


def _address(facts: Facts) -> str:
    address = facts.get("address")
    return address_text(*address[:2]) if address else ""


def _one_by_one(facts: Facts) -> Iterator[Facts]:
    """Yield *facts*, or those of each message in them."""
    if facts["event"] != "messages":
        yield facts
        return
    for address, entry in facts["messages"]:
        said = {"nick": entry.sender, "to": entry.to, "text": entry.text, "sealed": entry.sealed}
        yield {"event": "message", **said, "address": address, "bytes": len(entry.text.encode())}


class _Output:
    """Standard output for `logging`: what cannot be written any more is dropped."""

    def write(self, text: str) -> None:
        write(text)


# From the threads that log to the one that prints


class Tally:
    """What has happened since the start, in numbers. Not thread-safe by itself."""

    def __init__(self) -> None:
        """Start counting now."""
        self._started = time.monotonic()
        self._present: set[str] = set()
        self._nicks: dict[tuple[str, int], str] = {}  # by the clients' addresses
        self._most_users = 0
        self._counted = Counter(users=0, messages=0, bytes=0)

    def note(self, facts: Facts) -> None:
        """Count *facts*, and add to a refusal the nickname of who was refused."""
        kind = facts["event"]
        if kind == "messages":
            said = facts["messages"]
            self._counted.update(messages=len(said), bytes=_size(said))
        elif kind == "joined":
            self._counted["users"] += 1
            self._nicks[facts["address"]] = facts["nick"]
            self._present.add(nick_key(facts["nick"]))
            self._most_users = max(self._most_users, len(self._present))
        elif kind == "left":
            self._present.discard(nick_key(facts["nick"]))
        elif kind == "disconnected":
            self._nicks.pop(facts["address"], None)
        elif kind == "refused":
            facts["nick"] = self._nicks.get(facts["address"])

    def facts(self) -> Facts:
        """Return the summary as something that has happened."""
        seconds = round(time.monotonic() - self._started, 3)
        facts = {"event": "summary", "seconds": seconds, "most_users": self._most_users}
        return facts | self._counted


class Journal(QueueHandler):
    """Takes records from any thread without waiting, and of a flood only so many."""

    def __init__(self) -> None:
        """Count from now on."""
        # Its `put` may be interrupted by a signal's handler that logs, too.
        self.records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        super().__init__(self.records)
        # Guarded by the handler's own lock.
        self._waiting = 0  # lines in the queue
        self._tally = Tally()
        self._second = 0.0  # when the present one began
        self._granted: Counter[str] = Counter()  # lines of this second, by host; messages apart
        self._omitted: Counter[str] = Counter()  # messages, bytes and other lines

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Leave *record* as it is: its text is made where it is printed."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Pass *record* on, if there is room for it. Any thread, in `emit`, which holds the lock.

        `emit` also sees to it that a record with which something is wrong is lost alone.
        """
        facts = _facts(record)
        self._tally.note(facts)
        self._begin_second()
        if facts["event"] == "messages":
            said = facts["messages"]
            room = self._room("messages", MESSAGES_A_SECOND, len(said))
            if room:
                some = {"event": "messages", "messages": said[:room]}
                self._put(_record(some, record.created), room)
            if room < len(said):
                self._omitted.update(messages=len(said) - room, bytes=_size(said[room:]))
            return
        if facts["event"] == "stopped":
            self._say_omitted()
            self._put(_record(self._tally.facts()))
        elif not self._room((facts.get("address") or ("?",))[0], LINES_A_SECOND, 1):
            self._omitted["lines"] += 1
            return
        self._put(record)

    def printed(self, lines: int) -> None:
        """Note that so many *lines* wait no more, and whether a second is over. Any thread."""
        with self.lock or contextlib.nullcontext():
            self._waiting -= lines
            self._begin_second()

    def _put(self, record: logging.LogRecord, lines: int = 1) -> None:
        self._waiting += lines
        self.records.put(record)

    def _room(self, whose: str, most: int, wanted: int) -> int:
        """Return how many of the *wanted* lines may be printed in this second."""
        granted = max(0, min(wanted, most - self._granted[whose], WAITING_LINES - self._waiting))
        self._granted[whose] += granted
        return granted

    def _begin_second(self) -> None:
        now = time.monotonic()
        if now >= self._second + 1:
            self._second = now
            self._granted.clear()
            if self._waiting < WAITING_LINES:
                self._say_omitted()

    def _say_omitted(self) -> None:
        if self._omitted:
            self._put(_record({"event": "omitted", **self._omitted}))
            self._omitted.clear()


class Printer(QueueListener):
    """The thread that prints: it looks into the queue now and then, and prints all there is."""

    def __init__(self, journal: Journal, formatter: Formatter) -> None:
        """Print what comes through *journal*, between `start` and `stop`."""
        handler: logging.Handler = logging.StreamHandler(_Output())
        handler.setFormatter(formatter)
        super().__init__(journal.records, handler)
        self._journal = journal
        self._stopping = threading.Event()

    def dequeue(self, block: bool) -> logging.LogRecord:
        """Return the next record; wait for it with *block*."""
        while block and self._journal.records.empty():
            self._journal.printed(0)
            self._stopping.wait(TICK)
        return self._journal.records.get(block)

    def handle(self, record: logging.LogRecord) -> None:
        """Print *record*; not under the handler's lock, for which `logging` would wait at exit."""
        for handler in self.handlers:
            handler.emit(record)
        facts = _facts(record)
        self._journal.printed(len(facts["messages"]) if facts["event"] == "messages" else 1)

    def stop(self) -> None:
        """Print what is left, and end the thread; do not wait for a terminal that stands still."""
        self._stopping.set()
        self.enqueue_sentinel()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT)


@contextlib.contextmanager
def on_console(
    logger: logging.Logger, about: Facts, *, show_text: bool, as_json: bool = False
) -> Iterator[None]:
    """Print what *logger* records on stdout while the context lasts; the rest at its end.

    Begins with *about*, see `about`.
    """
    formatter = (JsonFormatter if as_json else Formatter)(show_text=show_text)
    start = [formatter.line(time.time(), about)] if as_json else _start_sentences(about)
    write("\n".join(start if as_json else map(_wrapped, start)) + "\n")
    journal = Journal()
    printer = Printer(journal, formatter)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(journal)
    printer.start()
    try:
        yield
    finally:
        logger.removeHandler(journal)
        printer.stop()


def about(
    address: tuple[str, int],
    limits: Limits,
    *,
    history: str | None = None,
    backplane: str | None = None,
    tls: bool = False,
) -> Facts:
    """Return what the first lines say about a server that listens on *address*."""
    redis = urlsplit(backplane or "")
    return {
        "event": "listening",
        "address": address,
        "max_clients": limits.max_clients,
        "rate": limits.rate,
        "text_chars": limits.text_chars,
        "history": history,
        "backplane": f"{redis.hostname}:{redis.port or 6379}" if backplane else None,
        "history_messages": None if history else limits.history_messages,
        "tls": tls,
    }


def _record(facts: Facts, created: float | None = None) -> logging.LogRecord:
    moment = time.time() if created is None else created
    return logging.makeLogRecord({"event": facts, "created": moment})


def _size(messages: list[Said]) -> int:
    return sum(len(entry.text.encode()) for _address, entry in messages)


# Sentences

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
    """Return what *facts* say to a person."""
    kind, address = facts["event"], _address(facts)
    who = address
    if facts.get("nick"):
        who = f"{facts['nick']} ({address})" if address else facts["nick"]
    if kind in _OTHERS:
        return _OTHERS[kind](facts, who)
    if kind not in _SENTENCES:
        return " ".join(f"{key}={value}" for key, value in facts.items())
    reason = phrase(str(facts.get("reason", "")))
    if kind == "refused":
        reason = _(_REFUSALS.get(facts["code"], _REFUSALS[""]))
    values = facts | {"who": who, "address": address, "reason": reason}
    return _(_SENTENCES[kind]).format(**values)


def _message(facts: Facts, who: str) -> str:
    to = _("all") if facts["to"] is None else facts["to"]
    sealed = ", " + _("encrypted end-to-end") if facts["sealed"] else ""
    return f"{who} → {to}, {_bytes(facts['bytes'])}{sealed}"


def _admin(facts: Facts, who: str) -> str:
    sentence = _("{nick} is admin now") if facts["accepted"] else _("{nick} gave a wrong password")
    return sentence.format(nick=who)


def _stopped(facts: Facts, _who: str) -> str:
    by_admin = facts["reason"] == "admin"
    return _("The server was stopped by the admin") if by_admin else _("The server has stopped")


def _omitted(facts: Facts, _who: str) -> str:
    lines = facts.get("lines", 0)
    more = [ngettext("{n} line", "{n} lines", lines).format(n=lines)] if lines else []
    if facts.get("messages"):
        more.insert(0, f"{_messages(facts['messages'])} ({_bytes(facts['bytes'])})")
    return _("… and more, not shown one by one: {what}").format(what=", ".join(more))


def _summary(facts: Facts, _who: str) -> str:
    users = ngettext("{n} user came in", "{n} users came in", facts["users"])
    users = users.format(n=facts["users"])
    if facts["most_users"] > 1:
        users += " " + _("(up to {n} at a time)").format(n=facts["most_users"])
    return _("In {time}: {users}, {messages}, {bytes}").format(
        time=duration(facts["seconds"]),
        users=users,
        messages=_messages(facts["messages"]),
        bytes=_bytes(facts["bytes"]),
    )


def _wrapped(line: str) -> str:
    """Return *line* wrapped by words, for a terminal only: a program reads whole lines."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return textwrap.fill(line, width, subsequent_indent="    ", break_long_words=False)


def _start_sentences(facts: Facts) -> list[str]:
    """Return the first lines; the very first ends in the address, for programs that start us."""
    users = ngettext("up to {n} user", "up to {n} users", facts["max_clients"])
    length = ngettext("{n} character a message", "{n} characters a message", facts["text_chars"])
    rate = _("{rate:.12g} a second from each") if facts["rate"] else _("at any rate")
    limits = f"{users.format(n=facts['max_clients'])}, {length.format(n=facts['text_chars'])}, "
    if facts["backplane"]:
        history = _("in Redis at {address}, shared with other servers")
    elif facts["history"]:
        history = _("in the file {path}")
    else:
        number = facts["history_messages"]
        last = ngettext("the last {n} message", "the last {n} messages", number).format(n=number)
        history = _("in memory, {messages}").format(messages=last)
    history = history.format(address=facts["backplane"], path=facts["history"])
    tls = _("on") if facts["tls"] else _("off: anybody can read along in transit")
    return [
        _("The server is listening on {address}").format(address=address_text(*facts["address"])),
        "  " + _("Limits: {limits}").format(limits=limits + rate.format(rate=facts["rate"])),
        "  " + _("History: {history}").format(history=history),
        "  " + _("Encryption (TLS): {tls}").format(tls=tls),
        "  " + _("Ctrl-C stops the server."),
    ]


_UNITS = (
    (86400, nmark("{n} day", "{n} days")),
    (3600, nmark("{n} hour", "{n} hours")),
    (60, nmark("{n} minute", "{n} minutes")),
    (1, nmark("{n} second", "{n} seconds")),
)


def duration(seconds: float) -> str:
    """Return *seconds* in words, in the two largest units that matter."""
    left = round(seconds)
    amounts: list[str] = []
    for size, forms in _UNITS:
        amount, left = divmod(left, size)
        if amount or (size == 1 and not amounts):
            amounts.append(ngettext(*forms, amount).format(n=amount))
    return " ".join(amounts[:2])


def _bytes(number: int) -> str:
    return ngettext("{n} byte", "{n} bytes", number).format(n=number)


def _messages(number: int) -> str:
    return ngettext("{n} message", "{n} messages", number).format(n=number)


_OTHERS: dict[str, Callable[[Facts, str], str]] = {
    "message": _message,
    "omitted": _omitted,
    "left": lambda facts, who: left_sentence(facts["reason"]).format(nick=who),
    "admin": _admin,
    "summary": _summary,
    "stopped": _stopped,
}
