"""Сервер: протокол — слова через пробел, одна строка — одна команда."""

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock


class Комната:
    """Кто подключён; все изменения под замком."""

    def __init__(self):
        """Пустая комната."""
        self.lock = Lock()
        self.connections = set()
        self.members = {}
        self.log = []

    def send(self, name, line):
        """Послать строку одному; кто оборвал связь, ничего не получит."""
        with suppress(OSError):
            self.members[name].sendall(line.encode() + b"\n")

    def others(self, name, line):
        """Послать строку всем остальным."""
        with self.lock:
            for other in self.members:
                if other != name:
                    self.send(other, line)

    def talk(self, conn):
        """Разговор с одним клиентом."""
        name = None
        with self.lock:
            self.connections.add(conn)
        try:
            for raw in conn.makefile("rb"):
                word, _, rest = raw.decode(errors="replace").strip().partition(" ")
                if name is None:
                    with self.lock:
                        if word.lower() in map(str.lower, self.members) or not word:
                            conn.sendall("занято\n".encode())
                            continue
                        name = word
                        self.members[name] = conn
                        conn.sendall("принято\n".encode())
                elif word == "m" and rest:
                    self.log.append(f"{name}: {rest}")
                    self.others(name, f"{name}: {rest}")
                elif word == "p":
                    to, _, text = rest.partition(" ")
                    with self.lock:
                        if to in self.members:
                            self.send(to, f"лично от {name}: {text}")
                elif word == "who":
                    with self.lock:
                        conn.sendall(f"в комнате: {', '.join(self.members)}\n".encode())
                elif word == "past":
                    for line in self.log:
                        conn.sendall(f"было: {line}\n".encode())
                elif word == "exit":
                    break
                else:
                    conn.sendall("не понимаю, наберите help\n".encode())
        except OSError:
            pass
        with self.lock:
            self.members.pop(name, None)
            self.connections.discard(conn)
        if name:
            self.others(name, f"{name} вышел из комнаты")
        conn.close()

    def close(self):
        """Попрощаться со всеми и закончить все разговоры."""
        self.others(None, "комната закрывается")
        with self.lock:
            for conn in self.connections:
                with suppress(OSError):
                    conn.shutdown(socket.SHUT_RDWR)


def main():
    """Слушать порт из командной строки."""
    комната = Комната()
    with socket.create_server(("", int(sys.argv[1]))) as listener, ThreadPoolExecutor(50) as pool:
        print("слушаю")
        try:
            while True:
                pool.submit(комната.talk, listener.accept()[0])
        except KeyboardInterrupt:
            комната.close()


if __name__ == "__main__":
    main()
