"""What stays open from one cell of a notebook to a later one, and is closed when a cell fails.

A ``with`` block ends where its cell ends; a conversation that is told step by step lasts longer::

    stage = AcrossCells()                                  # in one cell
    server = stage.enter_context(ChatServer())
    ...
    stage.close()                                          # in a later one

A cell in between that fails, or that the reader interrupts, ends the run of the notebook, and
nobody would reach the cell that closes. So whatever is still open then is closed at once.
"""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

from IPython.core.getipython import get_ipython


class AcrossCells(contextlib.ExitStack):
    """An exit stack for several cells: closed by `close`, by a cell that fails, by the next one.

    For the thread that runs the cells.
    """

    _open: ClassVar[AcrossCells | None] = None

    def __init__(self) -> None:
        """Begin anew: a cell that is run again must not leave behind what it opened before."""
        super().__init__()
        if AcrossCells._open is not None:
            AcrossCells._open.close()
        AcrossCells._open = self
        shell = get_ipython()
        self._events = None if shell is None else shell.events
        if self._events is not None:
            self._events.register("post_run_cell", self._after_cell)
            self.callback(self._events.unregister, "post_run_cell", self._after_cell)
        self.callback(self._forget)

    def _after_cell(self, result: Any) -> None:
        if not result.success:
            self.close()

    def _forget(self) -> None:
        if AcrossCells._open is self:
            AcrossCells._open = None
