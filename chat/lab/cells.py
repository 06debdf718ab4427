"""What stays open from one cell of a notebook to a later one, and is closed when a cell fails.

A ``with`` block ends where its cell ends; a conversation that is told step by step lasts longer::

    stage = AcrossCells()                                  # in one cell
    server = stage.enter_context(ChatServer())
    ...
    stage.close()                                          # in a later one

A cell in between that fails, or that the reader interrupts, ends the run of the notebook, and
nobody would reach the cell that closes. So whatever is still open then is closed at once, and the
reader is told from which cell to start over.

Also what an ``assert`` of a notebook says: see `explain_asserts`.
"""

from __future__ import annotations

import ast
import contextlib
from typing import Any, ClassVar

from IPython.core.getipython import get_ipython

from chat.app.i18n import gettext as _
from chat.lab.waiting import shown


class AcrossCells(contextlib.ExitStack):
    """An exit stack for several cells: closed by `close`, by a cell that fails, by the next one.

    For the thread that runs the cells.
    """

    _open: ClassVar[AcrossCells | None] = None
    _begun: ClassVar[str] = ""
    """The cell in which the last one began, until a cell has closed it as it should."""

    def __init__(self) -> None:
        """Begin anew: a cell that is run again must not leave behind what it opened before."""
        super().__init__()
        if AcrossCells._open is not None:
            AcrossCells._open.close()
        AcrossCells._open = self
        shell = get_ipython()
        if shell is not None:
            AcrossCells._begun = f"[{len(shell.user_ns['In']) - 1}]"
            if _after_cell not in shell.events.callbacks["post_run_cell"]:
                shell.events.register("post_run_cell", _after_cell)
        self.callback(self._forget)

    def _forget(self) -> None:
        if AcrossCells._open is self:
            AcrossCells._open = None
            AcrossCells._begun = ""


def _after_cell(result: Any) -> None:
    """Close what a cell that failed has left open; say, after later failures too, where to go."""
    begun = AcrossCells._begun
    if result.success or not begun:
        return
    if AcrossCells._open is not None:
        AcrossCells._open.close()
    AcrossCells._begun = begun
    print(
        _(
            "The experiment that began in cell {number} is over after an error: run the cells "
            "again from that one on."
        ).format(number=begun)
    )


# --- what an assertion says -----------------------------------------------------------------------


def explain_asserts() -> None:
    """Let an ``assert`` without a message say what was expected and what came, in this notebook.

    ``assert len(inbox) == 3`` says that it was 2. Does nothing outside of IPython.
    """
    shell = get_ipython()
    if shell is not None and not any(isinstance(one, _Asserts) for one in shell.ast_transformers):
        shell.ast_transformers.append(_Asserts())


class _Asserts(ast.NodeTransformer):
    """Gives every assertion without a message one; compared values are kept for it by ``:=``."""

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        if node.msg is not None:
            return node
        arguments: list[ast.expr] = [ast.Constant(ast.unparse(node.test))]
        if isinstance(node.test, ast.Compare) and len(node.test.ops) == 1:
            sides = [node.test.left, node.test.comparators[0]]
            names = ("_left", "_right")
            kept = [
                ast.NamedExpr(ast.Name(name, ast.Store()), side)
                for name, side in zip(names, sides, strict=True)
            ]
            node.test = ast.Compare(kept[0], node.test.ops, [kept[1]])
            arguments += [ast.Name(name, ast.Load()) for name in names]
        why = ast.parse("__import__('chat.lab.cells').lab.cells.why", mode="eval").body
        node.msg = ast.Call(why, arguments, [])
        return ast.fix_missing_locations(ast.copy_location(node, node))


def why(expected: str, *came: object) -> str:
    """Return the message of an assertion of *expected* whose two sides *came* as they are."""
    if not came:
        return _("Expected: {condition}").format(condition=expected)
    return _("Expected: {condition}\nCame: {left} and {right}").format(
        condition=expected, left=shown(came[0]), right=shown(came[1])
    )
