import socket
import sys
import threading

# в окне Windows русские буквы в кодировке 866
sys.stdout.reconfigure(encoding="cp866", errors="replace")
sys.stdin.reconfigure(encoding="cp866", errors="replace")

s = socket.socket()
s.connect(("127.0.0.1", 3000))


def slushat():
    while True:
        dannye = s.recv(1024)
        if not dannye:
            print("Связь потеряна")
            break
        tekst = dannye.decode("cp1251")
        if tekst == "ИМЯ?":
            print("Введите имя пользователя:")
        else:
            print(tekst)


threading.Thread(target=slushat, daemon=True).start()
while True:
    stroka = input()
    if stroka:
        s.send(stroka.encode("cp1251"))
    if stroka == "выход":
        break
