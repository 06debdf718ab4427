"""The chat that everybody writes first: a list, a lock, and a ``sendall`` for every delivery.

Lines of text: the first is the name, all others are said to everybody else. Kinder than most of
its kind: it reads whole lines, its backlog is long, and Nagle's algorithm is off.
"""

import contextlib
import socket
import threading

clients: list[socket.socket] = []
clients_lock = threading.Lock()


def broadcast(line: bytes, author: socket.socket) -> None:
    """Send *line* to everybody but its author."""
    with clients_lock:
        for client in clients:
            if client is not author:
                with contextlib.suppress(OSError):  # it has gone: its own thread will see that
                    client.sendall(line)


def serve(client: socket.socket) -> None:
    """Talk to one client until it goes. A thread of its own."""
    with client, client.makefile("rb") as lines:
        name = lines.readline().strip()
        client.sendall(b"* welcome, " + name + b"\n")
        with clients_lock:
            clients.append(client)
        broadcast(b"* " + name + b" joined\n", client)
        with contextlib.suppress(OSError):
            for line in lines:
                broadcast(name + b": " + line, client)
        with clients_lock:
            clients.remove(client)
        broadcast(b"* " + name + b" left\n", client)


def main() -> None:
    """Serve until the process is told to end."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print("{}:{}".format(*listener.getsockname()), flush=True)
        while True:
            client, _address = listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=[client]).start()


if __name__ == "__main__":
    main()
