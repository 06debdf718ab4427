"""Makes a network for one submission; a script that needs the standard library alone.

A network namespace with nothing but the loopback interface (network_namespaces(7)), which lasts
until the end of the input of this process.
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

# Numbers of <linux/sched.h>, <linux/sockios.h> and <linux/if.h>
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913
SIOCSIFADDR = 0x8916
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1

SETTINGS = Path("/proc/sys/net/ipv4")

SMALL_BUFFERS = "4096 16384 16384"
"""Bytes that a socket of the network may hold: least, at first, most (tcp(7), tcp_wmem).

Small ones are legal, and they show soon what happens when a peer does not read.
"""

UNABLE = 3
"""The exit status when no network can be made."""


def _unshare(libc: ctypes.CDLL) -> bool:
    """Leave the machine's network; as an ordinary user by way of a user namespace."""
    if libc.unshare(CLONE_NEWNET) == 0:
        return True
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return False
    # user_namespaces(7): setgroups must be denied before an ordinary user may map groups.
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        Path("/proc/self", name).write_text(text, encoding="ascii")
    return True


def _raise_loopback() -> None:
    """Bring the interface ``lo`` up (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", answer, 16)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def _take_over_address() -> None:
    """Give ``lo`` the address of the machine's name too: many a server listens on that one."""
    try:
        address = socket.inet_aton(socket.gethostbyname(socket.gethostname()))
        if address[0] != 127:
            request = struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, address)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                fcntl.ioctl(any_socket, SIOCSIFADDR, request)
    except OSError:  # the name has no address: then no server can use it
        pass


def main() -> int:
    """Make the network, say so, and keep it until the end of input."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not _unshare(libc):
        print(os.strerror(ctypes.get_errno()))
        return UNABLE
    # A table of its own for the sockets of the network, which a child's only can have: the
    # machine's has room for very many, and whoever reads /proc/net/tcp walks through all of it.
    with contextlib.suppress(OSError):  # Linux before 6.1
        (SETTINGS / "tcp_child_ehash_entries").write_text("128", encoding="ascii")
        libc.unshare(CLONE_NEWNET)
    _raise_loopback()
    _take_over_address()
    small = True
    for name in ("tcp_wmem", "tcp_rmem"):
        try:
            (SETTINGS / name).write_text(SMALL_BUFFERS, encoding="ascii")
        except OSError:  # a container may not let us
            small = False
    print("small" if small else "large", flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
