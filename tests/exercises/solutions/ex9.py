"""Keep the rest, and look at its length."""


class Frames:
    """Puts frames together."""

    def __init__(self, limit: int) -> None:
        """Frames of at most *limit* bytes."""
        self._limit = limit
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the frames that *chunk* completes. Raises `ValueError`."""
        *frames, self._rest = (self._rest + chunk).split(b"\n")
        if any(len(frame) > self._limit for frame in [*frames, self._rest]):
            raise ValueError("a frame is too long")
        return frames
