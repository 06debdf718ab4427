"""Упражнение 6. Несколько клиентов сразу.

Этот эхо-сервер обслуживает клиентов по очереди: пока первый молчит, остальные ждут. Сделайте так,
чтобы никто никого не ждал: каждому клиенту — свой поток. Примите ровно *clients* клиентов и
вернитесь, когда все они закончат и потоки завершатся.
"""

import socket


def echo(connection: socket.socket) -> None:
    """Возвращать одному клиенту всё, что он присылает, до конца."""
    with connection:
        while chunk := connection.recv(4096):
            connection.sendall(chunk)


def serve(listener: socket.socket, clients: int) -> None:
    """Принять *clients* клиентов на *listener* и обслужить их одновременно."""
    for _number in range(clients):
        connection, _address = listener.accept()
        echo(connection)
