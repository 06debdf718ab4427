"""Упражнение 10. Один ник — одному.

Из многих потоков спрашивают, свободен ли ник. Этот класс иногда отдаёт один ник двоим: между
проверкой и записью успевает вклиниться другой поток. Исправьте его замком. Проверка не ждёт, пока
потоки столкнутся случайно: словарь *taken* нарочно медлит при каждом чтении, каким бы способом вы
ни читали.
"""

from collections.abc import MutableMapping


class Registry:
    """Кто каким ником владеет."""

    def __init__(self, taken: MutableMapping[str, object]) -> None:
        """Записывать владельцев в *taken*."""
        self._taken = taken

    def claim(self, nick: str, owner: object) -> bool:
        """Отдать *nick* владельцу *owner*; False, если он занят."""
        if nick in self._taken:
            return False
        self._taken[nick] = owner
        return True
