import os
import socket
from threading import Thread

s = socket.socket()
s.connect(("localhost", 2222))


def read():
    while True:
        data = s.recv(500)
        if not data:
            os._exit(1)
        print(data)


Thread(target=read).start()
while True:
    s.send(input().encode() + b"\n")
