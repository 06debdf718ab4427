"""Chat server with accounts. Usage: python server.py PORT"""

import contextlib
import json
import socket
import sys
import threading
from pathlib import Path

ACCOUNTS = Path("accounts.json")
accounts = json.loads(ACCOUNTS.read_text()) if ACCOUNTS.exists() else {}
online = {}
history = []
lock = threading.RLock()


def send(conn, line):
    """Send one line."""
    conn.sendall((line + "\n").encode("utf-8"))


def broadcast(line, skip=None):
    """Send a line to everybody but one."""
    with lock:
        for user, conn in online.items():
            if user != skip:
                with contextlib.suppress(OSError):
                    send(conn, line)


def sign_in(conn, lines):
    """Return the user's name, or None."""
    for line in lines:
        command, user, password = (line.strip().split(" ") + ["", ""])[:3]
        with lock:
            if command == "REGISTER" and user.lower() not in accounts:
                accounts[user.lower()] = password
                ACCOUNTS.write_text(json.dumps(accounts))
            if accounts.get(user.lower()) != password:
                send(conn, "ERR Wrong password or unknown user")
            elif user.lower() in map(str.lower, online):
                send(conn, f"ERR User {user} is logged in already")
            else:
                others = ", ".join(online) or "nobody else"
                send(conn, f"OK {others}")
                online[user] = conn
                return user
    return None


def handle(conn):
    """Serve one client."""
    user = None
    try:
        lines = conn.makefile("r", encoding="utf-8", errors="replace", newline="\n")
        user = sign_in(conn, lines)
        for line in lines if user else ():
            command, _, rest = line.rstrip("\n").partition(" ")
            if command == "SAY":
                history.append(f"{user}> {rest}")
                broadcast(f"{user}> {rest}", user)
            elif command == "TELL":
                to, _, text = rest.partition(" ")
                with lock:
                    if to in online:
                        send(online[to], f"{user} (to you)> {text}")
                    else:
                        send(conn, "No such user")
            elif command == "WHO":
                with lock:
                    send(conn, "Online now: " + ", ".join(online))
            elif command == "LOG":
                for old in history:
                    send(conn, old)
            elif command == "BYE":
                break
    except OSError:
        pass
    finally:
        with lock:
            online.pop(user, None)
        if user:
            broadcast(f"-- {user} signed off")
        conn.close()


def main():
    """Accept clients."""
    server = socket.create_server(("", int(sys.argv[1])))
    print("Chat server is up")
    try:
        while True:
            conn, _ = server.accept()
            threading.Thread(target=handle, args=(conn,), daemon=True).start()
    except KeyboardInterrupt:
        broadcast("-- the server goes down")


main()
