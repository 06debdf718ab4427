"""Exercise 1. A first echo server.

Accept one connection and send back to the client everything that it sends, chunk by chunk, at once.
When the client has finished, ``recv`` returns ``b""``: close the connection and return.

The order of the calls: ``accept`` → ``recv`` and ``sendall`` until the end → ``close``.
"""

import socket


def serve_one(listener: socket.socket) -> None:
    """Accept one client on *listener*, send back everything that it sends."""
    connection, _address = listener.accept()
    connection.close()
