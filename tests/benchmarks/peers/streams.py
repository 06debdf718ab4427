"""A chat on asyncio streams, as its manual suggests: a ``write`` for every delivery.

It speaks this chat's protocol: enter, say to all, acknowledge. No history, and one limit: who does
not read is disconnected.
"""

import asyncio
import contextlib
import json
import time
from typing import Any

QUEUE_BYTES = 1024 * 1024
"""Bytes waiting for one client; beyond it the client is too slow."""

writers: dict[str, asyncio.StreamWriter] = {}
said = 0


def encode(message: dict[str, Any]) -> bytes:
    """Return *message* as a line of JSON."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def to_others(message: dict[str, Any], nick: str) -> None:
    """Write *message* to everybody but *nick*."""
    frame = encode(message)
    for name, writer in writers.items():
        if name == nick:
            continue
        writer.write(frame)
        if writer.transport.get_write_buffer_size() > QUEUE_BYTES:
            writer.transport.abort()


def say(nick: str, message: dict[str, Any]) -> None:
    """Say *message* to the others, and acknowledge it."""
    global said  # noqa: PLW0603 - one loop, one room
    said += 1
    writers[nick].write(encode({"type": "ack", "id": message["id"], "seq": said}))
    told = {"seq": said, "from": nick, "to": None, "text": message["text"], "time": time.time()}
    to_others({"type": "message"} | told, nick)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Talk to one client until it goes."""
    nick = str(json.loads(await reader.readline())["nick"])
    writer.write(encode({"type": "welcome", "nick": nick, "users": sorted(writers), "seq": said}))
    to_others({"type": "joined", "nick": nick}, nick)
    writers[nick] = writer
    with contextlib.suppress(ConnectionError):
        async for line in reader:
            say(nick, json.loads(line))
            await writer.drain()
    del writers[nick]
    writer.close()
    to_others({"type": "left", "nick": nick, "reason": "quit"}, nick)


async def main() -> None:
    """Serve until the process is told to end."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print("{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
