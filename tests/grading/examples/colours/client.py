import socket
import threading

sock = socket.socket()
sock.connect(("127.0.0.1", 4444))


def receive():
    buffer = ""
    while True:
        data = sock.recv(2048)
        if not data:
            print("\033[31mDisconnected\033[0m")
            break
        buffer += data.decode(errors="ignore")
        while "\0" in buffer:
            text, buffer = buffer.split("\0", 1)
            print(text)


nick = input("\033[1mChoose your nickname:\033[0m ")
sock.send((nick + "\0").encode())
threading.Thread(target=receive, daemon=True).start()
while True:
    text = input("")
    if text:
        sock.send((text + "\0").encode())
    if text == "/quit":
        break
