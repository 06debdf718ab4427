"""Runs a program within limits: ``python confine.py OPTIONS -- PROGRAM ARGUMENTS``.

A script of its own that needs the standard library alone: it puts on the limits, enters the
network made for the submission, and becomes the program (execve(2)).

With ``--hold`` it makes that network instead: a network namespace with nothing but the loopback
interface (network_namespaces(7)), which lasts until the end of this process's input.
"""

import argparse
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

# Numbers of <linux/sched.h>, <linux/prctl.h>, <linux/sockios.h> and <linux/if.h>
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
SIOCGIFFLAGS = 0x8913
SIOCSIFADDR = 0x8916
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1

SMALL_BUFFERS = "4096 16384 16384"
"""Bytes that a socket of the network may hold: least, at first, most (tcp(7), tcp_wmem).

Small ones are legal, and they show soon what happens when a peer does not read.
"""

UNABLE = 3
"""The exit status of a holder that cannot make a network."""


def hold() -> int:
    """Make the network, say so, and keep it until the end of input."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not _unshare(libc):
        print(os.strerror(ctypes.get_errno()))
        return UNABLE
    _raise_loopback()
    _take_over_address()
    small = True
    for name in ("tcp_wmem", "tcp_rmem"):
        try:
            Path("/proc/sys/net/ipv4", name).write_text(SMALL_BUFFERS, encoding="ascii")
        except OSError:  # a container may not let us
            small = False
    print("small" if small else "large", flush=True)
    sys.stdin.read()
    return 0


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


def _default_signals() -> None:
    """Let every signal do what it does by default: whoever grades may ignore some (signal(7))."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _enter(libc: ctypes.CDLL, holder: int) -> None:
    """Enter the network, and the user namespace it belongs to, of the process *holder*."""
    for name, kind in (("user", CLONE_NEWUSER), ("net", CLONE_NEWNET)):
        theirs, ours = f"/proc/{holder}/ns/{name}", f"/proc/self/ns/{name}"
        if os.stat(theirs).st_ino == os.stat(ours).st_ino:  # noqa: PTH116 - of what it names
            continue
        descriptor = os.open(theirs, os.O_RDONLY)
        if libc.setns(descriptor, kind) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(descriptor)


def _limit(kind: int, most: int, beyond: int = 0) -> None:
    """Set the limit *kind* to *most*, or to what it is if that is less (getrlimit(2)).

    Up to *beyond* more are possible: past the first the system warns, at the second it kills.
    """
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
        beyond = min(beyond, hard - most)
    resource.setrlimit(kind, (most, most + beyond))


def main() -> int:
    """Hold a network, or become the program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hold", action="store_true")
    parser.add_argument("--network", type=int)
    parser.add_argument("--memory", type=int, default=1 << 30)
    parser.add_argument("--cpu", type=int, default=20)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--file-size", type=int, default=1 << 26)
    parser.add_argument("program", nargs="*")
    options = parser.parse_args()
    if options.hold:
        return hold()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if options.network is not None:
            _enter(libc, options.network)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing outlives who grades
    _limit(resource.RLIMIT_AS, options.memory)
    _limit(resource.RLIMIT_CPU, options.cpu, 1)  # first SIGXCPU: its reason can be told
    _limit(resource.RLIMIT_FSIZE, options.file_size)
    _limit(resource.RLIMIT_NOFILE, 512)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if options.processes:
        _limit(resource.RLIMIT_NPROC, options.processes)
    _default_signals()
    try:
        os.execvp(options.program[0], options.program)
    except OSError as error:
        print(f"{options.program[0]}: {error.strerror}")
        return 127


if __name__ == "__main__":
    sys.exit(main())
