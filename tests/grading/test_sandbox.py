"""What a submission's programs cannot do: each of these tries it."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from chat.lab.terminal import Terminal, wait_for_all

from .sandbox import LimitError, PortTakenError, Sandbox, SandboxLimits, SubmissionFilesError

PATIENCE = 20.0


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "notes.txt").write_text("a file of the submission")
    limits = SandboxLimits(processes=20, output_mb=1)
    with Sandbox(tmp_path / "submission", limits=limits) as sandbox:
        sandbox.renew()
        yield sandbox


@pytest.fixture
def run(sandbox: Sandbox) -> Callable[[str], Terminal]:
    """Run Python code in the sandbox."""

    def start(code: str) -> Terminal:
        return sandbox.terminal([sys.executable, "-c", code], "program", 100, 24)

    return start


def test_the_environment_is_its_own(
    run: Callable[[str], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHERS_TOKEN", "swordfish")
    program = run(
        "import os; print(*sorted(os.environ)); print('HOME is', os.path.expanduser('~'))"
    )
    program.wait_for("HOME is", PATIENCE)
    assert "TEACHERS_TOKEN" not in program.text
    assert str(Path.home()) not in program.text.split("HOME is")[1].split()


def test_the_files_are_a_copy(
    run: Callable[[str], Terminal], sandbox: Sandbox, tmp_path: Path
) -> None:
    program = run("open('notes.txt', 'a').write('!'); print(open('notes.txt').read())")
    program.wait_for("a file of the submission!", PATIENCE)
    assert (tmp_path / "submission" / "notes.txt").read_text() == "a file of the submission"
    sandbox.renew()
    assert (sandbox.folder / "notes.txt").read_text() == "a file of the submission"


def test_there_is_no_network_but_its_own(run: Callable[[str], Terminal], sandbox: Sandbox) -> None:
    if not sandbox.has_network:
        assert sandbox.without, "the teacher is told"
        pytest.skip("; ".join(sandbox.without))
    # 192.0.2.1 is nobody's address (RFC 5737)
    program = run("import socket; socket.create_connection(('192.0.2.1', 80), 5)")
    program.wait_for("Network is unreachable", PATIENCE)
    program = run(
        "import socket; s = socket.create_server(('127.0.0.1', 9100));"
        "c = socket.create_connection(('127.0.0.1', 9100)); print('lo is up')"
    )
    program.wait_for("lo is up", PATIENCE)


def test_memory_has_a_limit(run: Callable[[str], Terminal]) -> None:
    program = run("x = bytearray(1 << 31)")
    program.wait_for("MemoryError", PATIENCE)


def test_a_file_has_a_limit(run: Callable[[str], Terminal], sandbox: Sandbox) -> None:
    program = run("f = open('big', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()")
    program.wait_until_exit(PATIENCE)
    assert (sandbox.folder / "big").stat().st_size == 1 << 20


def test_output_has_a_limit(run: Callable[[str], Terminal]) -> None:
    program = run("while True: print('x' * 70)")
    program.wait_until(lambda terminal: terminal.is_too_loud, "the end", 3 * PATIENCE)
    assert program.wait_until_exit(PATIENCE) < 0


def test_processes_and_threads_have_a_limit(
    run: Callable[[str], Terminal], sandbox: Sandbox
) -> None:
    program = run(
        "import threading\n"
        "for n in range(30):\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "input()"
    )

    def look(_terminal: Terminal) -> bool:
        sandbox.is_busy()
        return False

    with pytest.raises(LimitError, match="31"):
        program.wait_until(look, "the end", PATIENCE)
    assert not program.is_alive


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    """Where a daemon writes its number; check that it has gone when the sandbox has."""
    path = tmp_path / "pid"
    yield path
    assert not psutil.pid_exists(int(path.read_text()))


def test_nothing_outlives_it(
    pid_file: Path, tmp_path: Path, run: Callable[[str], Terminal]
) -> None:
    # As a daemon does: two forks and a session of its own, no parent, no terminal.
    program = run(
        "import os, signal\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "    if os.fork() == 0:\n"
        f"        open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        "        signal.pause()\n"
        "    os._exit(0)\n"
        "os.wait(); print('daemon is away')\n"
    )
    program.wait_for("daemon is away", PATIENCE)
    program.wait_until(
        lambda _terminal: pid_file.exists() and bool(pid_file.read_text()), "it", PATIENCE
    )
    pid = int(pid_file.read_text())
    assert psutil.pid_exists(pid)
    with Sandbox(tmp_path) as other:  # it is not in the way of another
        assert other.time_left() > 0
    assert psutil.pid_exists(pid)


def test_signals_do_what_they_do_by_default(
    run: Callable[[str], Terminal], sandbox: Sandbox
) -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in IGNORED}
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        program = run(
            "import signal\n"
            "print([n for n in signal.Signals if signal.getsignal(n) is signal.SIG_IGN])\n"
            "print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))\n"
            "input('ready')\n"
        )
        program.wait_for("ready", PATIENCE)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "set()" in program.text
    assert "SIGINT" not in program.text
    assert wait_for_all(sandbox.is_calm, PATIENCE)  # it has begun to wait for a line
    program.interrupt()
    program.wait_until_exit(PATIENCE)


IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def test_who_listens_is_told_from_who_does_not_belong_to_it(tmp_path: Path) -> None:
    with (
        Sandbox(tmp_path, own_network=False) as sandbox,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        sandbox.renew()
        port = other.getsockname()[1]
        program = sandbox.terminal(
            [sys.executable, "-c", LISTEN.format(port=0)], "program", 100, 24
        )
        program.wait_for("listening", PATIENCE)
        ports = sandbox.listening_ports()
        assert port not in ports
        assert list(ports.values()) == ["127.0.0.1"]


LISTEN = "import socket\ns = socket.create_server(('127.0.0.1', {port}))\ninput('listening')"


def test_submissions_with_the_same_fixed_port_take_turns(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with Sandbox(tmp_path, own_network=False) as sandbox:
            sandbox.renew()
            with pytest.raises(PortTakenError, match=str(port)):
                sandbox.reserve(port)
    second = (
        "import sys\nfrom pathlib import Path\nfrom tests.grading.sandbox import Sandbox\n"
        "with Sandbox(Path(sys.argv[1]), own_network=False) as sandbox:\n"
        "    sandbox.renew()\n"
        "    input()\n"
        "    print('started', flush=True)\n"
        "    sandbox.reserve(int(sys.argv[2]))\n"
        "    print('reserved', flush=True)\n"
    )
    with (
        subprocess.Popen(
            [sys.executable, "-c", second, str(tmp_path), str(port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
        Sandbox(tmp_path, own_network=False) as sandbox,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        sandbox.renew()
        sandbox.reserve(port)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "started\n"
        assert not select.select([process.stdout], [], [], 0.3)[0]
        sandbox.clear()
        assert process.stdout.readline() == "reserved\n"


ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not Path("/proc/self/syscall").exists(), reason="the system does not tell")
def test_what_waits_for_nothing_but_a_person_is_told_from_what_waits_for_a_time(
    run: Callable[[str], Terminal], sandbox: Sandbox
) -> None:
    program = run("input('ask')")
    program.wait_for("ask", PATIENCE)
    assert wait_for_all(sandbox.is_blocked, PATIENCE)
    program.close()
    sandbox.begin_calm()
    program = run("import time\nprint('sleep')\ntime.sleep(1000)")
    program.wait_for("sleep", PATIENCE)
    assert wait_for_all(sandbox.is_calm, PATIENCE)
    assert not sandbox.is_blocked()
    program.close()
    sandbox.begin_calm()
    program = run("print('x' * 100_000)")  # more than a terminal holds that nobody reads
    writes = {"1", "64"}  # x86_64, aarch64
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{program.pid}/syscall").read_text("ascii").split()[0] not in writes:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not sandbox.is_blocked()


def test_what_is_no_tcp_is_named(run: Callable[[str], Terminal], sandbox: Sandbox) -> None:
    program = run(
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 5005)); input('up')"
    )
    program.wait_for("up", PATIENCE)
    assert "UDP" in sandbox.other_sockets()
    assert "5005" in sandbox.other_sockets()
    program.close()
    program = run(
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('chat.sock'); s.listen();"
        "input('up')"
    )
    program.wait_for("up", PATIENCE)
    assert "chat.sock" in sandbox.other_sockets()


def test_too_much_to_copy_is_said(tmp_path: Path) -> None:
    with (tmp_path / "film.mp4").open("wb") as file:
        file.truncate(1 << 30)
    with Sandbox(tmp_path) as sandbox, pytest.raises(SubmissionFilesError, match=r"film\.mp4"):
        sandbox.renew()


def test_only_what_is_named_is_copied(tmp_path: Path) -> None:
    for name in ("code", "private"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    with Sandbox(tmp_path, copy=["code"]) as sandbox:
        sandbox.renew()
        assert os.listdir(sandbox.folder) == ["code"]  # noqa: PTH208


def test_who_waits_for_us_to_read_is_not_calm(
    run: Callable[[str], Terminal], sandbox: Sandbox
) -> None:
    program = run("print('x' * 100_000)\ninput('done')")
    sandbox.wait_until_calm()
    assert "done" in program.text
