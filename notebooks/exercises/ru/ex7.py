"""Упражнение 7. Рассылка, которую никто не задерживает.

``sockets`` — это сокеты всех слушателей, уже неблокирующие. Пошлите *frame* каждому, кто готов его
взять, одним вызовом ``send``. Кто не взял всё — тот слишком медленный: верните таких списком,
чтобы их отключили. Ждать нельзя никого: остальные не виноваты. Кто уже отключился, тоже в список.
"""

import socket
from collections.abc import Iterable


def broadcast(sockets: Iterable[socket.socket], frame: bytes) -> list[socket.socket]:
    """Разослать *frame*; вернуть тех, кто не взял его целиком."""
    for sock in sockets:
        sock.sendall(frame)
    return []
