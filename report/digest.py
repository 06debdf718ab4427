"""What the report is built from, as one number.

Every output of the builder carries the digest of its sources, so that anybody can tell a
fresh report from a stale one without building it and without looking at file times, which a
clone does not keep. The digest depends on the contents of the sources only: not on where
they lie, on when they were written, on line endings, or on files that appear by themselves
(caches, checkpoints, compiled catalogues, a notebook's outputs).
"""

import hashlib
import json
import re
import subprocess
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# Kinds of files that can change what the report says or how it looks. A list of what counts,
# rather than of what does not: nobody can foresee every file an editor leaves behind.
SOURCE_SUFFIXES = frozenset(
    {".csl", ".css", ".tcss", ".ipynb", ".j2", ".js", ".json", ".lock", ".lua", ".mplstyle", ".po"}
    | {".py", ".svg", ".tmTheme", ".toml", ".ttf", ".typ", ".openxml", ".woff2", ".xml", ".xz"}
)
_MARK = re.compile(rb"source-digest(?:\" content=\"|: ?)([0-9a-f]{64})")


def source_files(root: Path, lang: str) -> list[Path]:
    """Return the files that the report in *lang* is built from, sorted by relative path.

    Takes the chat, the notebooks of that language, the screenshots' scenarios, what was measured,
    what is graded, this builder with its templates and settings, and the locked versions of the
    libraries.
    """
    places: Iterable[Iterable[Path]] = (
        (root / "chat").rglob("*"),
        (root / "notebooks" / lang).glob("*"),
        (root / "screenshots").glob("*"),
        (root / "report").glob("*"),
        (root / "report" / "templates").rglob("*"),
        *_beside(root),
    )
    files = {file for place in places for file in place if _is_source(file, root)}
    return sorted(files, key=lambda file: file.relative_to(root).as_posix())


def _beside(root: Path) -> Iterable[Iterable[Path]]:
    """What the chapters look at besides the chat."""
    return (
        (root / "notebooks").glob("*"),
        (root / "tests" / "benchmarks").glob("*"),
        (root / "tests" / "grading").glob("rubric.toml"),
        (root / "requirements").glob("report.lock"),
    )


def _is_source(file: Path, root: Path) -> bool:
    hidden = any(part.startswith((".", "__pycache__")) for part in file.relative_to(root).parts)
    return file.suffix in SOURCE_SUFFIXES and not hidden and file.is_file()


def sources_digest(root: Path, lang: str) -> str:
    """Return the digest (64 hexadecimal digits) of all the sources of the report in *lang*."""
    return digest_of(source_files(root, lang), root)


def version(root: Path) -> str:
    """Return which commit the sources of the report are from: «3f0c2a91d4 (2026-11-28)».

    That is the last commit that touched a source, so that a later one, of a published report,
    say, changes nothing. Sources that are not committed are marked by `UNCOMMITTED`. Empty where
    there is no git or no repository.
    """
    last = _git(root, "log", "-1", "--abbrev=10", "--format=%h (%cs)", "--", *_VERSIONED)
    if last and _git(root, "status", "--porcelain", "--", *_VERSIONED):
        last += UNCOMMITTED
    return last


UNCOMMITTED = "+"
"""The end of a version with changes that no commit has."""

# What a report is built from, for git; all but what publishing itself writes.
_VERSIONED = (
    *("chat", "notebooks", "screenshots/*.py", "report", "tests/benchmarks"),
    *("tests/grading/rubric.toml", "requirements/report.lock"),
    *(":(exclude)report/ru", ":(exclude)report/en", ":(exclude)report/original.tar.xz"),
)


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except OSError:  # git is not installed
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def run_files(root: Path) -> list[Path]:
    """Return the files that a run of any notebook depends on: the chat, what lies beside it."""
    places = ((root / "chat").rglob("*"), *_beside(root))
    return sorted(file for place in places for file in place if _is_source(file, root))


def screenshot_files(root: Path) -> list[Path]:
    """Return the files that the screenshots depend on: the chat and the scenarios."""
    scenarios = [file for file in (root / "screenshots").glob("*") if _is_source(file, root)]
    return [*run_files(root), *sorted(scenarios)]


def digest_of(files: Iterable[Path], root: Path) -> str:
    """Return the SHA-256 of the names (relative to *root*) and contents of *files*, in order."""
    total = hashlib.sha256()
    for file in files:
        content = notebook_digest(file) if file.suffix == ".ipynb" else _file_digest(file)
        total.update(f"{file.relative_to(root).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def _file_digest(file: Path) -> str:
    # A Windows checkout may have turned the line endings; the text is still the same.
    return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def notebook_digest(file: Path) -> str:
    """Return the digest of what an author wrote in the notebook *file*.

    That is the type, the source and the tags of each cell. Outputs, execution counts and
    whatever Jupyter notes down for itself do not count: running a notebook does not change it.
    """
    cells = [
        [cell["cell_type"], cell["source"], cell["metadata"]["tags"]]
        for cell in written(json.loads(file.read_text("utf-8")))
    ]
    return hashlib.sha256(json.dumps(cells, ensure_ascii=False).encode()).hexdigest()


def written(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what an author wrote of each cell: its type, its source and its tags.

    In the form of a notebook's cells, so that what was written can be read again.
    """
    return [
        {
            "cell_type": cell["cell_type"],
            "source": "".join(cell["source"]),
            "metadata": {"tags": sorted(cell["metadata"].get("tags", []))},
        }
        for cell in notebook["cells"]
    ]


def embedded_digest(path: Path) -> str | None:
    """Return the digest that the built report *path* carries, or None when it has none.

    The mark is the word ``source-digest`` and the digest after it: in a ``<meta>`` of the
    HTML, in a comment of the Markdown, among the keywords of the PDF and of the DOCX.
    """
    if not path.is_file():
        return None
    for part in _readable_parts(path):
        if found := _MARK.search(part):
            return found[1].decode()
    return None


def _readable_parts(path: Path) -> Iterator[bytes]:
    if path.suffix == ".docx":
        try:
            with zipfile.ZipFile(path) as package:
                yield package.read("docProps/core.xml")
        except (zipfile.BadZipFile, KeyError):
            return
    else:
        yield path.read_bytes()
