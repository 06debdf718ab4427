"""Клиент. Запуск: python клиент.py АДРЕС ПОРТ ИМЯ"""
import socket
import sys
import threading

адрес, порт, имя = sys.argv[1], int(sys.argv[2]), sys.argv[3]
сокет = socket.create_connection((адрес, порт))
файл = сокет.makefile("rw", encoding="utf-8")
файл.write(имя + "\n")
файл.flush()


def читать():
    """Печатать входящее."""
    for строка in файл:
        print(строка, end="")


поток = threading.Thread(target=читать, daemon=True)
поток.start()
while поток.is_alive():
    текст = input()
    файл.write(текст + "\n")
    файл.flush()
    if текст == "!пока":
        break
