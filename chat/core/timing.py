"""Limits of time and of rate."""

import math
import time

LONGEST_DEBT = 5.0
"""Seconds of waiting that may be drawn from a bucket in advance: someone who shares the bucket with
a crowd must get a turn."""


class Deadline:
    """One time limit for several steps."""

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        """Start now; end after *seconds*."""
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left, 0 when none are."""
        return max(0.0, self._end - time.monotonic())

    def remaining(self) -> float:
        """Return the seconds that are left. Raises `TimeoutError` when none are."""
        if not (seconds := self.left):
            raise TimeoutError
        return seconds


class TokenBucket:
    """Limits a rate: *burst* at once, then *rate* per second. For one thread at a time.

    A token is added every 1 / *rate* seconds, up to *burst* tokens; each action takes one
    (Tanenbaum, Computer Networks, 5th edition, section 5.4.2).
    """

    __slots__ = ("_burst", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, missing: float = 0) -> None:
        """Start full but for *missing* tokens; a *rate* of 0 means no limit."""
        self._rate = rate or 1.0
        self._burst = burst if rate else math.inf
        self._tokens = self._burst - missing
        self._filled = time.monotonic()

    def take(self) -> bool:
        """Take a token; False if there is none."""
        if self.tokens < 1:
            return False
        self._tokens -= 1
        return True

    def draw(self, amount: float) -> float:
        """Take *amount*, in advance if need be; return the seconds until it would be there."""
        self._tokens = max(self.tokens - amount, -self._rate * LONGEST_DEBT)
        return max(0.0, -self._tokens / self._rate)

    def take_up_to(self, amount: float) -> float:
        """Take *amount*, or as much as there is; return how much."""
        taken = min(amount, max(0.0, self.tokens))
        self._tokens -= taken
        return taken

    def give(self, amount: float) -> None:
        """Put *amount* back."""
        self._tokens = min(self._burst, self.tokens + amount)

    def wait_time(self) -> float:
        """Return the seconds until there is a token."""
        return max(0.0, (1 - self.tokens) / self._rate)

    @property
    def tokens(self) -> float:
        """How many tokens there are now."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        return self._tokens

    @property
    def full(self) -> bool:
        """Whether the bucket is full again."""
        return self.tokens >= self._burst - 1
