"""Ask and write under one lock."""

import threading
from collections.abc import MutableMapping


class Registry:
    """Who owns which nickname."""

    def __init__(self, taken: MutableMapping[str, object]) -> None:
        """Write the owners into *taken*."""
        self._taken = taken
        self._lock = threading.Lock()

    def claim(self, nick: str, owner: object) -> bool:
        """Give *nick* to *owner*; False when it is taken."""
        with self._lock:
            if nick in self._taken:
                return False
            self._taken[nick] = owner
            return True
