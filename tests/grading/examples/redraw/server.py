import select
import socket

# One thread, select(): no thread per client.
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 5001))
server.listen()
names = {}
buffers = {}
print("select server on 5001")


def send(sock, line):
    try:
        sock.sendall((line + "\n").encode())
    except OSError:
        pass


def send_all(line, skip=None):
    for sock in list(names):
        if sock is not skip:
            send(sock, line)


def one(sock, line):
    if sock not in names:
        if line in names.values():
            send(sock, "TAKEN")
        else:
            names[sock] = line
            send(sock, "WELCOME")
            send_all(f"* {line} enters", sock)
    elif line == "/who":
        send(sock, "* users: " + ", ".join(names.values()))
    elif line.startswith("/msg ") and line.count(" ") >= 2:
        _, to, text = line.split(" ", 2)
        for other, name in names.items():
            if name == to:
                send(other, f"[{names[sock]} -> me] {text}")
    elif line:
        send_all(f"{names[sock]}: {line}", sock)


def drop(sock):
    name = names.pop(sock, None)
    buffers.pop(sock, None)
    sock.close()
    if name:
        send_all(f"* {name} exits")


try:
    while True:
        for sock in select.select([server, *buffers], [], [])[0]:
            if sock is server:
                buffers[sock.accept()[0]] = b""
                continue
            try:
                data = sock.recv(4096)
            except OSError:
                data = b""
            if not data:
                drop(sock)
                continue
            *lines, buffers[sock] = (buffers[sock] + data).split(b"\n")
            for line in lines:
                one(sock, line.decode(errors="replace"))
except KeyboardInterrupt:
    send_all("* the server is closed")
