"""The server's terminal: what happens in the chat, a line each, in the reader's language.

The server logs facts through the standard `logging`, with the facts in ``record.event``; here they
become sentences, or JSON for machines. They are printed by a thread of their own, because a
terminal can stop taking output (Ctrl-S is enough), and the threads that serve clients must not
wait for it. Nor must they wait for the printing of a flood: of more than `MESSAGES_A_SECOND` the
rest is only counted, and one line says how many were not shown.
"""

import argparse
import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from chat.app.i18n import gettext as _
from chat.app.i18n import ngettext
from chat.app.options import address_text, left_sentence, system_phrase, write
from chat.core.history import Entry
from chat.core.protocol import Limits, nick_key, printable

MESSAGES_A_SECOND = 1000
"""Messages of one second that are shown one by one: more than anybody can read."""

WAITING_LINES = 10_000
"""Lines that wait for a terminal that stands still; further ones are counted, the chat goes on."""

TICK = 0.05
"""Seconds between two looks at what there is to print: a thread that woke for every message would
take the interpreter from those who deliver them."""

Facts = dict[str, Any]
Said = tuple[tuple[str, int], Entry]
"""A message, and from which address it came."""


class Formatter(logging.Formatter):
    """Turns a record of the server into lines, one for each thing that happened."""

    def __init__(self, *, show_text: bool) -> None:
        """Show the text of messages with *show_text*, else only their size in bytes."""
        super().__init__()
        self._show_text = show_text

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines for *record*."""
        facts: Facts = record.__dict__.get("event", {"event": record.getMessage()})
        if facts["event"] != "messages":
            return self.line(record.created, facts)
        return "\n".join(
            self.line(record.created, message_facts(address, entry))
            for address, entry in facts["messages"]
        )

    def line(self, moment: float, facts: Facts) -> str:
        """Return the line that says *facts* of *moment* (Unix seconds)."""
        raise NotImplementedError


def message_facts(address: tuple[str, int], entry: Entry) -> Facts:
    """Return what is told of a message that came from *address*."""
    said = {"nick": entry.sender, "to": entry.to, "text": entry.text, "sealed": entry.sealed}
    size = len(entry.text.encode())
    return {"event": "message"} | said | {"address": address, "bytes": size}


class SentenceFormatter(Formatter):
    """For people: the time, then a sentence."""

    def line(self, moment: float, facts: Facts) -> str:
        """Return the sentence after the local time."""
        text = _SENTENCES.get(facts["event"], _other)(facts)
        if facts["event"] == "message" and self._show_text and not facts.get("sealed"):
            text += ": " + printable(facts["text"].replace("\n", " ⏎ "))
        return f"{time.strftime('%H:%M:%S', time.localtime(moment))}  {text}"


class JsonFormatter(Formatter):
    """For machines: one JSON object a line, with the time in ISO 8601 and UTC."""

    def line(self, moment: float, facts: Facts) -> str:
        """Return the object; an address is one string, ``HOST:PORT``."""
        shown = {"time": datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")}
        for key, value in facts.items():
            if key == "address":
                shown[key] = address_text(*value)
            elif key != "text" or self._show_text:
                shown[key] = value
        return json.dumps(shown, ensure_ascii=False)


class Tally:
    """What has happened since the start, in numbers. Not thread-safe by itself."""

    def __init__(self) -> None:
        """Start counting now."""
        self._started = time.monotonic()
        self._present: set[str] = set()
        self._nicks: dict[tuple[str, int], str] = {}  # by the clients' addresses
        self.users = self.most_users = self.messages = self.bytes = 0

    def note(self, facts: Facts) -> None:
        """Count *facts*."""
        kind = facts["event"]
        if kind == "messages":
            self.messages += len(facts["messages"])
            self.bytes += _size(facts["messages"])
        elif kind == "joined":
            self.users += 1
            self._nicks[facts["address"]] = facts["nick"]
            self._present.add(nick_key(facts["nick"]))
            self.most_users = max(self.most_users, len(self._present))
        elif kind == "left":
            self._present.discard(nick_key(facts["nick"]))
        elif kind == "disconnected":
            self._nicks.pop(facts["address"], None)

    def nick_at(self, address: tuple[str, int]) -> str | None:
        """Return who is at *address*, None if nobody is in the chat from there."""
        return self._nicks.get(address)

    def facts(self) -> Facts:
        """Return the summary as something that has happened."""
        return {
            "event": "summary",
            "seconds": round(time.monotonic() - self._started, 3),
            "users": self.users,
            "most_users": self.most_users,
            "messages": self.messages,
            "bytes": self.bytes,
        }


class Printer(logging.Handler):
    """Takes records from any thread without waiting, and prints them in a thread of its own."""

    def __init__(self, formatter: Formatter) -> None:
        """Print as *formatter* says, between `start` and `stop`."""
        super().__init__()
        self.setFormatter(formatter)
        self._thread = threading.Thread(target=self._print, name="journal")
        # Guards what follows; held for no system call but those of `time`.
        self._changed = threading.Condition()
        self._records: deque[logging.LogRecord] = deque()
        self._lines = 0  # that the records will make
        self._lost = 0  # records for which there was no room
        self._second = 0.0  # when the present one began
        self._shown = 0  # messages let through in it
        self._hidden = self._hidden_bytes = 0  # messages only counted
        self._tally = Tally()
        self._stopping = False
        self._stopped = threading.Event()

    # Any thread

    def emit(self, record: logging.LogRecord) -> None:
        """Take *record*, and of a flood of messages as many as may be shown."""
        facts: Facts = record.__dict__.get("event", {"event": record.getMessage()})
        with self._changed:
            self._tally.note(facts)
            if facts["event"] == "refused":
                facts["nick"] = self._tally.nick_at(facts["address"])
            if facts["event"] == "messages":
                self._take_messages(record, facts["messages"])
            elif facts["event"] == "stopped":
                for counted in self._counted(at_once=True):
                    self._take(counted, 1)
                summary = {"event": self._tally.facts()}
                self._take(logging.makeLogRecord(record.__dict__ | summary), 1)
                self._take(record, 1)
            else:
                self._take(record, 1)
            self._changed.notify()

    def _take_messages(self, record: logging.LogRecord, messages: list[Said]) -> None:
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._shown = now, 0
        room = min(MESSAGES_A_SECOND - self._shown, WAITING_LINES - self._lines)
        shown, hidden = messages[: max(0, room)], messages[max(0, room) :]
        if hidden:
            event = {"event": {"event": "messages", "messages": shown}}
            record = logging.makeLogRecord(record.__dict__ | event)
        if shown:
            self._shown += len(shown)
            self._take(record, len(shown))
        self._hidden += len(hidden)
        self._hidden_bytes += _size(hidden)

    def _take(self, record: logging.LogRecord, lines: int) -> None:
        if self._lines + lines > WAITING_LINES and not self._stopping:
            self._lost += lines
            return
        self._records.append(record)
        self._lines += lines

    # The thread that controls it

    def start(self) -> None:
        """Start printing."""
        self._thread.start()

    def stop(self) -> None:
        """Print what is left, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._stopped.set()
        self._thread.join()

    # The printing thread

    def _print(self) -> None:
        stopping = False
        while not stopping:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._records, self._pause())
                stopping = self._stopping
                records = list(self._records)
                self._records.clear()
                self._lines = 0
                records[len(records) :] = self._counted(at_once=stopping)
            if records:
                write("".join(self.format(record) + "\n" for record in records))
            self._stopped.wait(TICK)

    def _pause(self) -> float | None:
        """Return the seconds until there may be something to say about the flood."""
        if not (self._hidden or self._lost):
            return None
        return max(0.0, self._second + 1 - time.monotonic())

    def _counted(self, *, at_once: bool) -> Iterator[logging.LogRecord]:
        """Yield what is to be said, a second having passed, about what was only counted."""
        if not at_once and time.monotonic() < self._second + 1:
            return
        if self._hidden:
            yield _record(
                {"event": "not_shown", "messages": self._hidden, "bytes": self._hidden_bytes}
            )
        if self._lost:
            yield _record({"event": "lost_lines", "lines": self._lost})
        self._hidden = self._hidden_bytes = self._lost = 0


@contextlib.contextmanager
def on_console(
    logger: logging.Logger, about: Facts, *, show_text: bool, as_json: bool = False
) -> Iterator[None]:
    """Print what *logger* records on stdout while the context lasts; the rest at its end.

    Begins with *about*, see `about`.
    """
    formatter = JsonFormatter if as_json else SentenceFormatter
    printer = Printer(formatter(show_text=show_text))
    if as_json:
        write(printer.format(_record(about)) + "\n")
    else:
        write("\n".join(_start_sentences(about)) + "\n")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(printer)
    printer.start()
    try:
        yield
    finally:
        logger.removeHandler(printer)
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


def add_log_format(parser: argparse.ArgumentParser) -> None:
    """Add ``--log-format``."""
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help=_("sentences for people, or one JSON object a line for programs (default: text)"),
    )


def _record(facts: Facts) -> logging.LogRecord:
    return logging.makeLogRecord({"event": facts, "created": time.time()})


def _size(messages: list[Said]) -> int:
    return sum(len(entry.text.encode()) for _address, entry in messages)


# Sentences


def _start_sentences(facts: Facts) -> list[str]:
    """Return the first lines; the very first ends in the address, for programs that start us."""
    address = address_text(*facts["address"])
    users = ngettext("up to {n} user", "up to {n} users", facts["max_clients"])
    rate = _("{rate:g} a second from each") if facts["rate"] else _("at any rate")
    length = ngettext("{n} character a message", "{n} characters a message", facts["text_chars"])
    if facts["backplane"]:
        history = _("in Redis at {address}, shared with other servers").format(
            address=facts["backplane"]
        )
    elif facts["history"]:
        history = _("in the file {path}").format(path=facts["history"])
    else:
        number = facts["history_messages"]
        history = ngettext("the last {n} message", "the last {n} messages", number)
        history = _("in memory, {messages}").format(messages=history.format(n=number))
    tls = _("on") if facts["tls"] else _("off: anybody on the way can read along")
    limits = ", ".join(
        [
            users.format(n=facts["max_clients"]),
            length.format(n=facts["text_chars"]),
            rate.format(rate=facts["rate"]),
        ]
    )
    return [
        _("The server is listening on {address}").format(address=address),
        "  " + _("Limits: {limits}").format(limits=limits),
        "  " + _("History: {history}").format(history=history),
        "  " + _("Encryption (TLS): {tls}").format(tls=tls),
        "  " + _("Ctrl-C stops the server."),
    ]


def duration(seconds: float) -> str:
    """Return *seconds* in words, in the two largest units that matter."""
    left = round(seconds)
    units: list[tuple[int, Callable[[int], str]]] = [
        (86400, lambda n: ngettext("{n} day", "{n} days", n)),
        (3600, lambda n: ngettext("{n} hour", "{n} hours", n)),
        (60, lambda n: ngettext("{n} minute", "{n} minutes", n)),
        (1, lambda n: ngettext("{n} second", "{n} seconds", n)),
    ]
    amounts: list[str] = []
    for size, words in units:
        amount, left = divmod(left, size)
        if amount or (size == 1 and not amounts):
            amounts.append(words(amount).format(n=amount))
    return " ".join(amounts[:2])


def _who(facts: Facts) -> str:
    nick = printable(facts["nick"])
    address = address_text(*facts["address"]) if "address" in facts else ""
    return f"{nick} ({address})" if address else nick


def _bytes(number: int) -> str:
    return ngettext("{n} byte", "{n} bytes", number).format(n=number)


def _messages(number: int) -> str:
    return ngettext("{n} message", "{n} messages", number).format(n=number)


def _message(facts: Facts) -> str:
    to = _("all") if facts["to"] is None else printable(facts["to"])
    sealed = ", " + _("encrypted end-to-end") if facts.get("sealed") else ""
    return f"{_who(facts)} → {to}, {_bytes(facts['bytes'])}{sealed}"


def _not_shown(facts: Facts) -> str:
    return _("… and {messages} more, {bytes} in all, not shown one by one").format(
        messages=_messages(facts["messages"]), bytes=_bytes(facts["bytes"])
    )


def _lost_lines(facts: Facts) -> str:
    sentence = ngettext(
        "… and {n} line that the terminal was too slow for",
        "… and {n} lines that the terminal was too slow for",
        facts["lines"],
    )
    return sentence.format(n=facts["lines"])


def _refused(facts: Facts) -> str:
    who = _who(facts) if facts.get("nick") else address_text(*facts["address"])
    sentence = {
        "bad_frame": _("sent something that is no message of this chat"),
        "unknown_type": _("asked for something that this server does not know"),
        "not_registered": _("asked for something before giving a nickname"),
        "bad_nick": _("wanted a nickname that will not do"),
        "nick_taken": _("wanted a nickname that is taken"),
        "no_such_user": _("wrote to somebody who is not here"),
        "bad_text": _("sent a text that is empty or has forbidden characters"),
        "text_too_long": _("sent a text that is too long"),
        "too_fast": _("sends too fast (see --rate)"),
        "not_admin": _("wanted what only the admin may do"),
        "frame_too_long": _("sent more than a message may be long"),
        "server_full": _("found no room (see --max-clients)"),
        "register_timeout": _("gave no nickname in time (see --register-timeout)"),
        "unavailable": _("could not be served without the store"),
        "not_recorded": _("sent a message that could not be recorded"),
    }.get(facts["code"], _("asked for what cannot be"))
    return _("{who} was refused: {sentence} ({code})").format(
        who=who, sentence=sentence, code=facts["code"]
    )


def _left(facts: Facts) -> str:
    return left_sentence(facts["reason"]).format(nick=_who(facts))


def _admin(facts: Facts) -> str:
    sentence = _("{nick} is admin now") if facts["accepted"] else _("{nick} gave a wrong password")
    return sentence.format(nick=_who(facts))


def _summary(facts: Facts) -> str:
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


def _stopped(facts: Facts) -> str:
    by_admin = facts["reason"] == "admin"
    return _("The server was stopped by the admin") if by_admin else _("The server has stopped")


def _other(facts: Facts) -> str:
    return " ".join(f"{key}={value}" for key, value in facts.items())


def _of_address(sentence: str, facts: Facts) -> str:
    return sentence.format(**facts | {"address": address_text(*facts["address"])})


_SENTENCES: dict[str, Callable[[Facts], str]] = {
    "connected": lambda facts: _of_address(_("{address} has connected"), facts),
    "joined": lambda facts: _("{nick} has joined").format(nick=_who(facts)),
    "message": _message,
    "not_shown": _not_shown,
    "lost_lines": _lost_lines,
    "left": _left,
    "refused": _refused,
    "not_encrypted": lambda facts: _of_address(_("{address} and we found no TLS: {reason}"), facts),
    "not_recorded": lambda facts: _(
        "The history cannot be written, so messages are refused: {reason}"
    ).format(reason=system_phrase(facts["reason"])),
    "store_lost": lambda facts: _(
        "Redis cannot be reached, so what is said waits: {reason}"
    ).format(reason=facts["reason"]),
    "store_back": lambda _facts: _("Redis can be reached again"),
    "disconnected": lambda facts: _of_address(_("{address} has disconnected"), facts),
    "admin": _admin,
    "exhausted": lambda facts: _("Cannot accept more connections: {reason}").format(
        reason=system_phrase(facts["reason"])
    ),
    "summary": _summary,
    "stopped": _stopped,
}
