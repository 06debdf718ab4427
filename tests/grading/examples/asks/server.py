import socket
import threading

adress = input("Введите IP-адрес сервера: ")
port = int(input("Введите порт: "))

sock = socket.socket()
sock.bind((adress, port))
sock.listen(5)
print("Сервер слушает", adress, port)

people = {}
zamok = threading.Lock()


# разослать всем кроме одного
def razoslat(text, krome=None):
    with zamok:
        for imya in list(people):
            if imya != krome:
                try:
                    people[imya].sendall((text + "\n").encode())
                except OSError:
                    pass


# поток для одного клиента
def klient(conn):
    f = conn.makefile("r", encoding="utf-8", errors="replace")
    imya = None
    try:
        while True:
            imya = f.readline().strip()
            if not imya:
                return
            with zamok:
                if imya not in people:
                    people[imya] = conn
                    conn.sendall("OK\n".encode())
                    break
            imya = None
            conn.sendall("ЗАНЯТО\n".encode())
        razoslat("*** к нам пришёл " + imya, imya)
        for line in f:
            line = line.rstrip("\n")
            if line == "/кто":
                conn.sendall(("Сейчас в чате: " + ", ".join(people) + "\n").encode())
            elif line.startswith("/лс "):
                komu, _, text = line[4:].partition(" ")
                if komu in people and text:
                    people[komu].sendall(f"[лично от {imya}] {text}\n".encode())
                else:
                    conn.sendall("Такого нет\n".encode())
            elif line == "/выход":
                break
            elif line:
                razoslat(f"{imya}: {line}", imya)
    except OSError:
        pass
    finally:
        with zamok:
            if imya:
                people.pop(imya, None)
        conn.close()
        if imya:
            razoslat("*** нас покинул " + imya)


try:
    while True:
        conn, addr = sock.accept()
        threading.Thread(target=klient, args=(conn,), daemon=True).start()
except KeyboardInterrupt:
    razoslat("*** сервер закрывается")
