"""What the kernel knows about a connection and tells whoever asks.

On Linux alone, except `state`: see tcp(7).
"""

from __future__ import annotations

import contextlib
import socket
import struct

import psutil

from chat.lab.waiting import wait_until

with contextlib.suppress(ImportError):  # Windows has neither, nor what is asked here
    import fcntl
    import termios

_TCP_INFO_SIZE = 192
_SEGS_OUT = 136  # where struct tcp_info (linux/tcp.h) has tcpi_segs_out


def state(local: tuple[str, int], remote: tuple[str, int] | tuple[()] = ()) -> str:
    """Return the state of the connection between two addresses, "" if there is none.

    Without *remote*: of the socket that listens on *local*.
    """
    for connection in psutil.net_connections("tcp"):
        if connection.laddr == local and connection.raddr == remote:
            return str(connection.status)
    return ""


def segments_sent(sock: socket.socket) -> int:
    """Return how many segments the kernel has sent on the connection of *sock*, all kinds."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    return int(struct.unpack_from("=I", info, _SEGS_OUT)[0])


def unread(sock: socket.socket) -> int:
    """Return how many bytes have arrived at *sock* and were not read."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0])


def unacknowledged(sock: socket.socket) -> int:
    """Return how many bytes sent on *sock* the other end's kernel has not acknowledged."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])


class States:
    """The states that a connection goes through, noted one after another."""

    def __init__(self, listening: tuple[str, int], client: tuple[str, int]) -> None:
        """Watch the socket that listens on *listening*, and its connection with *client*."""
        self._listening, self._client = listening, client
        self.seen: list[tuple[str, ...]] = []
        """What was noted: the states of the listening socket, of the client and of the server."""

    def __call__(self, *expected: str) -> None:
        """Wait for the three states *expected*, and note them. Raises `TimeoutError`."""
        wait_until(lambda: self._now() == expected)
        self.seen.append(expected)

    def _now(self) -> tuple[str, str, str]:
        here, there = self._listening, self._client
        return state(here), state(there, here), state(here, there)
