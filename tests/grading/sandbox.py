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
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from chat.app.i18n import gettext as _
from chat.lab.terminal import Terminal

_CONFINE = str(Path(__file__).with_name("confine.py"))
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_LOOK_SECONDS = 0.02  # the processes are not looked at more often than this
_COUNT_SECONDS = 0.2  # nor are they counted
_CALM_LOOKS = 3
_LISTENING = "0A"  # <linux/tcp_states.h>
_BIGGEST_COPY = 64 * 1024 * 1024  # bytes
_NOT_COPIED = (".git", ".venv", "venv", "node_modules", "__pycache__")


@dataclass(frozen=True)
class SandboxLimits:
    """What the programs of a submission may take."""

    seconds: float = 600.0
    """From the beginning of the grading to its end."""

    cpu_seconds: int = 60
    """Of processor time, for one process."""

    memory_mb: int = 1024
    """Of address space, for one process, in MiB."""

    processes: int = 100
    """And threads, all together."""

    output_mb: int = 4
    """That one program may print, in MiB; and as much in one file."""


class LimitError(Exception):
    """A submission has taken more than it may; the text is a sentence."""


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
    ) -> None:
        """Run copies of the programs in *folder*; of the files named by *copy* alone, if given.

        *env* are variables that they see besides those that all programs see.
        """
        self.limits = limits or SandboxLimits()
        self.small_buffers = False
        """Whether the sockets of the network hold little: then a full one is soon seen."""

        self.without: list[str] = []
        """What this system does not let us do: sentences for the teacher."""

        self._source = folder
        self._copy = copy
        self._extra = dict(env or {})
        self._place = Path()
        self._holder: subprocess.Popen[str] | None = None
        self._before: set[int] = set()
        self._terminals: list[Terminal] = []
        self._known: list[psutil.Process] = []
        self._counted = self._looked = 0.0
        self._busy = True
        self._calm_looks = 0
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
        if source.name in _NOT_COPIED:
            return 0
        files = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]
        size = sum(path.stat().st_size for path in files if not set(path.parts) & set(_NOT_COPIED))
        if size > most:
            raise SubmissionFilesError(
                _("{path} is too large to be copied; name what is needed under copy = […].").format(
                    path=source
                )
            )
        target = self.folder / source.name
        try:
            if source.is_dir():
                shutil.copytree(
                    source, target, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_COPIED)
                )
            else:
                shutil.copy2(source, target)
        except OSError as error:
            raise SubmissionFilesError(f"{source}: {error.strerror}") from error
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
        limits = self.limits
        command = [sys.executable, "-I", "-S", _CONFINE]
        if self._holder is not None:
            command += ["--network", str(self._holder.pid)]
        if os.getuid() != 0 and self._holder is not None:  # the namespace counts its own alone
            command += ["--processes", str(limits.processes)]
        command += ["--memory", str(limits.memory_mb << 20), "--cpu", str(limits.cpu_seconds)]
        command += ["--file-size", str(limits.output_mb << 20)]
        return [*command, "--", *argv]

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
        if self.without:  # it was tried before
            return
        sentence = _(
            "The submission's programs were not cut off from the network: {reason}. "
            "They were told to use 127.0.0.1 alone."
        )
        if sys.platform != "linux":
            self.without.append(sentence.format(reason=sys.platform))
            return
        holder = subprocess.Popen(
            [sys.executable, "-I", "-S", _CONFINE, "--hold"],
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
            self._known = self._processes()
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
        self._calm_looks = 0 if self._busy else self._calm_looks + 1
        self._looked = time.monotonic()
        return self._busy

    def begin_calm(self) -> None:
        """Forget how long nobody has been busy."""
        self._calm_looks = 0
        self._looked = self._counted = 0.0

    def is_calm(self) -> bool:
        """Tell whether nobody was busy at several looks in a row since `begin_calm`."""
        return not self.is_busy() and self._calm_looks >= _CALM_LOOKS

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

    def listening_ports(self) -> set[int]:
        """Return the ports on which somebody listens on the network."""
        if sys.platform != "linux":
            own = [one for process in self._processes() for one in process.net_connections()]
            return {one.laddr.port for one in own if one.status == psutil.CONN_LISTEN}
        return {port_of(fields[1]) for fields in self.sockets() if fields[3] == _LISTENING}

    def threads_of(self, pid: int) -> int:
        """Return how many threads run in process *pid* and in all that it has started."""
        try:
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        return sum(map(_threads, family))

    def is_running(self, pid: int) -> bool:
        """Tell whether a thread of *pid*, or of what it has started, is running just now."""
        try:
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return False
        return any(map(_is_running, family))

    def end_all(self) -> None:
        """End every process that runs here, also those that have left their session."""
        for terminal in self._terminals:  # they wait for the end of what they have started
            terminal.close()
        self._terminals.clear()
        while left := self._processes():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            gone, _alive = psutil.wait_procs(left, timeout=1)
            if not gone:
                break

    def _processes(self) -> list[psutil.Process]:
        ours = self._before | ({self._holder.pid} if self._holder else set())
        found = psutil.Process().children(recursive=True)
        return [process for process in found if process.pid not in ours]

    def _adopt_orphans(self, *, wanted: bool) -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def port_of(address: str) -> int:
    """Return the port of an *address* in the table of sockets."""
    return int(address.rpartition(":")[2], 16)


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
