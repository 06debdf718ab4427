"""Who is here, who may take which nickname, who receives what. No sockets.

The shared state of the server lives in one object behind one lock. Under that lock a message
gets its number, its place in history and its place in the queue of every recipient, so everybody
hears everything in the same order. Queueing only moves bytes in memory: the lock is never held
across a system call, and the network's slowness stays outside.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from chat.history import Entry, MemoryHistory
from chat.protocol import (
    Limits,
    Message,
    ProtocolError,
    check_text,
    clean_nick,
    encode,
    nick_key,
    welcome,
)

Peer = Any
"""Whatever the owner of the room posts frames to, hashable: in the server, a connection."""

Post = Callable[[Iterable[Peer], bytes], None]
"""Queues a frame for peers, in memory, without waiting."""


@dataclass(frozen=True, slots=True)
class Member:
    """A user in the room."""

    nick: str
    """The nickname as shown."""

    session: str
    """The user's own secret name, which nobody can take over together with the nickname."""

    peer: Peer
    """Where the user's frames are posted."""


class Room:
    """The members and their conversation. Any thread may call any method."""

    def __init__(
        self,
        post: Post,
        limits: Limits | None = None,
        history: MemoryHistory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open an empty room that delivers by *post*; *clock* dates messages (Unix seconds)."""
        self._post = post
        self._limits = limits or Limits()
        self._history = history or MemoryHistory(self._limits.history_messages)
        self._clock = clock
        # Guards everything below, and the order of all that is posted.
        self._lock = threading.Lock()
        self._nicknames: dict[Peer, Member] = {}
        self._by_key: dict[str, Member] = {}
        self._closed = False

    def join(self, peer: Peer, nick: object) -> Member:
        """Let *peer* in as *nick*: welcome it, tell the others.

        Raises `ProtocolError` ``bad_nick``, ``nick_taken``, ``server_full``.
        """
        shown = clean_nick(nick, self._limits)
        member = Member(shown, secrets.token_hex(16), peer)
        key = nick_key(shown)
        with self._lock:
            if key in self._by_key:
                raise ProtocolError("nick_taken")
            if self._closed or len(self._by_key) >= self._limits.max_clients:
                raise ProtocolError("server_full")
            self._post([peer], encode(welcome(shown, self._nicks(), self._history.last_seq)))
            self._post_to_all({"type": "joined", "nick": shown})
            self._nicknames[peer] = self._by_key[key] = member
        return member

    def leave(self, member: Member, reason: str) -> bool:
        """Free the nickname of *member* and tell the others why. False if it had left before."""
        with self._lock:
            if self._nicknames.pop(member.peer, None) is None:
                return False
            del self._by_key[nick_key(member.nick)]
            self._post_to_all({"type": "left", "nick": member.nick, "reason": reason})
            return True

    def say(
        self, member: Member, text: object, to: object = None, message_id: int | None = None
    ) -> Entry:
        """Record what *member* says and post it to the recipients, and an ``ack`` to the sender.

        *to* is a nickname, None for everyone. Raises `ProtocolError` ``bad_text``,
        ``text_too_long``, ``no_such_user`` (nobody has that nickname, or it is the sender's own),
        ``not_registered`` (the sender has left, or was kicked).
        """
        said = check_text(text, self._limits)
        with self._lock:
            if member.peer not in self._nicknames:
                raise ProtocolError("not_registered")
            if to is None:
                recipient, sessions = None, None
            else:
                recipient = self._other(member, to)
                sessions = frozenset({member.session, recipient.session})
            to_nick = None if recipient is None else recipient.nick
            entry = self._history.append(member.nick, to_nick, said, self._clock(), sessions)
            if recipient is None:
                self._post_to_all(entry.message(), but=member.peer)
            else:
                self._post([recipient.peer], encode(entry.message()))
            if message_id is not None:
                ack = {"type": "ack", "id": message_id, "seq": entry.seq}
                self._post([member.peer], encode(ack))
        return entry

    def tell_users(self, member: Member) -> None:
        """Answer *member* with the list of the others."""
        with self._lock:
            others = [nick for nick in self._nicks() if nick != member.nick]
            self._post([member.peer], encode({"type": "users", "users": others}))

    def tell_history(
        self, member: Member, limit: int | None = None, before: int | None = None
    ) -> None:
        """Answer *member* with the last *limit* messages it may see, before the number *before*."""
        most = self._limits.history_answer
        with self._lock:
            wanted = most if limit is None else min(limit, most)
            entries = self._history.visible_to(member.session, wanted, before)
            self._post([member.peer], self._history_answer(entries))

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

    def size(self) -> int:
        """Return how many users are here."""
        with self._lock:
            return len(self._nicknames)

    # Under the lock

    def _nicks(self) -> list[str]:
        return sorted((member.nick for member in self._by_key.values()), key=nick_key)

    def _other(self, member: Member, nick: object) -> Member:
        found = self._by_key.get(nick_key(nick)) if isinstance(nick, str) else None
        if found is None or found is member:
            raise ProtocolError("no_such_user")
        return found

    def _post_to_all(self, message: Message, but: Peer = None) -> None:
        self._post([peer for peer in self._nicknames if peer is not but], encode(message))

    def _history_answer(self, entries: list[Entry]) -> bytes:
        """Return a ``history`` frame of the newest *entries* that fit into one answer."""
        messages: list[Message] = []
        room_left = self._limits.history_answer_bytes
        for entry in reversed(entries):
            room_left -= len(encode(entry.message()))
            if room_left < 0:
                break
            messages.append(entry.message())
        return encode({"type": "history", "messages": messages[::-1]})
