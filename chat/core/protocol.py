r"""The wire protocol, version 1: bytes in, messages out. No sockets, no threads.

TCP carries a stream of bytes, not messages (RFC 9293, section 3.7), so a message needs borders of
its own. Ours is a *frame*: one JSON object (RFC 8259) in UTF-8 on a line of its own, ended by
``\n``. Inside a string JSON writes a line feed as two characters (RFC 8259, section 7), and our
encoder writes none elsewhere, so the border never occurs inside a message; and the byte 0x0A is
never part of another character in UTF-8 (RFC 3629, section 3), so a chunk of the stream may end
anywhere, even inside a character. An object has a string ``type``; keys that a reader does not
know are ignored. The server speaks first.

From the server; a key with ``?`` may be missing:

==============  =====================================  =============================================
type            keys                                   when
==============  =====================================  =============================================
``register``    ``protocol`` 1, ``limits``,            on connecting: request for a name; limits:
                ``window``                             ``frame_bytes``, ``text_chars``,
                                                       ``nick_chars``, ``rate`` and ``burst``;
                                                       window: messages without an ack, at most
``welcome``     ``nick``, ``users``, ``persons``,      the name is accepted; the others, sorted, and
                ``seq``, ``log?``, ``session?``        who they are; the number of the last message
                                                       said, and of which log; a secret to come
                                                       back with
``joined``      ``nick``, ``person``                   to all others
``left``        ``nick``, ``reason``                   to all others; with your own nickname it says
                                                       why the server is about to close
``message``     ``seq``, ``from``, ``to``, ``text``,   to the recipients, never back to the sender;
                ``time``, ``sealed?``                  ``to`` null is everyone; Unix seconds;
                                                       ``sealed`` true: ``text`` is encrypted
``ack``         ``id``, ``seq``                        to the sender, once the message is recorded
``users``       ``users``                              answer: the others, sorted
``history``     ``messages``, ``after?``, ``gap?``     answer: oldest first, only what this user
                                                       was allowed to see; to ``after``, see below
``ping``        none                                   after silence; answer with ``pong``
``pong``        none                                   answer to ``ping``
``admin``       none                                   answer: the password was right
``error``       ``code``, ``id?``, ``re?``             a refusal; ``re`` is the type refused
``notice``      ``code``                               to all: ``store_lost``, what you say waits
                                                       until ``store_back`` (several servers)
``shutdown``    ``reason``                             to all, before the server closes
==============  =====================================  =============================================

To the server:

==============  =====================================  =============================================
type            keys                                   when
==============  =====================================  =============================================
``register``    ``nick``, ``session?``                 to enter, or to come back: see below
``message``     ``text``, ``to?``, ``person?``,        to say something, without ``to`` to everyone
                ``id?``, ``sealed?``
``users``       none                                   question: who is here
``history``     ``limit?``, ``before?``, ``after?``    question: the last messages, or those before
                                                       or after a number
``ping``        none                                   question: is the server there
``pong``        none                                   answer to ``ping``
``quit``        none                                   to leave
``admin``       ``password``                           to become an admin
``kick``        ``nick``                               an admin's: disconnect a user
``shutdown``    none                                   an admin's: stop the server
==============  =====================================  =============================================

A message with the ``person`` that ``welcome`` or ``joined`` has named is not given to somebody else
who took the nickname meanwhile: it is refused, ``another_person``.

*Coming back.* A connection can be lost at any moment, with messages in transit in both directions.
A client that comes back registers with the ``session`` of its last ``welcome``; a stale connection
of that session is closed. The client sends again, in order and under the same ``id``, what was not
acknowledged: the server acknowledges again what it has recorded already, and records nothing twice.
Ids grow: a repeated message with a smaller id than the last one recorded, which is not recorded
itself, was refused, and is ``not_recorded`` now. The client asks for ``history`` ``after`` the last
number it has seen: what others said to it since then, oldest first, until the answer is empty or
overlaps with what comes live; ``gap`` true says that some of it is not remembered any more. If
``log`` is another one, or its ``seq`` is smaller than a number seen before, the server has lost
what it knew, and its numbers have begun anew.

``left`` reasons: ``quit``, ``lost``, ``timeout``, ``kicked``, ``slow``, ``flood``. Error codes are
`ERROR_CODES`. The server sends types and codes, never prose: each client says them in its user's
language.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

PROTOCOL_VERSION = 1
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9090

Message = dict[str, Any]
"""A decoded frame: a JSON object with a string ``type``."""

FATAL_CODES = frozenset({"frame_too_long", "server_full", "register_timeout"})
"""After these errors the server closes the connection."""

ERROR_CODES = FATAL_CODES | {
    "bad_frame",
    "unknown_type",
    "not_registered",
    "bad_nick",
    "nick_taken",
    "no_such_user",
    "another_person",
    "bad_text",
    "text_too_long",
    "too_fast",
    "not_admin",
    "not_recorded",
    "unavailable",
}

LARGEST_INTEGER = 2**53 - 1
"""Beyond it a JSON number may lose digits in transit (RFC 7493, section 2.2)."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Every limit of the chat in one place, with its default and its unit."""

    max_clients: int = 100
    """Users at a time. The backlog of ``listen`` is another thing: connections not accepted yet."""

    max_unregistered: int = 1000
    """Connections at a time that have no nickname yet."""

    frame_bytes: int = 32 * 1024
    """Longest frame a client may send: fits `text_chars` even if each is ``\\ud83d\\ude00``."""

    answer_bytes: int = 4 * 1024 * 1024
    """Longest frame a client accepts: a list of users grows with their number."""

    register_bytes: int = 4096
    """Longest frame of a client that has no nickname yet."""

    text_chars: int = 2000
    """Longest text of a message, in characters (Unicode code points)."""

    sealed_chars: int = 10_704
    """Longest cipher of a text, in characters: `text_chars` of four bytes each, in Base64."""

    nick_chars: int = 32
    """Longest nickname, in characters."""

    rate: float = 0.0
    """Messages a second that one user may go on sending; 0: as many as they like."""

    burst: int = 40
    """Messages that may come at once on top of `rate`: a person pastes twenty lines."""

    refusals: int = 100
    """Messages refused in one burst as ``too_fast`` after which the user is disconnected."""

    history_messages: int = 10_000
    """Messages remembered, when they are only in memory."""

    history_bytes: int = 16 * 1024 * 1024
    """What they may take there, in bytes, about."""

    history_answer: int = 100
    """Messages in one ``history`` answer, at most."""

    missed_answer: int = 1000
    """Messages in one ``history`` answer to who asks for what was missed, at most."""

    history_answer_bytes: int = 256 * 1024
    """Size of one ``history`` answer, at most."""

    queue_bytes: int = 1024 * 1024
    """Bytes waiting for one client whose socket is full; beyond it the client is too slow."""

    queue_frames: int = 8192
    """Frames waiting for one client whose socket is full."""

    pending_frames: int = 4096
    """Frames posted and not taken by the writer yet, beyond which readers wait for it."""

    window_messages: int = 1024
    """Messages without an acknowledgement that a client may have."""

    remembered_sessions: int = 1000
    """Users gone who are still known when they come back."""

    register_timeout: float = 10.0
    """Seconds from connecting to an accepted nickname."""

    ping_after: float = 90.0
    """Seconds of silence after which the server asks whether the client is still there."""

    answer_timeout: float = 60.0
    """Seconds that it then has for any answer."""

    connect_timeout: float = 10.0
    """Seconds that a client waits for each answer of the server while entering."""

    reconnect_timeout: float = 600.0
    """Seconds for which a client that lost its server tries to come back."""

    drain_timeout: float = 2.0
    """Seconds that a closing connection gets to take what is still queued for it."""

    @property
    def queues_bytes(self) -> int:
        """Bytes waiting for all together; beyond it whoever has the most of them is too slow."""
        return max(16 * 1024 * 1024, self.queue_bytes, 64 * 1024 * self.max_clients)


class ProtocolError(Exception):
    """A refusal: an error code of the protocol, and which message it refuses."""

    def __init__(self, code: str, *, re: str | None = None, id: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.re = re
        self.id = id

    @property
    def fatal(self) -> bool:
        """Whether the connection is closed after it."""
        return self.code in FATAL_CODES

    def message(self) -> Message:
        """Return the ``error`` message that tells a client of it."""
        told = {"type": "error", "code": self.code, "id": self.id, "re": self.re}
        return {key: value for key, value in told.items() if value is not None}


class FrameDecoder:
    """Cuts a stream of bytes into frames, wherever the network cut it into chunks.

    One decoder belongs to one connection and one thread.
    """

    def __init__(self, frame_bytes: int) -> None:
        """Accept frames of up to *frame_bytes* bytes, the line feed not counted."""
        self.frame_bytes = frame_bytes
        self._rest = b""  # the beginning of a frame whose end has not arrived yet

    def receive(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next *chunk* of the stream and yield each frame that it completes.

        Iterate to the end: a frame is yielded once, without its line feed. Raises
        `ProtocolError` ``frame_too_long``; what came before the long frame is yielded first.
        """
        data, begin = self._rest + chunk, 0
        self._rest = b""
        # One after the other: a list of all frames would take many times the bytes of the chunk.
        while (end := data.find(b"\n", begin)) >= 0:
            if end - begin > self.frame_bytes:
                raise ProtocolError("frame_too_long")
            yield data[begin:end]
            begin = end + 1
        if len(data) - begin > self.frame_bytes:
            raise ProtocolError("frame_too_long")
        self._rest = data[begin:]


def encode(message: Mapping[str, Any]) -> bytes:
    """Return *message* as a frame, its line feed included.

    A lone surrogate, which UTF-8 cannot say, becomes an escape of JSON; the reader may refuse it.
    """
    return _ENCODER.encode(message).encode(errors="backslashreplace") + b"\n"


def decode(frame: bytes) -> Message:
    """Return the message in *frame*. Raises `ProtocolError` ``bad_frame``.

    Strict where JSON is vague (RFC 8259, sections 4 and 6): a key given twice and
    the non-numbers NaN and Infinity are refused.
    """
    try:
        message = _DECODER.decode(frame.decode())
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON; nested too deeply
        raise ProtocolError("bad_frame") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("bad_frame")
    return message


def _object_without_repeated_keys(pairs: list[tuple[str, Any]]) -> Message:
    message = dict(pairs)
    if len(message) != len(pairs):
        raise ValueError("a key occurs twice")
    return message


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object_without_repeated_keys, parse_constant=_refuse_constant
)


# What a person may call themselves, and say. Lengths first: what follows costs time for each
# character, and normalising a pile of combining marks even the square of their number.

# Control characters could steer another person's terminal, direction overrides could make a
# line read otherwise than it is (Unicode TR 36, 2.5); surrogates are not characters.
_FORBIDDEN_IN_TEXT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SEALED = re.compile("[A-Za-z0-9+/]+={0,2}")
# Most texts have one of these, and need no closer look.
_SURELY_VISIBLE = re.compile("[!-~¡-¬®-ʯА-я]")
# Here begins what may be a combining mark: only such texts are looked at more closely.
_MAY_BE_A_MARK = re.compile("[\u0300-\u036f\u0483-\u0489\u0591-\U0010ffff]")
# Invisible, although their category says letter, mark or symbol: the rest of Unicode's property
# Default_Ignorable_Code_Point, and the empty Braille pattern.
_SHOWS_NOTHING = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
)
_MARKS_IN_NICK, _MARKS_IN_TEXT = 2, 8
"""Combining marks on one letter: more would be drawn over other people's lines."""

_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]")
_LATIN_OR_CYRILLIC = re.compile("[A-Za-z\u00c0-\u024f\u0400-\u052f]")
# Cyrillic and Greek letters, small after folding, that look like Latin ones in one case or the
# other. The library that knows all look-alikes of Unicode TS 39 would give another key where it is
# not installed, and encryption and several servers need one key everywhere.
_LOOK_ALIKES = str.maketrans("авекмнорстухіјѕαβεζηικμνορτυχ", "abekmhopctyxijsabezhikmnoptyx")


def clean_nick(nick: object, limits: Limits) -> str:
    """Return *nick* in the form in which it is shown (NFKC). Raises `ProtocolError` ``bad_nick``.

    Letters and digits of any script, and ``_``, ``-``, ``.`` after the first character: no space,
    because ``/msg NICK TEXT`` must find the nickname's end. Greek letters are not mixed with Latin
    or Cyrillic ones, which many of them resemble (Unicode TS 39, section 5).
    """
    if not isinstance(nick, str) or len(nick) > 4 * limits.nick_chars:
        raise ProtocolError("bad_nick")
    shown = unicodedata.normalize("NFKC", nick)
    if (
        not 1 <= len(shown) <= limits.nick_chars
        or not shown[0].isalnum()
        or not all(_category(one) in "LNM" or one in "_-." for one in shown)
        or _SHOWS_NOTHING.search(shown)
        or _piled(shown, _MARKS_IN_NICK)
        or (_GREEK.search(shown) and _LATIN_OR_CYRILLIC.search(shown))
    ):
        raise ProtocolError("bad_nick")
    return shown


def nick_key(nick: str) -> str:
    """Return what two nicknames share when they count as the same, because they look alike.

    Without case and Unicode form: caseless matching of compatibility forms, Unicode Standard,
    section 3.13, D146. Letters of Cyrillic and Greek count as the Latin ones they look like. Give
    it no more than `clean_nick` takes: the cost grows with the square of the length.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", nick).casefold())
    return unicodedata.normalize("NFKC", folded.casefold()).translate(_LOOK_ALIKES)


def check_text(text: object, limits: Limits, *, sealed: bool = False) -> str:
    """Return *text* if it may be said; *sealed*: it is what encryption made of a text.

    Raises `ProtocolError` ``bad_text``, ``text_too_long``.
    """
    if not isinstance(text, str):
        raise ProtocolError("bad_text")
    if len(text) > (limits.sealed_chars if sealed else limits.text_chars):
        raise ProtocolError("text_too_long")
    if sealed:
        if not _SEALED.fullmatch(text):
            raise ProtocolError("bad_text")
    elif (
        _FORBIDDEN_IN_TEXT.search(text)
        or not (_SURELY_VISIBLE.search(text) or any(map(_is_visible, text)))
        or (_MAY_BE_A_MARK.search(text) and _piled(text, _MARKS_IN_TEXT))
    ):
        raise ProtocolError("bad_text")
    return text


def _category(character: str) -> str:
    """Return the Unicode category: L letter, M mark, N digit, P, S, Z space, C control or none."""
    return unicodedata.category(character)[0]


def _is_visible(character: str) -> bool:
    """Tell whether something is seen of it: no space, control, format character or lone mark."""
    return _category(character) not in "CZM" and not _SHOWS_NOTHING.match(character)


def _piled(text: str, most: int) -> bool:
    """Tell whether a letter of *text* carries more than *most* combining marks."""
    runs = groupby(text, _category)
    return any(category == "M" and len(list(run)) > most for category, run in runs)


def printable(text: str) -> str:
    """Return *text* with every character that may not be said replaced by ``U+FFFD``.

    For a client, which shows what a server sent: the server may be anybody's. Combining marks that
    are too many on one letter may not be said either.
    """
    if _MAY_BE_A_MARK.search(text):
        runs = ((category, "".join(run)) for category, run in groupby(text, _category))
        text = "".join(
            run[:_MARKS_IN_TEXT].ljust(len(run), "\N{REPLACEMENT CHARACTER}")
            if category == "M"
            else run
            for category, run in runs
        )
    return _FORBIDDEN_IN_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def integer(message: Message, key: str) -> int | None:
    """Return the non-negative integer at *key*, None if absent. Raises ``bad_frame``."""
    value: int | None = message.get(key)
    if value is not None and not _is_number(value):
        raise ProtocolError("bad_frame", re=message["type"])
    return value


# A client checks what a server sends, since the server may be faulty or hostile. It checks lengths,
# too: comparing nicknames costs more than linear time.

_Check = Callable[[object], bool]


def _is_text(longest: int) -> _Check:
    return lambda value: isinstance(value, str) and len(value) <= longest


def _is_list_of(is_right: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(is_right, value))


def _is_none_or(is_right: _Check) -> _Check:
    return lambda value: value is None or is_right(value)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_INTEGER


def _is_time(value: object) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_said(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") == "message" and _has_keys(value)


def _has_keys(message: Message) -> bool:
    wanted = _SERVER_KEYS.get(message["type"], {})
    return all(is_right(message.get(key)) for key, is_right in wanted.items())


_is_nick = _is_text(4 * Limits.nick_chars)
_is_word = _is_text(100)  # a reason, a code, a person

_SERVER_KEYS: dict[str, dict[str, _Check]] = {
    "register": {"limits": lambda value: isinstance(value, dict)},
    "welcome": {
        "nick": _is_nick,
        "users": _is_list_of(_is_nick),
        "persons": _is_none_or(_is_list_of(_is_none_or(_is_word))),
        "seq": _is_number,
    },
    "joined": {"nick": _is_nick, "person": _is_none_or(_is_word)},
    "left": {"nick": _is_nick, "reason": _is_word},
    "message": {
        "seq": _is_number,
        "from": _is_nick,
        "to": _is_none_or(_is_nick),
        "text": _is_text(Limits.sealed_chars),
        "time": _is_time,
    },
    "ack": {"id": _is_number, "seq": _is_number},
    "users": {"users": _is_list_of(_is_nick)},
    "history": {"messages": _is_list_of(_is_said)},
    "error": {"code": _is_word, "id": _is_none_or(_is_number)},
    "notice": {"code": _is_word},
    "shutdown": {"reason": _is_word},
}
"""Which keys a client relies on, by the types of messages, and how it checks each."""


def check_server_message(message: Message) -> Message:
    """Return *message* if it has the keys that a client relies on. Raises ``bad_frame``."""
    if not _has_keys(message):
        raise ProtocolError("bad_frame")
    return message


def register_request(limits: Limits) -> Message:
    """Return the server's first message: the request for a name."""
    told = ("frame_bytes", "text_chars", "nick_chars", "rate", "burst")
    return {
        "type": "register",
        "protocol": PROTOCOL_VERSION,
        "limits": {name: getattr(limits, name) for name in told},
        "window": limits.window_messages,
    }


def message_frame(
    seq: int, sender: str, to: str | None, text: str, time: float, *, sealed: bool
) -> bytes:
    """Return the frame that tells a recipient what was said.

    The same bytes as `encode` would give, in a third of the time: every message comes by here.
    """
    name = "null" if to is None else _quote(to)
    mark = ',"sealed":true' if sealed else ""
    return (
        f'{{"type":"message","seq":{seq},"from":{_quote(sender)},"to":{name},'
        f'"text":{_quote(text)},"time":{time!r}{mark}}}\n'
    ).encode()


def ack_frame(message_id: int, seq: int) -> bytes:
    """Return the frame that tells a sender that the message is recorded: as `encode` would."""
    return b'{"type":"ack","id":%d,"seq":%d}\n' % (message_id, seq)


_quote = json.encoder.encode_basestring
