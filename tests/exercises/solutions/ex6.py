"""A thread for each client, all joined at the end."""

import socket
import threading


def echo(connection: socket.socket) -> None:
    """Return to one client all that it sends."""
    with connection:
        while chunk := connection.recv(4096):
            connection.sendall(chunk)


def serve(listener: socket.socket, clients: int) -> None:
    """Serve *clients* clients at once; return when all have left."""
    threads = []
    for _number in range(clients):
        connection, _address = listener.accept()
        thread = threading.Thread(target=echo, args=[connection])
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
