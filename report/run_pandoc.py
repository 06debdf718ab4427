"""Pandoc, which travels in a wheel."""

import subprocess
from pathlib import Path

import pypandoc  # type: ignore[import-untyped]

from . import ReportError


class PandocError(ReportError):
    """Pandoc refused the document; the message is pandoc's own."""


def run(folder: Path, *arguments: str) -> bytes:
    """Run pandoc in *folder* and return what it printed. Raises PandocError."""
    command = [pypandoc.get_pandoc_path(), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    if done.returncode:
        raise PandocError(done.stderr.decode(errors="replace").strip())
    return done.stdout
