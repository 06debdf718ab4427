"""Exercise 14. The command /topic in the real chat.

The conversation gets a topic: everybody sees it, and so does whoever comes in later. Only the test
is written here; everything else goes into the files of the chat.

0. ``test_topic`` below. The test comes first: on a chat that knows no topic it has to fail. Complete
   it: Ann sends ``{"type": "topic", "text": "Nets"}``, and Bob receives
   ``{"type": "topic", "nick": "Ann", "text": "Nets"}``. The methods of ``Wire`` are in
   ``tests/wire.py``.
1. ``chat/core/server.py``: a handler ``_on_topic``. Whoever has no nickname gets ``not_registered``.
2. ``chat/core/room.py``: the topic belongs to the room, changes under its lock, and is sent to
   everybody, its author included. A topic that would not do as a message (empty, too long) is
   refused by the room just as ``say`` refuses such a text.
3. ``chat/core/room.py``: ``welcome`` has a key ``topic`` with the present topic, ``""`` if there is
   none.
4. ``chat/core/client.py``: a method ``set_topic``. ``chat/app/conversation.py``: the command
   ``/topic TEXT`` sends a topic (``_do_topic``), and a topic that arrives is shown (``_on_topic``).
5. ``chat/core/protocol.py``: describe the new message in the table at the top, and tell
   ``_SERVER_KEYS`` which values of ``topic`` the client accepts. The check cannot see that.

Run ``make exercise N=14 LANG_EDITION=en`` after each step: it says which one is next.
"""

from tests.wire import Wire


def test_topic(address: tuple[str, int]) -> None:
    """The topic that one user sets is told to the other."""
    with Wire(address, "Ann") as anya, Wire(address, "Bob") as borya:
        anya.expect("joined", nick="Bob")
        borya.expect_silence()
