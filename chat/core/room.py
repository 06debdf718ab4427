"""Who is here, who may take which nickname, who receives what. No sockets.

The shared state of the server is one object behind one lock. Under that lock a message is appended
to the log and to the writer's list, so all clients receive all messages in the same order. Both
appends are in memory: the lock is never held across a system call, and nobody waits for network or
disk while holding it. The writer has the log commit a message before it delivers it.
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
    """One user, for as long as the server can recognise them.

    In the core that is one connection; `chat.promises.resume` recognises users who reconnect.
    """

    def __init__(self, session_id: str, secret: str | None = None) -> None:
        """Begin the session *session_id*; a client that presents the *secret* resumes it."""
        self.id = session_id
        self.secret = secret
        self.person = hashlib.sha256(f"person {session_id}".encode()).hexdigest()[:16]
        """A public name of the session; `id` and `secret` stay on the server and with its user."""

    def find(self, _message_id: int) -> int | None:
        """Return the number of the message with that id, None if there was none.

        0: it is on its way to the log. May wait for a disk. Raises `ProtocolError`.
        """
        return None

    def note(self, message_id: int, seq: int) -> None:
        """Note that the message *message_id* has the number *seq*. Does not wait."""

    def forget(self, message_id: int) -> None:
        """Note that the message *message_id* was lost. Does not wait."""


class Sessions:
    """Recognises users who reconnect. This one does not: every connection is a new user."""

    def open(self, _secret: object) -> Session:
        """Return the session that the secret belongs to, a new one for None. May wait for a disk.

        Raises `ProtocolError` ``bad_frame`` for something that cannot be a secret.
        """
        return Session(secrets.token_hex(16))

    def resume(self, session: Session) -> Session:
        """Return the remembered session with the id of *session*, else *session* itself.

        Its user has reconnected. Called under the room's lock.
        """
        return session

    def remember(self, session: Session) -> None:
        """Remember *session*, whose user was cut off and may return. Called under the lock."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A user in the room."""

    nick: str
    """The nickname as shown."""

    session: Session

    connection: Connection | None
    """Where the user's frames go; None for a user of another server."""

    @property
    def person(self) -> str:
        """Tells this user from others who had, or will have, the same nickname."""
        return self.session.person

    @property
    def address(self) -> tuple[str, int] | None:
        """The user's end of the connection; None for a user of another server."""
        return None if self.connection is None else self.connection.address


class Directory:
    """Decides who is here. This one asks the room; several servers decide together."""

    room: "Room"
    """Set by the room."""

    def open(self, dismiss: Callable[[Member, str], None]) -> None:
        """Begin; *dismiss* makes a member of this server leave. Raises `OSError`."""

    def claim(self, member: Member) -> Member:
        """Let *member* in by `Room.enter`, and return and raise what that does.

        May wait. Also raises `ProtocolError` ``unavailable``.
        """
        return self.room.enter(member)

    def release(self, member: Member, reason: str) -> bool:
        """Let *member* out by `Room.part`. May wait. False if it was leaving already."""
        return self.room.part(member, reason)

    def refuse_newcomers(self) -> None:
        """Stop letting users in, without waiting."""

    def close(self, timeout: float) -> None:
        """Tell the other servers what has happened here, within *timeout* seconds, and end."""


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

        The other arguments are the seams.
        """
        self._writer = writer
        self._limits = limits or Limits()
        self.log = log or Log(self._limits)
        self._sessions = sessions or Sessions()
        self.directory = directory or Directory()
        self.directory.room = self
        self._clock = clock
        # Guards everything below, and the order in which frames are posted.
        self._lock = threading.Lock()
        self._by_key: dict[str, Member] = {}
        self._by_session: dict[str, Member] = {}
        self._closed = False

    # Requests of clients

    def join(self, connection: Connection, nick: object, secret: object = None) -> Member:
        """Let *connection* in as *nick*: welcome it, tell the others.

        With the *secret* of an earlier ``welcome`` it is the same user again. Raises
        `ProtocolError` ``bad_nick``, ``nick_taken``, ``server_full``, ``bad_frame``,
        ``unavailable``. May wait, as `Sessions` and `Directory` may.
        """
        shown = clean_nick(nick, self._limits)
        member = Member(shown, self._sessions.open(secret), connection)
        return self.directory.claim(member)

    def leave(self, member: Member, reason: str) -> bool:
        """Free the nickname of *member* and tell the others why. False if it had left already."""
        return self.directory.release(member, reason)

    def repeat(self, member: Member, message_id: int | None) -> bool:
        """Acknowledge the message *message_id* of *member* again; False if it is not known.

        Raises `ProtocolError` ``not_registered``, ``not_recorded``. May wait for the log.
        """
        if message_id is None or (known := member.session.find(message_id)) is None:
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
        """Record a message of *member*, deliver it, and acknowledge it.

        *to* is a nickname, None for everyone; *person*, if given, is who had that nickname when the
        message was written: nobody else gets it. Raises `ProtocolError` ``bad_text``,
        ``text_too_long``, ``no_such_user`` (nobody has that nickname, or it is the sender's own),
        ``another_person``, ``not_registered`` (the sender has left or was kicked) and
        ``not_recorded``.
        """
        said = check_text(text, self._limits, sealed=sealed)
        now = self._clock()
        entry = Entry(member.nick, member.session.id, None, None, said, now, message_id, sealed)
        entry.address = member.address
        with self._lock:
            self._check_here(member)
            if to is not None:
                other = self._other(member, to)
                if person not in (None, other.person):
                    raise ProtocolError("another_person")
                entry.to, entry.to_session = other.nick, other.session.id
            has_number = self.log.append(entry)
            try:
                if message_id is not None:
                    member.session.note(message_id, entry.seq)
                if has_number:
                    self._deliver(entry, member)
            except Exception:
                if message_id is not None:
                    member.session.forget(message_id)
                raise
        return entry

    def tell_users(self, member: Member) -> None:
        """Answer *member* with the list of the others."""
        with self._lock:
            others = [one.nick for one in self._sorted() if one is not member]
            self._writer.post(encode({"type": "users", "users": others}), member.connection)

    def tell_history(
        self,
        member: Member,
        limit: int | None = None,
        before: int | None = None,
        after: int | None = None,
    ) -> None:
        """Send *member* the last *limit* messages it may see with numbers below *before*.

        With *after* instead: the first *limit* messages of others to it after that number. Waits
        until all earlier messages are committed, so that they are in the answer, and for the log.
        Raises `ProtocolError` ``unavailable`` when the log cannot be read.
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
        with self._lock:
            return self._other(member, nick)

    def users(self) -> list[str]:
        """Return the nicknames of all who are here, sorted."""
        with self._lock:
            return [member.nick for member in self._sorted()]

    def tell_all(self, message: Message) -> None:
        """Post *message* to everybody."""
        with self._lock:
            self._writer.post(encode(message))

    def close(self, reason: str) -> None:
        """Tell all clients that the server shuts down, and let nobody else in."""
        self._closed = True  # first: whoever enters after it is refused, and before it is told
        self.tell_all({"type": "shutdown", "reason": reason})
        self.directory.refuse_newcomers()

    # For the directory and the log

    def enter(self, member: Member) -> Member:
        """Let *member* in, replacing a stale connection of the same user if there is one.

        Returns the member with its remembered session. Raises `ProtocolError` ``nick_taken``,
        ``server_full``.
        """
        with self._lock:
            stale = self._by_session.get(member.session.id)
            if self._by_key.get(nick_key(member.nick), stale) is not stale:
                raise ProtocolError("nick_taken")
            here = sum(one.connection is not None for one in self._by_key.values())
            full = stale is None and here >= self._limits.max_clients
            if member.connection is not None and (self._closed or full):
                raise ProtocolError("server_full")
            known = member if stale is None or stale.connection is None else stale
            session = self._sessions.resume(known.session)
            member = Member(member.nick, session, member.connection)
            if stale is not None:
                self._remove(stale)
                self.drop(stale, "replaced")
            if member.connection is not None:
                self._welcome(member, member.connection)
            if stale is None or stale.nick != member.nick:
                if stale is not None:
                    self._post_left(stale.nick, "lost")
                joined = {"type": "joined", "nick": member.nick, "person": member.person}
                self._writer.post(encode(joined))
            self._by_key[nick_key(member.nick)] = self._by_session[session.id] = member
            if member.connection is not None:
                self._writer.enter(member.connection)
        return member

    def part(self, member: Member, reason: str) -> bool:
        """Let *member* out and tell the others why. False if it had left already."""
        with self._lock:
            if self._by_session.get(member.session.id) is not member:
                return False
            self._remove(member)
            self._post_left(member.nick, reason)
            if reason != "quit":
                self._sessions.remember(member.session)
            return True

    def drop(self, member: Member, reason: str) -> None:
        """Abort the connection of *member*, if it is connected to this server."""
        if member.connection is not None:
            self._writer.abort(member.connection, reason)

    def empty(self) -> None:
        """Let everybody out and abort their connections; they may come back."""
        with self._lock:
            for member in list(self._by_session.values()):
                self._remove(member)
                self._sessions.remember(member.session)
                self.drop(member, "lost")
        self.ring()

    def ring(self) -> None:
        """Have the posted frames sent."""
        self._writer.ring()

    def deliver(self, entry: Entry) -> None:
        """Deliver *entry*, which has got its number. For a log whose `append` gives none."""
        with self._lock:
            author = self._by_session.get(entry.session)
            if author is not None and entry.message_id is not None:
                author.session.note(entry.message_id, entry.seq)
            self._deliver(entry, author)

    def tell_lost(self, entries: Sequence[Entry]) -> None:
        """Mark *entries*, which could not be recorded, as lost, and tell their authors."""
        with self._lock:
            for entry in entries:
                entry.lost = True
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
        to = None
        if entry.to_session is not None:
            recipient = self._by_session.get(entry.to_session)
            to = None if recipient is None else recipient.connection
        if to is not None or entry.to_session is None:
            self._writer.post(entry.frame(), to, author=sender, entry=entry, ack=ack)
        elif sender is not None:  # the recipient has left, or is at another server
            self._writer.post(ack, sender, entry=entry)

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

    def _other(self, member: Member, nick: object) -> Member:
        # Check the length first: comparing long nicknames takes more than linear time.
        if isinstance(nick, str) and len(nick) <= 4 * self._limits.nick_chars:
            found = self._by_key.get(nick_key(nick), member)
            if found is not member:
                return found
        raise ProtocolError("no_such_user")

    def _sorted(self) -> list[Member]:
        return sorted(self._by_key.values(), key=lambda member: member.nick.casefold())

    def _remove(self, member: Member) -> None:
        del self._by_key[nick_key(member.nick)], self._by_session[member.session.id]
        if member.connection is not None:
            self._writer.leave(member.connection)

    # Without the lock

    def _fitting(self, entries: list[Entry]) -> list[Message]:
        """Return the messages of the first *entries*, as many as fit into one answer."""
        messages: list[Message] = []
        room_left = self._limits.history_answer_bytes
        for entry in entries:
            room_left -= len(entry.frame())
            if room_left < 0:
                break
            messages.append(entry.message())
        return messages
