"""What a student has made of the original: which files are theirs, and what they have changed.

``original.tar.xz`` keeps the original's files; ``python -m report.original`` writes it anew, which
is for those who look after the original (``make publish`` does it), and not for a student.
"""

import difflib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode, v4

from chat.app.i18n import gettext as _
from chat.app.i18n import ngettext

from .digest import written

ARCHIVE = Path("report", "original.tar.xz")
"""Where it lies in a repository."""

WATCHED = (
    *("chat/**/*.py", "chat/app/*.tcss", "chat/app/locale/**/*.po", "screenshots/*.py"),
    *("notebooks/*/*.ipynb", "notebooks/exercises/*/*.py"),
)
SHOWN = ".py"
"""Of these files the changes are shown; what a notebook says stands in the report itself."""
LINES = 80
"""Of a file's changes, at most."""
_FENCE = "`" * 10  # longer than any in the code that it is to hold


@dataclass(frozen=True)
class Changes:
    """The files that differ, by their paths in the repository."""

    changed: list[str]
    added: list[str]
    removed: list[str]
    lines: dict[str, list[str]] = field(default_factory=dict)
    """What is another in a file that is changed or added, as ``diff -u`` writes it."""

    def sentences(self) -> list[tuple[str, str]]:
        """Return what a teacher is told: a word and the files that it is about."""
        told = [
            (_("Changed"), self.changed),
            (_("Added"), self.added),
            (_("Removed"), self.removed),
        ]
        return [(word, ", ".join(files)) for word, files in told if files]


def changes(root: Path) -> Changes:
    """Compare the files under *root* with the original; without one there are no changes.

    An edition that was removed as a whole is not named: whoever writes in one language needs no
    other.
    """
    if not (root / ARCHIVE).exists():
        return Changes([], [], [])
    known = _kept(root / ARCHIVE)
    found = {name: (root / name).read_bytes() for name in _watched(root)}
    changed = sorted(
        name
        for name in found.keys() & known.keys()
        if _written(name, found[name]) != _written(name, known[name])
    )
    added = sorted(found.keys() - known.keys())
    removed = sorted(
        name
        for name in known.keys() - found.keys()
        if (root / name).parent.is_dir() or not name.startswith("notebooks/")
    )
    lines = {
        name: list(_difference(known.get(name, b""), found[name]))
        for name in [*changed, *added]
        if name.endswith(SHOWN)
    }
    return Changes(changed, added, removed, lines)


def chapter(changes: Changes) -> NotebookNode | None:
    """Return the part of the report that shows *changes*; None when there is nothing to show."""
    if not changes.lines:
        return None
    cells = [
        v4.new_markdown_cell(  # type: ignore[no-untyped-call]
            "# "
            + _("What was changed")
            + "\n\n"
            + _(
                "The difference from the original, made when the report was built: what was added "
                "begins with “+”, what was taken away with “-”."
            )
        )
    ]
    for name, lines in changes.lines.items():
        shown = lines[:LINES]
        rest = len(lines) - len(shown)
        more = ngettext("… and {count} more line", "… and {count} more lines", rest)
        text = "\n".join([*shown, *([more.format(count=rest)] if rest else [])])
        cells.append(v4.new_markdown_cell(f"## `{name}`\n\n{_FENCE}diff\n{text}\n{_FENCE}"))  # type: ignore[no-untyped-call]
    return v4.new_notebook(cells=cells)  # type: ignore[no-any-return, no-untyped-call]


def write(root: Path) -> None:
    """Take the files under *root* for the original. The same files give the same archive."""
    with tarfile.open(root / ARCHIVE, "w:xz") as archive:
        for name in _watched(root):
            content = _written(name, (root / name).read_bytes()).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _kept(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {
            entry.name: file.read()
            for entry in archive
            if (file := archive.extractfile(entry)) is not None
        }


def _watched(root: Path) -> list[str]:
    files = {file for pattern in WATCHED for file in root.glob(pattern)}
    return sorted(
        file.relative_to(root).as_posix()
        for file in files
        if not {".ipynb_checkpoints", "__pycache__"} & set(file.parts)
    )


def _written(name: str, content: bytes) -> str:
    """Return what counts of a file: of a notebook the cells, and not how Jupyter has saved it."""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    if name.endswith(".ipynb"):
        cells = written(json.loads(text))
        return json.dumps({"cells": cells}, ensure_ascii=False)
    return text


def _difference(before: bytes, after: bytes) -> Iterator[str]:
    old, new = (text.decode("utf-8", "replace").splitlines() for text in (before, after))
    difference = difflib.unified_diff(old, new, n=2, lineterm="")
    yield from list(difference)[2:]  # the names of the files are said already


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[1])
