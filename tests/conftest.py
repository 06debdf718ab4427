"""What all tests share: servers, raw clients, and the proof that nothing is left behind."""

import gc
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from chat.lab.isolation import isolate

# Before anything else is imported: the tests speak Russian, whatever the user's language.
isolate(Path(__file__).resolve().parents[1] / "build" / "cache" / "home")
os.environ |= {"LANGUAGE": "ru", "LC_ALL": "C.UTF-8"}

from chat.core.protocol import Limits
from chat.core.server import ChatServer
from chat.server import assemble
from tests.wire import PATIENCE, Wire

# Examples may be slow on a busy machine: that is no failure of theirs.
settings.register_profile("tests", deadline=None, print_blob=True)
settings.load_profile("tests")


# The whole run

LONGEST = (
    "grading/test_examples.py",
    "report/test_build.py",
    "grading/test_grade.py",
    "notebooks/test_notebooks.py",
    "report/test_browser.py",
    "grading/test_mutants.py",
    "backplane/test_fault_matrix.py",
    "tui/test_full_screen.py",
    "screenshots/test_scenarios.py",
    "faults/test_ratios.py",
    "faults/test_nothing_is_lost.py",
    "faults/test_torture.py",
    "test_makefile.py",
)
"""The files that take ten seconds and more."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first: at the end no worker goes on alone while the others are idle."""
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_auto_num_workers() -> int:
    """Have three workers for two processors: a third of the time a test waits for something."""
    processors = os.cpu_count() or 1
    return processors + processors // 2


@pytest.fixture
def serve() -> Iterator[Callable[..., ChatServer]]:
    """Start a server on a free port: ``serve(admin_password=…, some_limit=…)``."""
    with ExitStack() as stack:

        def start(*, admin_password: str | None = None, **limits: float) -> ChatServer:
            chosen = Limits(**limits)  # type: ignore[arg-type] # names and kinds as in Limits
            return stack.enter_context(assemble(limits=chosen, admin_password=admin_password))

        yield start


@pytest.fixture
def server(serve: Callable[..., ChatServer]) -> ChatServer:
    """A running server with the default limits."""
    return serve()


@pytest.fixture
def dial(serve: object) -> Iterator[Callable[..., Wire]]:
    """Connect raw clients: ``dial(server)``, or ``dial(server, "Аня")`` to enter the chat."""
    del serve  # named above only so that the connections are closed before the servers
    with ExitStack() as stack:

        def connect(
            server: ChatServer, nick: str | None = None, *, receive_buffer: int | None = None
        ) -> Wire:
            wire = Wire(server.address, nick, receive_buffer=receive_buffer)
            return stack.enter_context(wire)

        yield connect


# Nothing is left behind


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a descriptor or a child process; each gets time to end."""
    before = _held()
    yield
    deadline = time.monotonic() + PATIENCE
    while (left := _held() - before) and time.monotonic() < deadline:
        gc.collect()  # what only a cycle of references still holds is not left behind
        time.sleep(0.005)
    assert not left, f"left behind: {sorted(left)}"


def _held() -> set[str]:
    return set(_threads()) | set(_descriptors()) | set(_children())


def _threads() -> Iterator[str]:
    for thread in threading.enumerate():
        yield f"thread {thread.name} ({thread.ident})"


def _descriptors() -> Iterator[str]:
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - no paths: the directory itself is listed too
        try:
            status = os.fstat(int(name))
        except OSError:  # the descriptor with which the directory was read
            continue
        kind = "socket" if stat.S_ISSOCK(status.st_mode) else "file"
        target = Path(f"/proc/self/fd/{name}")
        what = target.readlink() if target.is_symlink() else status.st_ino
        yield f"{kind} {name} ({what})"


def _children() -> Iterator[str]:
    for child in psutil.Process().children(recursive=True):
        yield f"process {child.pid} ({child.create_time()})"


def pytest_unconfigure() -> None:
    """End in spite of a thread that does not: the interpreter would wait for it for ever."""
    stuck = [thread.name for thread in threading.enumerate() if not _may_be_left(thread)]
    if stuck:
        print(f"\nthreads that do not end: {', '.join(stuck)}", flush=True)
        os._exit(pytest.ExitCode.TESTS_FAILED)


def _may_be_left(thread: threading.Thread) -> bool:
    return thread.daemon or thread is threading.main_thread()
