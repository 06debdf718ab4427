r"""Exercise 5. Cut a stream into frames.

A frame is a line that ends in ``\n``. Chunks come as they please: half a frame, ten frames at once,
a line feed apart from its line. Write a class: ``feed`` takes a chunk and returns the frames that
it completes, without ``\n``. The rest waits for the next chunk.

A frame longer than *limit* bytes is a reason for ``ValueError``, and at once: its end may never
come.
"""


class Frames:
    """Puts frames together from chunks."""

    def __init__(self, limit: int) -> None:
        """Take frames of up to *limit* bytes."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take a chunk, return the frames that are complete."""
        return chunk.splitlines()
