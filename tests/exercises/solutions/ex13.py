"""Ask for the member, which refuses strangers; then answer."""

from chat.core.protocol import Message
from chat.core.server import ClientConnection


def on_whoami(client: ClientConnection, _message: Message) -> None:
    """Tell the client who it is."""
    member = client._require_member()
    host, port = client.address
    client._post({"type": "whoami", "nick": member.nick, "host": host, "port": port})
