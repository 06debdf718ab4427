"""Several servers as one chat, over Redis.

::

    Аня ──▶ server 1 ──writes──▶ Redis: one stream ──reads──▶ server 1 ──▶ Аня
    Боря ─▶ server 2 ──writes──▶ of all that happens ─reads──▶ server 2 ──▶ Боря

What happens is an event in a Redis stream: somebody joins, says something, leaves. A server does
not act on what its own clients ask; it writes that to the stream, and acts on what it reads there.
All servers read the same events in the same order, so all of them come to the same list of users,
the same history, and deliver in the same order: a replicated state machine (F. Schneider,
*Implementing Fault-Tolerant Services Using the State Machine Approach*, 1990). An ``ack`` is what
the sender's server sends when it reads the message back: by then Redis has it.

Redis decides alone, in a script that runs as a whole or not at all: who has a nickname
(`_COMMIT`), and the number of a message. Its number is the identifier of its entry in the stream,
``SEQ-0``; joining and leaving stand between the messages, ``SEQ-1``, ``SEQ-2`` and so on.

*When a server dies*, its lease runs out, and any other server says for it that its users have left.
Their clients come back at another server (`chat.core.client.ChatClient` takes several addresses) as
the same users: what they said is known from the stream, so nothing is lost or doubled. A user has
one token for each connection; what a dead connection's server still wants to write under an old
token is not written, because the user has gone on elsewhere.

*When Redis is away*, users stay connected and are told (``notice`` ``store_lost``). What they say
waits, up to `WAITING_OPERATIONS`, and is acknowledged when Redis is back (``store_back``); beyond
that it is refused, ``not_recorded``. Nobody can enter meanwhile: ``unavailable``. Waiting and not
refusing, because a restart of Redis takes seconds, and a person should not type twice for that.
Each batch has a number, so one whose answer was lost is not carried out twice.

*What Redis promises* is what its settings say (https://redis.io/docs/latest/operate/oss_and_stack/
management/persistence/). ``appendonly yes`` with ``appendfsync always``: an acknowledged message
survives Redis and its machine. ``everysec``: the last second may be lost with the machine. Without
``appendonly``, all is lost when Redis ends: the servers notice, and begin anew with another log, as
a server without a history does. ``maxmemory-policy noeviction`` must stay as it is by default.
Redis 7 or newer.
"""

import functools
import json
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chat.app.i18n import gettext as _
from chat.app.options import OptionError
from chat.core.history import Entry, History
from chat.core.protocol import (
    Limits,
    Message,
    ProtocolError,
    ack_frame,
    check_text,
    clean_nick,
    nick_key,
)
from chat.core.room import Member, Peer, Post, Room, Session, session_of
from chat.core.server import ChatServer, log
from chat.core.timing import Deadline

LEASE = 10.0
"""Seconds after which a server that says nothing to Redis is taken for dead."""

WAITING_OPERATIONS = 10_000
"""What may wait for Redis in one server."""

BATCH = 500
"""Operations in one call of Redis."""

PATIENCE = 3.0
"""Seconds that Redis has for an answer, and a newcomer for a place in the stream."""

BLOCK = 1.0
"""Seconds that Redis keeps the reader waiting before it says that nothing has happened."""

RETRY_AFTER = 0.25
"""Seconds between two tries to reach Redis."""

_COMMIT = """
local stream, seq, members, nicks, sessions, done, lease = unpack(KEYS)
local batch, lease_ms, length = unpack(ARGV)
redis.call('SET', lease, 1, 'PX', lease_ms)
local last, answer = unpack(redis.call('HMGET', done, 'batch', 'answer'))
if last == batch then return answer end

local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
local function tell(id, kind, token, body)
    redis.call('XADD', stream, 'MAXLEN', '~', length, id,
               'kind', kind, 'token', token, 'time', now, 'body', body)
end
local function between() return (redis.call('GET', seq) or '0') .. '-*' end
local function strike(token, body)
    local user = cjson.decode(body)
    redis.call('HDEL', members, token)
    redis.call('HDEL', nicks, user.key)
    redis.call('HDEL', sessions, user.session)
end

local refused = {}
for i = 4, #ARGV, 3 do
    local kind, token, body = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local known = redis.call('HGET', members, token)
    if kind == 'join' then
        local user = cjson.decode(body)
        local holder = redis.call('HGET', nicks, user.key)
        local earlier = redis.call('HGET', sessions, user.session)
        if holder and holder ~= earlier then
            table.insert(refused, token)
        else
            if earlier then strike(earlier, redis.call('HGET', members, earlier)) end
            redis.call('HSET', members, token, body)
            redis.call('HSET', nicks, user.key, token)
            redis.call('HSET', sessions, user.session, token)
            tell(between(), kind, token, body)
        end
    elseif kind == 'bye' then
        redis.call('DEL', lease)
        tell(between(), kind, token, body)
    elseif known and kind == 'message' then
        tell(string.format('%d-0', redis.call('INCR', seq)), kind, token, body)
    elseif known then
        if kind == 'leave' then strike(token, known) end
        tell(between(), kind, token, body)
    end
end
answer = table.concat(refused, ' ')
redis.call('HSET', done, 'batch', batch, 'answer', answer)
redis.call('EXPIRE', done, 3600)
return answer
"""

_SWEEP = """
local stream, seq, members, nicks, sessions = unpack(KEYS)
local lease_prefix, length = unpack(ARGV)
local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
local alive = {}
local everybody = redis.call('HGETALL', members)
for i = 1, #everybody, 2 do
    local token, user = everybody[i], cjson.decode(everybody[i + 1])
    if alive[user.server] == nil then
        alive[user.server] = redis.call('EXISTS', lease_prefix .. user.server) == 1
    end
    if not alive[user.server] then
        redis.call('HDEL', members, token)
        redis.call('HDEL', nicks, user.key)
        redis.call('HDEL', sessions, user.session)
        redis.call('XADD', stream, 'MAXLEN', '~', length,
                   (redis.call('GET', seq) or '0') .. '-*',
                   'kind', 'leave', 'token', token, 'time', now, 'body', '"lost"')
    end
end
"""

_LOOK = """
local log, stream, seq, members = unpack(KEYS)
local new_log, reached, reached_part, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)
local function before(entries, number, part)
    if #entries == 0 then return number > 0 or part > 0 end
    local a, b = entries[1][1]:match('(%d+)-(%d+)')
    a, b = tonumber(a), tonumber(b)
    return a < number or (a == number and b < part)
end
if before(newest, reached, reached_part) then redis.call('DEL', log) end
redis.call('SET', log, new_log, 'NX')
local events = {}
if tonumber(count) > 0 then events = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', count) end
return {redis.call('GET', log), redis.call('GET', seq) or '0', redis.call('HGETALL', members),
        events, oldest}
"""


@dataclass(frozen=True, slots=True)
class Event:
    """What has happened, at its place in the stream."""

    id: str
    kind: str
    token: str
    time: float
    """When Redis took it, in Unix seconds: one clock for all servers."""

    body: Any

    @classmethod
    def read(cls, entry: tuple[str, dict[str, str]]) -> "Event":
        """Return the event that is an *entry* of the stream."""
        id, fields = entry
        time, body = float(fields["time"]), json.loads(fields["body"])
        return cls(id, fields["kind"], fields["token"], time, body)

    @property
    def seq(self) -> int:
        """The number of the message, or of the last one before."""
        return int(self.id.partition("-")[0])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is the case at one place of the stream."""

    log_id: str
    last_seq: int
    users: dict[str, Message]
    """By their tokens: ``nick``, ``key``, ``session``, ``server``."""

    events: list[Event]
    """The last of them, oldest first."""


class Backplane:
    """The talk of this server with Redis, and its two threads: one writes, the other reads.

    The operations of all clients are written in the order in which they were submitted, many in
    one call.
    """

    def __init__(self, url: str, *, prefix: str = "chat:", lease: float = LEASE) -> None:
        """Prepare to talk to the Redis at *url* (``redis://HOST:PORT/DB``), in keys with *prefix*.

        Raises `OptionError` when that is no such address.
        """
        self.server = secrets.token_hex(8)
        """This server's name among the others."""

        self._lease = lease
        names = ("log", "stream", "seq", "members", "nicks", "sessions")
        self._keys = {name: prefix + name for name in names}
        self._lease_prefix = f"{prefix}lease:"
        self._done_key = f"{prefix}done:{self.server}"
        self._writing, self._reading = _client(url), _client(url)
        self._commit = self._writing.register_script(_COMMIT)
        self._sweep = self._writing.register_script(_SWEEP)
        self._look = self._reading.register_script(_LOOK)
        self._threads: list[threading.Thread] = []
        # The writer's.
        self._batch = 0
        self._sweep_due = Deadline(lease)  # before, the others may not have found Redis again
        # The reader's, and before it starts the caller's.
        self._log_id = ""
        self._position = "0-0"
        # Guards everything below.
        self._condition = threading.Condition()
        self._operations: deque[tuple[str, str, str]] = deque()
        self._troubles: dict[str, str] = {}  # which of our threads cannot reach Redis, and why
        self._closing: Deadline | None = None

    def open(
        self,
        length: int,
        begin: Callable[[Snapshot], None],
        apply: Callable[[list[Event]], None],
        refuse: Callable[[list[str]], None],
        note: Callable[[str | None], None],
    ) -> None:
        """Read what is the case, the last *length* events with it, and start.

        *begin* is called with what is the case, now and whenever Redis has forgotten; then, in
        threads of ours, *apply* with what happens, *refuse* with the tokens of newcomers whose
        nickname is taken, *note* with why Redis cannot be reached and with None when it can be
        again. Raises `OptionError`.
        """
        self._length = length
        self._begin, self._apply, self._refuse, self._note = begin, apply, refuse, note
        try:
            self._look_around()
        except redis.RedisError as error:
            raise OptionError(_("Cannot use Redis: {reason}.").format(reason=error)) from error
        for name, work in [("writer", self._write), ("reader", self._read)]:
            thread = threading.Thread(target=work, name=f"backplane {name}")
            self._threads.append(thread)
            thread.start()

    @property
    def reachable(self) -> bool:
        """Whether Redis answers, as far as we know. Any thread."""
        return not self._troubles

    def submit(self, kind: str, token: str, body: object, *, always: bool = False) -> bool:
        """Have an operation written; False when too much is waiting. No waiting, any thread."""
        operation = kind, token, json.dumps(body, ensure_ascii=False)
        with self._condition:
            if len(self._operations) >= WAITING_OPERATIONS and not always:
                return False
            self._operations.append(operation)
            self._condition.notify_all()
            return True

    def close(self, timeout: float) -> None:
        """Write what waits, within *timeout* seconds, give up the lease, end both threads.

        Takes up to `PATIENCE` seconds more when Redis does not answer.
        """
        self.submit("bye", self.server, None, always=True)
        with self._condition:
            self._closing = Deadline(timeout)
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()
        self._writing.close()
        self._reading.close()

    # The writer

    def _write(self) -> None:
        while operations := self._next_operations():
            self._batch += 1
            if not self._attempt("writer", functools.partial(self._carry_out, operations)):
                return
            if operations[-1][0] == "bye":
                return
            if not self._sweep_due.left and self.reachable:
                self._sweep_due = Deadline(self._lease / 2)
                self._attempt("writer", self._sweep_away)

    def _next_operations(self) -> list[tuple[str, str, str]]:
        """Return the next batch; a mere sign of life when there is nothing to do for a while."""
        with self._condition:
            self._condition.wait_for(lambda: self._operations, self._lease / 3)
            count = min(BATCH, len(self._operations))
            taken = [self._operations.popleft() for _ in range(count)]
        return taken or [("nothing", "", "")]

    def _carry_out(self, operations: list[tuple[str, str, str]]) -> None:
        names = ("stream", "seq", "members", "nicks", "sessions")
        keys = [*(self._keys[name] for name in names), self._done_key]
        keys.append(self._lease_prefix + self.server)
        arguments: list[str | int] = [self._batch, int(self._lease * 1000), self._length]
        for operation in operations:
            arguments += operation
        refused = self._commit(keys, arguments)
        if refused:
            self._refuse(refused.split())

    def _sweep_away(self) -> None:
        """Say of the users of servers that died that they have left."""
        names = ("stream", "seq", "members", "nicks", "sessions")
        self._sweep([self._keys[name] for name in names], [self._lease_prefix, self._length])

    # The reader

    def _read(self) -> None:
        while self._attempt("reader", self._read_on):
            if self._log_id == "":
                return

    def _read_on(self) -> None:
        """Wait for what happens next, and pass it on; our own ``bye`` is the end."""
        if "reader" in self._troubles:
            self._look_around()
        stream = self._keys["stream"]
        answer: Any = self._reading.xread({stream: self._position}, BATCH, int(BLOCK * 1000))
        events = [Event.read(entry) for _stream, entries in answer for entry in entries]
        if not events:
            return
        self._position = events[-1].id
        self._apply([event for event in events if event.kind != "bye"])
        if any(event.kind == "bye" and event.token == self.server for event in events):
            self._log_id = ""

    def _look_around(self) -> None:
        """Begin, unless Redis remembers and we can read on where we were."""
        names = ("log", "stream", "seq", "members")
        keys = [self._keys[name] for name in names]
        fresh = secrets.token_hex(8)
        log_id, _seq, _users, _events, oldest = self._look(
            keys, [fresh, *self._position.split("-"), 0]
        )
        if log_id == self._log_id and (
            self._position == "0-0" or _place(oldest[0][0]) <= _place(self._position)
        ):
            return
        log_id, seq, users, events, _oldest = self._look(keys, [fresh, 0, 0, self._length])
        pairs = zip(users[::2], users[1::2], strict=True)
        snapshot = Snapshot(
            log_id,
            int(seq),
            {token: json.loads(user) for token, user in pairs},
            [
                Event.read((id, dict(zip(fields[::2], fields[1::2], strict=True))))
                for id, fields in reversed(events)
            ],
        )
        self._log_id = log_id
        self._position = snapshot.events[-1].id if snapshot.events else "0-0"
        self._begin(snapshot)

    # Both

    def _attempt(self, who: str, work: Callable[[], None]) -> bool:
        """Do *work*, again and again until Redis can be reached; False when time is over."""
        while True:
            try:
                work()
            except redis.RedisError as error:
                self._set_trouble(who, str(error) or type(error).__name__)
                if self._wait_a_little():
                    return False
            else:
                self._set_trouble(who, None)
                return True

    def _wait_a_little(self) -> bool:
        """Wait before another try; tell whether there is to be none."""
        with self._condition:
            closing = self._closing
            pause = RETRY_AFTER if closing is None else min(RETRY_AFTER, closing.left)
            self._condition.wait_for(lambda: self._closing is not closing, pause)
            return self._closing is not None and not self._closing.left

    def _set_trouble(self, who: str, why: str | None) -> None:
        """Note why our thread *who* cannot reach Redis, None when it can; tell of a change."""
        with self._condition:
            before = bool(self._troubles)
            if why is None:
                self._troubles.pop(who, None)
            else:
                self._troubles[who] = why
            changed = before != bool(self._troubles)
        if changed:
            if why is None:  # the others are finding their way back as well
                self._sweep_due = Deadline(self._lease)
            self._note(why)


def _client(url: str) -> "redis.Redis":
    try:
        return redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),  # we try again ourselves, and can be woken meanwhile
        )
    except (ValueError, redis.RedisError) as error:
        raise OptionError(_("Cannot use Redis: {reason}.").format(reason=error)) from error


def _place(id: str) -> tuple[int, int]:
    seq, _dash, part = id.partition("-")
    return int(seq), int(part)


@dataclass(slots=True, eq=False)
class _Newcomer:
    """Somebody whose nickname is being decided on."""

    peer: Peer
    secret: str
    fresh: bool
    """Whether it was not here before."""

    decided: threading.Event = field(default_factory=threading.Event)
    member: Member | None = None


class SharedRoom(Room):
    """The members on all servers, of whom some are here, and their conversation.

    Any thread may call any method. What it does, it does when it reads in the stream that it was
    so: in the backplane's reader, in the order of the stream.
    """

    def __init__(self, backplane: Backplane, post: Post, limits: Limits, history: History) -> None:
        """Prepare a room that delivers by *post* to those who are here."""
        super().__init__(post, limits, history)
        self._backplane = backplane
        self._newcomers: dict[str, _Newcomer] = {}  # by their tokens, as the next two
        self._members: dict[str, Member] = {}
        self._tokens: dict[str, str] = {}  # of members, by their sessions
        self._leaving: dict[str, threading.Event] = {}  # by tokens: set when it is read
        self._own: deque[tuple[int, Entry]] = deque()  # what was said here and not read yet
        self._own_count = 0

    def open(self, server: ChatServer) -> None:
        """Take our place among the servers. Raises `OptionError` when Redis is away."""
        self._flush, self._dismiss = server.sender.flush, server.dismiss
        length = 2 * self._limits.history_messages
        self._backplane.open(length, self._begin, self._apply, self._refuse, self._tell_trouble)

    def shut(self) -> None:
        """Let the others know what has happened here, and give up our place."""
        self._backplane.close(self._limits.drain_timeout)

    # What clients ask for

    def join(self, peer: Peer, nick: object, secret: object = None) -> Member:
        """Let *peer* in as *nick*, once that stands in the stream.

        Raises `ProtocolError` as `Room.join` does, and ``unavailable``.
        """
        shown = clean_nick(nick, self._limits)
        fresh = secret is None
        secret, session_id = session_of(secret)
        token = secrets.token_hex(8)
        newcomer = _Newcomer(peer, secret, fresh)
        with self._lock:
            returning = session_id in self._tokens
            here = len(self._nicknames) + len(self._newcomers)
            if self._closed or (not returning and here >= self._limits.max_clients):
                raise ProtocolError("server_full")
            self._newcomers[token] = newcomer
        user = {"nick": shown, "key": nick_key(shown), "session": session_id}
        user["server"] = self._backplane.server
        decided = (
            self._backplane.reachable
            and self._backplane.submit("join", token, user)
            and newcomer.decided.wait(PATIENCE)
        )
        with self._lock:
            self._newcomers.pop(token, None)
        if newcomer.member is not None:
            return newcomer.member
        if decided:
            raise ProtocolError("nick_taken")
        # In case that it is still carried out: nobody is there any more.
        self._backplane.submit("leave", token, "lost", always=True)
        raise ProtocolError("unavailable")

    def leave(self, member: Member, reason: str) -> bool:
        """Free the nickname of *member* and tell the others why. False if it is leaving already.

        Who has gone by themselves hears meanwhile that what they said is recorded: that takes up
        to `PATIENCE` seconds. A member on another server is made to leave there.
        """
        with self._lock:
            token = self._tokens.get(member.session.id, "")
            if member.peer is None:
                self._backplane.submit("kick", token, reason, always=True)
                return False
            if not self._is_here(member):
                return False
            left = self._leaving[token] = threading.Event()
            why = "lost" if reason == "shutdown" else reason
            self._backplane.submit("leave", token, why, always=True)
        if reason in ("quit", "lost", "shutdown") and self._backplane.reachable:
            left.wait(PATIENCE)
        with self._lock:
            self._part_with(member)
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
        """Have recorded what *member* says; recipients and sender are told when it is.

        Raises `ProtocolError` as `Room.say` does, ``not_recorded`` when too much is waiting.
        """
        said = check_text(text, self._limits, sealed=sealed)
        session = member.session
        with self._lock:
            if not self._is_here(member):
                raise ProtocolError("not_registered")
            entry = None if message_id is None else session.said.get(message_id)
            if entry is not None and message_id is not None:
                if entry.seq:
                    self._post((member.peer,), ack_frame(message_id, entry.seq))
                return entry
            if message_id is not None and message_id < session.answered:
                raise ProtocolError("not_recorded")
            other = None if to is None else self._other(member, to)
            whom: tuple[str | None, str | None] = (
                (other.nick, other.session.id) if other else (None, None)
            )
            entry = Entry(member.nick, session.id, *whom, said, 0, message_id, sealed)
            self._own_count += 1
            body = [self._backplane.server, self._own_count, *_fields(entry)]
            if not self._backplane.submit("message", self._tokens[session.id], body):
                raise ProtocolError("not_recorded")
            self._own.append((self._own_count, entry))
            if message_id is not None:
                self._remember(session, message_id, entry)
        return entry

    # What Redis says: in the backplane's threads

    def _begin(self, snapshot: Snapshot) -> None:
        """Forget everything, and begin with what *snapshot* says."""
        with self._lock:
            lost = list(self._nicknames)
            self._nicknames.clear()
            self._by_key.clear()
            self._members.clear()
            self._tokens.clear()
            self._own.clear()
            for left in self._leaving.values():
                left.set()
            self._leaving.clear()
            self._peers = ()
            messages = [event for event in snapshot.events if event.kind == "message"]
            entries = [_entry(event) for event in messages]
            self._history.take_over(snapshot.log_id, snapshot.last_seq, entries)
            for token, user in snapshot.users.items():
                if user["server"] == self._backplane.server:
                    self._backplane.submit("leave", token, "lost", always=True)
                self._add(token, user["nick"], Session(user["session"]), None)
        for peer in lost:
            peer.abort("lost")

    def _apply(self, events: list[Event]) -> None:
        """Do what *events* say."""
        aborted: list[Peer] = []
        kicked: list[tuple[Member, str]] = []
        with self._lock:
            for event in events:
                if event.kind == "message":
                    self._apply_message(event)
                elif event.kind == "join":
                    aborted += self._apply_join(event)
                elif (member := self._members.get(event.token)) is None:
                    continue
                elif event.kind == "leave":
                    aborted += self._apply_leave(event, member)
                elif event.kind == "kick" and member.peer is not None:
                    kicked.append((member, event.body))
        for peer in aborted:
            peer.abort("replaced")
        for member, reason in kicked:
            self._dismiss(member, reason)
        self._flush()

    def _refuse(self, tokens: list[str]) -> None:
        """Tell newcomers that their nickname is taken."""
        with self._lock:
            for newcomer in filter(None, map(self._newcomers.get, tokens)):
                newcomer.decided.set()

    def _tell_trouble(self, why: str | None) -> None:
        """Tell everybody here that Redis cannot be reached, or can be again."""
        code = "store_back" if why is None else "store_lost"
        log(code, reason=why)
        with self._lock:
            self._post_to_all({"type": "notice", "code": code})
        self._flush()

    # Under the lock

    def _apply_message(self, event: Event) -> None:
        entry = self._own_entry(event) or _entry(event)
        entry.seq, entry.time = event.seq, event.time
        self._history.take(entry)
        sender = self._local(entry.session)
        if entry.to_session is None:
            self._post(self._peers, entry.frame(), sender and sender.peer)
        elif (recipient := self._local(entry.to_session)) is not None:
            self._post((recipient.peer,), entry.frame())
        if sender is not None and entry.message_id is not None:
            self._post((sender.peer,), ack_frame(entry.message_id, entry.seq))

    def _own_entry(self, event: Event) -> Entry | None:
        """Return the entry of what was said here; what was said before it was not written."""
        server, number, *_rest = event.body
        if server != self._backplane.server:
            return None
        while self._own and self._own[0][0] <= number:
            count, entry = self._own.popleft()
            if count == number:
                return entry
            entry.failed = True
        return None

    def _apply_join(self, event: Event) -> list[Peer]:
        """Let somebody in, here or elsewhere; return who gives way to them."""
        nick, session_id = event.body["nick"], event.body["session"]
        ghost = self._members.get(self._tokens.get(session_id, ""))
        if ghost is not None:
            self._forget(ghost)
        newcomer = self._newcomers.get(event.token)
        known = newcomer is not None and not newcomer.fresh
        session = self._recall(session_id) if known else Session(session_id)
        if newcomer is not None:
            self._welcome(newcomer.peer, nick, session, newcomer.secret)
        self._announce(nick, ghost)
        member = self._add(event.token, nick, session, newcomer and newcomer.peer)
        if newcomer is not None:
            newcomer.member = member
            newcomer.decided.set()
        elif event.body["server"] == self._backplane.server:  # it has lost patience
            self._backplane.submit("leave", event.token, "lost", always=True)
        return [ghost.peer] if ghost is not None and ghost.peer is not None else []

    def _apply_leave(self, event: Event, member: Member) -> list[Peer]:
        """Let somebody go; return who is still here, because our lease has run out."""
        still_here = self._is_here(member)
        self._forget(member)
        self._post_to_all({"type": "left", "nick": member.nick, "reason": event.body})
        return [member.peer] if still_here else []

    def _add(self, token: str, nick: str, session: Session, peer: Peer) -> Member:
        member = Member(nick, session, peer)
        self._members[token] = self._by_key[nick_key(nick)] = member
        self._tokens[session.id] = token
        if peer is not None:
            self._nicknames[peer] = member
            self._peers = tuple(self._nicknames)
        return member

    def _forget(self, member: Member) -> None:
        """Strike *member* off all lists."""
        token = self._tokens.pop(member.session.id)
        del self._members[token]
        if (left := self._leaving.pop(token, None)) is not None:
            left.set()
        del self._by_key[nick_key(member.nick)]
        self._part_with(member)

    def _is_here(self, member: Member) -> bool:
        """Tell whether *member* is on this server and not about to leave."""
        here = self._nicknames.get(member.peer) is member
        return here and self._tokens.get(member.session.id) not in self._leaving

    def _part_with(self, member: Member) -> None:
        """Deliver nothing to *member* any more."""
        if self._nicknames.get(member.peer) is member:
            del self._nicknames[member.peer]
            self._peers = tuple(self._nicknames)

    def _local(self, session_id: str) -> Member | None:
        """Return the member of that session if it is here."""
        member = self._members.get(self._tokens.get(session_id, ""))
        return member if member is not None and member.peer in self._nicknames else None


def _fields(entry: Entry) -> list[object]:
    to = [entry.to, entry.to_session]
    return [entry.sender, entry.session, *to, entry.text, entry.message_id, entry.sealed]


def _entry(event: Event) -> Entry:
    sender, session, to, to_session, text, message_id, sealed = event.body[2:]
    return Entry(sender, session, to, to_session, text, event.time, message_id, sealed, event.seq)
