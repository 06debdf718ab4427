"""Several servers as one chat, over Redis.

::

    Аня ──▶ server 1 ──writes──▶ Redis: one stream ──reads──▶ server 1 ──▶ Аня
    Боря ─▶ server 2 ──writes──▶ of all events     ──reads──▶ server 2 ──▶ Боря

Everything that happens is an event in a Redis stream: a user joins, sends a message, leaves. A
server does not act on its clients' requests directly; it writes them to the stream, and acts on the
events that it reads there. All servers read the same events in the same order, so they all arrive
at the same list of users and the same history, and deliver in the same order: a replicated state
machine (F. Schneider, *Implementing Fault-Tolerant Services Using the State Machine Approach*,
1990). An ``ack`` is sent when the sender's server reads the message back: by then Redis has it.

Redis alone decides, in an atomic script (`_COMMIT`), who has a nickname and which number a message
gets. That number is the identifier of its entry in the stream, ``SEQ-0``; joining and leaving are
entries between the messages, ``SEQ-1``, ``SEQ-2``, and so on. Messages are also kept in a second
stream, the history, so that joins and leaves do not push them out. For each user Redis also keeps
the ids of their messages, so that a message sent again, to any server, is recognised (for
`SAID_SECONDS`, the last `SAID_IDS` of a user).

*When a server dies*, its lease runs out, and another server writes that its users have left. Their
clients reconnect to other servers as the same users. A user has a token for each connection; what
the server of a dead connection tries to write with an old token is refused, because the user has a
new one.

*When Redis is down*, or refuses to write (a replica, no memory, another password), users stay
connected and are told (``notice`` ``store_lost``). Their messages wait, up to `WAITING_MESSAGES`
and `WAITING_BYTES`, and are acknowledged when Redis is back (``store_back``); beyond that they are
refused with ``not_recorded``. Nobody can join meanwhile: ``unavailable``. Batches have growing
numbers, so a batch whose answer was lost, or that arrives late, is not executed twice, and one that
failed in the middle, because a command was forbidden, is resumed where it stopped.

*When this server was suspended* while the stream went on, or somebody has deleted the stream,
events are missing, which the running number in each event shows. The server then starts again from
the state in Redis: it closes its users' connections, and their clients reconnect and ask for the
messages they have missed.

*What strangers write* to the keys is removed again: entries of the streams, keys of another type,
invalid users (whose connections are closed, and whose clients reconnect).

*When Redis has lost something* that a server has seen, because it came back with older data or
without its state, there is a new log, whose numbers begin at 1.

*Durability* depends on the settings of Redis (https://redis.io/docs/latest/operate/oss_and_stack/
management/persistence/). ``appendonly yes`` with ``appendfsync always``: an acknowledged message
survives the end of Redis and of its machine. ``everysec``: the last second may be lost with the
machine. Without ``appendonly``, everything is lost when Redis ends. ``maxmemory-policy`` must be
``noeviction``; a server that finds another policy logs it when it starts. Redis 7 or newer.

Seams: `chat.core.history.Log` and `chat.core.room.Directory`.
"""

import functools
import json
import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chat.core.history import Entry, Log
from chat.core.protocol import Limits, ProtocolError, nick_key
from chat.core.room import Directory, Member, Session
from chat.core.server import log
from chat.core.timing import Deadline
from chat.promises import UnusableError

LEASE = 10.0
"""Seconds after which a server that has not written to Redis is considered dead."""

WAITING_MESSAGES = 10_000
"""Messages that may wait for Redis in one server."""

WAITING_BYTES = 8 * 1024 * 1024
"""Their total size, in characters of JSON."""

SAID_IDS, SAID_SECONDS = 4096, 3600
"""Ids of messages kept per user, and the seconds for which they are kept after the last one."""

STREAM_EVENTS = 20_000
"""Events that a server may be behind before it has to start again, approximately."""

BATCH = 500
"""Operations in one call of Redis."""

PATIENCE = 3.0
"""Seconds to wait for an answer from Redis, and for the entry of a newcomer in the stream."""

BLOCK = 1.0
"""Seconds for which one read waits for an event."""

RETRY_AFTER = 0.25
"""Seconds between two attempts to reach Redis."""

_COMMON = """
local state, events, history = KEYS[1], KEYS[2], KEYS[3]
local function is_number(text)
    return text and #text < 16 and text:match('^%d+$')
end
local function is_whole(log, reached)
    local known, last, moment, count = unpack(
        redis.call('HMGET', state, 'log', 'last', 'time', 'count'))
    local seq, part = (last or ''):match('^(%d+)-(%d+)$')
    return known and (log == '' or known == log) and is_number(seq) and is_number(part)
        and tonumber(moment) and is_number(count) and tonumber(count) >= tonumber(reached)
end
local function last_written(stream)
    if redis.call('EXISTS', stream) == 0 then return '0-0' end
    local info = redis.call('XINFO', 'STREAM', stream)
    for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return info[i + 1] end end
end
local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
local function next_id(kind)
    local seq, part = redis.call('HGET', state, 'last'):match('(%d+)-(%d+)')
    if kind == 'message' then return string.format('%d-0', seq + 1), seq + 1 end
    return string.format('%d-%d', seq, part + 1)
end
local function tell(kind, token, body)
    local id = next_id(kind)
    local count = redis.call('HINCRBY', state, 'count', 1)
    redis.call('XADD', events, 'MAXLEN', '~', STREAM_EVENTS, id, 'kind', kind, 'token', token,
               'time', now, 'count', count, 'body', body)
    redis.call('HSET', state, 'last', id, 'time', now)
end
local function mend()
    local last = redis.call('HGET', state, 'last')
    if last_written(events) ~= last then
        redis.call('DEL', events)
        tell('nothing', '', '""')
    end
    last = last:match('%d+') .. '-0'
    local written = last_written(history)
    if written ~= last and written ~= '0-0' then
        for _, entry in ipairs(redis.call('XRANGE', history, '(' .. last, '+')) do
            redis.call('XDEL', history, entry[1])
        end
        redis.call('XSETID', history, last)
    end
end
local function user_of(token)
    local body = token and redis.call('HGET', state, 'member:' .. token)
    local is_json, user = pcall(cjson.decode, body or '')
    if not is_json or type(user) ~= 'table' then return end
    for _, key in ipairs({'nick', 'key', 'session', 'server'}) do
        if type(user[key]) ~= 'string' then return end
    end
    return user
end
local function strike(token)
    local user = user_of(token)
    redis.call('HDEL', state, 'member:' .. token)
    if user then redis.call('HDEL', state, 'nick:' .. user.key, 'session:' .. user.session) end
end
local function sweep(is_alive)
    local all = redis.call('HGETALL', state)
    for i = 1, #all, 2 do
        local kind, name = all[i]:match('^(%l+):(.*)')
        local user = user_of(kind == 'member' and name or all[i + 1])
        if kind == 'member' and not (user and is_alive(user.server)) then
            tell('leave', name, '"lost"')
            strike(name)
        elseif (kind == 'nick' or kind == 'session') and not user
            or kind == 'done' and not is_alive(name) then
            redis.call('HDEL', state, all[i])
        end
    end
end
""".replace("STREAM_EVENTS", str(STREAM_EVENTS))

_COMMIT = (
    _COMMON
    + """
local lease, said_prefix = KEYS[4], KEYS[5]
local log, reached, server, batch, lease_ms, length, said_ids, said_seconds = unpack(ARGV, 1, 8)
if not is_whole(log, reached) then return {'forgotten'} end
redis.call('SET', lease, 1, 'PX', lease_ms)
mend()
local done = redis.call('HGET', state, 'done:' .. server) or ''
local number, place, answer = done:match('^(%d+) (%d+) ([%d ]*)$')
local first, refused = 9, {}
if number and tonumber(number) >= tonumber(batch) then
    first = tonumber(place)
    if tonumber(number) > tonumber(batch) or first > #ARGV then return {'done', answer} end
    for which in answer:gmatch('%d+') do table.insert(refused, which) end
end
for i = first, #ARGV, 5 do
    local kind, token, body, session, said_id = unpack(ARGV, i, i + 4)
    local known = redis.call('HGET', state, 'member:' .. token)
    if kind == 'join' then
        local user = cjson.decode(body)
        local holder = redis.call('HGET', state, 'nick:' .. user.key)
        local earlier = redis.call('HGET', state, 'session:' .. user.session)
        if holder ~= earlier and user_of(holder) then
            table.insert(refused, (i - 9) / 5)
        else
            if earlier then strike(earlier) end
            redis.call('HSET', state, 'member:' .. token, body, 'nick:' .. user.key, token,
                       'session:' .. user.session, token)
            tell(kind, token, body)
        end
    elseif kind == 'bye' then
        redis.call('DEL', lease)
        tell(kind, token, body)
    elseif kind == 'message' and not known then
        table.insert(refused, (i - 9) / 5)
    elseif kind == 'message' then
        local id, seq = next_id(kind)
        redis.call('XADD', history, 'MAXLEN', '~', length, id, 'time', now, 'body', body)
        if said_id ~= '' then
            local said = said_prefix .. session
            if redis.call('TYPE', said).ok ~= 'zset' then redis.call('DEL', said) end
            redis.call('ZREMRANGEBYSCORE', said, said_id, said_id)
            redis.call('ZADD', said, said_id, string.format('%s:%d', said_id, seq))
            redis.call('ZREMRANGEBYRANK', said, 0, -said_ids - 1)
            redis.call('EXPIRE', said, said_seconds)
        end
        tell(kind, token, body)
    elseif known then
        tell(kind, token, body)
        if kind == 'leave' then strike(token) end
    end
    answer = table.concat(refused, ' ')
    redis.call('HSET', state, 'done:' .. server, string.format('%d %d %s', batch, i + 5, answer))
end
return {'done', answer}
"""
)

_SWEEP = (
    _COMMON
    + """
local lease_prefix, log = unpack(ARGV)
if not is_whole(log, 0) then return end
mend()
local alive = {}
sweep(function(server)
    if alive[server] == nil then
        alive[server] = redis.call('EXISTS', lease_prefix .. server) == 1
    end
    return alive[server]
end)
"""
)

_LOOK = (
    _COMMON
    + """
local fresh, known, reached, position, time_there, length = unpack(ARGV)
for key, type in pairs({[state] = 'hash', [events] = 'stream', [history] = 'stream'}) do
    if redis.call('TYPE', key).ok ~= type then redis.call('DEL', key) end
end
local same = redis.call('HGET', state, 'log') == known
local there = redis.call('XREVRANGE', events, position, '-', 'COUNT', 1)[1]
if there and (there[1] ~= position or there[2][6] ~= time_there) and same
    or not is_whole('', same and reached or 0) then
    redis.call('DEL', state, events, history)
    redis.call('HSET', state, 'log', fresh, 'last', '0-0', 'time', now, 'count', 0)
end
mend()
sweep(function() return true end)
local said = {}
if tonumber(length) > 0 then said = redis.call('XREVRANGE', history, '+', '-', 'COUNT', length) end
return {redis.call('HGETALL', state), said}
"""
)


_FIELDS = attrgetter("sender", "session", "to", "to_session", "text", "message_id", "sealed")


class ForgottenError(redis.RedisError):
    """Redis has lost something that this server has seen there."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the stream."""

    id: str
    kind: str
    token: str
    time: float
    """When Redis accepted it, in Unix seconds: one clock for all servers."""

    count: int
    """The number of events up to this one."""

    body: Any

    @classmethod
    def read(cls, id: str, fields: dict[str, str]) -> "Event":
        """Return the event in an entry of the stream. Raises `ValueError`, `KeyError`."""
        body = json.loads(fields["body"])
        time, count = float(fields["time"]), int(fields["count"])
        return cls(id, fields["kind"], fields["token"], time, count, body)


@dataclass(slots=True, eq=False)
class _Operation:
    """What to write to the stream, if it is valid at that moment."""

    kind: str
    token: str
    body: str
    session: str = ""
    said_id: str = ""
    number: int = 0
    """This server's own number of a message."""


@dataclass(slots=True, eq=False)
class _Newcomer:
    """A user whose nickname has been requested and not decided yet."""

    member: Member
    decided: threading.Event = field(default_factory=threading.Event)
    refusal: ProtocolError | None = None


class Cluster(Log, Directory):
    """The log and the directory of all servers, as this one sees them.

    It has two threads: one writes operations to Redis in the order in which they were submitted,
    many in one call; the other reads events and applies them to the room.
    """

    def __init__(
        self, url: str, limits: Limits | None = None, *, prefix: str = "chat:", lease: float = LEASE
    ) -> None:
        """Prepare to talk to the Redis at *url* (``redis://HOST:PORT/DB``), in keys with *prefix*.

        Raises `UnusableError` if that is not a valid address.
        """
        super().__init__(limits)
        self.server = secrets.token_hex(8)
        """The name of this server."""

        self._lease = lease
        self._keys = [prefix + name for name in ("state", "events", "history")]
        self._lease_prefix, self._said_prefix = f"{prefix}lease:", f"{prefix}said:"
        self._writing, self._reading, self._asking = (_client(url) for _ in range(3))
        self._commit_script = self._writing.register_script(_COMMIT)
        self._sweep_script = self._writing.register_script(_SWEEP)
        self._look_script = self._reading.register_script(_LOOK)
        self._threads: list[threading.Thread] = []
        # Owned by the writer.
        self._batch = 0
        self._sweep_due = Deadline(lease)  # before that, other servers may not have reconnected
        # Owned by the reader, and by the caller until that starts.
        self._position, self._time = "0-0", ""
        self._count = 0  # of the events up to there
        self._ended = False  # our own ``bye`` has been read
        # Guards everything below. Taken under the room's lock; no lock is taken under it.
        self._condition = threading.Condition()
        self._operations: deque[_Operation] = deque()
        self._waiting_bytes = 0  # of the messages among them
        self._troubles: dict[str, str] = {}  # threads that cannot reach Redis, and why
        self._closing: Deadline | None = None
        self._newcomers: dict[str, _Newcomer] = {}  # by token, like the next two
        self._members: dict[str, Member] = {}
        self._leaving: dict[str, threading.Event] = {}  # set when the leaving is read
        self._tokens: dict[str, str] = {}  # of members, by session
        self._own: dict[int, Entry] = {}  # messages sent here and not read back, by own number
        self._own_count = 0

    # The directory

    def open(self, dismiss: Callable[[Member, str], None]) -> None:
        """Join the other servers. Raises `UnusableError`."""
        self._dismiss = dismiss
        try:
            policy = self._asking.config_get("maxmemory-policy").get("maxmemory-policy")
            if policy not in (None, "noeviction"):
                log("evicting", policy=policy)
        except redis.RedisError:  # the command may be forbidden; a lost Redis is noticed below
            pass
        try:
            self._look_around()
        except redis.RedisError as error:
            raise UnusableError("no_redis", reason=error) from error
        for name, work in [("writer", self._write), ("reader", self._read)]:
            thread = threading.Thread(target=work, name=f"cluster {name}")
            thread.start()
            self._threads.append(thread)

    def close(self, timeout: float = PATIENCE) -> None:
        """Write waiting operations within *timeout* seconds, release the lease, end the threads."""
        with self._condition:
            self._closing = self._closing or Deadline(timeout)
            self._submit(_Operation("bye", self.server, "null"))
        end = Deadline(self._closing.left + BLOCK)
        for thread in self._threads:
            thread.join(end.left)
        for client in (self._writing, self._reading):  # wakes threads that wait
            client.connection_pool.disconnect()
        for thread in self._threads:
            thread.join()
        for client in (self._writing, self._reading, self._asking):
            client.close()

    def refuse_newcomers(self) -> None:
        """Stop letting users in, without waiting."""
        with self._condition:
            self._closing = Deadline(self._limits.drain_timeout)
            for newcomer in self._newcomers.values():
                newcomer.refusal = ProtocolError("server_full")
                newcomer.decided.set()

    def claim(self, member: Member) -> Member:
        """Let *member* in when its joining is in the stream; return the member in the room.

        Raises `ProtocolError` as `Room.enter` does, and ``unavailable``.
        """
        token = secrets.token_hex(8)
        user = {"nick": member.nick, "key": nick_key(member.nick), "session": member.session.id}
        operation = _Operation("join", token, json.dumps(user | {"server": self.server}))
        newcomer = _Newcomer(member)
        with self._condition:
            here = sum(one.connection is not None for one in self._members.values())
            most = self._limits.max_clients - len(self._newcomers)
            if self._closing or (here >= most and member.session.id not in self._tokens):
                raise ProtocolError("server_full")
            if self._troubles:
                raise ProtocolError("unavailable")
            self._newcomers[token] = newcomer
            self._submit(operation)
        newcomer.decided.wait(PATIENCE)
        with self._condition:
            self._newcomers.pop(token, None)
            if not newcomer.decided.is_set():
                try:
                    self._operations.remove(operation)
                except ValueError:  # it may still be executed, and then must be undone
                    self._submit(_Operation("leave", token, '"lost"'))
                raise ProtocolError("unavailable")
        if newcomer.refusal is not None:
            raise newcomer.refusal
        return newcomer.member

    def release(self, member: Member, reason: str) -> bool:
        """Let *member* out. False if it is leaving already, or is at another server.

        Waits up to `PATIENCE` seconds for a user who leaves by themselves, so that their last
        messages are acknowledged.
        """
        with self._condition:
            token = self._tokens.get(member.session.id)
            if token is None or self._members.get(token) is not member or token in self._leaving:
                return False
            if member.connection is None:
                self._submit(_Operation("kick", token, json.dumps(reason)))
                return False
            left = self._leaving[token] = threading.Event()
            why = "lost" if reason == "shutdown" else reason
            self._submit(_Operation("leave", token, json.dumps(why)))
            reachable = not self._troubles
        if reason in ("quit", "lost", "shutdown") and reachable:
            left.wait(min(PATIENCE, self._limits.drain_timeout))
        return True

    # The log

    def append(self, entry: Entry) -> bool:
        """Submit *entry*; `Room.deliver` is called when it is read back."""
        body = json.dumps(_FIELDS(entry), ensure_ascii=False)
        said_id = "" if entry.message_id is None else str(entry.message_id)
        with self._condition:
            token = self._tokens.get(entry.session, "")
            if token in self._leaving:
                raise ProtocolError("not_registered")
            full = len(self._operations) >= WAITING_MESSAGES
            if full or self._waiting_bytes + len(body) > WAITING_BYTES:
                raise ProtocolError("not_recorded")
            self._own_count += 1
            self._own[self._own_count] = entry
            body = f'["{self.server}",{self._own_count},{body[1:]}'
            self._waiting_bytes += len(body)
            self._submit(
                _Operation("message", token, body, entry.session, said_id, self._own_count)
            )
        return False

    def commit(self, entries: Sequence[Entry]) -> None:
        """Do nothing: *entries* have been read from Redis."""

    def find(self, session: str, message_id: int) -> int | None:
        """Return the number of the message *message_id* of *session*. Asks Redis."""
        with self._condition:
            own = [(entry.session, entry.message_id) for entry in self._own.values()]
        if (session, message_id) in own:
            return 0
        found = self._ask(session, message_id, message_id, by_id=True)
        return None if found is None else found[1]

    def last_id(self, session: str) -> int:
        """Return the largest ``message_id`` of *session*. Asks Redis."""
        found = self._ask(session, -1, -1)
        return 0 if found is None else found[0]

    def _ask(
        self, session: str, first: int, last: int, *, by_id: bool = False
    ) -> tuple[int, int] | None:
        """Return id and number of a message of *session*, None if unknown."""
        if self._troubles:
            raise ProtocolError("unavailable")
        key = self._said_prefix + session
        try:
            if self._asking.type(key) != "zset":
                return None
            found: Any = self._asking.zrange(key, first, last, byscore=by_id)
            message_id, seq = map(int, found[0].split(":"))
        except (IndexError, ValueError):  # nothing, or a stranger wrote it
            return None
        except redis.RedisError as error:
            raise ProtocolError("unavailable") from error
        return message_id, seq

    # The writer's thread

    def _write(self) -> None:
        while operations := self._next_operations():
            self._batch += 1
            if not self._attempt("writer", functools.partial(self._carry_out, operations)):
                return
            if operations[-1].kind == "bye":
                return
            if not self._sweep_due.left and not self._troubles:
                self._sweep_due = Deadline(self._lease / 2)
                self._attempt("writer", self._sweep)

    def _next_operations(self) -> list[_Operation]:
        """Return the next batch; after a while without one, an operation that does nothing."""
        with self._condition:
            self._condition.wait_for(lambda: self._operations, self._lease / 3)
            count = min(BATCH, len(self._operations))
            taken = [self._operations.popleft() for _ in range(count)]
            self._waiting_bytes -= sum(len(one.body) for one in taken if one.kind == "message")
        return taken or [_Operation("nothing", "", "")]

    def _carry_out(self, operations: list[_Operation]) -> None:
        keys = [*self._keys, self._lease_prefix + self.server, self._said_prefix]
        numbers: list[str | int] = [self._batch, int(self._lease * 1000)]
        numbers += [self._limits.history_messages, SAID_IDS, SAID_SECONDS]
        arguments: list[str | int] = [self.id, self._count, self.server, *numbers]
        for one in operations:
            arguments += [one.kind, one.token, one.body, one.session, one.said_id]
        outcome, *answer = self._commit_script(keys, arguments)
        if outcome == "forgotten":
            raise ForgottenError("Redis has forgotten what was there")
        for place in answer[0].split():
            self._refuse(operations[int(place)])

    def _refuse(self, operation: _Operation) -> None:
        """Report that Redis has refused *operation*."""
        with self._condition:
            newcomer = self._newcomers.get(operation.token)
            entry = self._own.pop(operation.number, None)
            member = self._members.get(operation.token)
        if newcomer is not None:
            newcomer.refusal = ProtocolError("nick_taken")
            newcomer.decided.set()
        if entry is not None and member is not None:  # the client reconnects and sends it again
            self.room.drop(member, "lost")

    def _sweep(self) -> None:
        """Write that the users of dead servers have left."""
        self._sweep_script(self._keys, [self._lease_prefix, self.id])

    # The reader's thread

    def _read(self) -> None:
        while not self._ended and self._attempt("reader", self._read_on):
            pass

    def _read_on(self) -> None:
        """Read events and apply them to the room; our own ``bye`` is the last."""
        if self._troubles:
            self._look_around()
        stream = self._keys[1]
        answer: Any = self._reading.xread({stream: self._position}, BATCH, int(BLOCK * 1000))
        for _stream, entries in answer or []:
            for id, fields in entries:
                try:
                    event = Event.read(id, fields)
                except (KeyError, ValueError, TypeError) as error:  # written by a stranger
                    log("failed", reason=repr(error))
                    self._look_around()
                    return
                if event.count != self._count + 1:
                    self._look_around(anew=True)
                    return
                self._position, self._time, self._count = id, fields["time"], event.count
                try:
                    self._apply(event)
                except Exception as error:  # noqa: BLE001 - our state differs from the others'
                    log("failed", reason=repr(error))
                    self._look_around(anew=True)
                    return
        self.room.ring()

    def _look_around(self, *, anew: bool = False) -> None:
        """Get the state in Redis; start again from that, unless we can read on where we were."""
        for length in (0, self._limits.history_messages):
            arguments: list[str | int] = [secrets.token_hex(8), self.id, self._count]
            arguments += [self._position, self._time, length]
            state, said = self._look_script(self._keys, arguments)
            state = dict(zip(state[::2], state[1::2], strict=True))
            if not anew and state["log"] == self.id:
                return
        self._begin(state, said)

    def _begin(self, state: dict[str, str], said: list[Any]) -> None:
        """Replace our state by the state in Redis."""
        entries = []
        for id, fields in reversed(said):
            said_there = dict(zip(fields[::2], fields[1::2], strict=True))
            try:
                _server, _number, *body = json.loads(said_there["body"])
                entries.append(_entry(body, float(said_there["time"]), _seq(id)))
            except (KeyError, ValueError, TypeError) as error:  # written by a stranger
                log("failed", reason=repr(error))
        self._position, self._time = state["last"], state["time"]
        self._count = int(state["count"])
        with self._lock:
            self.id, self.last_seq = state["log"], _seq(state["last"])
            self._replace(entries)
        with self._condition:
            for left in self._leaving.values():
                left.set()
            for table in (self._own, self._leaving, self._members, self._tokens):
                table.clear()
            kept = [one for one in self._operations if one.kind in ("join", "bye")]
            self._operations, self._waiting_bytes = deque(kept), 0
        self.room.empty()
        for name, body in state.items():
            if not name.startswith("member:"):
                continue
            token = name.removeprefix("member:")
            try:
                user = json.loads(body)
                self._add(token, user, Member(user["nick"], Session(user["session"]), None))
            except (KeyError, ValueError, TypeError, ProtocolError) as error:  # a stranger's
                log("failed", reason=repr(error))

    def _apply(self, event: Event) -> None:
        """Apply *event* to the room."""
        if event.kind == "message":
            self._apply_message(event)
        elif event.kind == "join":
            self._apply_join(event)
        elif event.kind == "bye":
            self._ended = self._ended or event.token == self.server
        elif (member := self._members.get(event.token)) is None:
            return
        elif event.kind == "leave":
            with self._condition:
                left = self._leaving.pop(event.token, None)
                del self._members[event.token]
                self._tokens.pop(member.session.id, None)
            self.room.part(member, event.body)
            if left is not None:
                left.set()
            elif member.connection is not None:  # our lease had run out
                self.room.drop(member, "lost")
        elif event.kind == "kick" and member.connection is not None:
            self._dismiss(member, event.body)

    def _apply_message(self, event: Event) -> None:
        server, number, *body = event.body
        entry = _entry(body, event.time, _seq(event.id))
        if server == self.server:
            with self._condition:
                entry = self._own.pop(number, entry)
            entry.seq, entry.time = _seq(event.id), event.time
        with self._lock:
            self.last_seq = entry.seq
            self._keep(entry)
        self.room.deliver(entry)

    def _apply_join(self, event: Event) -> None:
        user = event.body
        stranger = Member(user["nick"], Session(user["session"]), None)
        with self._condition:
            newcomer = self._newcomers.get(event.token)
        if newcomer is None:
            self._add(event.token, user, stranger)
            return
        try:
            newcomer.member = self._add(event.token, user, newcomer.member)
        except ProtocolError as error:  # our server is full, or about to end
            newcomer.refusal = error
            self._add(event.token, user, stranger)
        newcomer.decided.set()

    def _add(self, token: str, user: dict[str, str], member: Member) -> Member:
        """Let *member* into the room; one of ours that has given up waiting leaves again.

        Raises `ProtocolError`.
        """
        member = self.room.enter(member)
        with self._condition:
            former = self._tokens.pop(user["session"], "")
            self._members.pop(former, None)
            if (left := self._leaving.pop(former, None)) is not None:
                left.set()
            self._members[token] = member
            self._tokens[user["session"]] = token
            if member.connection is None and user["server"] == self.server:
                self._submit(_Operation("leave", token, '"lost"'))
        return member

    # Both threads

    def _attempt(self, who: str, work: Callable[[], None]) -> bool:
        """Repeat *work* until Redis can be reached; False when time is over."""
        while True:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - without this thread the chat would stop
                self._set_trouble(who, str(error) or type(error).__name__)
                if self._wait_a_little():
                    return False
            else:
                self._set_trouble(who, None)
                return True

    def _wait_a_little(self) -> bool:
        """Wait before another attempt; tell whether time is over."""
        with self._condition:
            closing = self._closing
            pause = RETRY_AFTER if closing is None else min(RETRY_AFTER, closing.left)
            self._condition.wait_for(lambda: self._closing is not closing, pause)
            return self._closing is not None and not self._closing.left

    def _set_trouble(self, who: str, why: str | None) -> None:
        """Note why the thread *who* cannot reach Redis, None if it can; tell users of a change."""
        with self._condition:
            before = bool(self._troubles)
            if why is None:
                self._troubles.pop(who, None)
            else:
                self._troubles[who] = why
            changed = before != bool(self._troubles)
        if changed:
            code = "store_back" if why is None else "store_lost"
            if why is None:  # the other servers need time to reconnect as well
                self._sweep_due = Deadline(self._lease)
            log(code, reason=why)
            self.room.tell_all({"type": "notice", "code": code})
            self.room.ring()

    # Under the condition

    def _submit(self, operation: _Operation) -> None:
        self._operations.append(operation)
        self._condition.notify_all()


def _client(url: str) -> "redis.Redis":
    try:
        return redis.Redis.from_url(
            url,
            decode_responses=True,
            encoding_errors="replace",  # a stranger may have written anything
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),  # we retry ourselves, and can be woken meanwhile
        )
    except (ValueError, redis.RedisError) as error:
        raise UnusableError("no_redis", reason=error) from error


def _seq(id: str) -> int:
    """Return the number of the message with *id* in the stream, or of the last one before."""
    return int(id.partition("-")[0])


def _entry(body: list[Any], time: float, seq: int) -> Entry:
    sender, session, to, to_session, text, message_id, sealed = body
    return Entry(sender, session, to, to_session, text, time, message_id, sealed, seq)
