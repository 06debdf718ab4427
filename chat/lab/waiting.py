"""Waiting for what happens in another thread or process, and what is said when it does not."""

from __future__ import annotations

import ast
import inspect
import textwrap
import time
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from chat.app.i18n import gettext as _

TIMEOUT = 5.0
"""Seconds that anything in the laboratory may take before it counts as failed."""

_SHOWN = 300
"""Characters of a value, in a complaint."""
_EVENTS = 3
"""Of the events that a witness has seen, the last ones that a complaint shows."""


class Witness(Protocol):
    """Whoever can tell what came instead of what was waited for: a client of an experiment."""

    nick: str

    def story(self) -> list[dict[str, object]]:
        """Return the events so far. Any thread."""


witnesses: weakref.WeakSet[Witness] = weakref.WeakSet()
"""All clients of the experiments that are still in use; whoever makes one adds it."""


def wait_until(
    condition: Callable[[], object], what: str | None = None, *, timeout: float = TIMEOUT
) -> None:
    """Return as soon as *condition* holds. Raises `TimeoutError` after *timeout* seconds.

    For what the kernel does and nobody announces, such as a change of a connection's state: it
    looks every millisecond. *what* is said when it does not come; without it the condition itself
    is, as it stands in the code.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint(what or source(condition), timeout, values(condition)))
        time.sleep(0.001)


def complaint(what: str, timeout: float, instead: Iterable[str] = ()) -> str:
    """Return what is said when *what* has not come: that, and what came *instead*.

    What the clients of the experiment were told last is added, refusals first: an error of the
    server, a limit say, is the reason more often than not.
    """
    lines = [_("Did not come within {seconds:g} s: {what}").format(seconds=timeout, what=what)]
    lines += instead
    for witness in sorted(set(witnesses), key=lambda witness: witness.nick or ""):
        events = witness.story()
        refusals = [event for event in events if event.get("type") == "error"]
        if refusals:
            lines.append(
                _("The server has refused something to {nick}: {events}").format(
                    nick=witness.nick, events=_last(refusals)
                )
            )
        elif events:
            lines.append(
                _("What {nick} was told last: {events}").format(
                    nick=witness.nick, events=_last(events)
                )
            )
    return "\n".join(lines)


def _last(events: list[dict[str, object]]) -> str:
    return "; ".join(shown(event) for event in events[-_EVENTS:])


def shown(value: object) -> str:
    """Return *value* as Python writes it, its end cut off when it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def source(condition: Callable[..., object]) -> str:
    """Return *condition* as it stands in the code: the body of a lambda, the name of a function."""
    name = getattr(condition, "__qualname__", repr(condition))
    if not name.endswith("<lambda>"):
        return name
    try:
        code = textwrap.dedent("".join(inspect.getsourcelines(condition)[0]))
        tree = ast.parse(code)
    except (OSError, SyntaxError):  # there is no file, or the lambda is a part of a statement
        return _("what the code waits for")
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    return ast.unparse(bodies[0]) if len(bodies) == 1 else _("what the code waits for")


def values(condition: Callable[..., object]) -> Iterator[str]:
    """Yield the values of the names that *condition* looks at, a line each."""
    if not isinstance(condition, types.FunctionType):
        return
    found = inspect.getclosurevars(condition)
    for name, value in {**found.globals, **found.nonlocals}.items():
        if not callable(value) and not isinstance(value, types.ModuleType):
            yield f"{name} = {shown(value)}"
