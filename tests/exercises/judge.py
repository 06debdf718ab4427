"""Judges an answer in a process of its own, which may hang, exit or leave threads behind."""

import functools
import multiprocessing
import threading
from collections.abc import Callable
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
    return judge_answer(number, functools.partial(read, path), str(path), patience=patience)


def judge_answer(
    number: int, get_answer: Callable[[], Answer], path: str, *, patience: float = PATIENCE
) -> str | None:
    """Judge as `judge` does what *get_answer*, called in the process, returns from *path*."""
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    arguments = (theirs, number, get_answer, path, language())
    process = _PROCESSES.Process(target=_judge_here, args=arguments)
    process.start()
    theirs.close()
    try:
        if ours.poll(patience):
            problem: str | None = ours.recv()
            return problem
    except EOFError:
        return _("The answer ended the whole program. Return from the function instead.")
    finally:
        process.kill()  # its threads may wait for ever
        process.join()
        ours.close()
    sentence = ngettext(
        "It was not over after {n} second: something waits for ever.",
        "It was not over after {n} seconds: something waits for ever.",
        int(patience),
    )
    return sentence.format(n=int(patience))


def _judge_here(
    result: Connection, number: int, get_answer: Callable[[], Answer], path: str, lang: str
) -> None:
    set_language(lang)
    paths = (path, str(ROOT / "chat")) if number == IN_THE_CHAT else (path,)
    failed: list[str] = []  # accounts of what ended threads of the answer

    def note(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None:
            failed.append(account(failure.exc_value, *paths))

    threading.excepthook = note
    problem = None
    try:
        CHECKS[number](get_answer())
    except Hint as hint:
        problem = "\n\n".join([str(hint), *failed[:1]])
    except Exception as error:  # noqa: BLE001 - whatever the answer does, it is told
        problem = _("It failed with an error:") + "\n" + account(error, *paths)
    result.send(problem)
