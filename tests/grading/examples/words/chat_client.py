"""Клиент: всё, что набрано, уходит на сервер; help отвечает сам."""

import socket
import sys
import threading

ПОДСКАЗКА = """m текст - написать всем
p имя текст - написать одному
who - кто в комнате
past - что было сказано
exit - выйти"""


def main():
    """Подключиться и разговаривать."""
    sock = socket.create_connection(("localhost", int(sys.argv[1])))
    lines = sock.makefile("r", encoding="utf-8")
    answer = ""
    while answer != "принято":
        if answer:
            print("имя занято, возьмите другое")
        sock.sendall((input("имя: ") + "\n").encode())
        answer = lines.readline().strip()
    print("вы вошли. help - подсказка")

    def show():
        """Печатать входящее, не теряя приглашения."""
        for line in lines:
            print(f"\r{line.rstrip()}\n> ", end="", flush=True)

    threading.Thread(target=show, daemon=True).start()
    while True:
        line = input("> ")
        if line == "help":
            print(ПОДСКАЗКА)
            continue
        sock.sendall((line + "\n").encode())
        if line == "exit":
            return


if __name__ == "__main__":
    main()
