# Курсовая: чат. Запуск: python chat.py, дальше всё спрашивается
import socket
import sys
import threading

HOST, PORT = "localhost", 50007


class Server:
    def __init__(self):
        self.users = {}
        self.lock = threading.Lock()

    def run(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((HOST, PORT))
        s.listen()
        print(f"[СЕРВЕР] запущен на {HOST}:{PORT}")
        while True:
            c, a = s.accept()
            print("[СЕРВЕР] новое подключение", a)
            threading.Thread(target=self.client, args=(c,), daemon=True).start()

    def send(self, c, text):
        data = text.encode()
        c.sendall(len(data).to_bytes(4, "big") + data)

    def recv(self, c):
        head = c.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            raise ConnectionError
        n = int.from_bytes(head, "big")
        if n > 1_000_000:
            raise ConnectionError
        return c.recv(n, socket.MSG_WAITALL).decode()

    def client(self, c):
        name = ""
        try:
            name = self.recv(c)
            with self.lock:
                taken = name in self.users
                if not taken:
                    self.users[name] = c
                self.send(c, "NO" if taken else "YES")
            if taken:
                name = ""
                return
            while True:
                kind, to, text = self.recv(c).split("\t", 2)
                if kind == "all":
                    self.all(f"[{name}] -> [все]: {text}", name)
                elif kind == "one":
                    with self.lock:
                        other = self.users.get(to)
                    if other:
                        self.send(other, f"[{name}] -> [только вам]: {text}")
                    else:
                        self.send(c, f"Пользователя {to} нет в сети")
                elif kind == "who":
                    self.send(c, "В сети: " + ", ".join(self.users))
        except (ConnectionError, OSError, ValueError):
            pass
        finally:
            if name:
                with self.lock:
                    self.users.pop(name, None)
                self.all(f"Пользователь {name} вышел из сети")
            c.close()

    def all(self, text, skip=None):
        with self.lock:
            for n, c in self.users.items():
                if n != skip:
                    self.send(c, text)


class Client(Server):
    def run(self):
        s = socket.create_connection((HOST, PORT))
        name = input("Введите ваш ник: ")
        self.send(s, name)
        if self.recv(s) == "NO":
            print("Ошибка! Ник занят, запустите клиент ещё раз")
            return
        print(f"Добро пожаловать в чат, {name}!")
        threading.Thread(target=self.listen, args=(s,), daemon=True).start()
        while True:
            print("1. Общее сообщение\n2. Личное сообщение\n3. Пользователи в сети\n4. Завершить работу")
            choice = input("Выберите действие: ")
            if choice == "1":
                self.send(s, "all\t\t" + input("Введите сообщение: "))
            elif choice == "2":
                to = input("Введите ник получателя: ")
                self.send(s, f"one\t{to}\t" + input("Введите сообщение: "))
            elif choice == "3":
                self.send(s, "who\t\t")
            elif choice == "4":
                return

    def listen(self, s):
        try:
            while True:
                print("\n" + self.recv(s))
        except (ConnectionError, OSError):
            print("\nСервер недоступен")


print("1 - запустить сервер\n2 - запустить клиент")
if input("Ваш выбор: ") == "1":
    Server().run()
else:
    Client().run()
