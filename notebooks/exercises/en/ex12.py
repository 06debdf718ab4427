"""Exercise 12. Survive a lost connection.

Between you and the server there is a proxy that cuts the connection in the middle of the byte
stream. Say all *words* so that each is heard exactly once, and in order. The server helps: its
``welcome`` has a ``session`` with which you can come back, and a message whose ``id`` it knows
already is not recorded twice but acknowledged again (``ack``).

All messages and their keys are described at the top of ``chat/core/protocol.py``; its ``encode``,
``decode`` and ``FrameDecoder`` will be useful. The ready-made ``ChatClient`` does not count here:
write it yourself, on a socket.
"""


def say_all(address: tuple[str, int], nick: str, words: list[str]) -> None:
    """Enter as *nick* and say *words*, whatever happens to the connection."""
