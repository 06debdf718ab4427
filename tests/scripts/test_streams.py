"""Every end of a stream: output that is full, closed or gone, a terminal that stands still."""

import os
import pty
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from chat.app import certificate
from chat.core.server import ChatServer
from chat.lab.terminal import Terminal, clean_environment
from chat.promises.tls import client_context
from tests.scripts.programs import CLIENT, ROOT, SERVER, Program
from tests.scripts.test_client_script import options
from tests.wire import PATIENCE, Wire, eventually

Dial = Callable[..., Wire]

CONTROLLING = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes standard input the terminal of the session, so that its end sends SIGHUP."""


@contextmanager
def in_a_lost_terminal(
    *command: str, hangup: bool
) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Run *command* in a terminal that is taken away when three lines were printed there.

    With *hangup* SIGHUP tells of it; without, only reading and writing do. Yields what was printed.
    """
    ours, theirs = pty.openpty()
    program = [sys.executable, *command]
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLING, *program] if hangup else program,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=clean_environment(),
        start_new_session=True,
    )
    try:
        os.close(theirs)
        shown = b""
        while shown.count(b"\n") < 3:
            shown += os.read(ours, 65536)
        os.close(ours)
        yield process, shown.decode()
    finally:
        process.kill()
        process.wait()


def redirected(line: str, *command: str) -> tuple[int, str]:
    """Run *command* with the shell's redirection *line*; return its status and complaints."""
    done = subprocess.run(
        ["sh", "-c", f'"$@" {line}', "sh", sys.executable, *command],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


# A full disk


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (">/dev/full", "Вывод больше не пишется: на диске нет места.\n"),
        (">&-", ""),
        ("<&- >&-", ""),
        ("<&-", ""),
    ],
)
def test_a_server_that_cannot_write_goes_on_and_says_so_once(line: str, said: str) -> None:
    command = ["sh", "-c", f'exec "$@" {line}', "sh", sys.executable, *SERVER]
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        eventually(lambda: listening(server.pid))
        with Wire(("127.0.0.1", listening(server.pid)), "Аня") as anya:
            anya.say("слышно?")
        server.send_signal(signal.SIGTERM)
        _output, complaint = server.communicate(timeout=PATIENCE)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 0
    assert complaint == said


def listening(pid: int) -> int:
    """Return the port on which the process listens, 0 if it does not yet."""
    ends = psutil.Process(pid).net_connections()
    return next((end.laddr.port for end in ends if end.status == psutil.CONN_LISTEN), 0)


@pytest.mark.parametrize("program", [CLIENT, SERVER, ("-m", "chat.app.certificate")])
@pytest.mark.parametrize("line", [">/dev/full", "| true", "2>&- >&-"])
def test_help_ends_in_order_wherever_it_goes(program: tuple[str, ...], line: str) -> None:
    _status, complaint = redirected(line, *program, "--help")
    assert "Traceback" not in complaint
    assert "Exception" not in complaint


@pytest.mark.parametrize("line", ["2>/dev/full", ">/dev/full 2>&1", ">&- 2>&-"])
@pytest.mark.parametrize(
    ("command", "expected"),
    [((*CLIENT, "--port", "x"), 2), ((*CLIENT, "--tls-ca", "/no"), 1), (("-m", "chat"), 2)],
    ids=["usage", "file", "package"],
)
def test_a_complaint_that_cannot_be_written_keeps_its_status(
    command: tuple[str, ...], expected: int, line: str
) -> None:
    status, complaint = redirected(line, *command)
    assert (status, complaint) == (expected, "")


def test_a_client_with_a_full_output_goes_on(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    command = ["sh", "-c", 'printf "привет\\n" | "$@" >/dev/full', "sh", sys.executable]
    done = subprocess.run(
        [*command, *CLIENT, *options(server)],
        cwd=ROOT,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "Вывод больше не пишется: на диске нет места.\n")
    anya.skip_to("message", text="привет")


# A terminal that is gone, or stands still


def test_a_server_whose_terminal_is_gone_goes_on_without_it() -> None:
    with in_a_lost_terminal(*SERVER, hangup=False) as (server, shown):
        address = ("127.0.0.1", int(shown.split("\r\n")[0].rpartition(":")[2]))
        with Wire(address, "Аня") as anya, Wire(address, "Боря") as borya:
            anya.expect("joined")
            anya.say("слышно?")
            borya.skip_to("message", text="слышно?")
            anya.say("и теперь?")
            borya.skip_to("message", text="и теперь?")
        server.terminate()
        assert server.wait(PATIENCE) == 0


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_server_whose_terminal_hangs_up_says_goodbye(tmp_path: Path, encrypted: bool) -> None:
    cert, key = certificate.write_pair(tmp_path, certificate.LOCAL_NAMES)
    tls = ("--tls-cert", str(cert), "--tls-key", str(key)) if encrypted else ()
    with in_a_lost_terminal(*SERVER, *tls, hangup=True) as (server, _shown):
        assert server.wait(PATIENCE) == 0


@pytest.mark.parametrize("hangup", [True, False])
def test_a_plain_client_whose_terminal_is_gone_leaves(
    server: ChatServer, dial: Dial, hangup: bool
) -> None:
    borya = dial(server, "Боря")
    command = (*CLIENT, "--plain", *options(server, "Аня"))
    with in_a_lost_terminal(*command, hangup=hangup) as (client, _shown):
        borya.expect("joined", nick="Аня")
        assert client.wait(PATIENCE) == 0
        borya.expect("left", nick="Аня", reason="quit")


def test_a_terminal_that_stands_still_keeps_no_server_alive() -> None:
    command = [sys.executable, *SERVER, "--show-text", "--rate", "0"]
    with Terminal(command, title="Сервер", cwd=ROOT) as server:
        port = int(server.wait_for(re.compile(r"127\.0\.0\.1:(\d+)"))[1])
        server.wait_for("Ctrl-C")
        server.type("\x13")  # Ctrl-S
        with Wire(("127.0.0.1", port), "Аня") as anya:
            for number in range(300):
                anya.say("x" * 1000, number=number + 1)
        os.kill(server.pid, signal.SIGTERM)
        assert server.wait_until_exit() == 0


# A signal while the program starts


@pytest.mark.parametrize("program", [CLIENT, SERVER])
def test_ctrl_c_before_the_program_is_ready_ends_it_without_a_traceback(
    program: tuple[str, ...],
) -> None:
    with Program("-X", "importtime", *program) as process:
        while "socket" not in process.complaint_line():
            pass
        process.signal(signal.SIGINT)
        status, _output, complaint = process.end()
    assert status in (-signal.SIGINT, 0)
    assert "Traceback" not in complaint


# SIGHUP


def test_a_hangup_is_a_goodbye() -> None:
    with Program(*SERVER) as server, Wire(server.address(), "Аня") as anya:
        server.signal(signal.SIGHUP)
        anya.expect("shutdown", reason="stopped")
        anya.close()
        status, output, complaint = server.end()
    assert (status, complaint) == (0, "")
    assert output.endswith("Сервер остановлен\n")


def test_a_hangup_ends_a_client_in_a_pipe(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    with Program(*CLIENT, *options(server)) as client:
        client.wait_for("/help")
        client.signal(signal.SIGHUP)
        assert client.end()[0] == 0
    anya.skip_to("left", reason="quit")


def test_nohup_is_respected() -> None:
    with Program("-c", IGNORING, *SERVER) as server:
        address = server.address()
        server.signal(signal.SIGHUP)
        with Wire(address, "Аня") as anya:
            anya.say("ещё здесь")
        server.signal(signal.SIGTERM)
        assert server.end()[0] == 0


IGNORING = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_hangup_renews_the_certificate_for_new_connections(tmp_path: Path) -> None:
    cert, key = certificate.write_pair(tmp_path, certificate.LOCAL_NAMES)
    first = cert.read_bytes()
    tls = ("--tls-cert", str(cert), "--tls-key", str(key))
    with Program(*SERVER, *tls) as server:
        address = server.address()
        assert shown_certificate(address, cert) in first.decode()
        certificate.write_pair(tmp_path, certificate.LOCAL_NAMES, replace=True)
        server.signal(signal.SIGHUP)
        server.wait_for("Сертификат прочитан заново")
        assert shown_certificate(address, cert) in cert.read_text()
        key.write_text("no key")
        server.signal(signal.SIGHUP)
        assert "holds no private key" not in server.wait_for("Сертификат остался прежним")
        assert shown_certificate(address, cert) in cert.read_text()
        server.signal(signal.SIGTERM)
        assert server.end()[0] == 0


def shown_certificate(address: tuple[str, int], ca: Path) -> str:
    """Return in PEM what the server at *address* shows, and *ca* vouches for."""
    with Wire(address) as wire:
        wire.socket.settimeout(PATIENCE)
        context = client_context(ca)
        with context.wrap_socket(wire.socket, server_hostname="localhost") as encrypted:
            shown = encrypted.getpeercert(binary_form=True)
    assert shown is not None
    return ssl.DER_cert_to_PEM_cert(shown)
