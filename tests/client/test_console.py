"""The console without a terminal: what happens between its two threads."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from wcwidth import wcswidth

from chat.app.console import Console, Screen
from chat.app.options import wrapped
from chat.core.server import ChatServer
from chat.promises.resume import ResumingClient
from tests.client.fakes import FakeServer
from tests.wire import PATIENCE

Serve = Callable[..., ChatServer]


class DeafScreen(Screen):
    """A screen on which nobody types, and which does not notice the first signals.

    So does readline with a signal that comes just before it begins to wait for a key.
    """

    def __init__(self, deaf_to: int) -> None:
        super().__init__()
        self._deaf_to = deaf_to
        self.reading = threading.Event()
        self.shown: list[str] = []

    def read(self, prompt: str) -> str:
        del prompt
        self.reading.set()
        for _ in range(self._deaf_to):
            try:
                self._nobody_types()
            except KeyboardInterrupt:
                continue
        return self._nobody_types()

    def show(self, texts: list[tuple[str, int]]) -> None:
        self.shown += [text for text, _indent in texts]

    def _nobody_types(self) -> str:
        assert not threading.Event().wait(PATIENCE)
        raise AssertionError("no signal came")


@contextmanager
def conversing(address: tuple[str, int], screen: DeafScreen) -> Iterator[Console]:
    """Enter as Аня and talk until the conversation is over; afterwards comes the block."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with closing(ResumingClient(address, reconnect=False)) as client:
        console = Console(client, screen)
        client.connect()
        client.register("Аня")
        console.converse()
        yield console
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert after == before


@pytest.mark.parametrize("deaf_to", [0, 1, 3])
def test_the_end_of_the_conversation_is_noticed_although_signals_were_lost(
    serve: Serve, deaf_to: int
) -> None:
    server = serve()
    screen = DeafScreen(deaf_to)

    def stop() -> None:
        screen.reading.wait(PATIENCE)
        server.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    with conversing(server.address, screen) as console:
        assert console.end_reason == "shutdown"
    stopping.join()


def test_a_conversation_that_is_over_before_it_began_is_over() -> None:
    with FakeServer() as server:

        def admit_and_go() -> None:
            server.admit()
            server.hang_up()

        going = threading.Thread(target=admit_and_go)
        going.start()
        with conversing(server.address, DeafScreen(0)) as console:
            assert console.end_reason == "lost"
        going.join()


@pytest.mark.parametrize("text", ["❤\ufe0f" * 60, "\u00ad" * 60, "👩\u200d🚀" * 20, "e\u0301" * 60])
def test_rows_are_broken_for_the_terminal_that_draws_them_widest(text: str) -> None:
    first, *others = wrapped(f"13:05 Б: {text}", 40, 6).split("\n")
    assert "".join([first, *(row.removeprefix(" " * 6) for row in others)]).endswith(text)
    for row in (first, *others):
        selectors = row.count("\ufe0f")
        assert wcswidth(row.replace("\ufe0f", "").replace("\u00ad", "-")) + selectors <= 40
    assert all(row.startswith(" " * 6) for row in others)
    assert len(others) <= 5
