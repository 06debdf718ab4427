"""Both have read 10, so both write 11. One lock makes one step of the three."""

import threading
from types import SimpleNamespace

LEFT = 11


class Counter:
    """A counter for many threads."""

    def __init__(self, cell: SimpleNamespace) -> None:
        """Count in ``cell.value``."""
        self._cell = cell
        self._lock = threading.Lock()

    def add(self) -> None:
        """Add one."""
        with self._lock:
            self._cell.value += 1
