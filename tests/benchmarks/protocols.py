"""What the load generator must know of each server: how to enter, to speak, and to read.

A text that the generator says holds `MARK` once, and no server puts that byte anywhere else. So
what has arrived is counted without being understood, at the speed of memory; only where every
message is looked at are the streams read in earnest.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

MARK = b"|"
CHANNEL = "#bench"


class Protocol(ABC):
    """A protocol from the client's side. Names and texts are ASCII or UTF-8, without line feeds."""

    refusals: Sequence[bytes] = ()
    """What a server says to somebody whom it does not let in."""

    departure = b""
    """What everybody hears when somebody has gone; empty: this is not looked for."""

    @abstractmethod
    def entering(self, nick: str) -> Sequence[tuple[bytes, bytes]]:
        """Return the steps of entering as *nick*: what to send, and what to wait for then."""

    @abstractmethod
    def say(self, text: str, number: int) -> bytes:
        """Return what says *text* to everybody; *number* is the author's own, from 1."""

    def burst(self, text: str, first: int, count: int) -> bytes:
        """Return what says *text* *count* times, numbered from *first*."""
        return self.say(text, first) * count

    @abstractmethod
    def deliveries(self, stream: bytes) -> list[tuple[str, str]]:
        """Return author and text of every message in the *stream* that a client got.

        Raises `ValueError` when the stream is damaged.
        """


class Chat(Protocol):
    """The protocol of this chat, which the asyncio peers speak as well."""

    refusals = (b'"type":"error"',)
    departure = b'"type":"left"'

    def entering(self, nick: str) -> Sequence[tuple[bytes, bytes]]:
        """Register, and be welcome."""
        return [(_line({"type": "register", "nick": nick}), b'"type":"welcome"')]

    def say(self, text: str, number: int) -> bytes:
        """Return a ``message`` with an ``id``, which is to be acknowledged."""
        return _line({"type": "message", "text": text, "id": number})

    def burst(self, text: str, first: int, count: int) -> bytes:
        """Return *count* messages: the same text under ids that go up."""
        head, tail = self.say(text, 0).rsplit(b"0", 1)
        numbers = [b"%d" % number for number in range(first, first + count)]
        return head + (tail + head).join(numbers) + tail

    def deliveries(self, stream: bytes) -> list[tuple[str, str]]:
        """Return what the ``message`` frames say."""
        messages = [json.loads(line) for line in _whole_lines(stream)]
        return [(m["from"], m["text"]) for m in messages if m["type"] == "message"]


class Lines(Protocol):
    """Lines of text: the first is the name; what others say comes as ``name: text``."""

    def entering(self, nick: str) -> Sequence[tuple[bytes, bytes]]:
        """Send the name, and be welcome."""
        return [(nick.encode() + b"\n", b"* welcome")]

    def say(self, text: str, number: int) -> bytes:
        """Return the text as a line."""
        return text.encode() + b"\n"

    def deliveries(self, stream: bytes) -> list[tuple[str, str]]:
        """Return what the lines say that are no notices."""
        return _named([line for line in _whole_lines(stream) if not line.startswith(b"*")])


class Irc(Protocol):
    """IRC (RFC 2812), everybody in one channel."""

    refusals = (b"ERROR :", b" 433 * ", b" 432 * ")

    def entering(self, nick: str) -> Sequence[tuple[bytes, bytes]]:
        """Register, then join; 001 is the welcome, 366 the end of the list of names."""
        return [
            (f"NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\n".encode(), b" 001 "),
            (f"JOIN {CHANNEL}\r\n".encode(), b" 366 "),
        ]

    def say(self, text: str, number: int) -> bytes:
        """Return a PRIVMSG to the channel."""
        return f"PRIVMSG {CHANNEL} :{text}\r\n".encode()

    def deliveries(self, stream: bytes) -> list[tuple[str, str]]:
        """Return what the PRIVMSG lines say."""
        pattern = re.compile(rf":([^!]+)!\S+ PRIVMSG {CHANNEL} :(.*)\r")
        lines = [line.decode() for line in _whole_lines(stream)]
        said = [pattern.fullmatch(line) for line in lines if " PRIVMSG " in line]
        if None in said:
            raise ValueError("a PRIVMSG that cannot be read")
        return [(match[1], match[2]) for match in said if match]


class WebSocket(Protocol):
    """WebSocket (RFC 6455), a message in a text frame; inside, the same as `Lines`."""

    def entering(self, nick: str) -> Sequence[tuple[bytes, bytes]]:
        """Ask for the upgrade, then send the name."""
        request = (
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        return [(request.encode(), b"\r\n\r\n"), (self.say(nick, 0), b"* welcome")]

    def say(self, text: str, number: int) -> bytes:
        """Return a masked text frame; the mask is zero, which leaves the text as it is."""
        data = text.encode()
        if len(data) < 126:
            return b"\x81" + bytes([0x80 | len(data)]) + bytes(4) + data
        return b"\x81\xfe" + len(data).to_bytes(2, "big") + bytes(4) + data

    def deliveries(self, stream: bytes) -> list[tuple[str, str]]:
        """Return what the text frames say that are no notices (RFC 6455, section 5.2)."""
        texts = []
        position = stream.index(b"\r\n\r\n") + 4
        while position < len(stream):
            size, position = stream[position + 1], position + 2
            if size > 125:
                width = 2 if size == 126 else 8
                size = int.from_bytes(stream[position : position + width], "big")
                position += width
            texts.append(stream[position : position + size])
            position += size
        if position > len(stream):
            raise ValueError("the last frame is not whole")
        return _named([text for text in texts if not text.startswith(b"*")])


PROTOCOLS: dict[str, Protocol] = {
    "chat": Chat(),
    "lines": Lines(),
    "irc": Irc(),
    "websocket": WebSocket(),
}


def _line(message: dict[str, object]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _whole_lines(stream: bytes) -> list[bytes]:
    *lines, rest = stream.split(b"\n")
    if rest:
        raise ValueError(f"the last line is not whole: {rest[:80]!r}")
    return lines


def _named(lines: list[bytes]) -> list[tuple[str, str]]:
    said = []
    for line in lines:
        name, border, text = line.decode().partition(": ")
        if not border:
            raise ValueError(f"nobody has said this: {line[:80]!r}")
        said.append((name, text))
    return said
