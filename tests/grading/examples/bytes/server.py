import socket
from threading import Thread

conns = {}


def send(conn, data):
    try:
        conn.send(data)
    except OSError:
        pass


def serve(conn):
    send(conn, b"Enter name\n")
    try:
        name = conn.recv(100).strip()
    except OSError:
        return
    send(conn, b"Welcome to the chat\n")
    if name in conns:
        send(conn, b"This name is in use, bye\n")
        conn.close()
        return
    conns[name] = conn
    while True:
        try:
            data = conn.recv(500)
        except OSError:
            break
        if not data:
            break
        if data.strip() == b"users":
            send(conn, b"users: " + b" ".join(conns) + b"\n")
            continue
        for other, to in list(conns.items()):
            if other != name:
                send(to, name + b" wrote: " + data)
    del conns[name]
    conn.close()


s = socket.socket()
s.bind(("localhost", 2222))
s.listen(10)
print("start")
while True:
    Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
