"""Чат в одном файле: python chat.py server или python chat.py client."""

import json
import socket
import sys
import threading

PORT = 7000
users = {}
lock = threading.Lock()


def send(sock, **message):
    """Отправить сообщение одной строкой JSON."""
    sock.sendall((json.dumps(message) + "\n").encode())


def to_all(sender, **message):
    """Отправить всем, кроме отправителя."""
    with lock:
        for name, sock in users.items():
            if name != sender:
                send(sock, **message)


def serve(sock, lines, name):
    """Обслужить одного пользователя."""
    for line in lines:
        message = json.loads(line)
        if message["type"] == "all":
            to_all(name, text=f"<{name}> {message['text']}")
        elif message["type"] == "one" and message["to"] in users:
            send(users[message["to"]], text=f"<{name} → вам> {message['text']}")
        elif message["type"] == "users":
            send(sock, text="Сейчас здесь: " + ", ".join(sorted(users)))
        elif message["type"] == "bye":
            break
    with lock:
        del users[name]
    to_all(name, text=f"*** {name} вышел")
    sock.close()


def server():
    """Принимать пользователей. Имя читается сразу, до запуска потока."""
    listener = socket.create_server(("127.0.0.1", PORT))
    print("Сервер запущен")
    while True:
        sock, _ = listener.accept()
        lines = sock.makefile("r", encoding="utf-8")
        while True:
            name = json.loads(lines.readline())["name"]
            if name.lower() not in users:
                break
            send(sock, text="Имя занято")
        with lock:
            users[name.lower()] = sock
        send(sock, text=f"Вы вошли как {name}. Сейчас здесь: " + ", ".join(sorted(users)))
        threading.Thread(target=serve, args=(sock, lines, name.lower()), daemon=True).start()


def client():
    """Показать меню и выполнять выбранное."""
    sock = socket.create_connection(("127.0.0.1", PORT))
    lines = sock.makefile("r", encoding="utf-8")
    while True:
        send(sock, name=input("Имя: "))
        answer = json.loads(lines.readline())["text"]
        print(answer)
        if answer != "Имя занято":
            break
    threading.Thread(target=show, args=(lines,), daemon=True).start()
    print("1 — написать всем, 2 — написать одному, 3 — кто здесь, 0 — выход")
    while True:
        choice = input("> ")
        if choice == "1":
            send(sock, type="all", text=input("Текст: "))
        elif choice == "2":
            send(sock, type="one", to=input("Кому: "), text=input("Текст: "))
        elif choice == "3":
            send(sock, type="users")
        elif choice == "0":
            send(sock, type="bye")
            break


def show(lines):
    """Печатать всё, что приходит."""
    for line in lines:
        print("\r" + json.loads(line)["text"])


if __name__ == "__main__":
    server() if sys.argv[1] == "server" else client()
