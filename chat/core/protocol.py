r"""The wire protocol, version 1: bytes in, messages out. No sockets, no threads.

TCP carries a stream of bytes, not messages (RFC 9293, section 3.8), so a message needs borders of
its own. Ours is a *frame*: one JSON object (RFC 8259) in UTF-8 on a line of its own, ended
by ``\n``. Inside a string JSON writes a line feed as two characters (RFC 8259, section 7), and our
encoder puts none elsewhere, so the border cannot occur inside a message; and the byte 0x0A is
never part of another character in UTF-8 (RFC 3629, section 3), so a chunk of the stream may
end anywhere, even inside a letter. An object has a string ``type``; keys
that a reader does not know are ignored. The server speaks first.

From the server:

==============  =====================================  =============================================
type            keys                                   when
==============  =====================================  =============================================
``register``    ``protocol`` 1, ``limits``             at once on connecting: request for a name;
                                                       limits: ``frame_bytes``, ``text_chars``,
                                                       ``nick_chars``, ``rate`` and ``burst``
``welcome``     ``nick``, ``users``, ``seq``,          the name is accepted; the others, sorted;
                ``log``, ``session``                   the number of the last message said, and of
                                                       which log; a secret to come back with
``joined``      ``nick``                               to all others
``left``        ``nick``, ``reason``                   to all others; with your own nickname it says
                                                       why the server is about to close
``message``     ``seq``, ``from``, ``to``, ``text``,   to the recipients, never back to the sender;
                ``time``; ``sealed``                   ``to`` null is everyone; Unix seconds;
                                                       ``sealed`` true: ``text`` is a cipher
``ack``         ``id``, ``seq``                        to the sender, once the message is recorded
``users``       ``users``                              answer: the others, sorted
``history``     ``messages``; ``after``, ``gap``       answer: oldest first, only what this user
                                                       was allowed to see; to ``after``, see below
``ping``        none                                   after silence; answer with ``pong``
``pong``        none                                   answer to ``ping``
``admin``       none                                   answer: the password was right
``error``       ``code``; ``id``, ``re`` where known   a refusal; ``re`` is the type refused
``notice``      ``code``                               to all: ``store_lost``, what you say waits
                                                       until ``store_back`` (several servers)
``shutdown``    ``reason``                             to all, before the server closes
==============  =====================================  =============================================

To the server: ``register`` {nick, session?}, ``message`` {text, to?, id?, sealed?}, ``users``,
``history`` {limit?, before? or after?}, ``ping``, ``pong``, ``quit``, ``admin`` {password}, and
for an admin ``shutdown`` and ``kick`` {nick}.

*Coming back.* A connection can be lost at any moment, with messages on the way in both directions.
A client that comes back registers with the ``session`` of its last ``welcome``; a connection of
that session which the server still takes for alive gives way to it. It sends again, in order and
under the same ``id``, what was not acknowledged: the server acknowledges again what it has recorded
already, and records nothing twice. Ids grow: what comes again under a smaller one than the last
recorded, and is not recorded itself, was refused, and is ``not_recorded`` now. It asks for
``history`` ``after`` the last number it has seen: what others said to it since then, oldest first,
until the answer is empty or overlaps with what comes live; ``gap`` true says that some of it is not
remembered any more. If ``log`` is another one, the server has forgotten everything and its numbers
have begun anew.

``left`` reasons: ``quit``, ``lost``, ``timeout``, ``kicked``, ``slow``, ``flood``. Error codes are
`ERROR_CODES`. The server sends types and codes, never prose: each client says them in
its user's language.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
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
    "bad_text",
    "text_too_long",
    "too_fast",
    "not_admin",
    "not_recorded",
    "unavailable",
}

LARGEST_INTEGER = 2**53 - 1
"""Beyond it a JSON number may lose digits on its way (RFC 7493, section 2.2)."""


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
    """Frames on their way to all queues before readers wait for the sender to catch up."""

    pending_bytes: int = 8 * 1024 * 1024
    """Bytes of answers on their way to all queues, likewise."""

    window_messages: int = 1024
    """Messages not acknowledged yet that a client may have, and a server knows again."""

    remembered_sessions: int = 1000
    """Users gone whose last messages are still known again when they come back."""

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
        known = {"id": self.id, "re": self.re}
        return {"type": "error", "code": self.code} | {
            key: value for key, value in known.items() if value is not None
        }


class FrameDecoder:
    """Cuts a stream of bytes into frames, wherever the network cut it into chunks.

    One decoder belongs to one connection and one thread.
    """

    def __init__(self, frame_bytes: int) -> None:
        """Accept frames of up to *frame_bytes* bytes, the line feed not counted."""
        self._frame_bytes = frame_bytes
        self._rest = b""  # the beginning of a frame whose end has not arrived yet

    def receive(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next *chunk* of the stream and yield each frame that it completes.

        Iterate to the end: a frame is yielded once, without its line feed. Raises
        `ProtocolError` ``frame_too_long``; what came before the long frame is yielded first.
        """
        *frames, self._rest = (self._rest + chunk).split(b"\n")
        for frame in frames:
            self._check_length(frame)
            yield frame
        self._check_length(self._rest)

    def _check_length(self, frame: bytes) -> None:
        if len(frame) > self._frame_bytes:
            self._rest = b""
            raise ProtocolError("frame_too_long")


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


def _object_without_doubles(pairs: list[tuple[str, Any]]) -> Message:
    message = dict(pairs)
    if len(message) != len(pairs):
        raise ValueError("a key occurs twice")
    return message


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object_without_doubles, parse_constant=_refuse_constant
)


# What a person may call themselves, and say

# Control characters could steer another person's terminal, direction overrides could make a
# line read otherwise than it is (Unicode TR 36, 2.5); surrogates are not characters.
_FORBIDDEN_IN_TEXT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SEALED = re.compile("[A-Za-z0-9+/]+={0,2}")
# A message of nothing else than spaces and characters that show nothing is empty.
_VISIBLE = re.compile("[^\\s\u061c\u200b-\u200f\u2060-\u2064\ufeff]")
# Letters and marks that show nothing (Default_Ignorable_Code_Point), or a pile of marks on one.
_DECEPTIVE_IN_NICK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_NICK_CATEGORIES = frozenset({"L", "N", "M"})  # letters, digits, and the marks on letters
_NICK_PUNCTUATION = frozenset("_-.")
_MARKS_IN_A_ROW = 2
# Cyrillic letters, small after folding, that look like Latin ones in one case or the other.
_LOOK_ALIKE = str.maketrans("авекмнорстухіјѕ", "abekmhopctyxijs")


def clean_nick(nick: object, limits: Limits) -> str:
    """Return *nick* in the form in which it is shown (NFKC). Raises `ProtocolError` ``bad_nick``.

    Letters and digits of any script, and ``_``, ``-``, ``.`` after the first character: no space,
    because ``/msg NICK TEXT`` must find the nickname's end.
    """
    if not isinstance(nick, str) or len(nick) > 4 * limits.nick_chars:
        raise ProtocolError("bad_nick")
    shown = unicodedata.normalize("NFKC", nick)
    if not 1 <= len(shown) <= limits.nick_chars or not shown[0].isalnum():
        raise ProtocolError("bad_nick")
    kinds = "".join(unicodedata.category(character)[0] for character in shown)
    for character, kind in zip(shown, kinds, strict=True):
        if kind not in _NICK_CATEGORIES and character not in _NICK_PUNCTUATION:
            raise ProtocolError("bad_nick")
    if _DECEPTIVE_IN_NICK.search(shown) or "M" * (_MARKS_IN_A_ROW + 1) in kinds:
        raise ProtocolError("bad_nick")
    return shown


def nick_key(nick: str) -> str:
    """Return what two nicknames share when they count as the same, because they look alike.

    Without case and Unicode form: caseless matching of compatibility forms, Unicode Standard,
    section 3.13, D146. Cyrillic and Latin letters of one look count as one: the part of Unicode
    TS 39, section 4, that matters where both are typed.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", nick).casefold())
    return unicodedata.normalize("NFKC", folded.casefold()).translate(_LOOK_ALIKE)


def check_text(text: object, limits: Limits, *, sealed: bool = False) -> str:
    """Return *text* if it may be said; *sealed*: it is the cipher of what is said.

    Raises `ProtocolError` ``bad_text``, ``text_too_long``.
    """
    if not isinstance(text, str) or not _VISIBLE.search(text) or _FORBIDDEN_IN_TEXT.search(text):
        raise ProtocolError("bad_text")
    if len(text) > (limits.sealed_chars if sealed else limits.text_chars):
        raise ProtocolError("text_too_long")
    if sealed and not _SEALED.fullmatch(text):
        raise ProtocolError("bad_text")
    return text


def printable(text: str) -> str:
    """Return *text* with every character that may not be said replaced by ``U+FFFD``.

    For a client, which shows what a server sent: the server may be anybody's.
    """
    return _FORBIDDEN_IN_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def integer(message: Message, key: str) -> int | None:
    """Return the non-negative integer at *key*, None if absent. Raises ``bad_frame``."""
    value = message.get(key)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= LARGEST_INTEGER:
        raise ProtocolError("bad_frame", re=message["type"])
    return value


# The messages of the server

_SERVER_KEYS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "register": {"limits": dict},
    "welcome": {"nick": str, "users": list, "seq": int},
    "joined": {"nick": str},
    "left": {"nick": str, "reason": str},
    "message": {"seq": int, "from": str, "to": (str, NoneType), "text": str, "time": (int, float)},
    "ack": {"id": int, "seq": int},
    "users": {"users": list},
    "history": {"messages": list},
    "error": {"code": str, "id": (int, NoneType)},
    "notice": {"code": str},
    "shutdown": {"reason": str},
}


def check_server_message(message: Message) -> Message:
    """Return *message* if it has the keys that a client relies on. Raises ``bad_frame``.

    The server may be anybody's, so a client looks before it believes.
    """
    kind = message["type"]
    _check_keys(message, kind)
    if kind in ("welcome", "users") and not all(isinstance(nick, str) for nick in message["users"]):
        raise ProtocolError("bad_frame")
    if kind == "history":
        for said in message["messages"]:
            _check_keys(said, "message")
    return message


def _check_keys(message: object, kind: str) -> None:
    if not isinstance(message, dict):
        raise ProtocolError("bad_frame")
    for key, expected in _SERVER_KEYS.get(kind, {}).items():
        if not isinstance(message.get(key), expected):
            raise ProtocolError("bad_frame")


def register_request(limits: Limits) -> Message:
    """Return the server's first message: the request for a name."""
    told = ("frame_bytes", "text_chars", "nick_chars", "rate", "burst")
    return {
        "type": "register",
        "protocol": PROTOCOL_VERSION,
        "limits": {name: getattr(limits, name) for name in told},
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
