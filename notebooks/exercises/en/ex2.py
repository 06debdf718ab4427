"""Exercise 1. Predict: how many messages are in the stream?

One end of a connection has called ``sendall("при".encode())`` and right after it
``sendall("вет".encode())``: the two halves of a Russian word, each letter two bytes. Both have
arrived, and now the other end calls ``recv(100)`` once. What does it get?
"""

ANSWER: str | None = None  # write the string here
