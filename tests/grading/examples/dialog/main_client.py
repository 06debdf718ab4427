# -*- coding: utf-8 -*-
# Лабораторная работа: клиент
import socket
import threading
import pickle
import struct

c = socket.socket()
c.connect(("127.0.0.1", 8888))

def put(obj):
    d = pickle.dumps(obj)
    c.sendall(struct.pack("!I", len(d)) + d)

def all(n):
    d = b""
    while len(d) < n:
        p = c.recv(n - len(d))
        if not p:
            raise ConnectionError()
        d += p
    return d

def get():
    n = struct.unpack("!I", all(4))[0]
    return pickle.loads(all(n))

while True:
    name = input("Логин: ")
    put({"type": "login", "name": name})
    answer = get()
    if answer == "OK":
        break
    print(answer)

def listen():
    try:
        while True:
            print()
            print(get())
    except ConnectionError:
        print("Нет связи с сервером")

threading.Thread(target=listen, daemon=True).start()
print("Введите команду: write - написать, users - список, quit - выход")
while True:
    k = input(name + "> ")
    if k == "write":
        to = input("Кому (* - всем): ")
        text = input("Текст: ")
        put({"type": "msg", "to": to, "text": text})
    elif k == "users":
        put({"type": "users"})
    elif k == "quit":
        break
    else:
        print("Неизвестная команда")
