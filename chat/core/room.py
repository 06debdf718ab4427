"""Who is here, who may take which nickname, who receives what. No sockets.

The shared state of the server lives in one object behind one lock. Under that lock a message gets
its place in the log and in the list of what is to be written, so everybody hears everything in the
same order. Both only take note, in memory: the lock is never held across a system call, and the
slowness of network and disk stays outside. The writer has the log commit a message before it
delivers it.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chat.core.connection import Connection
from chat.core.history import Entry, Log
from chat.core.protocol import (
    Limits,
    Message,
    ProtocolError,
    ack_frame,
    check_text,
    clean_nick,
    encode,
    nick_key,
)
from chat.core.writer import Writer


class Session:
    """One user, for as long as the server can tell that it is the same one.

    In the core that is one connection. `chat.promises.resume` knows users who come back.
    """

    def __init__(self, session_id: str, secret: str | None = None) -> None:
        """Begin the session *session_id*; who shows the *secret* comes back to it."""
        self.id = session_id
        self.secret = secret
        self.person = hashlib.sha256(f"person {session_id}".encode()).hexdigest()[:16]
        """A name of the session that everybody may know, unlike the others."""

    def find(self, _message_id: int) -> int | None:
        """Return the number of what was said under that id before, None if nothing was.

        0: it is in transit to the log. May wait for a disk. Raises `ProtocolError`.
        """
        return None

    def note(self, message_id: int, seq: int) -> None:
        """Note that what was said under *message_id* has the number *seq*. No waiting."""

    def forget(self, message_id: int) -> None:
        """Note that what was said under *message_id* was lost. No waiting."""


class Sessions:
    """Who comes back, and what they have said already: nobody, every connection is another user."""

    def open(self, secret: object) -> Session:
        """Return the session that *secret* belongs to, a new one for None. May wait for a disk.

        Raises `ProtocolError` ``bad_frame`` for what can be no secret.
        """
        del secret
        return Session(secrets.token_hex(16))

    def resume(self, session: Session) -> Session:
        """Return what is remembered of *session*, itself if nothing is: its user is back.

        Under the room's lock.
        """
        return session

    def remember(self, session: Session) -> None:
        """Remember *session*, whose user was cut off and may return. Under the room's lock."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A user in the room."""

    nick: str
    """The nickname as shown."""

    session: Session

    connection: Connection | None
    """Where the user's frames go; None for somebody at another server."""

    @property
    def person(self) -> str:
        """Who it is: what tells them from somebody else under the same nickname."""
        return self.session.person

    @property
    def address(self) -> tuple[str, int] | None:
        """The user's end of the connection, None for somebody at another server."""
        return None if self.connection is None else self.connection.address


class Directory:
    """Where it is decided who is here: in the room itself. Several servers decide together."""

    room: "Room"
    """Set by the room."""

    def open(self, dismiss: Callable[[Member, str], None]) -> None:
        """Begin to decide; *dismiss* makes a member of this server leave. Raises `OSError`."""

    def claim(self, member: Member) -> Member:
        """Have *member* `Room.enter`; return what that returns, and raise what it raises.

        May wait. Raises `ProtocolError` ``unavailable`` as well.
        """
        return self.room.enter(member)

    def release(self, member: Member, reason: str) -> bool:
        """Have *member* `Room.part`. May wait. False if it was leaving before."""
        return self.room.part(member, reason)

    def refuse_newcomers(self) -> None:
        """Let nobody in any more, nor wait for it."""

    def close(self, timeout: float) -> None:
        """Let others know what has happened here, within *timeout* seconds, and end."""


class Room:
    """The members and their conversation. Any thread may call any method."""

    def __init__(
        self,
        writer: Writer,
        limits: Limits | None = None,
        *,
        log: Log | None = None,
        sessions: Sessions | None = None,
        directory: Directory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open an empty room that delivers by *writer*; *clock* dates messages (Unix seconds).

        The others are the seams.
        """
        self._writer = writer
        self._limits = limits or Limits()
        self.log = log or Log(self._limits)
        self._sessions = sessions or Sessions()
        self.directory = directory or Directory()
        self.directory.room = self
        self._clock = clock
        # Guards everything below, and the order of all that is posted.
        self._lock = threading.Lock()
        self._by_key: dict[str, Member] = {}
        self._by_session: dict[str, Member] = {}
        self._closed = False

    # What clients ask for

    def join(self, connection: Connection, nick: object, secret: object = None) -> Member:
        """Let *connection* in as *nick*: welcome it, tell the others.

        With the *secret* of an earlier ``welcome`` it is that user who comes back. Raises
        `ProtocolError` ``bad_nick``, ``nick_taken``, ``server_full``, ``bad_frame``,
        ``unavailable``. May wait for what `Sessions` and `Directory` wait for.
        """
        shown = clean_nick(nick, self._limits)
        member = Member(shown, self._sessions.open(secret), connection)
        return self.directory.claim(member)

    def leave(self, member: Member, reason: str) -> bool:
        """Free the nickname of *member* and tell the others why. False if it had left before."""
        return self.directory.release(member, reason)

    def repeat(self, member: Member, message_id: int) -> bool:
        """Acknowledge again what *member* has said under *message_id* before; False if nothing.

        Raises `ProtocolError` ``not_registered``, ``not_recorded``. May wait for the log.
        """
        known = member.session.find(message_id)
        if known is None:
            return False
        with self._lock:
            self._check_here(member)
            if known:
                self._writer.post(ack_frame(message_id, known), member.connection)
        return True

    def say(
        self,
        member: Member,
        text: object,
        to: object = None,
        message_id: int | None = None,
        *,
        person: object = None,
        sealed: bool = False,
    ) -> Entry:
        """Record what *member* says, deliver it, and acknowledge it to the sender.

        *to* is a nickname, None for everyone; *person* says whose it was when the message was
        written, if that is known: it is given to nobody else. Raises `ProtocolError` ``bad_text``,
        ``text_too_long``, ``no_such_user`` (nobody has that nickname, or it is the sender's own),
        ``another_person``, ``not_registered`` (the sender has left, or was kicked) and
        ``not_recorded``.
        """
        said = check_text(text, self._limits, sealed=sealed)
        key = None if to is None else self._key(to)
        now = self._clock()
        with self._lock:
            self._check_here(member)
            other = None if key is None else self._other(member, key)
            if other is not None and person is not None and person != other.person:
                raise ProtocolError("another_person")
            entry = Entry(
                member.nick,
                member.session.id,
                None if other is None else other.nick,
                None if other is None else other.session.id,
                said,
                now,
                message_id,
                sealed,
                address=member.address,
            )
            has_number = self.log.append(entry)
            try:
                if message_id is not None:
                    member.session.note(message_id, entry.seq)
                if has_number:
                    self._deliver(entry, member)
            except Exception:
                self._cut_off(entry)
                raise
        return entry

    def tell_users(self, member: Member) -> None:
        """Answer *member* with the list of the others."""
        with self._lock:
            others = [nick for nick in self._nicks() if nick != member.nick]
            self._writer.post(encode({"type": "users", "users": others}), member.connection)

    def tell_history(
        self,
        member: Member,
        limit: int | None = None,
        before: int | None = None,
        after: int | None = None,
    ) -> None:
        """Answer *member* with the last *limit* messages it may see, before the number *before*.

        With *after* instead: with the first *limit* that others have said to it after that number.
        Waits for the log. What was said before the question is in the answer: it is committed
        first. Raises `ProtocolError` ``unavailable`` when the log cannot be read.
        """
        most = self._limits.history_answer if after is None else self._limits.missed_answer
        wanted = most if limit is None else min(limit, most)
        session = member.session.id
        if not self._writer.flush(self._limits.answer_timeout):
            raise ProtocolError("unavailable")
        answer: Message = {"type": "history"}
        if after is None:
            found = self.log.before(session, wanted, before)
            answer["messages"] = self._fitting(found)[::-1]
        else:
            answer["after"] = after
            if self.log.has_gap(after):
                answer["gap"] = True
            answer["messages"] = self._fitting(self.log.after(session, wanted, after))
        self._writer.post(encode(answer), member.connection)

    def find(self, member: Member, nick: object) -> Member:
        """Return the other user called *nick*. Raises `ProtocolError` ``no_such_user``."""
        key = self._key(nick)
        with self._lock:
            return self._other(member, key)

    def users(self) -> list[str]:
        """Return the nicknames of all who are here, sorted."""
        with self._lock:
            return self._nicks()

    def tell_all(self, message: Message) -> None:
        """Post *message* to everybody."""
        with self._lock:
            self._writer.post(encode(message))

    def close(self, reason: str) -> None:
        """Tell everybody that the server closes; nobody is let in any more."""
        with self._lock:
            self._closed = True
            self._writer.post(encode({"type": "shutdown", "reason": reason}))
        self.directory.refuse_newcomers()

    # What has been decided

    def enter(self, member: Member) -> Member:
        """Let *member* in, in the place of its user's stale connection if there is one.

        Returns the member with the session that is remembered of it. Raises `ProtocolError`
        ``nick_taken``, ``server_full``.
        """
        with self._lock:
            stale = self._by_session.get(member.session.id)
            if self._by_key.get(nick_key(member.nick), stale) is not stale:
                raise ProtocolError("nick_taken")
            full = stale is None and self._count_here() >= self._limits.max_clients
            if member.connection is not None and (self._closed or full):
                raise ProtocolError("server_full")
            known = member if stale is None or stale.connection is None else stale
            session = self._sessions.resume(known.session)
            member = Member(member.nick, session, member.connection)
            if stale is not None:
                self._remove(stale)
                if stale.connection is not None:
                    self._writer.abort(stale.connection, "replaced")
            if member.connection is not None:
                self._welcome(member, member.connection)
            if stale is None or stale.nick != member.nick:
                if stale is not None:
                    self._post_left(stale.nick, "lost")
                joined = {"type": "joined", "nick": member.nick, "person": member.person}
                self._writer.post(encode(joined))
            self._add(member)
        return member

    def part(self, member: Member, reason: str) -> bool:
        """Let *member* go and tell the others why. False if it had gone before."""
        with self._lock:
            if self._by_session.get(member.session.id) is not member:
                return False
            self._remove(member)
            self._post_left(member.nick, reason)
            if reason != "quit":
                self._sessions.remember(member.session)
            return True

    def drop(self, member: Member, reason: str) -> None:
        """Give up the connection of *member*, if it is here."""
        if member.connection is not None:
            self._writer.abort(member.connection, reason)

    def empty(self) -> None:
        """Let everybody go, and give up the connections of who is here: they may come back."""
        with self._lock:
            for member in list(self._by_session.values()):
                self._remove(member)
                self._sessions.remember(member.session)
                self.drop(member, "lost")
        self.ring()

    def ring(self) -> None:
        """Have what was posted sent."""
        self._writer.ring()

    def deliver(self, entry: Entry) -> None:
        """Deliver *entry*, which has its number now. For a log that had none to give at once."""
        with self._lock:
            author = self._by_session.get(entry.session)
            if author is not None and entry.message_id is not None:
                author.session.note(entry.message_id, entry.seq)
            self._deliver(entry, author)

    def tell_lost(self, entries: Sequence[Entry]) -> None:
        """Tell the authors that *entries* could not be recorded."""
        with self._lock:
            for entry in entries:
                author = self._by_session.get(entry.session)
                if author is None or entry.message_id is None:
                    continue
                author.session.forget(entry.message_id)
                error = ProtocolError("not_recorded", re="message", id=entry.message_id)
                if author.connection is not None:
                    self._writer.post(encode(error.message()), author.connection)

    # Under the lock

    def _deliver(self, entry: Entry, author: Member | None) -> None:
        """Post *entry* to its recipients, and an ``ack`` to its author."""
        sender = None if author is None else author.connection
        ack = b"" if entry.message_id is None else ack_frame(entry.message_id, entry.seq)
        frame, to = entry.frame(), None
        if entry.to_session is not None:
            recipient = self._by_session.get(entry.to_session)
            to = None if recipient is None else recipient.connection
            if to is None:  # they have gone, or are at another server
                frame, to, sender = ack, sender, None
        if to is not None or entry.to_session is None:
            self._writer.post(frame, to, author=sender, entry=entry, ack=ack)

    def _cut_off(self, entry: Entry) -> None:
        """Give up who was to hear *entry*, which is recorded: they come back and ask for it."""
        for member in self._by_session.values():
            if entry.visible_to(member.session.id):
                self.drop(member, "lost")

    def _welcome(self, member: Member, connection: Connection) -> None:
        others = self._sorted()
        message: Message = {"type": "welcome", "nick": member.nick}
        message["users"] = [other.nick for other in others]
        message["persons"] = [other.person for other in others]
        message["seq"] = self.log.last_seq
        if member.session.secret is not None:
            message |= {"log": self.log.id, "session": member.session.secret}
        self._writer.post(encode(message), connection)

    def _post_left(self, nick: str, reason: str) -> None:
        self._writer.post(encode({"type": "left", "nick": nick, "reason": reason}))

    def _check_here(self, member: Member) -> None:
        if self._by_session.get(member.session.id) is not member:
            raise ProtocolError("not_registered")

    def _other(self, member: Member, key: str) -> Member:
        found = self._by_key.get(key)
        if found is None or found is member:
            raise ProtocolError("no_such_user")
        return found

    def _sorted(self) -> list[Member]:
        return sorted(self._by_key.values(), key=lambda member: member.nick.casefold())

    def _nicks(self) -> list[str]:
        return [member.nick for member in self._sorted()]

    def _count_here(self) -> int:
        return sum(member.connection is not None for member in self._by_key.values())

    def _add(self, member: Member) -> None:
        self._by_key[nick_key(member.nick)] = self._by_session[member.session.id] = member
        if member.connection is not None:
            self._writer.enter(member.connection)

    def _remove(self, member: Member) -> None:
        del self._by_key[nick_key(member.nick)], self._by_session[member.session.id]
        if member.connection is not None:
            self._writer.leave(member.connection)

    # Without it

    def _key(self, nick: object) -> str:
        """Return the key of *nick*. Raises `ProtocolError` ``no_such_user``."""
        # The length first: comparing long nicknames costs more than linear time.
        if not isinstance(nick, str) or len(nick) > 4 * self._limits.nick_chars:
            raise ProtocolError("no_such_user")
        return nick_key(nick)

    def _fitting(self, entries: list[Entry]) -> list[Message]:
        """Return the messages of as many of the first *entries* as fit into one answer."""
        messages: list[Message] = []
        room_left = self._limits.history_answer_bytes
        for entry in entries:
            room_left -= len(entry.frame())
            if room_left < 0:
                break
            messages.append(entry.message())
        return messages
