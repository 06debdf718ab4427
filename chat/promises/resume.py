"""A user who is cut off reconnects as the same user and loses nothing: exactly once, in order.

A connection can be lost at any moment, with messages in transit in both directions, and neither
side knows which of them have arrived (TCP acknowledges bytes received, not bytes read). So both
sides keep something across connections:

* the server, in `RememberedSessions`: the numbers under which it has recorded a user's messages, so
  that a message sent again is acknowledged again and recorded once. Older ones are looked up in the
  log.
* the client, in `ResumingClient`: unacknowledged messages, and its position in the server's log. It
  sends those messages again and asks for the ones it has missed.

Seam: `chat.core.room.Sessions`, and the methods of `ChatClient` that are meant for it.
"""

import hashlib
import random
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from chat.core.client import ChatClient, RefusedError
from chat.core.connection import TransportError
from chat.core.history import Log
from chat.core.protocol import Limits, Message, ProtocolError
from chat.core.room import Session, Sessions
from chat.core.timing import Deadline

SECRET_CHARS = 16
"""Shortest secret that is accepted: a shorter one could be guessed."""

WINDOW = Limits.window_messages
"""Ids per session that are known without looking into the log, at least."""

REMEMBERED_IDS = 80_000
"""Ids of all sessions whose users are away; each takes about 100 bytes."""

OFFLINE_MESSAGES = 20
"""Messages that may wait for a new connection; beyond that `ChatClient.say` waits."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds of the longest pause before the first attempt to reconnect; doubled up to the second."""

_CURABLE = frozenset({"lost", "timeout", "slow"})
"""Ends of a connection after which reconnecting makes sense."""

_PASSING = frozenset({"server_full", "register_timeout", "too_fast", "unavailable"})
"""Refusals that are temporary."""


# The server's side


class RememberedSession(Session):
    """A user across connections: a client with the session's secret is the same user."""

    def __init__(self, secret: str, log: Log) -> None:
        """Begin the session of *secret*, of which *log* may have messages."""
        session_id = hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
        super().__init__(session_id, secret)
        self._log = log
        self.log_id = log.id
        """The log that the numbers belong to."""

        self._numbers: dict[int, int] = {}  # of the last messages, by id; 0: not known yet
        self.answered = -1  # the largest id recorded before the user came back
        self._largest = -1  # the largest id that is known at all

    @property
    def size(self) -> int:
        """How many ids are known without looking into the log."""
        return len(self._numbers)

    def find(self, message_id: int) -> int | None:
        """Return the number of the message *message_id*; may wait for the log."""
        if message_id > self._largest:
            return None
        if number := self._numbers.get(message_id):
            return number
        known = self._log.find(self.id, message_id)
        # A later message is recorded, so this one was refused, and the refusal was lost.
        if known is None and message_id < self.answered:
            raise ProtocolError("not_recorded")
        return known

    def note(self, message_id: int, seq: int) -> None:
        """Note the number of the message *message_id*."""
        self._largest = max(self._largest, message_id)
        self._numbers[message_id] = seq
        if len(self._numbers) > 2 * WINDOW:
            self._numbers = dict(islice(self._numbers.items(), WINDOW, None))

    def forget(self, message_id: int) -> None:
        """Forget *message_id*, whose message is lost."""
        self._numbers.pop(message_id, None)

    def come_back(self, last_id: int) -> None:
        """Note that the user is back: ids below the largest recorded one are settled now.

        *last_id* is the largest id that the log knows.
        """
        recorded = (message_id for message_id, seq in self._numbers.items() if seq)
        self.answered = max(last_id, self.answered, *recorded)
        self._largest = max(self._largest, self.answered)


class RememberedSessions(Sessions):
    """The sessions that can be resumed."""

    def __init__(self, limits: Limits, log: Log) -> None:
        """Remember as many as *limits* allows; *log* has their messages."""
        self._most = limits.remembered_sessions
        self._log = log
        self._gone: OrderedDict[str, RememberedSession] = OrderedDict()  # may be resumed
        self._ids = 0  # of all of them

    def open(self, secret: object) -> Session:
        """Return the session that *secret* belongs to, a new one for None."""
        if secret is None:
            return RememberedSession(secrets.token_urlsafe(24), self._log)
        if not isinstance(secret, str) or not SECRET_CHARS <= len(secret) <= 1000:
            raise ProtocolError("bad_frame")
        session = RememberedSession(secret, self._log)
        session.come_back(self._log.last_id(session.id))
        return session

    def resume(self, session: Session) -> Session:
        """Return what is remembered of *session*. Under the room's lock."""
        if not isinstance(session, RememberedSession):  # its user is at another server
            return session
        if (remembered := self._gone.pop(session.id, None)) is not None:
            self._ids -= remembered.size
            if remembered.log_id == self._log.id:
                remembered.come_back(session.answered)
                return remembered
        session.come_back(session.answered)
        return session

    def remember(self, session: Session) -> None:
        """Remember *session*, whose user was cut off. Under the room's lock."""
        if isinstance(session, RememberedSession):
            self._gone[session.id] = session
            self._ids += session.size
        while len(self._gone) > self._most or self._ids > REMEMBERED_IDS:
            self._ids -= self._gone.popitem(last=False)[1].size


# The client's side


class Place:
    """A client's position in the server's log: it has received everything up to there."""

    def __init__(self) -> None:
        """Start before the first registration."""
        self._secret: str | None = None  # the session's
        self._log: str | None = None
        self._heard = 0
        self._held: list[Message] | None = None  # live messages received while catching up

    def registration(self, nick: str) -> Message:
        """Return the request for *nick*, as the same user as before if there is a session."""
        session = {} if self._secret is None else {"session": self._secret}
        return {"type": "register", "nick": nick} | session

    def enter(self, welcome: Message) -> None:
        """Adopt the position in *welcome*; after reconnecting there is a `question` to ask.

        If the server has lost its log (it has another one, or its numbers are below one that we
        have received, because it was restored from a copy), we start from the beginning of the new
        one; if the server cannot resume (it has no sessions), from its present end.
        """
        secret, log, last = welcome.get("session"), welcome.get("log"), welcome["seq"]
        returning = self._secret is not None and isinstance(log, str)
        self._secret = secret if isinstance(secret, str) else None
        if log != self._log or last < self._heard:
            self._heard = 0 if returning else last
        self._log = log if isinstance(log, str) else None
        self._held = [] if returning else None

    def hear(self, message: Message) -> Iterator[Message]:
        """Take a live message; yield it unless it was received before or must wait its turn."""
        if self._held is not None:
            self._held.append(message)
        elif self._log is None or message["seq"] > self._heard:
            self._heard = message["seq"]
            yield message

    def question(self) -> Message | None:
        """Return the request for missed messages, None when there are no more."""
        return None if self._held is None else {"type": "history", "after": self._heard}

    def catch_up(self, answer: Message) -> Iterator[Message]:
        """Take the *answer* to `question`; yield its messages, then those that have waited."""
        held, self._held = self._held or [], None
        for message in answer["messages"]:
            yield from self.hear(message)
        if answer["messages"] and not (held and held[0]["seq"] <= self._heard):
            self._held = held  # there may be more
            return
        for message in held:
            yield from self.hear(message)


@dataclass(eq=False, repr=False)
class ResumingClient(ChatClient):
    """A client that reconnects when it loses its server.

    It sends unacknowledged messages again and asks for missed ones, and *on_event* gets every
    message once and in order. Its own events are ``{"type": "reconnecting", "reason": …,
    "attempt": …, "delay": seconds}`` when the connection is lost; ``{"type": "reconnected"}`` when
    there is a new one, and missed messages follow; ``{"type": "untrusted", "why": code}`` when the
    TLS peer cannot be trusted; and ``{"type": "gap"}`` when some missed messages are gone.
    """

    reconnect: bool = True
    """Whether it reconnects."""

    def __post_init__(self) -> None:
        """Prepare: nothing is connected yet."""
        super().__post_init__()
        self._place = Place()  # owned by the listener thread, and by the caller until that starts

    def _registration(self, nick: str) -> Message:
        return self._place.registration(nick)

    def register(self, nick: str) -> Message:
        """Register as `ChatClient` does, and ask for missed messages after reconnecting."""
        welcome = super().register(nick)
        self._place.enter(welcome)
        self._ask_what_was_missed()
        return welcome

    def _has_room(self) -> bool:
        return super()._has_room() and (self._online or len(self._outbox) < OFFLINE_MESSAGES)

    def _recover(self, reason: str) -> str | None:
        """Connect and register again; return None, or why that is not possible."""
        # When one server shuts down, there may be others.
        curable = _CURABLE | {"shutdown"} if len(self._addresses) > 1 else _CURABLE
        if not self.reconnect or reason not in curable:
            return reason
        deadline = Deadline(self.limits.reconnect_timeout)
        pause, attempt = FIRST_PAUSE, 0
        while deadline.left:
            attempt += 1
            # A random part of the pause: the clients of a lost server must not all return at once.
            delay, pause = random.uniform(0, pause), min(2 * pause, LONGEST_PAUSE)
            again = {"reason": reason, "attempt": attempt, "delay": delay}
            self.on_event({"type": "reconnecting"} | again)
            if self._leaving.wait(delay):
                return "quit"
            try:
                self.connect()
                self.register(self.nick)
            except RefusedError as error:
                if error.code not in _PASSING:
                    return error.code
            except TransportError as error:  # trying again would only invite the user to give in
                self.on_event({"type": "untrusted", "why": str(error)})
                return "untrusted"
            except OSError:
                pass
            else:
                self.on_event({"type": "reconnected"})
                return None
            self._addresses.append(self._addresses.pop(0))
        return reason

    def _hand_on(self, event: Message) -> None:
        """Pass *event* on, each message in its turn."""
        kind = event["type"]
        if kind == "message":
            for message in self._place.hear(event):
                super()._hand_on(message)
        elif kind == "history" and "after" in event and self._place.question():
            if event.get("gap") is True:
                self.on_event({"type": "gap"})
            for message in self._place.catch_up(event):
                super()._hand_on(message)
            self._ask_what_was_missed()
        else:
            super()._hand_on(event)

    def _ask_what_was_missed(self) -> None:
        if question := self._place.question():
            self._send(question)
