"""Сервер чата: строки в UTF-8 поверх TCP, по одной на сообщение.

Что присылает клиент: ИМЯ имя, ВСЕМ текст, ЛИЧНО кому текст, КТО, БЫЛО, ПОКА.
Что отвечает сервер: ДА имена, ЗАНЯТО, ОТ кто текст, ЛИЧНО кто текст, ЗДЕСЬ имена,
УШЁЛ кто, СТОП.
"""

import contextlib
import queue
import socket
import sys
import threading

LONGEST_LINE = 65536


class Client:
    """Один подключившийся: поток, который читает, и поток, который пишет."""

    def __init__(self, chat, sock):
        """Запомнить сокет; имени пока нет."""
        self.chat = chat
        self.sock = sock
        self.name = None
        self.outgoing = queue.Queue(maxsize=10000)
        self.writer = threading.Thread(target=self.write, daemon=True)

    def send(self, line):
        """Поставить строку в очередь; кто совсем не читает, отключается."""
        try:
            self.outgoing.put_nowait(line)
        except queue.Full:
            self.hang_up()

    def hang_up(self):
        """Прервать разговор; собеседник мог сделать это раньше."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def write(self):
        """Отправлять строки из очереди, пока не придёт None."""
        while (line := self.outgoing.get()) is not None:
            try:
                self.sock.sendall((line + "\n").encode())
            except OSError:
                return

    def read(self):
        """Читать строки клиента, пока он не уйдёт."""
        self.writer.start()
        try:
            with self.sock.makefile("rb") as lines:
                while line := lines.readline(LONGEST_LINE):
                    text = line.decode(errors="replace").rstrip("\r\n")
                    if not self.obey(text):
                        break
        except OSError:
            pass  # соединение оборвалось
        finally:
            self.chat.remove(self)
            self.outgoing.put(None)
            self.writer.join()
            self.sock.close()

    def obey(self, line):
        """Выполнить одну строку; вернуть False, если клиент прощается."""
        command, _, rest = line.partition(" ")
        if command == "ИМЯ" and self.name is None:
            self.chat.register(self, rest)
        elif self.name is None:
            return False
        elif command == "ВСЕМ":
            self.chat.say(self, rest)
        elif command == "ЛИЧНО":
            to, _, text = rest.partition(" ")
            self.chat.whisper(self, to, text)
        elif command == "КТО":
            self.send("ЗДЕСЬ " + ", ".join(self.chat.others(self)))
        elif command == "БЫЛО":
            self.chat.tell_history(self)
        elif command == "ПОКА":
            return False
        return True


class Chat:
    """Кто в чате и что сказано. Замок держится, только пока меняется список."""

    def __init__(self, log):
        """Начать с пустого чата."""
        self.lock = threading.Lock()
        self.clients = {}
        self.history = []
        self.log = log

    def register(self, client, name):
        """Впустить под именем, если оно свободно."""
        key = name.casefold()
        with self.lock:
            if not name.strip() or " " in name or key in self.clients:
                client.send("ЗАНЯТО")
                return
            names = [other.name for other in self.clients.values()]
            self.clients[key] = client
            client.name = name
            client.send("ДА " + ", ".join(names))

    def remove(self, client):
        """Забыть ушедшего и сказать об этом остальным."""
        if client.name is None:
            return
        with self.lock:
            self.clients.pop(client.name.casefold(), None)
        self.tell_others(client, f"УШЁЛ {client.name}")

    def others(self, client):
        """Вернуть имена всех, кроме самого клиента."""
        with self.lock:
            return [other.name for other in self.clients.values() if other is not client]

    def tell_others(self, client, line):
        """Послать строку всем, кроме одного."""
        with self.lock:
            for other in self.clients.values():
                if other is not client:
                    other.send(line)

    def say(self, client, text):
        """Передать сообщение всем и запомнить его."""
        line = f"ОТ {client.name} {text}"
        with self.lock:
            self.history.append(line)
            self.log.write(f"{client.name}: {text}\n")
            self.log.flush()
        self.tell_others(client, line)

    def whisper(self, client, to, text):
        """Передать сообщение одному."""
        with self.lock:
            reader = self.clients.get(to.casefold())
        if reader is not None:
            reader.send(f"ЛИЧНО {client.name} {text}")

    def tell_history(self, client):
        """Послать всё, что было сказано всем."""
        with self.lock:
            for line in self.history:
                client.send(line)

    def stop(self):
        """Сказать всем, что сервер останавливается."""
        with self.lock:
            clients = list(self.clients.values())
        for client in clients:
            client.send("СТОП")
            client.outgoing.put(None)
        for client in clients:
            client.writer.join(timeout=1)  # кто не читает, никого не задержит
            client.hang_up()


def main():
    """Принимать клиентов; каждому — свой поток."""
    port = int(sys.argv[1])
    with open("chat.log", "a", encoding="utf-8") as log:
        chat = Chat(log)
        listener = socket.create_server(("127.0.0.1", port), backlog=50)
        print(f"Жду на порту {port}", flush=True)
        threads = []
        try:
            while True:
                sock, _address = listener.accept()
                client = Client(chat, sock)
                threads.append(threading.Thread(target=client.read))
                threads[-1].daemon = True
                threads[-1].start()
        except KeyboardInterrupt:
            print("Останавливаюсь")
            chat.stop()


if __name__ == "__main__":
    main()
