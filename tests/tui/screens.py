"""The full screen in a test: run by Textual's pilot, looked at as a person would."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import textual._wait
from textual.pilot import Pilot

from chat.app.tui import ChatApp, Talk
from chat.core.client import Cipher
from chat.core.protocol import Message
from chat.promises.resume import ResumingClient
from tests.wire import PATIENCE, Wire

# After each key Textual waits twice until the process has been idle for so long: with its 20 ms
# that would be most of the time of these tests. What is to be seen then is waited for anyway.
textual._wait.SLEEP_GRANULARITY = 0.002


class Desk:
    """A user at a full screen."""

    def __init__(self, app: ChatApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def rows(self) -> list[str]:
        """What stands on the screen."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    @property
    def conversation(self) -> str:
        """The part of the screen where what was said stands."""
        region = self.app.scrollback.scrollable_content_region  # without the scroll bar
        return "\n".join(row[: region.width].rstrip() for row in self.rows[: region.height]).strip()

    @property
    def people(self) -> list[str]:
        """The list of users, from the top."""
        return [str(option.prompt) for option in self.app.people.options]

    @property
    def status(self) -> str:
        return self.rows[-1 - self.app.draft.size.height]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Press the key of each character of *text*."""
        await self.pilot.press(*("space" if key == " " else key for key in text))

    async def enter(self, line: str) -> None:
        self.app.draft.put(line)
        await self.pilot.press("enter")

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until *condition* holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.text
            await self.pilot.pause(0.002)

    async def sees(self, text: str) -> None:
        """Wait until *text* is on the screen."""
        await self.until(lambda: text in self.text)


@asynccontextmanager
async def sitting(
    address: tuple[str, int],
    nick: str = "Аня",
    *,
    size: tuple[int, int] = (80, 20),
    bell: bool = False,
    cipher: Cipher | None = None,
    reconnect: bool = True,
) -> AsyncIterator[Desk]:
    """Let *nick* in and sit at the screen until the block ends."""
    client = ResumingClient(address, cipher=cipher, reconnect=reconnect)
    talk = Talk(client, bell=bell)
    try:
        await asyncio.to_thread(client.connect)
        await asyncio.to_thread(client.register, nick)
        app = ChatApp(talk, {"address": "127.0.0.1"})
        async with app.run_test(size=size) as pilot:
            desk = Desk(app, pilot)
            try:
                await desk.sees(client.nick)
                yield desk
            finally:
                await asyncio.to_thread(talk.stop)
    finally:
        await asyncio.to_thread(client.close)


def say(wire: Wire, text: str, to: str | None = None, number: int = 1) -> None:
    """Say *text* as message *number*, whatever has come to *wire* before."""
    message: Message = {"type": "message", "text": text, "id": number}
    wire.send(message if to is None else message | {"to": to})
    wire.skip_to("ack", id=number)
