"""Exercise 9. Survive being cut off.

Between you and the server stands a proxy that cuts the connection in the middle of a byte stream.
Say all the words so that each is heard exactly once, and in order. The server helps: its
``welcome`` holds a ``session`` with which you can come back, and a message with an ``id`` that it
knows is not recorded twice but acknowledged again (``ack``). The ready-made ``ChatClient`` does not
count here: write it yourself, on a socket.
"""


def say_all(address: tuple[str, int], nick: str, words: list[str]) -> None:
    """Enter as *nick* and say *words*, whatever happens to the connection."""
