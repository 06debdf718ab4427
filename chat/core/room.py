"""Who is here, who may take which nickname, who receives what. No sockets.

The shared state of the server lives in one object behind one lock. Under that lock a message
gets its place in history and its place in the queue of every recipient, so everybody hears
everything in the same order. Both only take note, in memory: the lock is never held across a
system call, and the slowness of network and disk stays outside. A frame that depends on the
history (the message itself, its acknowledgement) is therefore made when the queue is sent: by
then the message has been recorded and has its number, or could not be recorded.
"""

import functools
import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chat.core.history import Entry, History
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

SECRET_CHARS = 16
"""Shortest secret of a session that is taken for one: a shorter one could be guessed."""

Peer = Any
"""Whatever the owner of the room posts frames to, hashable: in the server, a connection."""

Frame = bytes | Callable[[], bytes]
"""A frame, or how to make it once the history has recorded what it depends on."""


Post = Callable[..., None]
"""``post(peers, frame, but=None, size=0)`` queues *frame* for all of *peers* but one, in memory,
without waiting; *size* is what a frame that is made later takes at most, in bytes."""


@dataclass(slots=True, eq=False)
class Session:
    """A user across connections: who comes back with the session's secret is the same user."""

    id: str
    """Derived from the secret, which it does not give away: a history may keep it."""

    said: OrderedDict[int, Entry] = field(default_factory=OrderedDict)
    """The user's last messages by their ids, the oldest first: to know again what comes again."""

    answered: int = 0
    """The largest id that was recorded before the user came back."""

    def knows(self, message_id: int | None) -> bool:
        """Tell whether the user has said something under *message_id*. Any thread."""
        entry = None if message_id is None else self.said.get(message_id)
        return entry is not None and not entry.failed


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A user in the room."""

    nick: str
    """The nickname as shown."""

    session: Session

    peer: Peer
    """Where the user's frames are posted."""

    replaced: Peer = None
    """The same user's earlier peer, if it was still here."""


class Room:
    """The members and their conversation. Any thread may call any method."""

    def __init__(
        self,
        post: Post,
        limits: Limits | None = None,
        history: History | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open an empty room that delivers by *post*; *clock* dates messages (Unix seconds).

        Whoever sends what was posted calls `History.record` first.
        """
        self._post = post
        self._limits = limits or Limits()
        self._history = history or History(self._limits.history_messages)
        self._clock = clock
        # Guards everything below, and the order of all that is posted.
        self._lock = threading.Lock()
        self._nicknames: dict[Peer, Member] = {}
        self._by_key: dict[str, Member] = {}
        self._peers: tuple[Peer, ...] = ()  # of all members; another tuple after every change
        self._gone: OrderedDict[str, Session] = OrderedDict()  # who may come back
        self._closed = False

    def open(self, _server: Any) -> None:
        """Begin. `chat.promises.cluster.SharedRoom` has more to do than the only room of a chat."""

    def shut(self) -> None:
        """End, when everybody has left."""

    def join(self, peer: Peer, nick: object, secret: object = None) -> Member:
        """Let *peer* in as *nick*: welcome it, tell the others.

        With the *secret* of an earlier ``welcome`` it is that user who comes back. Raises
        `ProtocolError` ``bad_nick``, ``nick_taken``, ``server_full``, ``bad_frame``.
        """
        shown = clean_nick(nick, self._limits)
        key = nick_key(shown)
        fresh = secret is None
        secret, session_id = session_of(secret)
        session = Session(session_id) if fresh else self._recall(session_id)
        with self._lock:
            ghost = self._present(session.id)
            if self._by_key.get(key, ghost) is not ghost:
                raise ProtocolError("nick_taken")
            if self._closed or (not ghost and len(self._by_key) >= self._limits.max_clients):
                raise ProtocolError("server_full")
            if ghost is None:
                session = self._gone.pop(session.id, session)
            else:
                session = ghost.session
                self._remove(ghost)
            self._welcome(peer, shown, session, secret)
            self._announce(shown, ghost)
            member = Member(shown, session, peer, ghost and ghost.peer)
            self._nicknames[peer] = self._by_key[key] = member
            self._peers = tuple(self._nicknames)
        return member

    def leave(self, member: Member, reason: str) -> bool:
        """Free the nickname of *member* and tell the others why. False if it had left before."""
        with self._lock:
            if self._nicknames.get(member.peer) is not member:
                return False
            self._remove(member)
            if reason != "quit":
                self._gone[member.session.id] = member.session
                while len(self._gone) > self._limits.remembered_sessions:
                    self._gone.popitem(last=False)
            self._post_to_all({"type": "left", "nick": member.nick, "reason": reason})
            return True

    def say(
        self,
        member: Member,
        text: object,
        to: object = None,
        message_id: int | None = None,
        *,
        sealed: bool = False,
    ) -> Entry:
        """Record what *member* says and post it to the recipients, and an ``ack`` to the sender.

        *to* is a nickname, None for everyone. What was said under this *message_id* before is
        acknowledged again and not repeated. Raises `ProtocolError` ``bad_text``,
        ``text_too_long``, ``no_such_user`` (nobody has that nickname, or it is the sender's own),
        ``not_registered`` (the sender has left, or was kicked), ``not_recorded`` (the sender has
        come back, and what they said later was heard before: the order is kept).
        """
        said = check_text(text, self._limits, sealed=sealed)
        session = member.session
        with self._lock:
            if self._nicknames.get(member.peer) is not member:
                raise ProtocolError("not_registered")
            entry = None if message_id is None else session.said.get(message_id)
            if entry is None or entry.failed:
                # What was said after it is recorded, so it was refused, and the refusal was lost.
                if message_id is not None and message_id < session.answered:
                    raise ProtocolError("not_recorded")
                other = None if to is None else self._other(member, to)
                whom: tuple[str | None, str | None] = (
                    (other.nick, other.session.id) if other else (None, None)
                )
                moment = self._clock()
                entry = Entry(member.nick, session.id, *whom, said, moment, message_id, sealed)
                self._history.append(entry)
                if other is None:
                    self._post(self._peers, entry.frame, member.peer)
                else:
                    self._post((other.peer,), entry.frame)
            if message_id is not None:
                self._remember(session, message_id, entry)
                self._post((member.peer,), functools.partial(_acknowledgement, entry, message_id))
        return entry

    def tell_users(self, member: Member) -> None:
        """Answer *member* with the list of the others."""
        with self._lock:
            others = [nick for nick in self._nicks() if nick != member.nick]
            self._post((member.peer,), encode({"type": "users", "users": others}))

    def tell_history(
        self,
        member: Member,
        limit: int | None = None,
        before: int | None = None,
        after: int | None = None,
    ) -> None:
        """Answer *member* with the last *limit* messages it may see, before the number *before*.

        With *after* instead: with the first *limit* that others have said to it after that number.
        """
        most = self._limits.history_answer if after is None else self._limits.missed_answer
        wanted = most if limit is None else min(limit, most)
        # Made when it is sent: what was said a moment ago has been recorded by then.
        if after is None:
            answer = functools.partial(self._last_said, member.session.id, wanted, before)
        else:
            answer = functools.partial(self._missed, member.session.id, wanted, after)
        self._post((member.peer,), answer, size=self._limits.history_answer_bytes)

    def find(self, member: Member, nick: object) -> Member:
        """Return the other user called *nick*. Raises `ProtocolError` ``no_such_user``."""
        with self._lock:
            return self._other(member, nick)

    def close(self, reason: str) -> None:
        """Tell everybody that the server closes; nobody is let in any more."""
        with self._lock:
            self._closed = True
            self._post_to_all({"type": "shutdown", "reason": reason})

    def users(self) -> list[str]:
        """Return the nicknames of all who are here, sorted."""
        with self._lock:
            return self._nicks()

    # Under the lock

    def _welcome(self, peer: Peer, nick: str, session: Session, secret: str) -> None:
        recorded = (number for number, entry in session.said.items() if not entry.failed)
        session.answered = max(recorded, default=0)
        welcome: Message = {"type": "welcome", "nick": nick, "users": self._nicks()}
        welcome |= {"seq": self._history.last_seq, "log": self._history.log_id}
        self._post((peer,), encode(welcome | {"session": secret}))

    def _announce(self, nick: str, ghost: Member | None) -> None:
        """Tell everybody that *nick* has joined, unless it only came back in place of *ghost*."""
        if ghost is None or ghost.nick != nick:
            if ghost is not None:
                self._post_to_all({"type": "left", "nick": ghost.nick, "reason": "lost"})
            self._post_to_all({"type": "joined", "nick": nick})

    def _remember(self, session: Session, message_id: int, entry: Entry) -> None:
        session.said[message_id] = entry
        if len(session.said) > self._limits.window_messages:
            session.said.popitem(last=False)

    def _nicks(self) -> list[str]:
        return sorted((member.nick for member in self._by_key.values()), key=str.casefold)

    def _other(self, member: Member, nick: object) -> Member:
        found = self._by_key.get(nick_key(nick)) if isinstance(nick, str) else None
        if found is None or found is member:
            raise ProtocolError("no_such_user")
        return found

    def _present(self, session_id: str) -> Member | None:
        members = self._nicknames.values()
        return next((member for member in members if member.session.id == session_id), None)

    def _remove(self, member: Member) -> None:
        del self._nicknames[member.peer]
        del self._by_key[nick_key(member.nick)]
        self._peers = tuple(self._nicknames)

    def _post_to_all(self, message: Message) -> None:
        self._post(self._peers, encode(message))

    # Without it: the history has a lock of its own

    def _recall(self, session_id: str) -> Session:
        """Return a session with what the history knows of it: the server may have started anew."""
        said = self._history.said_by(session_id, self._limits.window_messages)
        known = ((entry.message_id, entry) for entry in said if entry.message_id is not None)
        return Session(session_id, OrderedDict(known))

    def _last_said(self, session_id: str, limit: int, before: int | None) -> bytes:
        messages = self._fitting(self._history.before(session_id, limit, before))
        return encode({"type": "history", "messages": messages[::-1]})

    def _missed(self, session_id: str, limit: int, after: int) -> bytes:
        answer: Message = {"type": "history", "after": after}
        if self._history.has_gap(after):
            answer["gap"] = True
        answer["messages"] = self._fitting(self._history.after(session_id, limit, after))
        return encode(answer)

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


def session_of(secret: object) -> tuple[str, str]:
    """Return the *secret* of a session, a new one for None, and the session's id.

    Raises `ProtocolError` ``bad_frame`` for what can be no secret.
    """
    if secret is None:
        secret = secrets.token_urlsafe(24)
    elif not isinstance(secret, str) or len(secret) < SECRET_CHARS:
        raise ProtocolError("bad_frame")
    return secret, hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _acknowledgement(entry: Entry, message_id: int) -> bytes:
    if entry.failed:
        return encode(ProtocolError("not_recorded", re="message", id=message_id).message())
    return ack_frame(message_id, entry.seq)
