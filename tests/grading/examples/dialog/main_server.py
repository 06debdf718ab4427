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
        self.lock = threading.Lock()

    def start(self):
        print("Сервер стартовал. Для остановки введите stop")
        threading.Thread(target=self.accept, daemon=True).start()
        while input() != "stop":
            pass
        self.tell(None, "Сервер завершил работу")

    def accept(self):
        while True:
            c, a = self.s.accept()
            threading.Thread(target=self.work, args=(c,), daemon=True).start()

    def put(self, c, obj):
        d = pickle.dumps(obj)
        c.sendall(struct.pack("!I", len(d)) + d)

    def tell(self, me, text, to="*"):
        with self.lock:
            people = dict(self.clients)
        for n in people:
            if n != me and to in ("*", n):
                try:
                    self.put(people[n], text)
                except OSError:
                    pass

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
                    with self.lock:
                        if k["name"] in self.clients:
                            self.put(c, "Логин уже занят")
                        else:
                            name = k["name"]
                            self.clients[name] = c
                            self.put(c, "OK")
                elif k["type"] == "msg":
                    self.tell(name, "Сообщение от " + name + ": " + k["text"], k["to"])
                elif k["type"] == "users":
                    self.put(c, "Пользователи: " + "; ".join(self.clients))
        except Exception:
            pass
        if name:
            with self.lock:
                del self.clients[name]
            self.tell(name, name + " покинул беседу")

Server(8888).start()
