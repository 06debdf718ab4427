"""The scripts run on every Python from 3.11 on, bare: whichever are here besides the tests' own."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scripts.programs import CLIENT, SERVER, Program

VERSIONS = [f"3.{minor}" for minor in range(11, 16) if minor != sys.version_info.minor]


def candidates(version: str) -> Iterator[str]:
    """Yield commands that may be a Python of *version*: on the path, or a version manager's."""
    name = f"python{version}"
    if found := shutil.which(name):
        yield found
    with contextlib.suppress(KeyError, OSError):  # no home, or it may not be entered
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # tests have a home of their own
        yield from map(str, home.glob(f".pyenv/versions/{version}.*/bin/{name}"))


def runs(python: str, version: str) -> bool:
    """Tell whether *python* is more than a command that a version manager has left behind."""
    ask = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    done = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip() == version


@pytest.mark.parametrize("version", VERSIONS)
def test_two_people_talk(version: str) -> None:
    python = next((one for one in candidates(version) if runs(one, version)), None)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    with Program(*SERVER, "--lang", "en", python=python) as server:
        host, port = server.address()
        talk = (*CLIENT, "--lang", "en", "--host", host, "--port", str(port), "--nick")
        with ExitStack() as stack:
            anna = stack.enter_context(Program(*talk, "Anna", python=python))
            server.wait_for("Anna")
            boris = stack.enter_context(Program(*talk, "Boris", python=python))
            server.wait_for("Boris")
            anna.wait_for("Boris")
            boris.wait_for("Anna")
            anna.type("hello\n")
            boris.wait_for("hello")
            for program in (anna, boris, server):
                program.signal(signal.SIGINT)
                status, _output, complaint = program.end()
                assert (status, complaint) == (0, "")
