"""Упражнение 13. Новое сообщение в протоколе.

Научите сервер отвечать на ``{"type": "whoami"}``: кто я и откуда меня видно. Ответ —
``{"type": "whoami", "nick": …, "host": …, "port": …}``, и только тому, кто спросил. Кто ещё не
назвался, должен получить отказ ``not_registered``, как на любую другую просьбу.

Как это делают другие обработчики, смотрите в ``chat/core/server.py``: методы ``_on_…`` класса
``ClientConnection``. Проверка сама впишет вашу функцию в таблицу обработчиков.
"""

from chat.core.protocol import Message
from chat.core.server import ClientConnection


def on_whoami(client: ClientConnection, message: Message) -> None:
    """Ответить клиенту, кто он."""
