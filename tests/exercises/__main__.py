"""``python -m tests.exercises 3``: is exercise 3 solved? ``make exercise N=3`` calls it."""

import importlib.util
import os
import subprocess
import sys
import traceback
from pathlib import Path
from types import ModuleType

from chat.app.i18n import LANGUAGES, ngettext, set_language
from chat.app.i18n import gettext as _
from tests.exercises.checks import CHECKS, Hint

EXERCISES = Path(__file__).resolve().parents[2] / "notebooks" / "exercises"
PATIENCE = 20
"""Seconds after which an answer is taken for one that waits for ever."""


def load(path: Path) -> ModuleType:
    """Return the module in the file at *path*."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge(number: int, path: Path) -> str | None:
    """Return what is wrong with the answer to exercise *number* at *path*, None if it is right."""
    try:
        CHECKS[number](load(path))
    except Hint as hint:
        return str(hint)
    except Exception as error:  # noqa: BLE001 - whatever the answer does, it is told
        lines = traceback.format_exception(error)
        return _("It failed with an error:") + "\n" + "".join(lines[-3:])
    return None


def edition() -> str:
    """Return the language of the exercises: ``LANG_EDITION`` in the environment, or Russian."""
    wanted = os.environ.get("LANG_EDITION", "")
    return wanted if wanted in LANGUAGES else "ru"


def main(arguments: list[str]) -> int:
    """Judge one exercise, in a process of its own; return the exit status."""
    set_language(edition())
    if len(arguments) == 2 and arguments[0] == "--here":
        problem = judge(int(arguments[1]), EXERCISES / edition() / f"ex{arguments[1]}.py")
        print(problem or _("Right!"))
        return int(problem is not None)
    if len(arguments) != 1 or arguments[0] not in map(str, CHECKS):
        print(_("Which exercise? make exercise N=1 … N={last}").format(last=max(CHECKS)))
        return 2
    command = [sys.executable, "-m", "tests.exercises", "--here", arguments[0]]
    try:
        return subprocess.run(command, timeout=PATIENCE, check=False).returncode
    except subprocess.TimeoutExpired:
        sentence = ngettext(
            "It was not over after {n} second: something waits for ever.",
            "It was not over after {n} seconds: something waits for ever.",
            PATIENCE,
        )
        print(sentence.format(n=PATIENCE))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
