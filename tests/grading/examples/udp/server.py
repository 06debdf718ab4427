import socket

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 5005))
print("Сервер UDP запущен")
clients = {}
while True:
    data, addr = s.recvfrom(1024)
    text = data.decode()
    if addr not in clients:
        clients[addr] = text
        s.sendto("Добро пожаловать".encode(), addr)
        continue
    for other in clients:
        if other != addr:
            s.sendto(f"{clients[addr]}: {text}".encode(), other)
