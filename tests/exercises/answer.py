"""An answer to an exercise, and what is said when it is wrong."""

import traceback
from collections.abc import Mapping
from typing import Any

from chat.app.i18n import gettext as _


class Hint(Exception):  # noqa: N818 - the answer is wrong, not the check
    """The answer is not right yet; the text helps."""


def expect(condition: object, hint: str) -> None:
    """Raise `Hint` with *hint* unless *condition* holds."""
    if not condition:
        raise Hint(hint)


class Answer:
    """The names that the file of an exercise defines. A missing one is a `Hint`."""

    def __init__(self, names: Mapping[str, Any], path: str) -> None:
        """Offer *names*, which were defined in the file at *path*."""
        self._names = names
        self.path = path

    def __getattr__(self, name: str) -> Any:
        """Return what the answer calls *name*. Raises `Hint`."""
        try:
            return self._names[name]
        except KeyError:
            sentence = _("{name} is missing: the check looks for it under this name.")
            raise Hint(sentence.format(name=name)) from None


def last_line(error: BaseException, path: str) -> str:
    """Return where in the file at *path* the *error* happened: number and text of the line."""
    lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    return _("line {n}: {text}").format(n=lines[-1].lineno, text=lines[-1].line) if lines else ""


def account(error: BaseException, *paths: str) -> str:
    """Return *error* as Python shows it, with no other frames than those of files below *paths*."""
    shown = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in shown.stack if frame.filename.startswith(paths)]
    shown.stack = traceback.StackSummary.from_list(frames)
    lines = shown.format(chain=False) if frames else shown.format_exception_only()
    return "".join(lines).rstrip()
