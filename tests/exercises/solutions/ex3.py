"""Fourteen bytes: 5 + 5 + 4; the letters take two bytes each, the blanks one."""

PIECES = 3
BROKEN = 2
