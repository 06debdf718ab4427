r"""Exercise 9. Split a stream into frames.

A frame is a line that ends with ``\n``. A chunk may be anything: half a frame, ten frames at once,
a line feed apart from its line. Write a class: ``feed`` takes a chunk and returns the frames that
it completes, without ``\n`` and otherwise unchanged. The rest waits for the next chunk.

A frame may have up to *limit* bytes inclusive, not counting ``\n``. A longer one is a
``ValueError``, and at once: do not wait for its end, which may never come.
"""


class Frames:
    """Puts frames together from chunks."""

    def __init__(self, limit: int) -> None:
        """Take frames of up to *limit* bytes."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take a chunk, return the frames that it completes."""
        return chunk.splitlines()
