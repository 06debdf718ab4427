import socket
import threading

polzovateli = {}
istoriya = open("chat_log.txt", "w", encoding="cp1251")


def potok(sok):
    imya = ""
    while not imya:
        sok.send("ИМЯ?".encode("cp1251"))
        imya = sok.recv(1024).decode("cp1251")
        if imya in polzovateli:
            imya = ""
    polzovateli[imya] = sok
    sok.send(f"Здравствуй, {imya}!".encode("cp1251"))
    while True:
        try:
            dannye = sok.recv(1024).decode("cp1251")
        except OSError:
            dannye = ""
        if not dannye or dannye == "выход":
            break
        if dannye == "список":
            sok.send(("Здесь: " + " ".join(polzovateli)).encode("cp1251"))
        elif dannye.startswith("тихо "):
            _, komu, tekst = dannye.split(" ", 2)
            polzovateli[komu].send(f"{imya} тихо говорит: {tekst}".encode("cp1251"))
        else:
            istoriya.write(f"{imya}: {dannye}\n")
            istoriya.flush()
            for drugoy in polzovateli:
                if drugoy != imya:
                    polzovateli[drugoy].send(f"{imya} громко говорит: {dannye}".encode("cp1251"))
    del polzovateli[imya]
    sok.close()
    for drugoy in polzovateli.values():
        drugoy.send(f"Уходит {imya}".encode("cp1251"))


s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 3000))
s.listen()
while True:
    sok, _ = s.accept()
    threading.Thread(target=potok, args=(sok,), daemon=True).start()
