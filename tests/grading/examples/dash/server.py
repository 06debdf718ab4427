import socket, threading

spisok = []          # пары (имя, сокет)
lock = threading.Lock()

def otpravit(sock, s):
    try:
        sock.sendall((s + '\r\n').encode('utf-8'))
    except OSError:
        pass

def obrabotka(sock):
    imya = None
    buf = b''
    try:
        while True:
            data = sock.recv(4096)
            if not data:
                break
            buf += data
            while b'\n' in buf:
                stroka, buf = buf.split(b'\n', 1)
                stroka = stroka.decode('utf-8', 'ignore').strip()
                if imya is None:
                    with lock:
                        if stroka in [i for i, s in spisok]:
                            otpravit(sock, 'Имя ' + stroka + ' уже используется. Введите другое')
                            continue
                        imya = stroka
                        spisok.append((imya, sock))
                    otpravit(sock, 'Вход выполнен. Список команд: -help')
                elif stroka == '-help':
                    otpravit(sock, '-who : кто подключен')
                    otpravit(sock, 'имя -u текст : сообщение одному пользователю')
                    otpravit(sock, '-exit : отключиться')
                elif stroka == '-who':
                    otpravit(sock, 'Подключены: ' + ' '.join(i for i, s in spisok))
                elif stroka == '-exit':
                    return
                elif ' -u ' in stroka:
                    komu, tekst = stroka.split(' -u ', 1)
                    for i, s in list(spisok):
                        if i == komu:
                            otpravit(s, imya + ' (личное) : ' + tekst)
                elif stroka:
                    with lock:
                        for i, s in spisok:
                            otpravit(s, imya + ' : ' + tekst if False else imya + ' : ' + stroka)
    except OSError:
        pass
    finally:
        with lock:
            spisok[:] = [(i, s) for i, s in spisok if s is not sock]
            for i, s in spisok:
                if imya:
                    otpravit(s, imya + ' отключился')
        sock.close()

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(('127.0.0.1', 9999))
server.listen(100)
print('Сервер запущен, порт 9999')
try:
    while True:
        s, a = server.accept()
        threading.Thread(target=obrabotka, args=(s,), daemon=True).start()
except KeyboardInterrupt:
    with lock:
        for i, s in spisok:
            otpravit(s, 'Сервер остановлен администратором')
