"""Limits of time and of rate."""

import time


class Deadline:
    """One limit of time through several steps."""

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
    """Limits a rate: *burst* at once, and *rate* a second after that. For one thread.

    A token is added every 1 / *rate* seconds, up to *burst* of them; whatever is done takes one
    (Tanenbaum, Computer Networks, 5th edition, section 5.4.2).
    """

    def __init__(self, rate: float, burst: float) -> None:
        """Start full; a *rate* of 0 is no limit."""
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled = time.monotonic()

    def take(self) -> bool:
        """Take a token; False if there is none."""
        if self.wait_time() > 0:
            return False
        self._tokens -= 1
        return True

    def wait_time(self) -> float:
        """Return the seconds until there is a token."""
        if not self._rate:
            return 0
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        return max(0, (1 - self._tokens) / self._rate)

    @property
    def full(self) -> bool:
        """Whether nothing was taken for long enough."""
        self.wait_time()
        return self._tokens >= self._burst - 1
