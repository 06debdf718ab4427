import socket, threading, sys, os

s = socket.socket()
s.connect(('127.0.0.1', 9999))

def chitat():
    f = s.makefile('r', encoding='utf-8')
    for stroka in f:
        print(stroka.strip())
    os._exit(0)

print('Введите имя')
threading.Thread(target=chitat, daemon=True).start()
while True:
    s.sendall((input() + '\n').encode('utf-8'))
