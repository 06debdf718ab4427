"""``python -m tests.exercises 3``: is exercise 3 solved? ``make exercise N=3`` calls it."""

import os
import sys
from pathlib import Path

from chat.app.i18n import LANGUAGES, set_language
from chat.app.i18n import gettext as _
from tests.exercises.checks import CHECKS
from tests.exercises.judge import judge

EXERCISES = Path(__file__).resolve().parents[2] / "notebooks" / "exercises"


def edition() -> str:
    """Return the language of the exercises: ``LANG_EDITION`` in the environment, or Russian."""
    wanted = os.environ.get("LANG_EDITION", "")
    return wanted if wanted in LANGUAGES else "ru"


def main(arguments: list[str]) -> int:
    """Judge one exercise and print what is wrong with it; return the exit status."""
    set_language(edition())
    if len(arguments) != 1 or arguments[0] not in map(str, CHECKS):
        print(_("Which exercise? make exercise N=1 … N={last}").format(last=max(CHECKS)))
        return 2
    problem = judge(int(arguments[0]), EXERCISES / edition() / f"ex{arguments[0]}.py")
    print(problem or _("Right!"))
    return int(problem is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
