import os
import socket
import threading

sock = socket.create_connection(("127.0.0.1", 5001))
lines = sock.makefile("r", encoding="utf-8")
screen = []
drawing = threading.Lock()
me = ""


def draw(*new):
    with drawing:
        screen.extend(new)
        print("\033[2J\033[H", end="")
        print("=== chat === you are", me)
        for line in screen[-25:]:
            print(line)
        print("-" * 40)
        print("say: ", end="", flush=True)


def listen():
    for line in lines:
        draw(line.rstrip())
    os._exit(0)


while True:
    me = input("name: ")
    sock.sendall((me + "\n").encode())
    if lines.readline() == "WELCOME\n":
        break
    print("taken")
threading.Thread(target=listen, daemon=True).start()
draw()
while True:
    text = input()
    if text == "/exit":
        break
    sock.sendall((text + "\n").encode())
    draw("me: " + text)
