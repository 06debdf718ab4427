"""Exercise 8. Where do the counts go?

``counter += 1`` is three steps: read, add, write. The counter stands at 10, two threads increment
it, and both have read before either has written. What does it show in the end? Write your
prediction into LEFT.

Then fix the class: whatever the threads do, each call of ``add`` must add exactly one. The number
is in ``cell.value``. The check does not wait for the threads to collide by chance: ``cell``
deliberately waits between reading and writing.
"""

from types import SimpleNamespace

LEFT: int | None = None  # what the counter shows in the end


class Counter:
    """A counter that many threads increment."""

    def __init__(self, cell: SimpleNamespace) -> None:
        """Count in ``cell.value``."""
        self._cell = cell

    def add(self) -> None:
        """Add one."""
        self._cell.value += 1
