"""What the kernel knows about a connection and tells whoever asks.

On Linux alone, except `state`: see tcp(7).
"""

from __future__ import annotations

import contextlib
import socket
import struct

import psutil

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
