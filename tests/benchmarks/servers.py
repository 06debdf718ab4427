"""The servers that are compared, each a process of its own on a core of its own.

A server is started for one measurement and ended after it, so that none inherits anything. What
cannot be had on this machine is skipped by name.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from chat.app.i18n import gettext as _
from chat.core.timing import Deadline

LOOPBACK = "127.0.0.1"
START_TIMEOUT = 10.0
"""Seconds that a server has to listen."""

END_TIMEOUT = 5.0
"""Seconds that a server has to end when it is told to, before it is killed."""

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).with_name("peers")

Command = Callable[[Path, int, int], Sequence[str]]
"""The command that starts a server, from a folder, a free port and the number of clients."""


class ServerError(Exception):
    """A server does not start; the text says why."""


@dataclass(frozen=True)
class Peer:
    """A server that can be measured on this machine."""

    name: str
    protocol: str
    command: Command
    version: str
    at_once: int = 250
    """Clients that may connect at the same moment: what its backlog holds."""

    says_address: bool = True
    """Whether the first line of its output ends in HOST:PORT; else it listens where it is told."""


@dataclass(frozen=True)
class Running:
    """A server that is listening."""

    address: tuple[str, int]
    pid: int


def titles() -> dict[str, str]:
    """Return what a reader calls each server, by its name here; in the order of the tables."""
    return {
        "chat": _("this chat"),
        "chat-durable": _("this chat, durable history"),
        "naive": _("naive: a list and a lock"),
        "streams": _("asyncio, a write per message"),
        "coalescing": _("asyncio, in batches"),
        "websocket": "websockets",
        "ngircd": "ngIRCd",
        "inspircd": "InspIRCd",
        "relay": _("C relay, in batches"),
        "relay-each": _("C relay, a send per delivery"),
    }


def find(folder: Path) -> tuple[dict[str, Peer], dict[str, str]]:
    """Return the peers that there are, and why the others are skipped; compile into *folder*."""
    python = sys.version.split()[0]
    chat = f"{_own_version()}, Python {python}"
    peers = [
        Peer("chat", "chat", _chat, chat),
        Peer("chat-durable", "chat", _durable_chat, chat),
        Peer("naive", "lines", _module("naive"), f"Python {python}"),
        Peer("streams", "chat", _module("streams"), f"Python {python}"),
        Peer("coalescing", "chat", _module("coalescing"), f"Python {python}"),
        Peer("websocket", "websocket", _module("websocket"), version("websockets")),
    ]
    skipped = {}
    # ngIRCd asks for a backlog of 10; InspIRCd lets in once a second all who wait.
    for name, command, at_once in (("ngircd", _ngircd, 10), ("inspircd", _inspircd, 250)):
        if program := _program(name):
            peers.append(Peer(name, "irc", command, _version_of(program), at_once, False))
        else:
            skipped[name] = _("not installed: apt install {package}").format(package=name)
    if compiler := shutil.which("cc"):
        relay = folder / "relay"
        build = [compiler, "-O2", "-o", str(relay), str(PEERS / "relay.c")]
        subprocess.run(build, check=True, timeout=60)
        built = f"{Path(compiler).name} {_version_of(compiler)}"
        peers.append(Peer("relay", "lines", _program_at(relay), built))
        peers.append(Peer("relay-each", "lines", _program_at(relay, "each"), built))
    else:
        skipped |= dict.fromkeys(("relay", "relay-each"), _("no C compiler: apt install gcc"))
    return {peer.name: peer for peer in peers}, skipped


@contextlib.contextmanager
def running(
    peer: Peer, folder: Path, *, clients: int, core: int | None = None
) -> Iterator[Running]:
    """Run *peer*, for up to *clients*, on *core* while the block lasts; its files go to *folder*.

    Raises `ServerError`.
    """
    deadline = Deadline(START_TIMEOUT)
    port = 0 if peer.says_address else _free_port()
    log = folder / f"{peer.name}.log"
    with log.open("wb") as output, on_core(core):
        process = subprocess.Popen(
            peer.command(folder, port, clients),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        while not (address := _address(peer, port, log)):
            if process.poll() is not None:
                raise ServerError(f"{peer.name}: {_last_line(log)}")
            with contextlib.suppress(TimeoutError):
                deadline.remaining()
                time.sleep(0.005)
                continue
            raise ServerError(f"{peer.name} does not listen: {_last_line(log)}")
        yield Running(address, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Start processes on *core* while the block lasts: they inherit it from this thread."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _own_version() -> str:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return str(settings["project"]["version"])


def cores() -> tuple[int, int] | tuple[None, None]:
    """Return a core for the server and one for the load, two Nones where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


# --- how each is started -------------------------------------------------------------------------


def _chat(_folder: Path, port: int, clients: int) -> Sequence[str]:
    """Default settings, but no limit of rate, and room for all who come."""
    command = [sys.executable, "-m", "chat.server", "--port", str(port), "--rate", "0"]
    return [*command, "--max-clients", str(clients)]


def _durable_chat(folder: Path, port: int, clients: int) -> Sequence[str]:
    history = folder / "history.sqlite"
    for path in folder.glob("history.sqlite*"):
        path.unlink()
    return [*_chat(folder, port, clients), "--history", str(history)]


def _module(name: str) -> Command:
    return lambda _folder, _port, _clients: [sys.executable, "-m", f"tests.benchmarks.peers.{name}"]


def _program_at(path: Path, *arguments: str) -> Command:
    return lambda _folder, _port, _clients: [str(path), *arguments]


def _ngircd(folder: Path, port: int, clients: int) -> Sequence[str]:
    """No penalties for many messages, as many connections from one address as come."""
    config = folder / "ngircd.conf"
    config.write_text(
        f"""[Global]
Name = irc.example.net
Info = benchmark
Listen = {LOOPBACK}
Ports = {port}
MotdPhrase = benchmark
[Limits]
MaxConnections = {clients + 10}
MaxConnectionsIP = 0
MaxPenaltyTime = 0
PingTimeout = 600
[Options]
DNS = no
Ident = no
PAM = no
SyslogFacility = local1
"""
    )
    return [str(_program("ngircd")), "--nodaemon", "--config", str(config)]


def _inspircd(folder: Path, port: int, clients: int) -> Sequence[str]:
    """No fake lag and no limit of commands; send queues as the manual's example has them."""
    config = folder / "inspircd.conf"
    config.write_text(
        f"""<server name="irc.example.net" description="benchmark" network="benchmark" id="0AA">
<admin name="benchmark" nick="benchmark" email="benchmark@example.net">
<bind address="{LOOPBACK}" port="{port}" type="clients">
<connect name="everybody" allow="*" timeout="60" pingfreq="600" threshold="1000000000"
  commandrate="1000000000" fakelag="no" recvq="1M" softsendq="1M" hardsendq="1M"
  localmax="{clients + 10}" globalmax="{clients + 10}" limit="{clients + 10}"
  resolvehostnames="no" useident="no" maxconnwarn="no" maxchans="10">
<performance netbuffersize="65534" somaxconn="1024" softlimit="{clients + 10}"
  quietbursts="yes" timeskipwarn="0">
<limits maxnick="32">
<log method="file" type="* -USERINPUT -USEROUTPUT" level="default" target="{folder}/inspircd.txt">
<pid file="{folder}/inspircd.pid">
"""
    )
    command = [str(_program("inspircd")), "--nofork", f"--config={config}"]
    return [*command, "--runasroot"] if os.geteuid() == 0 else command


def _program(name: str) -> str | None:
    """Return the path of a program; those of Debian's servers are not on everybody's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def _version_of(program: str) -> str:
    shown = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    lines = (shown.stdout + shown.stderr).strip().splitlines()
    found = re.search(r"\d+(\.\d+)+", lines[0]) if lines else None
    return found[0] if found else ""


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as sock:
        return int(sock.getsockname()[1])


def _address(peer: Peer, port: int, log: Path) -> tuple[str, int] | None:
    """Return where *peer* listens, None as long as it does not."""
    if peer.says_address:
        first, end, _rest = log.read_text(errors="replace").partition("\n")
        host, _colon, number = first.split(" ")[-1].rpartition(":")
        return (host, int(number)) if end and number.isdigit() else None
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return None
    return LOOPBACK, port


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
