import socket
import threading

HOST = "0.0.0.0"
PORT = 4444
clients = {}
number = 0


def send(conn, text):
    conn.send((text + "\0").encode())


def broadcast(text, sender=None):
    for name, conn in list(clients.items()):
        if name != sender:
            send(conn, text)


def handle(conn, addr):
    global number
    buffer = ""
    name = None
    while True:
        data = conn.recv(2048)
        if not data:
            break
        buffer += data.decode()
        while "\0" in buffer:
            text, buffer = buffer.split("\0", 1)
            if name is None:
                if text in clients:
                    send(conn, "\033[31mNickname already taken!\033[0m")
                    continue
                name = text
                clients[name] = conn
                send(conn, f"\033[32mConnected as \033[1m{name}\033[0m from {addr[0]}:{addr[1]}")
                broadcast(f"\033[33m{name} joined the chat\033[0m", name)
            elif text.startswith("@"):
                to, _, message = text[1:].partition(" ")
                if to in clients:
                    send(clients[to], f"\033[35m[PM from {name}]\033[0m {message}")
                else:
                    send(conn, "\033[31mNo such user\033[0m")
            elif text == "/online":
                send(conn, f"\033[36mOnline ({len(clients)}): {', '.join(clients)}\033[0m")
            elif text == "/quit":
                del clients[name]
                broadcast(f"\033[33m{name} left the chat\033[0m")
                conn.close()
                return
            else:
                number += 1
                broadcast(f"\033[90m{number:04}\033[0m \033[1;34m{name}\033[0m: {text}", name)
    clients.pop(name, None)
    broadcast(f"\033[33m{name} left the chat\033[0m")


sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind((HOST, PORT))
sock.listen()
print(f"\033[32m[*] Listening on {HOST}:{PORT}\033[0m")
while True:
    conn, addr = sock.accept()
    print(f"[+] {addr}")
    threading.Thread(target=handle, args=(conn, addr)).start()
