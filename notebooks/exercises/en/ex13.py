"""Exercise 13. A new message in the protocol.

Teach the server to answer ``{"type": "whoami"}``: who am I, and where do you see me? The answer is
``{"type": "whoami", "nick": …, "host": …, "port": …}``, to the one who asked and to nobody else.
Whoever has no nickname yet must be refused with ``not_registered``, as for any other request.

To see how the other handlers do it, look at the methods ``_on_…`` of the class ``ClientConnection``
in ``chat/core/server.py``. The check enters your function into the table of handlers.
"""

from chat.core.protocol import Message
from chat.core.server import ClientConnection


def on_whoami(client: ClientConnection, message: Message) -> None:
    """Tell the client who it is."""
