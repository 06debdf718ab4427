"""The client."""

import socket
import threading

from .wire import ADDRESS, Wire


def show(wire):
    """Print what comes."""
    while (message := wire.get()) is not None:
        kind = message["kind"]
        if kind == "say":
            print(f"{message['name']}: {message['text']}")
        elif kind == "dm":
            print(f"(private) {message['name']}: {message['text']}")
        elif kind == "list":
            print("users:", *message["users"])
        elif kind == "note":
            print("***", message["text"])
    print("--- connection closed ---")


def main():
    """Run the client."""
    wire = Wire(socket.create_connection(ADDRESS))
    while True:
        name = input("nickname? ")
        wire.put(kind="hello", name=name)
        answer = wire.get()
        if answer["kind"] == "welcome":
            break
        print("that nickname is taken, try again")
    print(f"hello {name}, online:", ", ".join(answer["users"]) or "only you")
    for one in answer["said"]:
        print(f"[before] {one['name']}: {one['text']}")
    threading.Thread(target=show, args=(wire,), daemon=True).start()
    while True:
        match input().split(" ", 2):
            case ["/ls"]:
                wire.put(kind="list")
            case ["/dm", to, text]:
                wire.put(kind="dm", to=to, text=text)
            case ["/q"]:
                wire.put(kind="bye")
                return
            case [word, *rest]:
                wire.put(kind="say", text=" ".join([word, *rest]))
