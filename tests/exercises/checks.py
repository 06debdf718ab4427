"""A check for each exercise. It gets the module with the answer and raises `Hint` when it is wrong.

The same checks prove the solutions beside this file.
"""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from chat.app.i18n import gettext as _
from chat.core import server as server_module
from chat.core.server import ChatServer
from chat.lab.background import RecordingClient
from chat.lab.wiretap import Wiretap
from tests.wire import Wire


class Hint(Exception):  # noqa: N818 - it is no error of ours
    """The answer is not right yet; the text helps."""


def expect(condition: object, hint: str) -> None:
    """Raise `Hint` with *hint* unless *condition* holds."""
    if not condition:
        raise Hint(hint)


def ex1(answer: ModuleType) -> None:
    expect(answer.ANSWER is not None, _("Write your prediction into ANSWER first."))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall("при".encode())
        ours.sendall("вет".encode())
        seen = theirs.recv(100).decode()
    expect(
        seen == answer.ANSWER,
        _("Try it with socket.socketpair(). Does the stream know where a sendall ended?"),
    )


def ex2(answer: ModuleType) -> None:
    expect(None not in (answer.PIECES, answer.BROKEN), _("Write two numbers first."))
    data = "Жук и ёж".encode()
    pieces = [data[start : start + 5] for start in range(0, len(data), 5)]
    broken = 0
    for piece in pieces:
        try:
            piece.decode()
        except UnicodeDecodeError:
            broken += 1
    expect(
        len(pieces) == answer.PIECES,
        _("Count bytes, not letters: how many does a Russian letter take in UTF-8, and a blank?"),
    )
    expect(
        broken == answer.BROKEN,
        _("Write the bytes down in fives. Through which letters do the borders go?"),
    )


class Trickle:
    """Stands for a socket that gives a little at a time."""

    def __init__(self, data: bytes) -> None:
        """Give *data*, at most three bytes at a time, then the end."""
        self._data = data
        self.ends = 0

    def recv(self, size: int) -> bytes:
        """Return the next bytes."""
        chunk, self._data = self._data[: min(size, 3)], self._data[min(size, 3) :]
        self.ends += not chunk
        expect(self.ends < 10, _("recv has returned b'' ten times: that was the end."))
        return chunk


def ex3(answer: ModuleType) -> None:
    trickle = Trickle(b"0123456789rest")
    expect(
        answer.receive_exactly(trickle, 10) == b"0123456789",
        _("Ten bytes came three at a time, and you did not return all ten, or too many."),
    )
    expect(
        answer.receive_exactly(trickle, 4) == b"rest",
        _("What was not asked for must stay in the stream for the next call."),
    )
    try:
        answer.receive_exactly(Trickle(b"abc"), 4)
    except EOFError:
        return
    raise Hint(_("The stream ended after three of four bytes: that is an EOFError."))


class Narrow:
    """Stands for a socket that takes a little at a time."""

    def __init__(self) -> None:
        """Take nothing yet."""
        self.taken = b""
        self._sizes = itertools.cycle([1, 4, 2])

    def send(self, data: bytes) -> int:
        """Take up to four bytes."""
        part = bytes(data)[: next(self._sizes)]
        self.taken += part
        return len(part)

    def sendall(self, _data: bytes) -> None:
        """Refuse."""
        raise Hint(_("That is what sendall does by itself. Do it with send."))


def ex4(answer: ModuleType) -> None:
    narrow = Narrow()
    answer.send_everything(narrow, b"a long message")
    expect(
        narrow.taken == b"a long message",
        _("The other side has got {taken!r}. What does send return?").format(taken=narrow.taken),
    )
    answer.send_everything(narrow, b"")


def ex5(answer: ModuleType) -> None:
    stream = "один\nдва\n\nтри\nхвост".encode()
    whole = stream.split(b"\n")[:-1]
    for size in (1, 2, 3, 5, 7, len(stream)):
        frames = answer.Frames(limit=20)
        chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
        seen = [frame for chunk in chunks for frame in frames.feed(chunk)]
        expect(
            seen == whole,
            _("In chunks of {size} bytes these frames came out: {seen}").format(
                size=size, seen=seen
            ),
        )
    frames = answer.Frames(limit=10)
    try:
        for _time in range(100):
            frames.feed(b"xxx")
    except ValueError:
        return
    raise Hint(_("300 bytes without a line feed at a limit of 10: memory would run out."))


class SlowDict(dict[str, object]):
    """A dictionary in which others get in between the question and the answer."""

    def __init__(self) -> None:
        """Be empty."""
        super().__init__()
        self._meeting = threading.Barrier(2)

    def __contains__(self, key: object) -> bool:
        """Tell whether *key* is there, after having waited for another who asks."""
        found = super().__contains__(key)
        try:
            self._meeting.wait(0.2)
        except threading.BrokenBarrierError:  # nobody else was let in
            self._meeting.reset()
        return found

    def setdefault(self, *_arguments: Any) -> Any:
        """Refuse: it is one step in CPython, and a lock is what is asked for."""
        raise Hint(_("setdefault would do here; the room has more to do than that. Use a lock."))


def ex6(answer: ModuleType) -> None:
    registry = answer.Registry(SlowDict())
    owners: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=n: owners.append(registry.claim("Аня", n)))
        for n in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(
        sorted(owners) == [False, True],
        _("Two threads asked for one nickname, and the answers were {answers}.").format(
            answers=owners
        ),
    )


def ex7(answer: ModuleType) -> None:
    frame = b"x" * 100_000
    pairs = [socket.socketpair() for _number in range(3)]
    try:
        for ours, _theirs in pairs:
            ours.setblocking(False)
        full, _unread = pairs[1]
        while True:
            try:
                full.send(frame)
            except BlockingIOError:
                break
        pairs[2][1].close()
        slow = answer.broadcast([ours for ours, _theirs in pairs], b"hello\n")
        expect(pairs[0][1].recv(100) == b"hello\n", _("The one who was ready has got nothing."))
        expect(full in slow, _("The second socket is full, and you did not report it."))
        expect(pairs[2][0] in slow, _("The third one has hung up, and you did not report it."))
        expect(len(slow) == 2, _("You report one who has taken everything."))
    except BlockingIOError as error:
        raise Hint(_("A full socket raises BlockingIOError; the others get theirs.")) from error
    except BrokenPipeError as error:
        raise Hint(_("Who has hung up raises BrokenPipeError; the others get theirs.")) from error
    finally:
        for ours, theirs in pairs:
            ours.close()
            theirs.close()


def ex8(answer: ModuleType) -> None:
    server_module._HANDLERS["whoami"] = answer.on_whoami
    try:
        with ChatServer() as server, Wire(server.address) as stranger:
            stranger.expect("register")
            stranger.send({"type": "whoami"}, {"type": "ping"})
            first = stranger.next()
            expect(
                first.get("code") == "not_registered",
                _("Who has no nickname yet must be refused. Which method asks for a member?"),
            )
            with Wire(server.address, "Аня") as anya:
                anya.send({"type": "whoami"}, {"type": "ping"})
                seen = anya.next()
                host, port = anya.local_address
                wanted = {"type": "whoami", "nick": "Аня", "host": host, "port": port}
                expect(
                    seen == wanted,
                    _("The answer was {seen}, and {wanted} is wanted.").format(
                        seen=seen, wanted=wanted
                    ),
                )
    finally:
        del server_module._HANDLERS["whoami"]


def ex9(answer: ModuleType) -> None:
    words = [f"слово {number}" for number in range(30)]
    with (
        ChatServer() as server,
        Wiretap(server.address) as tap,
        RecordingClient(server.address, "Боря") as borya,
    ):
        breaker = threading.Thread(target=_cut_three_times, args=[tap])
        breaker.start()
        try:
            answer.say_all(tap.address, "Аня", words)
        except OSError as error:
            raise Hint(
                _("The connection was cut ({error}), and you gave up.").format(error=error)
            ) from error
        finally:
            tap.heal()
            breaker.join()
        with RecordingClient(server.address, "Вера") as vera:
            vera.wait_for("ack", id=vera.say("конец"))
            borya.wait_for("message", text="конец")
    heard = [event["text"] for event in borya.events if event["type"] == "message"][:-1]
    expect(set(words) <= set(heard), _("Lost on the way: {n}.").format(n=len({*words} - {*heard})))
    expect(
        len(heard) == len(set(heard)),
        _("Some was heard twice: say it again under the same id, in the same session."),
    )
    expect(heard == words, _("It was heard in another order than said."))


def _cut_three_times(tap: Wiretap) -> None:
    for size in (200, 400, 600):
        seen = len(tap.records)
        tap.cut_after(size)
        try:
            tap.wait_for(lambda records, n=seen: len(records) > n + 6, timeout=3)  # type: ignore[misc]
        except TimeoutError:
            return


CHECKS: dict[int, Callable[[ModuleType], None]] = {
    number: globals()[f"ex{number}"] for number in range(1, 10)
}


def numbers() -> Iterator[int]:
    """Yield the numbers of all exercises."""
    yield from CHECKS
