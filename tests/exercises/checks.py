"""A check for each exercise. It gets an `Answer` and raises `Hint` when it is wrong.

The same checks prove the solutions beside this file, and refuse the wrong answers beside them.
"""

import contextlib
import functools
import reprlib
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest.mock
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import tests.wire
from chat.app.i18n import gettext as _
from chat.core.client import ChatClient
from chat.core.history import Log
from chat.core.protocol import Limits, Message, ProtocolError
from chat.core.room import Room
from chat.core.server import _HANDLERS, ChatServer, ClientConnection
from chat.lab.background import connected_pair
from chat.lab.wiretap import Direction, Kind, Wiretap
from chat.promises.resume import RememberedSessions
from tests.exercises.answer import Answer, Hint, expect, last_line
from tests.exercises.fakes import (
    DEADLINE,
    Cell,
    Order,
    SlowMapping,
    Watched,
    Work,
    hear,
    held,
    listening,
    pair,
)
from tests.wire import Wire

ROOT = Path(__file__).resolve().parents[2]


def of_type(value: object, wanted: type, name: str) -> None:
    """Raise `Hint` unless *value*, which the answer calls *name*, is of the type *wanted*."""
    sentence = _("{name} is of type {seen}; write it as {wanted}.")
    wanted_name = {str: _('a string, "…" (str)'), int: _("a whole number (int)")}[wanted]
    expect(
        type(value) is wanted,
        sentence.format(name=name, seen=type(value).__name__, wanted=wanted_name),
    )


# --- chapter 2 ------------------------------------------------------------------------------------


def ex1(answer: Answer) -> None:
    with listening() as listener:
        work = Work(answer.serve_one, listener)
        with socket.create_connection(listener.getsockname(), timeout=DEADLINE) as client:
            _check_echo(client, listener, work)
            work.join(0.2)
            expect(work.is_alive(), _("serve_one has returned before its client has ended."))
            client.shutdown(socket.SHUT_WR)
            work.result(_("The client has said everything, and serve_one does not return."))
            expect(
                all(connection.fileno() == -1 for connection in listener.accepted),
                _("The connection is still open. Close it, or write: with connection."),
            )
            rest = hear(client, 100, work)
            sentence = _("At the end there came {seen!r}, which the client had not sent.")
            expect(not rest, sentence.format(seen=rest))


def _check_echo(client: socket.socket, listener: Watched, work: Work) -> None:
    chunks = ["ж".encode()[:1], "ж".encode()[1:], b" Hi\r\n", bytes(range(256)) * 20]
    for number, chunk in enumerate(chunks):
        client.sendall(chunk)
        echoed = hear(client, len(chunk), work)
        if echoed != chunk:
            work.join(0.5)  # if an error closed the connection, it is just ending
        work.check()
        if not echoed:
            raise Hint(
                _("The first chunk came back and the next did not: recv in a loop, until b''.")
                if number
                else _("Nothing came back. The order is accept, recv, sendall.")
            )
        sentence = _(
            "{sent} bytes were sent, and {seen} of them came back. sendall sends them all."
        )
        partly = listener.accepted[0].sends and len(echoed) < len(chunk)
        expect(not partly, sentence.format(sent=len(chunk), seen=len(echoed)))
        sentence = _("{sent} was sent, and {seen} came back. Return the bytes as they come.")
        shown = {"sent": reprlib.repr(chunk), "seen": reprlib.repr(echoed)}
        expect(echoed == chunk, sentence.format_map(shown))


def ex2(answer: Answer) -> None:
    expect(answer.ANSWER is not None, _("Write your prediction into ANSWER first."))
    of_type(answer.ANSWER, str, "ANSWER")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall("при".encode())
        ours.sendall("вет".encode())
        seen = theirs.recv(100).decode()
    expect(
        seen == answer.ANSWER,
        _("Try it with socket.socketpair(). Does the stream know where a sendall ended?"),
    )


def ex3(answer: Answer) -> None:
    for name in ("PIECES", "BROKEN"):
        expect(getattr(answer, name) is not None, _("Write two numbers first."))
        of_type(getattr(answer, name), int, name)
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


def ex4(answer: Answer) -> None:
    ours, theirs = pair(gives=3)
    with ours, theirs:
        theirs.sendall(b"0123456789rest")
        theirs.close()
        seen = answer.receive_exactly(ours, 10)
        sentence = _("Ten bytes came three at a time, b'0123456789', and you returned {seen!r}.")
        expect(seen == b"0123456789", sentence.format(seen=seen))
        for size, wanted in ((0, b""), (4, b"rest")):
            sentence = _("The next {size} bytes are {wanted!r}.").format(size=size, wanted=wanted)
            try:
                seen = answer.receive_exactly(ours, size)
            except EOFError as error:
                told = _("You raised {seen!r}.").format(seen=error)
                raise Hint(sentence + " " + told) from None
            expect(seen == wanted, sentence + " " + _("You returned {seen!r}.").format(seen=seen))
    ours, theirs = pair(gives=3)
    with ours, theirs:
        theirs.sendall(b"abc")
        theirs.close()
        ended = _("The stream ended after three of four bytes: that is an EOFError.")
        try:
            seen = answer.receive_exactly(ours, 4)
        except EOFError:
            return
        except (ValueError, OSError) as error:
            raise Hint(ended + " " + _("You raised {seen!r}.").format(seen=error)) from None
        raise Hint(ended + " " + _("You returned {seen!r}.").format(seen=seen))


def ex5(answer: Answer) -> None:
    for data, takes in ((b"a long message", 3), (b"a long message", 1), (b"", 3)):
        ours, theirs = pair(takes=takes)
        with ours, theirs:
            answer.send_everything(ours, data)
            ours.close()
            seen = theirs.recv(1000)
        expect(
            not ours.sendalls and (ours.sends or not seen),
            _("Do it with sock.send and nothing else: sendall would do all of it by itself."),
        )
        sentence = _("You sent {data!r}, and {seen!r} has arrived. What does send return?")
        expect(seen == data, sentence.format(data=data, seen=seen))


def ex6(answer: Answer) -> None:
    with listening() as listener, contextlib.ExitStack() as stack:
        work = Work(_serve_and_look, answer, listener)

        def client() -> Watched:
            client = stack.enter_context(Watched())
            client.settimeout(DEADLINE)
            client.connect(listener.getsockname())
            return client

        silent, others = client(), []
        for _number in range(2):
            others.append(client())
            _check_served(others[-1], 1 + len(others), listener, work)
        _check_served(silent, 3, listener, work)  # it has been silent for a while
        for other in others:
            other.shutdown(socket.SHUT_WR)
            hear(other, 1, work)  # until the server has closed it
        work.join(0.2)
        early = _("serve returned before its clients had left and its threads had ended. See join.")
        expect(work.is_alive(), early)
        silent.shutdown(socket.SHUT_WR)
        alive = work.result(_("All clients have left, and serve does not return."))
        expect(not alive, early)


def _check_served(client: socket.socket, clients: int, listener: Watched, work: Work) -> None:
    """Raise `Hint` when *client*, one of so many *clients*, is not answered."""
    client.sendall(b"hello")
    echoed = hear(client, 5, work)
    if echoed != b"hello":
        work.join(0.5)
    work.check()
    sentence = _(
        "The first client is silent, another one said b'hello' and heard {seen!r}. Does "
        "anything wait for the first before the next is accepted?"
    )
    if len(listener.accepted) == clients:
        sentence = _(
            "A client was accepted, said b'hello' and heard {seen!r}. Start a thread for each at "
            "once, and give it its own connection: args=[connection]."
        )
    expect(echoed == b"hello", sentence.format(seen=echoed))


def _serve_and_look(answer: Answer, listener: Watched) -> set[threading.Thread]:
    """Return which threads are alive when the answer's serve returns that were not before.

    The first thread lingers before its first line until the second client is accepted: by then a
    variable that it looks at may have another value.
    """
    serve = answer.serve
    lingering = threading.Semaphore(1)

    def linger(frame: FrameType, event: str, _argument: object) -> Any:
        if frame.f_code.co_filename != answer.path:
            return None
        if event == "line" and lingering.acquire(blocking=False):
            deadline = time.monotonic() + DEADLINE / 2
            while len(listener.accepted) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)  # accepted, and noted by who accepts
        return linger

    before = set(threading.enumerate())
    threading.settrace(linger)
    serve(listener, 3)
    return set(threading.enumerate()) - before


class Answering(Watched):
    """A socket whose other end answers as soon as it is asked."""

    other: socket.socket

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send, and get an answer."""
        sent = super().send(data, flags)
        self.other.sendall(b"pong\n")
        return sent

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send, and get an answer."""
        super().sendall(data, flags)
        self.other.sendall(b"pong\n")


def ex7(answer: Answer) -> None:
    ping, patience = b"ping\n", 0.2
    ours, theirs = pair()
    with ours, theirs:
        theirs.sendall(b"hello")
        late = _("b'hello' had arrived, and next_chunk did not return at once.")
        seen = Work(answer.next_chunk, ours, 60).result(late)
        sentence = _("b'hello' had arrived, and next_chunk returned {seen!r}.")
        expect(seen == b"hello", sentence.format(seen=seen))
        expect(
            not ours.sends + ours.sendalls, _("A ping is for one who is silent. This one spoke.")
        )
        theirs.close()
        ended = _("The other side has hung up, recv returns b'': return it, that is no silence.")
        try:
            seen = Work(answer.next_chunk, ours, 60).result(ended)
        except (OSError, EOFError):
            raise Hint(ended) from None
        expect(seen == b"", ended)
    first, second = socket.socketpair()
    with Answering(fileno=first.detach()) as ours, second as theirs:
        ours.other = theirs
        work = Work(answer.next_chunk, ours, patience)
        answered = _("The ping was answered with b'pong\\n': return it, it is the next chunk.")
        try:
            seen = work.result(_("The other side is silent, and next_chunk waits for ever."))
        except (OSError, EOFError) as error:
            told = _("You raised {seen!r}.").format(seen=error)
            raise Hint(answered + " " + told) from None
        expect(theirs.recv(100) == ping, _("After a silence exactly PING is sent, and once."))
        expect(seen == b"pong\n", answered + " " + _("You returned {seen!r}.").format(seen=seen))
        expect(work.seconds >= patience, _("The ping was sent before patience was over."))
    ours, theirs = pair()
    with ours, theirs:
        work = Work(answer.next_chunk, ours, patience)
        sentence = _("Nobody answered the ping: raise TimeoutError.")
        try:
            seen = work.result(sentence)
        except TimeoutError:
            expect(
                work.seconds >= 2 * patience,
                _("After the ping, wait patience seconds for an answer as well."),
            )
            expect(theirs.recv(100) == ping, _("After a silence exactly PING is sent, and once."))
            return
        except (OSError, EOFError) as error:
            told = _("You raised {seen!r}.").format(seen=error)
            raise Hint(sentence + " " + told) from None
        raise Hint(sentence + " " + _("You returned {seen!r}.").format(seen=seen))


def ex8(answer: Answer) -> None:
    expect(answer.LEFT is not None, _("Write your prediction into LEFT first."))
    of_type(answer.LEFT, int, "LEFT")
    expect(
        answer.LEFT == 11,
        _("Write the six steps of both threads one below the other, both reading first."),
    )
    for order in Order:
        cell = Cell(10)
        counter = answer.Counter(cell)
        Work(counter.add).result(held())
        expect(cell.value == 11, _("After one add there must be 11 in cell.value, which had 10."))
        cell.meeting.race(answer.path, counter.add, counter.add, order)
        sentence = _(
            "Three threads have called add, and {seen} was counted: one read before another had "
            "written. One lock for all calls has to span both reading and writing."
        )
        expect(cell.value == 13, sentence.format(seen=cell.value - 10))


# --- chapter 3 ------------------------------------------------------------------------------------


def ex9(answer: Answer) -> None:
    stream = "one\n two \r\n\nжук\n".encode() + b"\xff\0\nrest"
    whole = stream.split(b"\n")[:-1]
    for size in (len(stream), 7, 5, 3, 2, 1):
        chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
        sentence = _(
            "In chunks of {size} bytes these frames came out: {seen}, but {wanted} went in."
        )
        frames, other = answer.Frames(limit=20), answer.Frames(limit=20)
        seen = []
        for chunk in chunks:
            try:
                completed = frames.feed(chunk)
                expect(
                    isinstance(completed, list),
                    _("feed returned {seen!r}; return a list, be it empty.").format(seen=completed),
                )
                seen += completed
            except UnicodeError:
                raise
            except ValueError:
                raise Hint(
                    _(
                        "{chunk!r} was refused, and none of its frames is longer than {limit}."
                    ).format(chunk=chunk, limit=20)
                ) from None
            other.feed(b"")
        expect(seen == whole, sentence.format(size=size, seen=seen, wanted=whole))
        seen = other.feed(b"\n")
        expect(seen == [b""], _("Two streams were mixed: each object needs a rest of its own."))
    for good in ([b"x" * 10 + b"\n"], [b"x" * 9, b"x", b"\n"], [b"a\n" + b"x" * 10, b"\n"]):
        try:
            frames = answer.Frames(limit=10)
            for chunk in good:
                frames.feed(chunk)
        except ValueError:
            sentence = _(
                "A frame of exactly {limit} bytes is allowed; the line feed does not count."
            )
            raise Hint(sentence.format(limit=10)) from None
    sentence = _("{bad} at a limit of {limit} was not refused with ValueError at once.")
    for bad in (
        [b"x" * 11],
        [b"x" * 10, b"x"],
        [b"x" * 11 + b"\n"],
        [b"x" * 10, b"x\n"],
        [b"a\n" + b"x" * 11 + b"\nb\n"],
        ["жжжжжж\n".encode()],
    ):
        frames = answer.Frames(limit=10)
        try:
            for chunk in bad:
                frames.feed(chunk)
        except ValueError:
            continue
        raise Hint(sentence.format(bad=bad, limit=10))


def ex10(answer: Answer) -> None:
    for order in Order:
        taken = SlowMapping()
        registry = answer.Registry(taken)
        first, second = "первый", "второй"
        claims = [
            Work(registry.claim, "Аня", owner).result(held()) for owner in (first, second, second)
        ]
        sentence = _(
            "Three in turn asked for one nickname. True, False, False is right; you answered "
            "{seen}."
        )
        expect(claims == [True, False, False], sentence.format(seen=claims))
        expect(
            dict(taken) == {"Аня": first},
            _("In taken the nickname must belong to the first who asked for it."),
        )
        claims = taken.meeting.race(
            answer.path,
            functools.partial(registry.claim, "Боря", first),
            functools.partial(registry.claim, "Боря", second),
            order,
        )
        sentence = _(
            "Two threads asked for one nickname, and the answers were {answers}. One lock for all "
            "calls has to span both the question and the assignment."
        )
        expect(sorted(claims) == [False, True], sentence.format(answers=claims))
        expect(
            taken["Боря"] == (first if claims[0] else second),
            _("One thread was told True, and the nickname belongs to the other."),
        )
    claims = taken.meeting.race(
        answer.path,
        functools.partial(registry.claim, "Вера", first),
        functools.partial(registry.claim, "Глеб", second),
        Order.MEET,
    )
    sentence = _(
        "Two threads asked for two nicknames, both free, and the answers were {answers}. Who has "
        "to wait for the lock has not been refused."
    )
    expect(claims == [True, True], sentence.format(answers=claims))


def ex11(answer: Answer) -> None:
    frame = b"x" * 60_000
    with contextlib.ExitStack() as stack:

        def member(ours: socket.socket, theirs: socket.socket) -> tuple[Watched, socket.socket]:
            watched = stack.enter_context(Watched(fileno=ours.detach()))
            watched.setblocking(False)
            return watched, stack.enter_context(theirs)

        full, _unread = member(*socket.socketpair())
        with contextlib.suppress(BlockingIOError):
            while True:
                full.send(frame)
        partial, _unread = member(*socket.socketpair())
        partial.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least there is
        gone, other = member(*socket.socketpair())
        other.close()
        reset, other = member(*connected_pair())
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        ready, listener = member(*socket.socketpair())
        members = [full, partial, gone, reset, ready]
        for sock in members:
            sock.sends = 0
        work = Work(answer.broadcast, members, frame)
        try:
            slow = work.result(_("One is full, and you wait for it. The others must not wait."))
        except BlockingIOError:
            raise Hint(
                _("A full socket raises BlockingIOError; the others must still get the frame.")
            ) from None
        except BrokenPipeError:
            sentence = _(
                "One who has hung up raises BrokenPipeError; the others must still get it."
            )
            raise Hint(sentence) from None
        except ConnectionResetError:
            sentence = _(
                "A killed program leaves ConnectionResetError; the others must still get it."
            )
            raise Hint(sentence) from None
        expect(
            not any(sock.sendalls for sock in members),
            _("After a failure sendall does not say how much was taken: use send."),
        )
        expect(
            all(sock.sends <= 1 for sock in members),
            _("One send for each: whoever does not take all of it at once is too slow."),
        )
        expect(
            ready.sends and _has(listener, frame), _("The one who was ready has received nothing.")
        )
        expect(isinstance(slow, list), _("Return a list."))
        expect(full in slow, _("A socket is full, and you did not report it."))
        expect(gone in slow and reset in slow, _("One has hung up, and you did not report it."))
        expect(
            partial in slow,
            _("One took a part of the frame, and you did not report it. What does send return?"),
        )
        expect(ready not in slow, _("You report one who has taken everything."))
        expect(len(slow) == len(set(slow)), _("You report one twice."))


def _has(sock: socket.socket, frame: bytes) -> bool:
    """Tell whether *frame* is waiting in *sock*."""
    sock.settimeout(0)
    data = b""
    with contextlib.suppress(BlockingIOError):
        while chunk := sock.recv(65536):
            data += chunk
    return data == frame


def ex12(answer: Answer) -> None:
    words = [f"слово {number}" for number in range(30)]
    limits = Limits()
    log = Log(limits)
    with ChatServer(log=log, sessions=RememberedSessions(limits, log)) as server:
        _check_say_all(answer, server, words)


def _check_say_all(answer: Answer, server: ChatServer, words: list[str]) -> None:
    with Wire(server.address, "Проба") as probe:
        entered = sum(len(frame) + 1 for frame in probe.frames)
        probe.say("раз")
        ack = len(probe.frames[-1]) + 1
    ready_made = Hint(_("ChatClient does the whole exercise by itself. Write it on a socket."))
    with (
        unittest.mock.patch.object(ChatClient, "__post_init__", side_effect=ready_made),
        Wire(server.address, "Боря") as borya,
        Wiretap(server.address) as tap,
    ):
        # Within the fifth ack, and within one of the messages that follow.
        tap.cut_after(entered + 4 * ack + ack // 2, direction=Direction.TO_CLIENT)
        tap.cut_after(600, direction=Direction.TO_SERVER)
        work = Work(answer.say_all, tap.address, "Аня", words)
        try:
            work.result(
                _("say_all does not return. Messages are described in chat/core/protocol.py.")
            )
        except Hint:
            raise
        except Exception as error:
            if all(one.kind is not Kind.CUT for one in tap.records):
                raise
            sentence = _(
                "The connection was cut, and you gave up: {error!r}, {line}. Connect again, with "
                "the session; the messages are described in chat/core/protocol.py."
            )
            line = last_line(error, answer.path)
            raise Hint(sentence.format(error=error, line=line)) from None
        with Wire(server.address, "Вера") as vera:
            vera.send({"type": "message", "text": "конец", "id": 1})
        heard = list(iter(lambda: borya.skip_to("message")["text"], "конец"))
    sentence = _("{n} of {all} messages were lost. What has no ack yet has to be said again.")
    lost = len({*words} - {*heard})
    expect(not lost, sentence.format(n=lost, all=len(words)))
    expect(
        len(heard) == len(set(heard)),
        _("Some words were heard twice: repeat them under the same id, in the same session."),
    )
    expect(heard == words, _("The words were not heard in the order in which they were said."))


def ex13(answer: Answer) -> None:
    _failed.clear()
    _HANDLERS["whoami"] = _noting_failure(answer.on_whoami)
    with ChatServer() as server, Wire(server.address) as stranger:
        stranger.expect("register")
        stranger.send({"type": "whoami"}, {"type": "ping"})
        seen = _next(stranger)
        sentence = _(
            "Whoever has no nickname yet must get the error not_registered, not {seen}. Which "
            "method requires a member?"
        )
        expect(seen.get("code") == "not_registered", sentence.format(seen=seen))
        with Wire(server.address, "Боря") as borya, Wire(server.address, "Аня") as anya:
            borya.expect("joined")
            anya.send({"type": "whoami"}, {"type": "ping"})
            seen = _next(anya)
            host, port = anya.local_address
            wanted = {"type": "whoami", "nick": "Аня", "host": host, "port": port}
            sentence = _("The answer was {seen}, and {wanted} is wanted.")
            expect(seen == wanted, sentence.format(seen=seen, wanted=wanted))
            seen = _next(anya)
            sentence = _("After the answer there came {seen}: one answer is enough.")
            expect(seen == {"type": "pong"}, sentence.format(seen=seen))
            borya.send({"type": "ping"})
            sentence = _("Another user got {seen}: the answer is for the one who asked.")
            seen = _next(borya)
            expect(seen == {"type": "pong"}, sentence.format(seen=seen))


_failed: list[Exception] = []
"""What a handler of the answer has raised in a thread of the server."""


def _noting_failure(
    handler: Callable[[ClientConnection, Message], None],
) -> Callable[[ClientConnection, Message], None]:
    """Return *handler* with whatever it raises noted before the server closes the connection."""

    def handle(client: ClientConnection, message: Message) -> None:
        try:
            handler(client, message)
        except ProtocolError:
            raise
        except Exception as error:
            _failed.append(error)
            raise

    return handle


def _next(wire: Wire) -> Message:
    """Return the next message. Raises what a handler has raised, if that closed the connection."""
    try:
        return wire.next()
    except (EOFError, ConnectionError):
        if _failed:
            raise _failed[0] from None
        raise Hint(_("The server closed the connection.")) from None


# --- exercise 14, in the chat itself --------------------------------------------------------------


def ex14(answer: Answer) -> None:
    tests.wire.PATIENCE = DEADLINE  # a test that fails on purpose should not take long
    _check_test_can_fail(answer)
    if "topic" in _HANDLERS:
        _HANDLERS["topic"] = _noting_failure(_HANDLERS["topic"])
    with ChatServer() as server:
        try:
            _check_topic(server)
        except AttributeError as error:
            if isinstance(error.obj, Room):  # it is to get the method that the handler calls
                raise Hint(_("Step 2: {error}.").format(error=error)) from None
            raise
    with ChatServer() as server:  # another, where nobody of the first is still leaving
        _check_client(server)
    with ChatServer() as server:
        answer.test_topic(server.address)


def _check_test_can_fail(answer: Answer) -> None:
    """Raise `Hint` when the student's test is content with a chat that has no topic."""
    handler = _HANDLERS.pop("topic", None)
    try:
        with ChatServer() as server:
            answer.test_topic(server.address)
    except Hint:
        raise
    except Exception:  # noqa: BLE001 - it may fail in whatever way
        return
    finally:
        if handler is not None:
            _HANDLERS["topic"] = handler
    raise Hint(_("Step 0: test_topic passes on a chat that knows no topic. What does it check?"))


def _check_topic(server: ChatServer) -> None:
    with Wire(server.address) as stranger:
        stranger.expect("register")
        stranger.send({"type": "topic", "text": "Сети"}, {"type": "ping"})
        seen = _next(stranger).get("code")
        expect(seen != "unknown_type", _("Step 1: chat/core/server.py has no handler _on_topic."))
        expect(
            seen == "not_registered",
            _("Step 1: without a nickname nobody sets a topic; the answer is not_registered."),
        )
    with Wire(server.address, "Аня") as anya, Wire(server.address, "Боря") as borya:
        anya.expect("joined")
        anya.send({"type": "topic", "text": "Сети"}, {"type": "ping"})
        wanted = {"type": "topic", "nick": "Аня", "text": "Сети"}
        for wire in (anya, borya):
            wire.send({"type": "ping"})
            seen = _next(wire)
            sentence = _("Step 2: {wanted} was to come to everybody, but there came {seen}.")
            expect(seen == wanted, sentence.format(wanted=wanted, seen=seen))
        anya.skip_to("pong")
        anya.skip_to("pong")
        for bad in ("", "x" * (server.limits.text_chars + 1), 5, None):
            anya.send({"type": "topic", "text": bad}, {"type": "ping"})
            seen = _next(anya)
            sentence = _("Step 2: a topic that is no text of a message ({bad}) must be refused.")
            expect(seen["type"] == "error", sentence.format(bad=repr(bad)[:20]))
            anya.expect("pong")
        borya.expect("pong")
        with server.room._lock:
            anya.send({"type": "topic", "text": "Сети"})
            early = select.select([anya.socket, borya.socket], [], [], 0.3)[0]
        expect(not early, _("Step 2: the topic was changed without waiting for the room's lock."))
        seen = anya.welcome.get("topic")
        sentence = _("Step 3: there is no topic yet, and welcome has {seen!r} for topic, not ''.")
        expect(seen == "", sentence.format(seen=seen))
        with Wire(server.address, "Вера") as vera:
            seen = vera.welcome.get("topic")
            sentence = _("Step 3: the topic is «Сети», and welcome has {seen!r} for topic.")
            expect(seen == "Сети", sentence.format(seen=seen))


def _check_client(server: ChatServer) -> None:
    command = [sys.executable, "-m", "chat.client", "--plain", "--nick", "Аня"]
    command += ["--port", str(server.address[1])]
    with (
        Wire(server.address, "Боря") as borya,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        ) as client,
    ):
        assert client.stdin is not None
        assert client.stdout is not None
        try:
            sentence = _("Step 4: the client does not get into the chat; see its error above.")
            expect(_has_joined("Аня", borya, client), sentence)
            client.stdin.write("/topic Потоки\n/dice\n")
            client.stdin.flush()
            seen = borya.next()
            sentence = _("Step 4: /topic Потоки was typed, and the others got {seen}.")
            if seen["type"] == "message":  # the result of /dice
                sentence = _("Step 4: /topic Потоки was typed, and the others got no topic.")
            wanted = {"type": "topic", "nick": "Аня", "text": "Потоки"}
            expect(seen == wanted, sentence.format(seen=seen))
            borya.send({"type": "topic", "text": "Сокеты"})
            borya.skip_to("topic", nick="Боря")
            borya.say("всё")
            reader = Work(_read_until, client.stdout, "всё")
            shown = reader.result(_("Step 4: the client shows nothing any more."))
            expect(
                "Сокеты" in shown, _("Step 4: a new topic comes, and the client does not show it.")
            )
        finally:
            client.kill()
            client.wait()


def _has_joined(nick: str, other: Wire, client: subprocess.Popen[str]) -> bool:
    """Tell whether *other* is told that *nick* is here, before *client* ends."""
    deadline = time.monotonic() + 5 * DEADLINE  # a program takes long to start on a busy machine
    other.socket.settimeout(0.1)
    while client.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            other.skip_to("joined", nick=nick)
            other.socket.settimeout(5 * DEADLINE)
            return True
    return False


def _read_until(stream: object, word: str) -> str:
    """Return the lines of *stream* up to the one with *word*."""
    lines = []
    for line in stream:  # type: ignore[attr-defined]
        lines.append(line)
        if word in line:
            break
    return "".join(lines)


CHECKS: dict[int, Callable[[Answer], None]] = {
    number: globals()[f"ex{number}"] for number in range(1, 15)
}

IN_THE_CHAT = 14
"""The exercise whose answer stands in the files of the chat."""
