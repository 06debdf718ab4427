"""Whose files are the student's own, which Python runs them, and what they need besides."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chat.app.i18n import gettext as _

Version = tuple[int, int]

_FOREIGN = {"site-packages", "node_modules", "__pycache__", "venv", "__MACOSX", "grades"}
_ENVIRONMENTS = Path(__file__).resolve().parents[2] / "build" / "grading"
_SECONDS = 300  # for the installation of packages
_NEWEST = 20  # minor versions of Python 3 that are looked for on the PATH

# What the grammar or the library has from a version on (docs.python.org/3/whatsnew).
_NEWER: tuple[tuple[Version, str], ...] = (
    ((3, 12), r"^\s*type \w+(\[.*\])? =|^\s*(async )?(def|class) \w+\["),
    ((3, 12), r"^from typing import .*\boverride\b|\bitertools\.batched\b"),
    ((3, 13), r"^from warnings import .*\bdeprecated\b|\bcopy\.replace\("),
    ((3, 13), r"^from typing import .*\b(ReadOnly|TypeIs|NoDefault)\b|\bqueue\.ShutDown\b"),
    ((3, 14), r"^\s*except \w+, \w+.*:|^from (annotationlib|compression|string\.templatelib) "),
)


@dataclass(frozen=True)
class Interpreter:
    """The Python for a submission."""

    path: str = sys.executable
    notes: tuple[str, ...] = ()
    """What a reader of the grade must know: the version, when it is another than wanted."""

    lacking: tuple[str, ...] = ()
    """Which packages there are not: a sentence or none. Who loses no point has not needed them."""


def own_files(folder: Path) -> Iterator[Path]:
    """Yield the files in *folder* that a student wrote, in order.

    Not those of an environment, of an editor, or of version control that were handed in as well.
    """
    for path in sorted(folder.iterdir()):
        if is_foreign(path):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from own_files(path)
        elif path.is_file():
            yield path


def is_foreign(path: Path) -> bool:
    """Tell whether *path* is nothing that a student wrote."""
    return path.name in _FOREIGN or path.name.startswith(".") or (path / "pyvenv.cfg").exists()


def source(path: Path) -> str:
    """Return the text of the Python file at *path*, whatever it is written in."""
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "cp1251"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode(errors="replace")


def choose(folder: Path, *, install: bool = False) -> Interpreter:
    """Return the Python for the submission in *folder*: this one, or the newest that suits.

    With *install*, the packages that its requirements.txt names are installed in an environment
    of its own, which is kept for the next time.
    """
    files = [path for path in own_files(folder) if path.suffix == ".py"]
    needed = max([_wanted(folder), *(_needed(source(path)) for path in files)])
    path, notes = sys.executable, []
    if not _suits(path, needed, files):
        better = [one for version, one in _installed() if version >= needed]
        path = next((one for one in better if _suits(one, needed, files)), path)
        if path == sys.executable and needed > sys.version_info[:2]:
            notes.append(
                _("It needs Python {needed}; graded with {found}.").format(
                    needed=_dotted(needed), found=_dotted(sys.version_info[:2])
                )
            )
        elif path != sys.executable:
            notes.append(_("Graded with Python {found}.").format(found=_dotted(_version(path))))
    wanted = folder / "requirements.txt"
    if install and wanted.is_file():
        path, trouble = _with_packages(path, wanted)
        notes += trouble
    missing = sorted(_imports(files, folder) - _available(path, _imports(files, folder)))
    sentence = _("It needs packages that are not installed: {names}.")
    lacking = [sentence.format(names=", ".join(missing))] if missing else []
    return Interpreter(path, tuple(notes), tuple(lacking))


# Versions


def _wanted(folder: Path) -> Version:
    """Return the version that the project's files ask for, (3, 0) when they do not."""
    for name, pattern in (
        ("pyproject.toml", r"requires-python\s*=\s*[\"'][^\"']*>=\s*3\.(\d+)"),
        (".python-version", r"3\.(\d+)"),
    ):
        if (folder / name).is_file():
            found = re.search(pattern, (folder / name).read_text("utf-8", errors="replace"))
            if found:
                return 3, int(found[1])
    return 3, 0


def _needed(text: str) -> Version:
    versions = [version for version, pattern in _NEWER if re.search(pattern, text, re.MULTILINE)]
    return max(versions, default=(3, 0))


@cache
def _installed() -> tuple[tuple[Version, str], ...]:
    """Return the Pythons on the PATH, and those of pyenv, the newest first."""
    found: dict[Version, str] = {}
    names = [f"python3.{minor}" for minor in range(_NEWEST, 9, -1)]
    candidates = [path for name in names if (path := shutil.which(name))]
    with contextlib.suppress(OSError, RuntimeError):  # no home, or it may not be entered
        candidates += map(str, Path.home().glob(".pyenv/versions/3.*/bin/python"))
    for path in candidates:
        version = _version(path)
        if version > (3, 0):  # a name that a version manager left behind runs nothing
            found.setdefault(version, path)
    return tuple(sorted(found.items(), reverse=True))


@cache
def _version(path: str) -> Version:
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=10, check=True
        )
        major, minor = map(int, done.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0, 0
    return major, minor


def _suits(path: str, needed: Version, files: Iterable[Path]) -> bool:
    """Tell whether the Python at *path* is new enough and can compile *files*."""
    if path == sys.executable:
        return sys.version_info[:2] >= needed and all(_compiles(file) for file in files)
    code = "import sys\nfor name in sys.argv[1:]: compile(open(name, 'rb').read(), name, 'exec')"
    command = [path, "-I", "-S", "-W", "ignore", "-c", code, *map(str, files)]
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _compiles(path: Path) -> bool:
    try:
        tree(path)
    except (SyntaxError, ValueError):
        return False
    return True


def tree(path: Path) -> ast.Module:
    """Return the syntax tree of the file at *path*. Raises `SyntaxError` or `ValueError`."""
    import warnings  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # "\d" is the student's affair
        return ast.parse(source(path))


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


# Packages


def _imports(files: Iterable[Path], folder: Path) -> set[str]:
    """Return the names of the packages that *files* import at their top and do not bring along."""
    names: set[str] = set()
    for path in files:
        try:
            body = tree(path).body
        except (SyntaxError, ValueError):
            continue
        for node in body:  # what stands inside of a try may be missing
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.partition(".")[0])
    local = {path.stem for path in files}
    local |= {part for path in files for part in path.relative_to(folder).parts}
    return names - local - sys.stdlib_module_names


def _available(path: str, names: set[str]) -> set[str]:
    if path == sys.executable:
        return {name for name in names if importlib.util.find_spec(name) is not None}
    code = "import sys, importlib.util as u\nprint(*(n for n in sys.argv[1:] if u.find_spec(n)))"
    done = subprocess.run(
        [path, "-c", code, *sorted(names)], capture_output=True, text=True, timeout=30, check=False
    )
    return set(done.stdout.split())


def _with_packages(python: str, wanted: Path) -> tuple[str, list[str]]:
    """Install what *wanted* lists; return the Python that has it, and what went wrong."""
    key = hashlib.sha256(python.encode() + wanted.read_bytes()).hexdigest()[:16]
    place = _ENVIRONMENTS / key
    path = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(path), "--disable-pip-version-check"]
    commands = [
        [python, "-m", "venv", "--without-pip", str(place)],
        [*pip, "install", "--quiet", "-r", wanted.name],
    ]
    if not (place / "installed").exists():
        for command in commands:
            try:
                done = subprocess.run(
                    command,
                    cwd=wanted.parent,
                    capture_output=True,
                    text=True,
                    timeout=_SECONDS,
                    check=False,
                )
                reason = done.stderr.strip().splitlines()[-1:] if done.returncode else None
            except (OSError, subprocess.SubprocessError) as error:
                reason = [str(error)]
            if reason is not None:
                shutil.rmtree(place, ignore_errors=True)
                sentence = _("The packages of requirements.txt could not be installed: {reason}")
                return python, [sentence.format(reason=" ".join(reason))]
        (place / "installed").touch()
    return str(path), []
