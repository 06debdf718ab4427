import socket

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 6666))
server.listen()
server.setblocking(False)
clients = {}
print("Waiting for connections...")
while True:
    try:
        conn, addr = server.accept()
        conn.setblocking(False)
        clients[conn] = None
    except BlockingIOError:
        pass
    for conn in list(clients):
        try:
            data = conn.recv(1024).decode().strip()
        except BlockingIOError:
            continue
        if not data:
            name = clients.pop(conn)
            for other in clients:
                other.send(f"{name} disconnected\n".encode())
        elif clients[conn] is None:
            if data in clients.values():
                conn.send(b"name is taken\n")
                continue
            clients[conn] = data
            conn.send(f"hi {data}\n".encode())
        elif data == "list":
            conn.send((" ".join(map(str, clients.values())) + "\n").encode())
        elif data.startswith("to "):
            _, to, text = data.split(" ", 2)
            for other in clients:
                if clients[other] == to:
                    other.send(f"{clients[conn]} (private): {text}\n".encode())
        else:
            for other in clients:
                if other is not conn:
                    other.send(f"{clients[conn]}: {data}\n".encode())
