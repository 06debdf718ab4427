"""What a client keeps across connections, so that a lost one loses nothing. No sockets, no threads.

A connection can be lost at any moment, with messages on the way in both directions, and neither
side knows which of them have arrived (TCP says what was sent, not what was read). So the client
keeps what was not acknowledged, in `Unacknowledged`, and its place in the server's log, in `Place`.
"""

from collections.abc import Iterator

from chat.core.protocol import Message, encode


class Unacknowledged:
    """Messages that the server has not answered for, by their ids, the oldest first."""

    def __init__(self) -> None:
        """Begin with none."""
        self.size = 0
        """How long their frames are, in bytes."""

        self._last_id = 0
        self._messages: dict[int, tuple[Message, bytes]] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._messages)

    def add(self, text: str, to: str | None, sealed: str | None) -> tuple[int, bytes]:
        """Number a message and keep it; return its id and its frame, with *sealed* for *text*."""
        self._last_id += 1
        message: Message = {"type": "message", "id": self._last_id, "text": text}
        if to is not None:
            message["to"] = to
        cover = {} if sealed is None else {"text": sealed, "sealed": True}
        frame = encode(message | cover)
        self._messages[self._last_id] = message, frame
        self.size += len(frame)
        return self._last_id, frame

    def settle(self, message_id: object) -> Message | None:
        """Strike off and return what the server has answered for; None if it is not here."""
        if not isinstance(message_id, int) or message_id not in self._messages:
            return None
        message, frame = self._messages.pop(message_id)
        self.size -= len(frame)
        return message

    def messages(self) -> list[Message]:
        """Return all messages, readable, in their order."""
        return [message for message, _frame in self._messages.values()]

    def frames(self) -> list[bytes]:
        """Return all frames, in their order: what is to be sent on another connection."""
        return [frame for _message, frame in self._messages.values()]


class Place:
    """A client's place in the server's log: up to where it has heard everything."""

    def __init__(self) -> None:
        """Begin outside."""
        self._secret: str | None = None  # the session's
        self._log: str | None = None
        self._heard = 0
        self._held: list[Message] | None = None  # what came live while we catch up

    def registration(self, nick: str) -> Message:
        """Return the message that asks for *nick*, as the user we were before if we were one."""
        session = {} if self._secret is None else {"session": self._secret}
        return {"type": "register", "nick": nick} | session

    def enter(self, welcome: Message) -> Message | None:
        """Take our place as *welcome* says; return the question for what we missed, if we did.

        A server that forgets (its log is another one) or that cannot resume (it has none) is
        followed from where it stands.
        """
        secret, log = welcome.get("session"), welcome.get("log")
        returning = self._secret is not None and isinstance(log, str)
        self._secret = secret if isinstance(secret, str) else None
        if log != self._log:
            self._heard = 0 if returning else welcome["seq"]
        self._log = log if isinstance(log, str) else None
        self._held = [] if returning else None
        return self._question() if returning else None

    def hear(self, message: Message) -> Iterator[Message]:
        """Take a message that came live; yield it, unless it came before or must wait its turn."""
        if self._held is not None:
            self._held.append(message)
        elif self._log is None or message["seq"] > self._heard:
            self._heard = message["seq"]
            yield message

    @property
    def catching_up(self) -> bool:
        """Whether an answer to our question is awaited."""
        return self._held is not None

    def catch_up(self, answer: Message) -> Iterator[Message]:
        """Take the *answer* to our question; yield what it says, and what has waited meanwhile."""
        for message in answer["messages"]:
            if message["seq"] > self._heard:
                self._heard = message["seq"]
                yield message
        held = self._held or []
        if not answer["messages"] or (held and held[0]["seq"] <= self._heard):
            self._held = None
            for message in held:
                yield from self.hear(message)

    def next_question(self) -> Message | None:
        """Return the question for what is still missing, None when nothing is."""
        return self._question() if self.catching_up else None

    def _question(self) -> Message:
        return {"type": "history", "after": self._heard}
