"""Клиент чата: один поток читает клавиатуру, другой — сеть."""

import socket
import sys
import threading


def show(line):
    """Показать строку сервера по-человечески."""
    command, _, rest = line.partition(" ")
    who, _, text = rest.partition(" ")
    if command == "ОТ":
        print(f"{who} говорит: {text}")
    elif command == "ЛИЧНО":
        print(f"{who} шепчет вам: {text}")
    elif command == "ЗДЕСЬ":
        print(f"В чате: {rest or 'никого'}")
    elif command == "УШЁЛ":
        print(f"{rest} прощается")
    elif command == "СТОП":
        print("Сервер выключают, до свидания")
    else:
        print(line)
    sys.stdout.flush()


def listen(lines):
    """Показывать всё, что присылает сервер."""
    try:
        for line in lines:
            show(line.rstrip("\n"))
    except OSError:
        pass
    print("Связи больше нет")


def register(sock, lines):
    """Спрашивать имя, пока сервер не согласится."""
    while True:
        name = input("Как вас зовут? ").strip()
        sock.sendall(f"ИМЯ {name}\n".encode())
        answer = lines.readline().rstrip("\n")
        if answer.startswith("ДА"):
            print(f"Здравствуйте, {name}! В чате: {answer[3:] or 'пока никого'}")
            return
        print("Это имя уже занято, возьмите другое.")


def talk(sock):
    """Отправлять то, что набирает человек."""
    while True:
        line = input()
        if line == "пока":
            sock.sendall("ПОКА\n".encode())
            return
        if line == "кто":
            sock.sendall("КТО\n".encode())
        elif line == "было":
            sock.sendall("БЫЛО\n".encode())
        elif line.startswith("@"):
            sock.sendall(f"ЛИЧНО {line[1:]}\n".encode())
        elif line.strip():
            sock.sendall(f"ВСЕМ {line}\n".encode())


def main():
    """Подключиться, назваться, разговаривать."""
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
        lines = sock.makefile("r", encoding="utf-8", newline="\n")
        register(sock, lines)
        threading.Thread(target=listen, args=(lines,), daemon=True).start()
        try:
            talk(sock)
        except (EOFError, KeyboardInterrupt):
            print()


if __name__ == "__main__":
    main()
