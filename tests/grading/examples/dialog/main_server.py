# -*- coding: utf-8 -*-
# Лабораторная работа: сервер
import socket
import threading
import pickle
import struct

class Server:
    def __init__(self, port):
        self.s = socket.socket()
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.s.bind(("", port))
        self.s.listen(5)
        self.clients = {}

    def start(self):
        print("Сервер стартовал. Для остановки введите stop")
        threading.Thread(target=self.accept, daemon=True).start()
        while input() != "stop":
            pass
        for n in self.clients:
            self.put(self.clients[n], "Сервер завершил работу")

    def accept(self):
        while True:
            c, a = self.s.accept()
            threading.Thread(target=self.work, args=(c,), daemon=True).start()

    def put(self, c, obj):
        d = pickle.dumps(obj)
        c.sendall(struct.pack("!I", len(d)) + d)

    def get(self, c):
        n = struct.unpack("!I", self.all(c, 4))[0]
        return pickle.loads(self.all(c, n))

    def all(self, c, n):
        d = b""
        while len(d) < n:
            p = c.recv(n - len(d))
            if not p:
                raise ConnectionError()
            d += p
        return d

    def work(self, c):
        name = None
        try:
            while True:
                k = self.get(c)
                if k["type"] == "login":
                    if k["name"] in self.clients:
                        self.put(c, "Логин уже занят")
                    else:
                        name = k["name"]
                        self.clients[name] = c
                        self.put(c, "OK")
                elif k["type"] == "msg":
                    for n in list(self.clients):
                        if n != name and k["to"] in ("*", n):
                            self.put(self.clients[n], "Сообщение от " + name + ": " + k["text"])
                elif k["type"] == "users":
                    self.put(c, "Пользователи: " + "; ".join(self.clients))
        except Exception:
            pass
        if name:
            del self.clients[name]
            for n in list(self.clients):
                self.put(self.clients[n], name + " покинул беседу")

Server(8888).start()
