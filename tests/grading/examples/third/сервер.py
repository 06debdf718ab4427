"""Сервер. Запуск: python сервер.py ПОРТ"""
import datetime
import socketserver
import sys
import threading

клиенты = {}
замок = threading.Lock()
журнал = open("журнал.txt", "a", encoding="utf-8")
счётчик = 0


def строка(текст):
    """Добавить номер и время."""
    global счётчик
    счётчик += 1
    время = datetime.datetime.now().strftime("%d.%m.%Y %H:%M:%S")
    return f"#{счётчик} [{время}] {текст}\n"


class Обработчик(socketserver.StreamRequestHandler):
    """Один клиент в своём потоке."""

    def handle(self):
        имя = self.rfile.readline().decode("utf-8", "replace").strip()
        with замок:
            занято = имя.lower() in клиенты or not имя
            if not занято:
                клиенты[имя.lower()] = self.wfile
        if занято:
            self.wfile.write("ОШИБКА: пользователь с таким именем уже подключён\n".encode())
            return
        try:
            self.wfile.write(строка(f"Привет, {имя}! Вас в чате: {len(клиенты)}").encode())
            всем(f"{имя} заходит в чат", имя)
            for данные in self.rfile:
                текст = данные.decode("utf-8", "replace").strip()
                if текст == "!список":
                    self.wfile.write(строка("Участники: " + ", ".join(клиенты)).encode())
                elif текст.startswith("!шепнуть "):
                    части = текст.split(" ", 2)
                    if len(части) == 3 and части[1].lower() in клиенты:
                        клиенты[части[1].lower()].write(строка(f"{имя} шепчет: {части[2]}").encode())
                    else:
                        self.wfile.write("Кому шепнуть?\n".encode())
                elif текст == "!пока":
                    break
                elif текст:
                    журнал.write(f"{имя}: {текст}\n")
                    журнал.flush()
                    всем(f"{имя} пишет: {текст}", имя)
        except OSError:
            pass
        with замок:
            del клиенты[имя.lower()]
        всем(f"{имя} уходит из чата", имя)


def всем(текст, кроме=""):
    """Послать всем, кроме одного."""
    with замок:
        for имя, файл in клиенты.items():
            if имя != кроме.lower():
                try:
                    файл.write(строка(текст).encode())
                except OSError:
                    pass


class Сервер(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Сервер(("127.0.0.1", int(sys.argv[1])), Обработчик) as сервер:
    print("Работаю с", datetime.datetime.now())
    try:
        сервер.serve_forever()
    except KeyboardInterrupt:
        всем("Сервер выключается")
