"""A Redis of one's own, for an experiment: a process that can be killed and started again."""

import shutil
import socket
import subprocess
import tempfile
from typing import Self

import redis

from chat.core.timing import Deadline
from chat.lab.background import LOOPBACK
from chat.lab.waiting import TIMEOUT

HOW_TO_GET_IT = "there is no redis-server here; in Debian and Ubuntu: apt install redis-server"

ATTEMPTS = 20
"""Ports to try: between looking for a free one and Redis' taking it, another may have it."""


def available() -> bool:
    """Tell whether there is a ``redis-server``."""
    return shutil.which("redis-server") is not None


class RedisProcess:
    """A ``redis-server`` with a folder of its own; a context manager.

    It keeps what it was told as safely as it can: ``appendonly``, and ``fsync`` before each answer.
    """

    def __init__(self) -> None:
        """Prepare it."""
        self._folder = tempfile.TemporaryDirectory(prefix="chat-redis-")
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End it, and remove what it kept."""
        self.kill()
        self._folder.cleanup()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: the same after every start."""
        return LOOPBACK, self._port

    @property
    def url(self) -> str:
        """What ``--backplane`` wants."""
        return url(self.address)

    def start(self) -> None:
        """Start it and wait until it answers. Raises `RuntimeError`, `TimeoutError`."""
        if self._port:
            self._start(self._port)
            return
        for _attempt in range(ATTEMPTS):
            with socket.create_server((LOOPBACK, 0)) as probe:
                port = probe.getsockname()[1]
            try:
                self._start(port)
            except RuntimeError:  # somebody else was faster
                continue
            self._port = port
            return
        raise RuntimeError("redis-server does not start")

    def _start(self, port: int) -> None:
        settings = {
            "port": str(port),
            "bind": LOOPBACK,
            "dir": self._folder.name,
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
        }
        options = [word for key, value in settings.items() for word in (f"--{key}", value)]
        self._process = subprocess.Popen(
            ["redis-server", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = Deadline(TIMEOUT)
        with redis.Redis(LOOPBACK, port) as client:
            while True:
                try:
                    if client.config_get("dir")["dir"] == self._folder.name:
                        return
                except redis.RedisError:
                    pass
                try:
                    self._process.wait(min(0.02, deadline.remaining()))
                except subprocess.TimeoutExpired:
                    continue
                self._process = None
                raise RuntimeError(f"redis-server has ended; is port {port} taken?")

    def forget_everything(self) -> None:
        """Remove what it has kept, while it is not running."""
        self._folder.cleanup()
        self._folder = tempfile.TemporaryDirectory(prefix="chat-redis-")

    def kill(self) -> None:
        """End it at once: SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def url(address: tuple[str, int]) -> str:
    """Return what ``--backplane`` wants for a Redis at *address*, or a wiretap before it."""
    host, port = address
    return f"redis://{host}:{port}/0"
