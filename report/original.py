"""What a student has made of the original: which files are theirs, and which they have changed.

``original.json`` keeps the digests of the original's files; ``python -m report.original`` writes it
anew, which is for those who look after the original, and not for a student.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chat.app.i18n import gettext as _

from .digest import digest_of

MANIFEST = Path("report", "original.json")
"""Where it lies in a repository."""

WATCHED = ("chat/**/*.py", "notebooks/*/*.ipynb", "screenshots/*.py", "notebooks/exercises/*/*.py")


@dataclass(frozen=True)
class Changes:
    """The files that differ, by their paths in the repository."""

    changed: list[str]
    added: list[str]
    removed: list[str]

    def sentences(self) -> list[tuple[str, str]]:
        """Return what a teacher is told: a word and the files that it is about."""
        told = [
            (_("Changed"), self.changed),
            (_("Added"), self.added),
            (_("Removed"), self.removed),
        ]
        return [(word, ", ".join(files)) for word, files in told if files]


def changes(root: Path) -> Changes:
    """Compare the files under *root* with its manifest; without one there are no changes."""
    manifest = root / MANIFEST
    if not manifest.exists():
        return Changes([], [], [])
    known: dict[str, str] = json.loads(manifest.read_text("utf-8"))
    found = dict(_digests(root))
    return Changes(
        sorted(name for name in found.keys() & known.keys() if found[name] != known[name]),
        sorted(found.keys() - known.keys()),
        sorted(known.keys() - found.keys()),
    )


def write(root: Path) -> None:
    """Take the files under *root* for the original."""
    digests = json.dumps(dict(_digests(root)), indent=1)
    (root / MANIFEST).write_text(digests + "\n", "utf-8")


def _digests(root: Path) -> Iterator[tuple[str, str]]:
    files = {file for pattern in WATCHED for file in root.glob(pattern)}
    for file in sorted(files):
        if not {".ipynb_checkpoints", "__pycache__"} & set(file.parts):
            yield file.relative_to(root).as_posix(), digest_of([file], root)[:16]


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[1])
