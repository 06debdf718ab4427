"""Exercise 10. One nickname, one owner.

Many threads ask whether a nickname is free. Sometimes this class gives one nickname to two of them:
between the check and the assignment another thread gets in. Fix it with a lock. The check does not
wait for the threads to collide by chance: the mapping *taken* is slow on purpose, in whatever way
you read it.
"""

from collections.abc import MutableMapping


class Registry:
    """Who owns which nickname."""

    def __init__(self, taken: MutableMapping[str, object]) -> None:
        """Keep the owners in *taken*."""
        self._taken = taken

    def claim(self, nick: str, owner: object) -> bool:
        """Give *nick* to *owner*; False if it is taken."""
        if nick in self._taken:
            return False
        self._taken[nick] = owner
        return True
