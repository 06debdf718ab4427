"""Say it again under the same number until it is acknowledged."""

import contextlib
import socket

from chat.core.protocol import FrameDecoder, Limits, Message, decode, encode


def say_all(address: tuple[str, int], nick: str, words: list[str]) -> None:
    """Say *words* as *nick*, each exactly once."""
    left = dict(enumerate(words, 1))
    session: str | None = None
    while left:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(address, timeout=5) as sock,
        ):
            session = _try(sock, nick, session, left)


def _try(sock: socket.socket, nick: str, session: str | None, left: dict[int, str]) -> str | None:
    hello: Message = {"type": "register", "nick": nick}
    sock.sendall(encode(hello | ({"session": session} if session else {})))
    said = False
    decoder = FrameDecoder(Limits.answer_bytes)
    with contextlib.suppress(OSError):
        while left and (chunk := sock.recv(65536)):
            for message in map(decode, decoder.receive(chunk)):
                if message["type"] == "welcome":
                    session = message["session"]
                elif message["type"] == "ack":
                    left.pop(message["id"], None)
            if session and not said:
                said = True
                for number, text in left.items():
                    sock.sendall(encode({"type": "message", "text": text, "id": number}))
    return session
