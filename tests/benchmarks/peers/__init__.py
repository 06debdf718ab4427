"""Servers to compare with: each a program that prints ``HOST:PORT`` on its first line."""
