"""JSON lines over a socket."""

import json
import socket

ADDRESS = (socket.gethostbyname(socket.gethostname()), 12345)


class Wire:
    """One connection."""

    def __init__(self, sock):
        """Wrap a socket."""
        self.sock = sock
        self.file = sock.makefile("r", encoding="utf-8", errors="replace")

    def put(self, **message):
        """Send a message."""
        try:
            self.sock.sendall((json.dumps(message) + "\n").encode())
        except OSError:
            pass

    def get(self):
        """Return the next message, None at the end."""
        try:
            line = self.file.readline()
            message = json.loads(line) if line else None
            return message if isinstance(message, dict) else None
        except (OSError, ValueError):
            return None
