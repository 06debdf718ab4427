import socket
import threading

s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 8765))
s.listen()
s.setblocking(False)
clients = []
while True:
    print("waiting for clients ...")
    try:
        conn, addr = s.accept()
    except BlockingIOError:
        continue
    clients.append(conn)
