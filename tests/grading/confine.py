"""Runs a program within limits: ``python confine.py NETWORK MEMORY CPU FILE PROCESSES PROGRAM …``.

A script of its own that needs the standard library alone, and little of it, because it runs before
every program: it puts on the limits, enters the network of the process NETWORK (see `network`), and
becomes the program (execve(2)). The limits are numbers: bytes of address space, seconds of the
processor, bytes of a file, processes and threads; 0 for a network or a limit that there is not.
"""

import ctypes
import os
import resource
import signal
import sys

# Numbers of <linux/sched.h> and <linux/prctl.h>
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38

DESCRIPTORS = 512


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
    """Become the program."""
    holder, memory, cpu, file_size, processes = map(int, sys.argv[1:6])
    program = sys.argv[6:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if holder:
            _enter(libc, holder)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing outlives who grades
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CPU, cpu, 1)  # first SIGXCPU: its reason can be told
    _limit(resource.RLIMIT_FSIZE, file_size)
    _limit(resource.RLIMIT_NOFILE, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if processes:
        _limit(resource.RLIMIT_NPROC, processes)
    # Whoever grades may ignore or block some signals, and children inherit that (signal(7)).
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"{program[0]}: {error.strerror}")
        return 127


if __name__ == "__main__":
    sys.exit(main())
