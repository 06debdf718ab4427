import socket
from threading import Thread

clients = {}

def handle(conn):
    conn.send("Enter your nickname:".encode())
    name = conn.recv(1024).decode()
    clients[name] = conn
    conn.send(f"Welcome {name}! Online: {', '.join(clients)}".encode())
    while True:
        data = conn.recv(1024).decode()
        if data == "/exit":
            del clients[name]
            for n in clients:
                clients[n].send(f"{name} left the chat".encode())
            conn.close()
            break
        if data == "/list":
            conn.send(f"Online: {', '.join(clients)}".encode())
        elif data.startswith("/w "):
            _, to, text = data.split(" ", 2)
            clients[to].send(f"[private] {name}: {text}".encode())
        else:
            for n in clients:
                if n != name:
                    clients[n].send(f"{name}: {data}".encode())

s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 5555))
s.listen(10)
print("Server started on port 5555")
while True:
    conn, addr = s.accept()
    Thread(target=handle, args=(conn,), daemon=True).start()
