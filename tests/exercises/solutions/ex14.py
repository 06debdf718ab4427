"""The test. What it asks for is in `topic`."""

from tests.wire import Wire


def test_topic(address: tuple[str, int]) -> None:
    """The topic that one user sets is told to the other."""
    with Wire(address, "Аня") as anya, Wire(address, "Боря") as borya:
        anya.expect("joined", nick="Боря")
        anya.send({"type": "topic", "text": "Сети"})
        borya.expect("topic", nick="Аня", text="Сети")
