"""Where a submission runs: its own folder, network and environment, within limits.

What the programs cannot do there: reach any network but the loopback made for them (where the
system lets us make one; `Sandbox.without` says where not), see the environment or the home folder
of whoever grades in their variables, take more memory, time, processes and output than they are
given, outlive the grading. They run under the user who grades: the files which that user may read
are not hidden from them.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import platform
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from chat.app.i18n import gettext as _
from chat.lab.terminal import Terminal, wait_for_all

from .python import is_foreign, own_files

_NETWORK = str(Path(__file__).with_name("network.py"))
_DESCRIPTORS = 512

# Of util-linux. Each does one thing to itself and then becomes the next program (execve(2)).
_NSENTER, _SETPRIV, _PRLIMIT = map(shutil.which, ("nsenter", "setpriv", "prlimit"))
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_LOOK_SECONDS = 0.02  # the processes are not looked at more often than this
_COUNT_SECONDS = 0.2  # nor are they counted
_CALM_LOOKS = 4
_LATE_SECONDS = 0.1  # between two looks: more is no look of ours, but a machine that is busy
_SPINNING = 0.3  # seconds of processor time for nothing, at which a program is taken to spin
_BUSY_SECONDS = 1.5  # of processor time without what is waited for, until it is given up
_BLOCKED_SECONDS = 0.5  # of waiting for nothing but a person, until nothing is taken to come
_CPU_SECONDS = 0.2  # the processor time is not looked at more often than this
_LONGEST = 30.0  # seconds of waiting for programs that are neither calm nor busy
ESTABLISHED = "01"  # <linux/tcp_states.h>
_LISTENING = "0A"
_MUCH_PRINTED = 30_000  # bytes while somebody waits for something else
_ENDLESS_PRINTED = 300_000  # bytes after which a program is taken to print for ever
_BIGGEST_COPY = 64 * 1024 * 1024  # bytes
_PORT_FREE = 90.0  # seconds that a port of the machine may take to become free (TIME-WAIT)

# Waiting system calls by number, and which argument says until when: None for those that wait
# without end, else its index and its value then (syscalls(2), <asm/unistd.h>). None that writes:
# what waits for room at a terminal waits for us.
_WAITS = {
    "x86_64": (
        {0, 19, 34, 42, 43, 45, 47, 61, 73, 130, 247, 288},
        {202: (3, 0), 7: (2, -1), 271: (2, 0), 23: (4, 0), 270: (4, 0), 232: (3, -1), 281: (3, -1)},
    ),
    "aarch64": (
        {32, 63, 65, 95, 133, 202, 203, 207, 212, 242, 260},
        {98: (3, 0), 73: (2, 0), 72: (4, 0), 22: (3, -1)},
    ),
}
_ENDLESS, _TIMED = _WAITS.get(platform.machine(), (set(), {}))


@dataclass(frozen=True)
class SandboxLimits:
    """What the programs of a submission may take."""

    seconds: float = 600.0
    """From the beginning of the grading to its end."""

    cpu_seconds: int = 20
    """Of processor time, for one process."""

    memory_mb: int = 1024
    """Of address space, for one process, in MiB."""

    processes: int = 100
    """And threads, all together."""

    output_mb: int = 1
    """That one program may print, in MiB; and as much in one file."""


class LimitError(Exception):
    """A submission has taken more than it may; the text is a sentence."""


class PortTakenError(Exception):
    """The port of a submission is taken by somebody else; the text is a sentence."""


class SubmissionFilesError(Exception):
    """The files of a submission cannot be copied; the text is a sentence."""


class Sandbox:
    """A place for the programs of one submission. A context manager; it belongs to one thread.

    While it is open, processes that have lost their parent become children of this one
    (prctl(2), PR_SET_CHILD_SUBREAPER): whatever the programs start can be found and ended.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limits: SandboxLimits | None = None,
        copy: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        encoding: str = "utf-8",
        own_network: bool = True,
    ) -> None:
        """Run copies of the programs in *folder*; of the files named by *copy* alone, if given.

        *env* are variables that they see besides those that all programs see, *encoding* is the
        one of their terminals. Without *own_network* they are on the machine's.
        """
        self.limits = limits or SandboxLimits()
        self.small_buffers = False
        """Whether the sockets of the network hold little: then a full one is soon seen."""

        self.without: list[str] = []
        """What this system does not let us do: sentences for the teacher."""

        self._source = folder
        self._copy = copy
        self._extra = dict(env or {})
        self._encoding = encoding
        self._own_network = own_network
        self._reserved: int | None = None
        self.outsider: int | None = None
        """The process of a server that the student runs outside, which counts as one of ours."""

        self._place = Path()
        self._holder: subprocess.Popen[str] | None = None
        self._before: set[int] = set()
        self._terminals: list[Terminal] = []
        self._known: list[psutil.Process] = []
        self._counted = self._looked = 0.0
        self._busy = True
        self._calm_looks = 0
        self._printed = 0
        self._deadline = 0.0

    def __enter__(self) -> Self:
        """Make the place; `renew` fills it."""
        self._deadline = time.monotonic() + self.limits.seconds
        self._before = {child.pid for child in psutil.Process().children(recursive=True)}
        self._place = Path(tempfile.mkdtemp(prefix="grading-"))
        try:
            self._adopt_orphans(wanted=True)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all processes of the submission and remove its folder."""
        self._leave()

    def renew(self) -> None:
        """End all programs; give the next ones a fresh copy of the files and a fresh network.

        On a fresh network no port is still taken by what was there before (TIME-WAIT, RFC 9293,
        section 3.6.1). Raises `SubmissionFilesError`.
        """
        self.clear()
        self._make_network()
        self._fresh_folder()

    def clear(self) -> None:
        """End all programs, and their network with them."""
        self.end_all()
        self._end_network()
        if self._reserved is not None:
            os.close(self._reserved)
            self._reserved = None

    def _leave(self) -> None:
        self.clear()
        self._adopt_orphans(wanted=False)
        shutil.rmtree(self._place, ignore_errors=True)

    # The folder and the environment

    @property
    def folder(self) -> Path:
        """Where the copy of the submission lies: the working directory of its programs."""
        return self._place / "work"

    def _fresh_folder(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self._place / "home", ignore_errors=True)
        (self._place / "home").mkdir()
        self.folder.mkdir()
        left = _BIGGEST_COPY
        sources = [self._source / name for name in self._copy] or sorted(self._source.iterdir())
        for source in sources:
            left -= self._copy_tree(source, left)

    def _copy_tree(self, source: Path, most: int) -> int:
        """Copy *source* if it is not more than *most* bytes; return how many."""
        if is_foreign(source):
            return 0
        target = self.folder / source.name
        try:
            size = _size(source)
            if size > most:
                raise SubmissionFilesError(
                    _(
                        "{path} is too large to be copied; name what is needed under copy = […]."
                    ).format(path=source)
                )
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True, ignore=_foreign_names)
            else:
                shutil.copy2(source, target)
        except (OSError, shutil.Error) as error:
            raise SubmissionFilesError(f"{source}: {error}") from error
        return size

    def environment(self) -> dict[str, str]:
        """Return all variables that the programs see."""
        here = str(Path(sys.executable).parent)
        return {
            "PATH": os.pathsep.join([here, "/usr/local/bin", "/usr/bin", "/bin"]),
            "HOME": str(self._place / "home"),
            "TMPDIR": str(self._place / "home"),
            "USER": "student",
            "LOGNAME": "student",
            "LANG": "C.UTF-8",
            "PYTHONUTF8": "1",
            "PYTHONWARNINGS": "ignore",
            "PYTHONPYCACHEPREFIX": str(self._place / "cache"),
            # glibc reserves 64 MB of addresses for each thread that allocates: mallopt(3)
            "MALLOC_ARENA_MAX": "2",
        } | self._extra

    # Programs

    def terminal(self, argv: Sequence[str], title: str, columns: int, rows: int) -> Terminal:
        """Start *argv* at a terminal of *columns* by *rows*, in the folder and within the limits.

        *title* names its window. It is closed with everything else, by `end_all`.
        """
        terminal = Terminal(
            self._confined(argv),
            title=title,
            columns=columns,
            rows=rows,
            env=self.environment() | {"TERM": "xterm-256color"},
            cwd=self.folder,
            most_output=self.limits.output_mb << 20,
            encoding=self._encoding,
        )
        self._terminals.append(terminal)
        self._counted = 0.0
        return terminal

    def process(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        """Start one of our own programs on the submission's network, with pipes."""
        return subprocess.Popen(
            self._confined(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment(),
            start_new_session=True,
        )

    def _confined(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs *argv* on the network and within the limits."""
        if not (_NSENTER and _SETPRIV and _PRLIMIT):
            return list(argv)
        command = []
        limits = {
            "as": _allowed(resource.RLIMIT_AS, self.limits.memory_mb << 20),
            "fsize": _allowed(resource.RLIMIT_FSIZE, self.limits.output_mb << 20),
            "nofile": _allowed(resource.RLIMIT_NOFILE, _DESCRIPTORS),
            "core": 0,
        }
        # First SIGXCPU, whose reason can be told, a second later SIGKILL: getrlimit(2).
        cpu = [_allowed(resource.RLIMIT_CPU, self.limits.cpu_seconds + n) for n in (0, 1)]
        if self._holder is not None:
            place = Path(f"/proc/{self._holder.pid}/ns")
            command = [_NSENTER, f"--net={place / 'net'}"]
            if not (place / "user").samefile("/proc/self/ns/user"):
                command += [f"--user={place / 'user'}", "--preserve-credentials"]
                # There an ordinary user's processes are counted alone. Four times as many as are
                # allowed: we count them too, and say so; this only stops an avalanche.
                limits["nproc"] = 4 * self.limits.processes
        command += [_SETPRIV, "--no-new-privs", "--pdeathsig=KILL"]  # nothing outlives who grades
        command += [_PRLIMIT, f"--cpu={cpu[0]}:{cpu[1]}"]
        return [*command, *(f"--{name}={most}:{most}" for name, most in limits.items()), *argv]

    # The network

    @property
    def has_network(self) -> bool:
        """Whether the programs have a network of their own, on which every port is free."""
        return self._holder is not None

    def _end_network(self) -> None:
        if self._holder is None:
            return
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait()
        self._holder.stdout.close()
        self._holder = None

    def _make_network(self) -> None:
        if not (_NSENTER and _SETPRIV and _PRLIMIT):
            self.without = [
                _(
                    "The submission's programs had no limits, and were not cut off from the "
                    "network: nsenter, setpriv and prlimit (util-linux) are needed for that."
                )
            ]
        if self.without or not self._own_network:  # it was tried before
            return
        sentence = _(
            "The submission's programs were not cut off from the network: {reason}. "
            "They were told to use 127.0.0.1 alone."
        )
        holder = subprocess.Popen(
            [sys.executable, "-I", "-S", _NETWORK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment(),
            start_new_session=True,
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        answer = holder.stdout.readline().strip()
        if answer in ("small", "large"):
            self._holder = holder
            self.small_buffers = answer == "small"
            return
        holder.stdin.close()
        holder.stdout.close()
        holder.wait()
        self.without.append(sentence.format(reason=answer or _("no reason is known")))

    # Processes

    def time_left(self) -> float:
        """Return the seconds that the grading may still take, 0 when there are none."""
        return max(0.0, self._deadline - time.monotonic())

    def is_busy(self) -> bool:
        """Tell whether any thread of the programs is running, or ready to run.

        Raises `LimitError` when there are more of them than there may be.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return self._busy
        if now - self._counted >= _COUNT_SECONDS:
            self._known = self._family()
            self._counted = time.monotonic()
            threads = sum(map(_threads, self._known))
            if threads > self.limits.processes:
                self.end_all()
                raise LimitError(
                    _("The programs started {n} processes and threads; {most} are allowed.").format(
                        n=threads, most=self.limits.processes
                    )
                )
        self._busy = any(_is_running(process) for process in self._known)
        late = now - self._looked > _LATE_SECONDS  # then others wait for the processor as we did
        printed = self.bytes_printed()  # who has printed may have waited for us to read it
        still = not (self._busy or late or printed != self._printed)
        self._calm_looks = self._calm_looks + 1 if still else 0
        self._printed = printed
        self._looked = time.monotonic()
        return self._busy

    def is_blocked(self) -> bool:
        """Tell whether nothing can happen any more unless something is typed.

        Nobody is busy, every thread waits without a time limit, and no byte is on its way. Where
        the system does not say what a thread waits for, the answer is no.
        """
        if self.is_busy() or not all(_waits_without_end(process) for process in self._known):
            return False
        return not any(int(fields[4].partition(":")[0], 16) for fields in self.sockets())

    def cpu_seconds(self) -> float:
        """Return the processor time that the programs which run now have used."""
        used = 0.0
        for process in self._known:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                used += times.user + times.system
        return used

    def begin_calm(self) -> None:
        """Forget how long nobody has been busy."""
        self._calm_looks = 0
        self._looked = self._counted = 0.0

    def is_calm(self) -> bool:
        """Tell whether nobody was busy at several looks in a row since `begin_calm`."""
        return not self.is_busy() and self._calm_looks >= _CALM_LOOKS

    def wait_until_calm(self) -> None:
        """Wait until nobody is busy any more, or with nothing that shows, or for too long."""
        self.begin_calm()
        printed, used, first = -1, 0.0, self.cpu_seconds()
        most = self.bytes_printed() + _ENDLESS_PRINTED

        def is_over() -> bool:
            nonlocal printed, used
            if self.is_calm():
                return True
            if self.bytes_printed() != printed:
                printed, used = self.bytes_printed(), self.cpu_seconds()
            now = self.cpu_seconds()
            spins = now - used > _SPINNING or now - first > _BUSY_SECONDS
            return spins or printed > most

        wait_for_all(is_over, _LONGEST)

    def bytes_printed(self) -> int:
        """Return how much all programs that have a terminal have printed."""
        return sum(terminal.bytes_printed for terminal in self._terminals)

    # What the kernel knows

    def sockets(self) -> list[list[str]]:
        """Return the rows of the table of TCP sockets on the network: proc(5), /proc/pid/net."""
        place = "self" if self._holder is None else self._holder.pid
        rows = []
        for name in ("tcp", "tcp6"):
            with contextlib.suppress(FileNotFoundError):  # no IPv6
                table = Path(f"/proc/{place}/net/{name}").read_text("ascii")
                rows += [line.split() for line in table.splitlines()[1:]]
        return rows

    def listening_ports(self) -> dict[int, str]:
        """Return the ports on which a process of the submission listens, each with the address."""
        if sys.platform != "linux":
            own = [one for process in self._family() for one in process.net_connections()]
            return {
                one.laddr.port: _reachable(one.laddr.ip)
                for one in own
                if one.status == psutil.CONN_LISTEN
            }
        rows = [fields for fields in self.sockets() if fields[3] == _LISTENING]
        if rows and self._holder is None:  # on the machine's network others listen too
            inodes = self._sockets_of_family()
            rows = [fields for fields in rows if fields[9] in inodes]
        return {port_of(fields[1]): _address(fields[1]) for fields in rows}

    def listener(self, port: int) -> int | None:
        """Return the process of this machine that listens on *port*, None if there is none."""
        try:
            found: list[tuple[int | None, Any]] = [
                (one.pid, one) for one in psutil.net_connections("tcp")
            ]
        except psutil.AccessDenied:  # macOS tells root alone of all at once
            found = [(pid, one) for pid in psutil.pids() for one in _connections_of(pid)]
        listening = [(pid, one) for pid, one in found if one.status == psutil.CONN_LISTEN]
        return next((pid for pid, one in listening if one.laddr.port == port), None)

    def connections(self, port: int) -> int:
        """Return how many connections there are to who listens on *port*."""
        return sum(
            port_of(fields[1]) == port and fields[3] == ESTABLISHED for fields in self.sockets()
        )

    def other_sockets(self) -> str:
        """Name what the submission listens on that is no TCP, nothing if there is none."""
        place = "self" if self._holder is None else self._holder.pid
        inodes = self._sockets_of_family()
        for kind, at in (("udp", 9), ("udp6", 9), ("unix", 6)):
            with contextlib.suppress(OSError):
                for row in Path(f"/proc/{place}/net/{kind}").read_text("utf-8").splitlines()[1:]:
                    fields = row.split()
                    if kind == "unix" and fields[at] in inodes and len(fields) > at + 1:
                        return _("a UNIX socket, {path}").format(path=fields[at + 1])
                    if kind != "unix" and fields[at] in inodes:
                        return _("a UDP socket on port {port}").format(port=port_of(fields[1]))
        return ""

    def _sockets_of_family(self) -> set[str]:
        """Return the inodes of all sockets that the submission's processes have open."""
        found = set()
        for process in self._family():
            with contextlib.suppress(OSError):
                for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        target = str(descriptor.readlink())
                        if target.startswith("socket:["):
                            found.add(target[8:-1])
        return found

    def reserve(self, port: int) -> None:
        """Wait until *port* of the machine is ours to use, and nobody listens on it.

        On a network of its own every port is free. Otherwise two submissions with the same fixed
        port take turns, and a port in TIME-WAIT is waited for; that is not counted as time of the
        submission. Raises `PortTakenError` when somebody else keeps the port.
        """
        if self.has_network:
            return
        started = time.monotonic()
        if self._reserved is None:
            path = Path(tempfile.gettempdir()) / f"grading-port-{port}.lock"
            self._reserved = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
            fcntl.flock(self._reserved, fcntl.LOCK_EX)
        while not _is_free(port):
            if time.monotonic() - started > _PORT_FREE or _answers(port):
                raise PortTakenError(
                    _("Port {port} is taken by another program on this machine.").format(port=port)
                )
            time.sleep(_LOOK_SECONDS)
        self._deadline += time.monotonic() - started

    def threads_of(self, pid: int) -> int:
        """Return how many threads run in process *pid* and in all that it has started."""
        return sum(map(_threads, _with_children(pid)))

    def is_running(self, pid: int) -> bool:
        """Tell whether a thread of *pid*, or of what it has started, is running just now."""
        return any(map(_is_running, _with_children(pid)))

    def end_all(self) -> None:
        """End every process that runs here, also those that have left their session."""
        # Clients first: then it is not the server's port that goes to TIME-WAIT (RFC 9293, 3.6.1).
        for terminal in reversed(self._terminals):
            terminal.close()
        self._terminals.clear()
        while left := self._processes():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            gone, _alive = psutil.wait_procs(left, timeout=1)
            if not gone:
                break

    def _family(self) -> list[psutil.Process]:
        """Return the processes of the submission, one that runs outside among them."""
        family = self._processes()
        if self.outsider is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                family.append(psutil.Process(self.outsider))
        return family

    def _processes(self) -> list[psutil.Process]:
        ours = self._before | ({self._holder.pid} if self._holder else set())
        found = psutil.Process().children(recursive=True)
        return [process for process in found if process.pid not in ours]

    def _adopt_orphans(self, *, wanted: bool) -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


class Patience:
    """How long something is still waited for: for a thread that looks again and again.

    It ends when the programs have stood still for its seconds, sooner when they wait for nothing
    but somebody to type, and also when they have spent time of the processor on something else.
    The time for which they wait for the processor does not count.
    """

    def __init__(self, sandbox: Sandbox, seconds: float) -> None:
        """Have patience with the programs in *sandbox* for *seconds*, from now on."""
        self._sandbox = sandbox
        self._seconds = seconds
        self._given = self._busy = 0.0
        self._last = self._cpu_at = time.monotonic()
        self._cpu: float | None = None
        self._before = self._printed = sandbox.bytes_printed()

    def is_over(self) -> bool:
        """Look at the programs; tell whether they have been given all the time there is."""
        now = time.monotonic()
        passed = min(now - self._last, _LATE_SECONDS)  # we may have slept ourselves
        printed = self._sandbox.bytes_printed()
        if self._sandbox.is_busy():
            if now - self._cpu_at >= _CPU_SECONDS:
                before, self._cpu = self._cpu, self._sandbox.cpu_seconds()
                used = 0.0 if before is None else max(0.0, self._cpu - before)
                self._busy += used
                self._given += used * max(1.0, self._seconds / _BUSY_SECONDS)
                self._cpu_at = now
        elif printed != self._printed:  # it was not nothing that happened
            self._printed = printed
        elif now - self._last < _LATE_SECONDS and self._sandbox.is_blocked():
            self._given += passed * max(1.0, self._seconds / _BLOCKED_SECONDS)
        else:
            self._given += passed
        self._last = now
        return self._given >= self._seconds

    @property
    def was_busy(self) -> bool:
        """Whether the programs were at work most of the time, or printed much."""
        worked = self._busy > min(self._seconds, _BUSY_SECONDS) / 2
        return worked or self._sandbox.bytes_printed() - self._before > _MUCH_PRINTED


def _allowed(kind: int, most: int) -> int:
    """Return *most*, or the limit *kind* of this process if that is less."""
    _soft, hard = resource.getrlimit(kind)
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def _connections_of(pid: int) -> list[Any]:
    try:
        return list(psutil.Process(pid).net_connections("tcp"))
    except psutil.Error:
        return []


def _with_children(pid: int) -> list[psutil.Process]:
    """Return process *pid* and all that it has started, nothing when it has ended."""
    try:
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def port_of(address: str) -> int:
    """Return the port of an *address* in the table of sockets."""
    return int(address.rpartition(":")[2], 16)


def _address(field: str) -> str:
    """Return where to connect to who listens on the *field* of the table of sockets."""
    number = field.partition(":")[0]
    if len(number) > 8:
        return "127.0.0.1" if number.endswith("0" * 8) or "FFFF" in number else "::1"
    return _reachable(socket.inet_ntoa(struct.pack("=I", int(number, 16))))


def _reachable(address: str) -> str:
    return "127.0.0.1" if address in ("0.0.0.0", "::") else address


def _is_free(port: int) -> bool:
    """Tell whether a server could listen on *port* that has not thought of SO_REUSEADDR."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _size(source: Path) -> int:
    if source.is_file():
        return source.stat().st_size
    return sum(path.stat().st_size for path in own_files(source))


def _foreign_names(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if is_foreign(Path(folder, name))]


def _waits_without_end(process: psutil.Process) -> bool:
    """Tell whether all threads of *process* are stopped or in system calls without a time limit."""
    try:
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            words = (thread / "syscall").read_text("ascii").split()
            if words[0] in ("running", "-1"):
                if process.status() != psutil.STATUS_STOPPED:
                    return False
                continue
            number = int(words[0])
            index, value = _TIMED.get(number, (0, None))
            if value is None:
                if number not in _ENDLESS:
                    return False
            elif (int(words[1 + index], 16) - value) & 0xFFFFFFFF:
                return False
    except (OSError, psutil.Error, ValueError, IndexError):
        return False
    return True


def _threads(process: psutil.Process) -> int:
    try:
        return int(process.num_threads())
    except psutil.Error:  # it has just ended
        return 0


def _is_running(process: psutil.Process) -> bool:
    """Tell whether a thread of *process* runs, is ready to, or waits for a disk: proc(5), stat."""
    folder = Path(f"/proc/{process.pid}/task")
    try:
        if not folder.is_dir():
            return bool(process.status() in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP))
        for thread in folder.iterdir():
            # The name, in parentheses, may hold anything; the state is the letter after it.
            state = (thread / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if state in (b"R", b"D"):
                return True
    except (OSError, psutil.Error, IndexError):  # it has just ended
        return False
    return False
