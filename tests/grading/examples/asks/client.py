import os
import socket
import threading

s = socket.socket()
host = input("IP сервера: ")
port = input("Порт сервера: ")
s.connect((host, int(port)))
f = s.makefile("r", encoding="utf-8")

while True:
    s.sendall((input("Представьтесь: ") + "\n").encode())
    if f.readline().strip() == "OK":
        break
    print("Извините, это имя уже кто-то взял")
print("Вы в чате! Команды: /кто, /лс имя текст, /выход")


def slushat():
    for line in f:
        print(line, end="")
    print("Связь прервана")
    os._exit(0)


threading.Thread(target=slushat, daemon=True).start()
while True:
    text = input()
    s.sendall((text + "\n").encode())
    if text == "/выход":
        break
