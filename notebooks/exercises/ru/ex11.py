"""Упражнение 11. Рассылка, которую никто не задерживает.

``sockets`` — это сокеты всех слушателей, уже неблокирующие. Пошлите *frame* каждому одним вызовом
``send``. Кто взял не всё или ничего — тот слишком медленный; кто отключился — тому не отправить.
Верните тех и других списком, чтобы их отключили. Ждать нельзя никого: остальные не виноваты.
"""

import socket
from collections.abc import Iterable


def broadcast(sockets: Iterable[socket.socket], frame: bytes) -> list[socket.socket]:
    """Разослать *frame*; вернуть тех, кто не взял его целиком."""
    for sock in sockets:
        sock.sendall(frame)
    return []
