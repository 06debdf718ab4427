"""Exercise 2. Predict: how many messages are in the stream?

One end of a connection has called ``sendall("при".encode())`` and right after it
``sendall("вет".encode())``, the two halves of the Russian word for "hi". After both had arrived,
the other end called ``recv(100)`` once and decoded the result with ``.decode()``. Which string came
out?
"""

ANSWER: str | None = None  # write the string here
