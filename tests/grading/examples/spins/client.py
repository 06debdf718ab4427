import socket
import threading

s = socket.create_connection(("127.0.0.1", 6666))


def read():
    while data := s.recv(1024):
        print(data.decode(), end="")


threading.Thread(target=read, daemon=True).start()
print("name?")
while True:
    line = input()
    if line == "quit":
        break
    s.send((line + "\n").encode())
