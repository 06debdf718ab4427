"""The server."""

import socket
import threading

from .wire import ADDRESS, Wire

users: dict[str, Wire] = {}
said: list[dict] = []
lock = threading.Lock()


def everybody(skip=None, **message):
    """Send to all but one."""
    with lock:
        for name, wire in users.items():
            if name != skip:
                wire.put(**message)


def serve(wire):
    """Serve one user."""
    name = None
    while (message := wire.get()) is not None:
        kind = message.get("kind")
        if kind == "hello" and name is None:
            with lock:
                wanted = str(message.get("name"))
                free = wanted not in users
                if free:
                    name = wanted
                    others = list(users)
                    users[name] = wire
                    wire.put(kind="welcome", users=others, said=said)
            if not free:
                wire.put(kind="taken")
            else:
                everybody(name, kind="note", text=f"{name} is here")
        elif name is None:
            break
        elif kind == "say":
            said.append({"name": name, "text": message["text"]})
            everybody(name, kind="say", name=name, text=message["text"])
        elif kind == "dm":
            with lock:
                other = users.get(message["to"])
            if other:
                other.put(kind="dm", name=name, text=message["text"])
        elif kind == "list":
            wire.put(kind="list", users=list(users))
        elif kind == "bye":
            break
    if name:
        with lock:
            del users[name]
        everybody(kind="note", text=f"{name} is gone")
    wire.sock.close()


def main():
    """Accept for ever."""
    listener = socket.create_server(ADDRESS)
    print("ready")
    try:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(Wire(sock),), daemon=True).start()
    except KeyboardInterrupt:
        everybody(kind="note", text="The server was stopped by its owner")
