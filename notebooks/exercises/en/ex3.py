"""Exercise 3. Predict: where is a letter cut in two?

The string «Жук и ёж» ("a beetle and a hedgehog") was encoded in UTF-8, where a Russian letter takes
two bytes and a space takes one, and is read with calls of ``recv(5)`` until nothing is left. How
many chunks arrive, if each but the last has exactly five bytes? And how many of them cannot be
decoded without their neighbours?
"""

PIECES: int | None = None  # how many chunks
BROKEN: int | None = None  # how many of them cannot be decoded alone
