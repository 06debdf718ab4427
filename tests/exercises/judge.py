"""Judges an answer in a process of its own, which may hang, exit or leave threads behind."""

import functools
import multiprocessing
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from chat.app.i18n import gettext as _
from chat.app.i18n import language, ngettext, set_language
from tests.exercises.answer import Answer, Hint, account
from tests.exercises.checks import CHECKS, IN_THE_CHAT, ROOT

PATIENCE = 30
"""Seconds after which an answer is taken for one that waits for ever."""

# Not fork: the caller may have threads. The checks are imported once, not for every answer.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["__main__", __name__])


def read(path: Path) -> Answer:
    """Run the file at *path*; return what it defines. Raises `Hint`, and what the file raises."""
    try:
        code = path.read_text("utf-8")
    except OSError:
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        raise Hint(_("There is no file {path}.").format(path=shown)) from None
    names: dict[str, object] = {"__name__": path.stem}
    exec(compile(code, str(path), "exec"), names)
    return Answer(names, str(path))


def judge(number: int, path: Path, *, patience: float = PATIENCE) -> str | None:
    """Return what is wrong with the answer to exercise *number* at *path*, None if it is right."""
    get_answer = functools.partial(read, path)
    return judge_all(number, [get_answer], str(path), patience=patience)[0]


def judge_all(
    number: int,
    get_answers: Sequence[Callable[[], Answer]],
    path: str,
    *,
    patience: float = PATIENCE,
) -> list[str | None]:
    """Judge one after another what *get_answers*, called in the process, return from *path*.

    The list ends early, with a sentence, when one takes longer than *patience* seconds.
    """
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    arguments = (theirs, number, get_answers, path, language())
    process = _PROCESSES.Process(target=_judge_here, args=arguments)
    process.start()
    theirs.close()
    told: list[str | None] = []
    try:
        while len(told) < len(get_answers):
            if not ours.poll(patience):
                sentence = ngettext(
                    "It was not over after {n} second: something waits for ever.",
                    "It was not over after {n} seconds: something waits for ever.",
                    int(patience),
                )
                return [*told, sentence.format(n=int(patience))]
            told.append(ours.recv())
    except EOFError:
        told.append(_("The answer ended the whole program. Return from the function instead."))
    finally:
        process.kill()  # its threads may wait for ever
        process.join()
        ours.close()
    return told


def _judge_here(
    result: Connection,
    number: int,
    get_answers: Sequence[Callable[[], Answer]],
    path: str,
    lang: str,
) -> None:
    set_language(lang)
    for get_answer in get_answers:
        problem = _problem(number, get_answer, path)
        sys.stdout.flush()  # the process is killed, and the answer may have printed something
        result.send(problem)


def _problem(number: int, get_answer: Callable[[], Answer], path: str) -> str | None:
    paths = (path, str(ROOT / "chat")) if number == IN_THE_CHAT else (path,)
    failed: list[str] = []  # accounts of what ended threads of the answer

    def note(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None:
            failed.append(account(failure.exc_value, *paths))

    threading.excepthook = note
    try:
        CHECKS[number](get_answer())
    except Hint as hint:
        return "\n\n".join([str(hint), *failed[:1]])
    except Exception as error:  # noqa: BLE001 - whatever the answer does, it is told
        return _("It failed with an error:") + "\n" + account(error, *paths)
    return None
