"""Both sides of a TLS connection: in memory, and on sockets."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from chat.lab.background import connected_pair
from chat.promises.tls import TlsChannel, client_context, server_context
from tests.wire import PATIENCE

HOST = "127.0.0.1"


class Pair(NamedTuple):
    """A certificate and its private key, in two files."""

    cert: Path
    key: Path


class Sides(NamedTuple):
    """The two channels of one connection."""

    server: TlsChannel
    client: TlsChannel


def channels(
    pair: Pair,
    *,
    version: ssl.TLSVersion | None = None,
    tickets: int = 0,
    name: str = HOST,
    ca_file: Path | None = None,
) -> Sides:
    """Return both sides before their handshake; the client calls the server *name*."""
    server, client = server_context(*pair), client_context(ca_file or pair.cert)
    server.num_tickets = tickets
    if version is not None:
        client.minimum_version = client.maximum_version = version
    return Sides(
        TlsChannel(server, server_side=True),
        TlsChannel(client, server_hostname=name),
    )


def shake_hands(sides: Sides) -> None:
    """Carry the handshake from one side to the other until both are done."""
    to_server = sides.client.handshake()
    for _round in range(10):
        to_client = sides.server.handshake(to_server)
        to_server = sides.client.handshake(to_client)
        if sides.server.established and sides.client.established and not to_server:
            return
    raise AssertionError("the handshake does not end")


def connected(pair: Pair, *, version: ssl.TLSVersion | None = None, tickets: int = 0) -> Sides:
    """Return both sides of a connection that is established."""
    sides = channels(pair, version=version, tickets=tickets)
    shake_hands(sides)
    return sides


# On sockets


@contextmanager
def tcp() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection; every call on them has a limit of time."""
    one, other = connected_pair()
    with one, other:
        for end in (one, other):
            end.settimeout(PATIENCE)
        yield one, other


def shake_hands_over(sock: socket.socket, channel: TlsChannel) -> bytes:
    """Carry our side of the handshake over *sock*; return the data that came behind it."""
    received = b""
    while True:
        sock.sendall(channel.handshake(received))
        if channel.established:
            return channel.receive(b"")
        received = sock.recv(65536)
        assert received, "the peer has hung up"


def receive(sock: socket.socket, channel: TlsChannel) -> bytes:
    """Return the next plaintext, ``b""`` after the peer's goodbye, or the end of TCP's stream.

    Raises as `TlsChannel` does.
    """
    while not channel.ended:
        chunk = sock.recv(65536)
        if not chunk:
            break
        if plaintext := channel.receive(chunk):
            return plaintext
    return b""


def receive_exactly(sock: socket.socket, channel: TlsChannel, count: int) -> bytes:
    """Return *count* bytes of plaintext, or fewer when the stream ends before."""
    data = b""
    while len(data) < count and (part := receive(sock, channel)):
        data += part
    return data
