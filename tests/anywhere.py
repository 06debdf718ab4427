"""``make anywhere``: the tests where they might be started, each time in a copy of this folder.

    make anywhere                                 all situations, all tests: an hour
    make anywhere ARGS="folder home"              two of them
    make anywhere ARGS="-- tests/protocol -q"     all of them, a part of the tests

What a situation is, its function below says. The output goes to ``build/anywhere/NAME.log``.
"""

import argparse
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STRANGER = 54321
"""A user whom the system does not know: no name, no home. So it is in many a container."""
ON_ALL_PROCESSORS = ["--numprocesses", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
"""As ``make test`` does it."""
LOAD = "import time\nend = time.monotonic() + 3600\nwhile time.monotonic() < end: pass"
"""Keeps one processor busy, for an hour at most."""


@dataclass
class Start:
    """How the tests are started in one situation."""

    folder: Path
    """The copy; made by whoever runs the situation."""
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    before: list[str] = field(default_factory=list)
    """What stands before the command."""
    without: Path | None = None
    """A file that has to be readable for it, when it is not the case: the situation is left out."""


@contextmanager
def background(start: Start) -> Iterator[None]:
    """In the background of a script, which makes a program deaf to Ctrl-C."""
    start.before = ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh"]
    yield


@contextmanager
def loaded(start: Start) -> Iterator[None]:
    """Beside two busy processes for each processor."""
    del start
    with contextlib.ExitStack() as stack:
        for _number in range(2 * (os.cpu_count() or 1)):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", LOAD]))
            stack.callback(busy.kill)
        yield


@contextmanager
def user(start: Start) -> Iterator[None]:
    """As somebody who is not root and has no home; for whoever is not root anyway, just that."""
    for name in ("HOME", "USER", "LOGNAME"):
        start.environment.pop(name, None)
    if os.getuid() == 0:
        for path in (start.folder, *start.folder.rglob("*")):
            os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        start.before = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
        python = Path(sys.executable).resolve()
        hidden = (path for path in python.parents if not path.stat().st_mode & stat.S_IXOTH)
        start.without = next(hidden, None)
    yield


@contextmanager
def home(start: Start) -> Iterator[None]:
    """Where the home folder is not there."""
    start.environment["HOME"] = "/nonexistent/home"
    yield


@contextmanager
def unreadable(start: Start) -> Iterator[None]:
    """Where the home folder may not be entered. Root may enter any, so it is another user's."""
    with user(start):
        place = start.folder.parent / "home"
        place.mkdir(mode=0)
        start.environment["HOME"] = str(place)
        yield
        place.chmod(0o700)


@contextmanager
def terminal(start: Start) -> Iterator[None]:
    """With what people set for their terminals."""
    start.environment |= {"COLUMNS": "40", "LINES": "10", "NO_COLOR": "1", "TERM": "dumb"}
    yield


@contextmanager
def folder(start: Start) -> Iterator[None]:
    """In a folder whose path has a blank and Cyrillic letters."""
    place = start.folder.with_name("моя папка")
    start.folder.rename(place)
    start.folder = place
    yield


@contextmanager
def locale(start: Start) -> Iterator[None]:
    """In the locale C, whose letters are those of ASCII."""
    start.environment |= {"LANG": "C", "LC_ALL": "C"}
    for name in ("LANGUAGE", "LC_CTYPE", "LC_MESSAGES"):
        start.environment.pop(name, None)
    yield


@contextmanager
def settings(start: Start) -> Iterator[None]:
    """With the user's own settings of IPython, Jupyter, matplotlib, git and the chat."""
    place = start.folder.parent / "home"
    files = {
        ".ipython/profile_default/startup/00.py": "raise SystemExit('the settings of the user')",
        ".jupyter/jupyter_config.json": '{"KernelManager": {"autorestart": "nonsense"}}',
        ".config/matplotlib/matplotlibrc": "figure.dpi: 33\nfont.size: 40\n",
        ".config/tcp-chat/config.toml": 'lang = "en"\n[client]\nnick = "Settings"\n',
        ".gitconfig": "[core]\n\tautocrlf = true\n[status]\n\tshort = false\n",
        ".inputrc": "set editing-mode vi\n",
    }
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    start.environment["HOME"] = str(place)
    yield


SITUATIONS: dict[str, Callable[[Start], contextlib.AbstractContextManager[None]]] = {
    situation.__name__: situation
    for situation in (
        *(background, loaded, user, home, unreadable, terminal, folder, locale, settings),
    )
}


def copy_to(target: Path) -> None:
    """Copy what git keeps or would keep of this folder, as a new repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=target, check=True)


def run(name: str, arguments: list[str]) -> str:
    """Run the tests in the situation called *name*; return the last line, or why they did not."""
    log = ROOT / "build" / "anywhere" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        start = Start(Path(place) / "tcp-chat")
        copy_to(start.folder)
        with SITUATIONS[name](start), log.open("wb") as output:
            if start.without is not None:
                return f"left out: another user may not enter {start.without}"
            start.environment |= {"PYTHONPATH": str(start.folder), "PYTHONDONTWRITEBYTECODE": "1"}
            subprocess.run(
                [*start.before, sys.executable, "-m", "pytest", *arguments],
                cwd=start.folder,
                env=start.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
    lines = log.read_text("utf-8", "replace").splitlines()
    return lines[-1].strip("= ") if lines else "nothing was printed"


def main() -> int:
    """Run what the command line asks for; return 1 when a test failed somewhere."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("situations", nargs="*", metavar="SITUATION", help=", ".join(SITUATIONS))
    here = sys.argv[1:]
    split = here.index("--") if "--" in here else len(here)
    options = parser.parse_args(here[:split])
    if unknown := set(options.situations) - set(SITUATIONS):
        parser.error(f"{', '.join(unknown)}? {', '.join(SITUATIONS)}")
    status = 0
    for name in options.situations or SITUATIONS:
        print(f"{name:<11} ", end="", flush=True)
        last = run(name, here[split + 1 :] or ON_ALL_PROCESSORS)
        print(last, flush=True)
        status |= int("passed" not in last or "failed" in last or "error" in last)
    return status


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
