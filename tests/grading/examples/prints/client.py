import socket

s = socket.create_connection(("127.0.0.1", 8765))
name = input("name: ")
while True:
    s.send((name + ": " + input()).encode())
