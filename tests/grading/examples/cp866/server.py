import socket
import threading

polzovateli = {}
istoriya = open("chat_log.txt", "w", encoding="cp1251")


def otpravit(sok, tekst):
    try:
        sok.send(tekst.encode("cp1251"))
    except OSError:
        pass


def potok(sok):
    imya = ""
    while not imya:
        otpravit(sok, "ИМЯ?")
        try:
            imya = sok.recv(1024).decode("cp1251")
        except OSError:
            return
        if not imya:
            return
        if imya in polzovateli:
            imya = ""
    polzovateli[imya] = sok
    otpravit(sok, f"Здравствуй, {imya}!")
    while True:
        try:
            dannye = sok.recv(1024).decode("cp1251")
        except OSError:
            dannye = ""
        if not dannye or dannye == "выход":
            break
        if dannye == "список":
            otpravit(sok, "Здесь: " + " ".join(polzovateli))
        elif dannye.startswith("тихо "):
            _, komu, tekst = dannye.split(" ", 2)
            otpravit(polzovateli[komu], f"{imya} тихо говорит: {tekst}")
        else:
            istoriya.write(f"{imya}: {dannye}\n")
            istoriya.flush()
            for drugoy, ego_sok in list(polzovateli.items()):
                if drugoy != imya:
                    otpravit(ego_sok, f"{imya} громко говорит: {dannye}")
    del polzovateli[imya]
    sok.close()
    for drugoy in list(polzovateli.values()):
        otpravit(drugoy, f"Уходит {imya}")


s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 3000))
s.listen()
while True:
    sok, _ = s.accept()
    threading.Thread(target=potok, args=(sok,), daemon=True).start()
