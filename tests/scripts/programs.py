"""The real programs as processes: started, read line by line with a deadline, always ended."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import chat
from chat.lab.terminal import clean_environment, with_default_signals
from tests.wire import PATIENCE

ROOT = Path(chat.__file__).resolve().parents[1]

SERVER = ("-m", "chat.server", "--port", "0")
CLIENT = ("-m", "chat.client")


class Program:
    """A Python program with pipes for its input and output. A context manager that ends it."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        self._process = subprocess.Popen(
            with_default_signals([python, *arguments]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=clean_environment() | dict(env or {}),
            process_group=0,
        )
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def complaint_line(self) -> str:
        """Return the first line of its complaints."""
        assert self._process.stderr is not None
        readable, _, _ = select.select([self._process.stderr], [], [], PATIENCE)
        assert readable, f"no complaint in {PATIENCE} s"
        return self._process.stderr.readline().decode()

    def line(self) -> str:
        """Return the next line of its output, without the line feed."""
        deadline = time.monotonic() + PATIENCE
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            readable, _, _ = select.select(
                [descriptor], [], [], max(0, deadline - time.monotonic())
            )
            assert readable, f"no line in {PATIENCE} s, only {self._rest!r}"
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise EOFError(self._rest.decode() + self.complaint())
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def wait_for(self, text: str) -> str:
        """Read lines up to the first with *text* in it, and return it."""
        while text not in (line := self.line()):
            pass
        return line

    def address(self) -> tuple[str, int]:
        """Return the address at the end of a server's first line."""
        host, _, port = self.line().rpartition(" ")[2].rpartition(":")
        return host, int(port)

    def type(self, text: str) -> None:
        self.type_raw(text.encode())

    def type_raw(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def end_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.stdin = None

    def stop_reading(self) -> None:
        """Close our end of its output: who writes on gets EPIPE."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.stdout = None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def complaint(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read().decode()

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; return its status, the rest of its output, and its complaints.

        Its input stays open until then: an end of input would be a reason of its own to leave.
        """
        stdin, self._process.stdin = self._process.stdin, None
        try:
            output, complaint = self._process.communicate(timeout=PATIENCE)
        finally:
            if stdin is not None:
                stdin.close()
        return (
            self._process.returncode,
            (self._rest + (output or b"")).decode(),
            complaint.decode(),
        )


def run(
    *arguments: str,
    input: bytes = b"",
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """Run a program with that *input* to its end; return status, output and complaints."""
    with Program(*arguments, cwd=cwd, env=env) as program:
        program.type_raw(input)
        program.end_input()
        return program.end()
