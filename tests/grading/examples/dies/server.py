import socket
import threading

klienty = []


def rabota(k):
    imya = k.recv(1024).decode()
    k.send(("Привет " + imya).encode())
    klienty.append((imya, k))
    while True:
        t = k.recv(1024).decode()
        for i, s in klienty:
            if i != imya:
                s.send((imya + " сказал " + t).encode())


s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 7777))
s.listen()
print("Запуск сервера...")
for _ in range(2):      # больше двух не нужно
    threading.Thread(target=rabota, args=(s.accept()[0],), daemon=True).start()
s.accept()
raise SystemExit("Слишком много клиентов")
