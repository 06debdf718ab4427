import socket
from threading import Thread

conns = {}


def serve(conn):
    conn.send(b"Enter name\n")
    name = conn.recv(100).strip()
    conn.send(b"Welcome to the chat\n")
    if name in conns:
        conn.send(b"This name is in use, bye\n")
        conn.close()
        return
    conns[name] = conn
    try:
        while True:
            data = conn.recv(500)
            if not data:
                break
            if data.strip() == b"users":
                conn.send(b"users: " + b" ".join(conns) + b"\n")
                continue
            for other in list(conns):
                if other != name:
                    conns[other].send(name + b" wrote: " + data)
    except OSError:
        pass
    del conns[name]


s = socket.socket()
s.bind(("localhost", 2222))
s.listen(10)
print("start")
while True:
    Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
