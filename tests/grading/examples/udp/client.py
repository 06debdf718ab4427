import socket
import threading

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(input("Имя: ").encode(), ("127.0.0.1", 5005))


def listen():
    while True:
        print(s.recvfrom(1024)[0].decode())


threading.Thread(target=listen, daemon=True).start()
while True:
    s.sendto(input().encode(), ("127.0.0.1", 5005))
