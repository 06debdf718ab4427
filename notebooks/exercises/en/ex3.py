"""Exercise 2. Predict: where will a letter be cut?

The string «Жук и ёж» ("a beetle and a hedgehog") is encoded in UTF-8, where every Russian letter
takes two bytes and a blank takes one, and is read by calls of ``recv(5)`` until it is over. How
many chunks will there be, if each but the last has exactly five bytes? And how many of them cannot
be decoded without their neighbours?
"""

PIECES: int | None = None  # how many chunks
BROKEN: int | None = None  # how many of them are no string by themselves
