"""What the core does not promise: one file for each promise, added at one seam."""

import errno
import os
from pathlib import Path

LARGEST_FILE = 1024 * 1024
"""Longest file that people write, in bytes: settings, a password, certificates."""


class UnusableError(Exception):
    """Something that a promise needs, such as a file, cannot be used.

    `code` names the sentence for the user in `chat.app.sentences`, `details` are values in it.
    """

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


def read_file(path: str | Path) -> bytes:
    """Return the content of the file at *path*. Raises `OSError`, also for an endless file."""
    with Path(path).open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content
