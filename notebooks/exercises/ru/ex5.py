"""Упражнение 5. Отправить всё.

``send`` возвращает, сколько байтов взяло ядро; взять оно может и меньше, чем дали. Напишите
функцию, которая отправляет всё, пользуясь только ``send``, без ``sendall``.
"""

import socket


def send_everything(sock: socket.socket, data: bytes) -> None:
    """Отправить *data* целиком."""
    sock.send(data)
