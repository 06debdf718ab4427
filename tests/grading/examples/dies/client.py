import socket
import threading

s = socket.socket()
s.connect(("127.0.0.1", 7777))
s.send(input("Ваше имя: ").encode())


def priem():
    while True:
        t = s.recv(1024).decode()
        if not t:
            break
        print(t)


threading.Thread(target=priem, daemon=True).start()
while True:
    s.send(input().encode())
