"""A threaded chat server, four bytes of length before each message."""

import socket
import struct
import sys
import threading


class Room:
    """Everybody who is connected."""

    def __init__(self):
        """Start empty."""
        self.lock = threading.Lock()
        self.people = {}

    def tell(self, line, skip=None):
        """Tell everybody but one."""
        with self.lock:
            people = dict(self.people)
        for name, sock in people.items():
            if name != skip:
                put(sock, line)


def put(sock, text):
    """Send one message."""
    data = text.encode()
    try:
        sock.sendall(struct.pack(">I", len(data)) + data)
    except OSError:
        pass


def get(sock):
    """Receive one message; raise ConnectionError at the end."""
    data = b""
    size = 4
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError
        data += part
        if len(data) == 4 and size == 4:
            size += struct.unpack(">I", data)[0]
            if size > 100_000:
                raise ConnectionError
    return data[4:].decode(errors="replace")


def serve(room, sock):
    """Serve one client."""
    name = None
    try:
        while name is None:
            wanted = get(sock)
            with room.lock:
                if wanted.lower() not in (one.lower() for one in room.people):
                    room.people[wanted] = sock
                    name = wanted
                put(sock, "ok" if name else "used")
        while True:
            line = get(sock)
            if line == ":list":
                put(sock, "people: " + ", ".join(room.people))
            elif line == ":bye":
                break
            elif line.startswith(":to "):
                to, _, text = line[4:].partition(" ")
                if (other := room.people.get(to)) is not None:
                    put(other, f"{name} says to you: {text}")
            elif line.strip():
                room.tell(f"{name} says: {line}", name)
    except OSError:
        pass
    with room.lock:
        room.people.pop(name, None)
    if name:
        room.tell(f"{name} has gone away")
    sock.close()


def main():
    """Run the server."""
    room = Room()
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    try:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(room, sock), daemon=True).start()
    except KeyboardInterrupt:
        room.tell("this chat is over")


if __name__ == "__main__":
    main()
