"""What the core does not promise: one file for each promise, put in at one seam."""

import errno
import os
from pathlib import Path

LARGEST_FILE = 1024 * 1024
"""Bytes of a file that a person writes: settings, a password, certificates."""


class UnusableError(Exception):
    """What a promise needs cannot be used, a file for example.

    `code` names the sentence that says so (`chat.app.sentences`), `details` are the words in it.
    """

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


def read_file(path: str | Path) -> bytes:
    """Return what stands in the file at *path*. Raises `OSError`, also for an endless one."""
    with Path(path).open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content
