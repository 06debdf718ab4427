import socket, os
from threading import Thread

s = socket.socket()
s.connect(("127.0.0.1", 5555))

def listen():
    while True:
        data = s.recv(1024).decode()
        if not data:
            break
        print(data)
    os._exit(0)

print(s.recv(1024).decode())
s.send(input().encode())
Thread(target=listen, daemon=True).start()
while True:
    text = input()
    if text:
        s.send(text.encode())
    if text == "/exit":
        break
