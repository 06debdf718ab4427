"""A real network, cut in mid-conversation: two network namespaces joined by a virtual cable.

Unlike a proxy that stops passing bytes on, nobody here acknowledges anything any more.
"""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from chat.lab.faults import ServerProcess
from tests.wire import PATIENCE, Wire

HERE, THERE = "203.0.113.1", "203.0.113.2"
"""Addresses that are nobody's (RFC 5737)."""

# Enters the chat, says so, and then reads without ever saying anything again of its own accord.
FAR_USER = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
with socket.create_connection((host, port), timeout=10) as sock:
    sock.sendall(b'{"type":"register","nick":"Far"}\\n')
    for line in sock.makefile("rb"):
        if b'"welcome"' in line:
            print("in", flush=True)
        if b'"ping"' in line:
            sock.sendall(b'{"type":"pong"}\\n')
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=PATIENCE)


@contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """Yield the name of another network namespace, and that of the cable's end on our side."""
    if shutil.which("ip") is None:
        pytest.skip("there is no ip here; in Debian and Ubuntu: apt install iproute2")
    mark = secrets.token_hex(3)
    space, near, far = f"chat-{mark}", f"near{mark}", f"far{mark}"
    with ExitStack() as stack:
        try:
            ip("netns", "add", space)
            stack.callback(ip, "netns", "delete", space)
            ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", space)
            stack.callback(ip, "link", "delete", near)
            ip("addr", "add", f"{HERE}/30", "dev", near)
            ip("link", "set", near, "up")
            ip("-n", space, "addr", "add", f"{THERE}/30", "dev", far)
            ip("-n", space, "link", "set", far, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        yield space, near


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may lay a cable"
)
@pytest.mark.parametrize("talking", [False, True], ids=["in silence", "in mid-conversation"])
def test_a_network_that_is_cut_is_noticed_in_time(talking: bool) -> None:
    silence, answer = 1.0, 1.0
    limits = ["--ping-after", str(silence), "--answer-timeout", str(answer), "--rate", "0"]
    with (
        cable() as (space, near),
        ServerProcess("--host", HERE, *limits) as server,
        Wire(server.address, "Аня") as anya,
    ):
        command = ["ip", "netns", "exec", space, sys.executable, "-c", FAR_USER]
        far = subprocess.Popen(
            [*command, *map(str, server.address)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            assert far.stdout is not None
            assert far.stdout.readline() == b"in\n"
            anya.expect("joined", nick="Far")
            ip("link", "set", near, "down")
            start = time.monotonic()
            reason = _watch(anya, talking=talking, seconds=PATIENCE)
            took = time.monotonic() - start
        finally:
            far.kill()
            far.communicate()
        # Silent: asked after a second, given up a second later. With bytes on the way TCP itself
        # gives up after as long (TCP_USER_TIMEOUT, RFC 5482).
        assert reason in ("timeout", "lost")
        assert took < silence + answer + 2


def _watch(anya: Wire, *, talking: bool, seconds: float) -> str:
    """Return why Far has left; *talking*: say something every now and then meanwhile."""
    deadline = time.monotonic() + seconds
    anya.socket.settimeout(0.2)
    while time.monotonic() < deadline:
        if talking:
            anya.send({"type": "message", "text": "ты там?"})
        try:
            message = anya.next()
        except TimeoutError:
            continue
        if message["type"] == "ping":
            anya.send({"type": "pong"})
        if message["type"] == "left":
            return str(message["reason"])
    raise AssertionError("nobody has noticed")
