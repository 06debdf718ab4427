"""Exercise 8. A new word in the protocol.

Teach the server to answer ``{"type": "whoami"}``: who am I, and from where am I seen? The answer is
``{"type": "whoami", "nick": …, "host": …, "port": …}``. Whoever has no nickname yet gets the refusal
``not_registered``, as for anything else they ask. See how other handlers do it in
``chat/server.py``: the methods ``_on_…`` of the class ``ClientConnection``. The check enters your
handler into the server's table by itself.
"""

from chat.core.protocol import Message
from chat.core.server import ClientConnection


def on_whoami(client: ClientConnection, message: Message) -> None:
    """Tell the client who it is."""
