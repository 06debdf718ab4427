"""Клиент. Запуск: python клиент.py АДРЕС ПОРТ ИМЯ"""
import socket
import sys
import threading

адрес, порт, имя = sys.argv[1], int(sys.argv[2]), sys.argv[3]
сокет = socket.create_connection((адрес, порт))
сокет.sendall((имя + "\n").encode())


def читать():
    """Печатать входящее."""
    for строка in сокет.makefile(encoding="utf-8"):
        print(строка, end="")


поток = threading.Thread(target=читать, daemon=True)
поток.start()
while поток.is_alive():
    текст = input()
    сокет.sendall((текст + "\n").encode())
    if текст == "!пока":
        break
