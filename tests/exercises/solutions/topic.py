"""Exercise 14 in the files of the chat: what is inserted, in which file, before which line."""

EDITS = [
    (
        "chat/core/server.py",
        "    def _on_ping(",
        """\
    def _on_topic(self, message: Message) -> None:
        self.server.room.set_topic(self._require_member(), message.get("text"))

""",
    ),
    (
        "chat/core/room.py",
        "    def find(self, member",
        """\
    def set_topic(self, member: Member, text: object) -> None:
        \"""Make *text* the topic and tell everybody. Raises `ProtocolError` as `say` does.\"""
        topic = check_text(text, self._limits)
        with self._lock:
            self._topic = topic
            self._writer.post(encode({"type": "topic", "nick": member.nick, "text": topic}))

""",
    ),
    (
        "chat/core/room.py",
        "        self._by_key: dict",
        """\
        self._topic = ""
""",
    ),
    (
        "chat/core/room.py",
        '        message["seq"] = self.log.last_seq',
        """\
        message["topic"] = self._topic
""",
    ),
    (
        "chat/core/client.py",
        "    def become_admin(",
        """\
    def set_topic(self, text: str) -> None:
        \"""Make *text* the topic; a ``topic`` event follows.\"""
        self._ask({"type": "topic", "text": text})

""",
    ),
    (
        "chat/app/conversation.py",
        "    def _do_dice(",
        """\
    def _do_topic(self, rest: str) -> None:
        self.client.set_topic(rest)

""",
    ),
    (
        "chat/app/conversation.py",
        "    def _on_joined(",
        """\
    def _on_topic(self, event: Message) -> None:
        sentence = _("{nick} has set the topic: {text}")
        self._tell(sentence, nick=_nick(event["nick"]), text=event["text"])

""",
    ),
]
