"""The client: messages scroll in the upper part, the line at the bottom stays."""

import os
import sys
import threading
from socket import create_connection

from server import get, put

rows = os.get_terminal_size().lines


def show(text):
    """Scroll the upper part and write a line into it."""
    sys.stdout.write(f"\033[s\033[1;{rows - 1}r\033[S\033[{rows - 1};1H{text}\033[r\033[u")
    sys.stdout.flush()


def listen(sock):
    """Show what comes."""
    try:
        while True:
            show(get(sock))
    except OSError:
        show("the connection is lost")


def ask(prompt):
    """Ask at the bottom line."""
    sys.stdout.write(f"\033[{rows};1H\033[2K{prompt}")
    sys.stdout.flush()
    return sys.stdin.readline().rstrip("\n")


def main():
    """Run the client."""
    sock = create_connection(("127.0.0.1", int(sys.argv[1])))
    while True:
        name = ask("your name: ")
        put(sock, name)
        if get(sock) == "ok":
            break
        show(f"{name} is somebody else already")
    show(f"you are in, {name}")
    threading.Thread(target=listen, args=(sock,), daemon=True).start()
    while (line := ask(f"{name}> ")) != ":bye":
        put(sock, line)
    put(sock, line)


if __name__ == "__main__":
    main()
