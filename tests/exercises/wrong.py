"""Wrong answers, as they are really given, each with a part of the hint that it must get."""

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

from chat.core.protocol import FrameDecoder, Limits, Message, decode, encode
from chat.core.server import ClientConnection
from chat.promises.resume import ResumingClient
from tests.exercises.answer import Answer

T = TypeVar("T")


@dataclass(frozen=True)
class Wrong:
    """A wrong answer."""

    number: int
    """Of the exercise."""

    names: dict[str, Any]
    """What the answer defines."""

    hint: str


WRONG: dict[str, Wrong] = {}
"""Every wrong answer, by a name that says what is wrong with it."""


def answer(title: str) -> Answer:
    """Return the wrong answer with that *title*."""
    return Answer(WRONG[title].names, __file__)


def refuse(number: int, title: str, hint: str, **names: Any) -> None:
    """Note a wrong answer to exercise *number* that defines *names*."""
    WRONG[f"{number} {title}"] = Wrong(number, names, hint)


def refused(number: int, name: str, hint: str, **others: Any) -> Callable[[T], T]:
    """Note what is decorated as a wrong answer, in which it is called *name*."""

    def note(value: T) -> T:
        refuse(number, value.__name__, hint, **{name: value}, **others)  # type: ignore[attr-defined]
        return value

    return note


# --- 1: a first echo server -----------------------------------------------------------------------


@refused(1, "serve_one", "Nothing came back")
def never_accepts(listener: socket.socket) -> None:
    listener.listen()


@refused(1, "serve_one", "The first chunk came back and the next did not")
def one_chunk(listener: socket.socket) -> None:
    connection, _address = listener.accept()
    with connection:
        connection.sendall(connection.recv(4096))


@refused(1, "serve_one", "Nothing came back")
def answers_at_the_end(listener: socket.socket) -> None:
    connection, _address = listener.accept()
    with connection:
        data = b""
        while chunk := connection.recv(4096):
            data += chunk
        connection.sendall(data)


@refused(1, "serve_one", "recv has returned b'' ten times")
def never_sees_the_end(listener: socket.socket) -> None:
    connection, _address = listener.accept()
    with connection:
        while True:
            connection.sendall(connection.recv(4096))


@refused(1, "serve_one", "serve_one does not return")
def waits_for_the_next_client(listener: socket.socket) -> None:
    while True:
        connection, _address = listener.accept()
        with connection:
            while chunk := connection.recv(4096):
                connection.sendall(chunk)


@refused(1, "serve_one", "The connection is still open")
def does_not_close(listener: socket.socket) -> None:
    connection, _address = listener.accept()
    while chunk := connection.recv(4096):
        connection.sendall(chunk)


@refused(1, "serve_one", "of them came back. sendall sends them all")
def sends_a_part(listener: socket.socket) -> None:
    connection, _address = listener.accept()
    with connection:
        while chunk := connection.recv(4096):
            connection.send(chunk)


@refused(1, "serve_one", "UnicodeDecodeError")
def decodes_half_a_letter(listener: socket.socket) -> None:
    connection, _address = listener.accept()
    with connection:
        while text := connection.recv(4096).decode():
            connection.sendall(text.encode())


@refused(1, "serve_one", "serve_one has returned before its client has ended")
def leaves_it_to_a_thread(listener: socket.socket) -> None:
    threading.Thread(target=_echo, args=[listener.accept()[0]]).start()


@refused(1, "serve_one", "b'\\xb6' was sent, and b'\\xd0' came back")
def says_all_again(listener: socket.socket) -> None:
    connection, _address = listener.accept()
    data = b""
    with connection:
        while chunk := connection.recv(4096):
            data += chunk
            connection.sendall(data)


@refused(1, "serve_one", "b' Hi\\r\\n' was sent, and b'Hi' came back")
def strips(listener: socket.socket) -> None:
    connection, _address = listener.accept()
    with connection:
        while chunk := connection.recv(4096):
            connection.sendall(chunk.strip())


@refused(1, "serve_one", "Nothing came back")
def waits_for_a_line(listener: socket.socket) -> None:
    connection, _address = listener.accept()
    with connection, connection.makefile("rb") as lines:
        for line in lines:
            connection.sendall(line)


@refused(1, "serve_one", "At the end there came b'bye'")
def says_goodbye(listener: socket.socket) -> None:
    connection, _address = listener.accept()
    with connection:
        while chunk := connection.recv(4096):
            connection.sendall(chunk)
        connection.sendall(b"bye")


# --- 2 and 3: predictions -------------------------------------------------------------------------

_STREAM = "Does the stream know where a sendall ended?"
refuse(2, "nothing predicted", "Write your prediction into ANSWER first", ANSWER=None)
refuse(2, "one recv for one sendall", _STREAM, ANSWER="при")
refuse(2, "a line feed between", _STREAM, ANSWER="при\nвет")
refuse(2, "a list", "ANSWER is of type list; write it as a string", ANSWER=["при", "вет"])
refuse(2, "bytes", "ANSWER is of type bytes; write it as a string", ANSWER="привет".encode())
refuse(2, "no name", "ANSWER is missing")
refuse(2, "a line feed at the end", _STREAM, ANSWER="привет\n")
refuse(2, "the last only", _STREAM, ANSWER="вет")
refuse(2, "both", "ANSWER is of type tuple; write it as a string", ANSWER=("при", "вет"))

refuse(3, "one predicted", "Write two numbers first", PIECES=3, BROKEN=None)
refuse(3, "counts letters", "Count bytes, not letters", PIECES=2, BROKEN=2)
refuse(3, "all broken", "Through which letters do the borders go?", PIECES=3, BROKEN=3)
refuse(3, "counts borders", "Through which letters do the borders go?", PIECES=3, BROKEN=1)
refuse(3, "strings", "PIECES is of type str; write it as a whole number", PIECES="3", BROKEN="2")
refuse(3, "none broken", "Through which letters do the borders go?", PIECES=3, BROKEN=0)
refuse(3, "yes", "BROKEN is of type bool; write it as a whole number", PIECES=3, BROKEN=True)
refuse(3, "divided", "PIECES is of type float; write it as a whole", PIECES=14 / 5, BROKEN=2)
refuse(3, "a fraction", "BROKEN is of type float; write it as a whole", PIECES=3, BROKEN=2.0)


# --- 4: read exactly so much ----------------------------------------------------------------------


@refused(4, "receive_exactly", "you returned b'012'")
def one_recv(sock: socket.socket, size: int) -> bytes:
    return sock.recv(size)


@refused(4, "receive_exactly", "you returned b'0123456789re'")
def reads_too_much(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = sock.recv(size)
        if not chunk:
            raise EOFError
        data += chunk
    return data


@refused(4, "receive_exactly", "The next 4 bytes are b'rest'. You returned b'st'")
def drops_the_surplus(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := sock.recv(size)):
        data += chunk
    return data[:size]


@refused(4, "receive_exactly", "that is an EOFError. You returned b'abc'")
def short_at_the_end(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := sock.recv(size - len(data))):
        data += chunk
    return data


@refused(4, "receive_exactly", "that is an EOFError. You raised ConnectionError")
def another_exception(sock: socket.socket, size: int) -> bytes:
    data = short_at_the_end(sock, size)
    if len(data) < size:
        raise ConnectionError("the end")
    return data


@refused(4, "receive_exactly", "recv has returned b'' ten times")
def spins_at_the_end(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


@refused(4, "receive_exactly", "The next 0 bytes are b''. You raised EOFError")
def reads_first_and_counts_then(sock: socket.socket, size: int) -> bytes:
    data = b""
    while True:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
        if len(data) == size:
            return data


@refused(4, "receive_exactly", "The next 4 bytes are b'rest'. You raised EOFError")
def through_a_buffered_file(sock: socket.socket, size: int) -> bytes:
    with sock.makefile("rb") as file:
        data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


@refused(4, "receive_exactly", "that is an EOFError. You returned b'abc'")
def trusts_waitall(sock: socket.socket, size: int) -> bytes:
    return sock.recv(size, socket.MSG_WAITALL)


@refused(4, "receive_exactly", "you returned [b'012', b'345'")
def does_not_join(sock: socket.socket, size: int) -> list[bytes]:
    chunks: list[bytes] = []
    while sum(map(len, chunks)) < size:
        chunks.append(sock.recv(size - sum(map(len, chunks))))
    return chunks


# --- 5: send everything ---------------------------------------------------------------------------


@refused(5, "send_everything", "What does send return?")
def one_send(sock: socket.socket, data: bytes) -> None:
    sock.send(data)


@refused(5, "send_everything", "What does send return?")
def in_pieces_unseen(sock: socket.socket, data: bytes) -> None:
    for start in range(0, len(data), 4):
        sock.send(data[start : start + 4])


@refused(5, "send_everything", "What does send return?")
def from_the_beginning_again(sock: socket.socket, data: bytes) -> None:
    sent = 0
    while sent < len(data):
        sent += sock.send(data)


@refused(5, "send_everything", "Do it with sock.send and nothing else")
def by_sendall(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)


@refused(5, "send_everything", "What does send return?")
def steps_that_were_taken_once(sock: socket.socket, data: bytes) -> None:
    for start in range(0, len(data), 3):
        sock.send(data[start:])


@refused(5, "send_everything", "What does send return?")
def twice_will_do(sock: socket.socket, data: bytes) -> None:
    sent = sock.send(data)
    sock.send(data[sent:])


@refused(5, "send_everything", "Do it with sock.send and nothing else")
def by_sendmsg(sock: socket.socket, data: bytes) -> None:
    sock.sendmsg([data])


@refused(5, "send_everything", "Do it with sock.send and nothing else")
def by_the_descriptor(sock: socket.socket, data: bytes) -> None:
    os.write(sock.fileno(), data)


# --- 6: several clients at once -------------------------------------------------------------------


def _echo(connection: socket.socket) -> None:
    with connection:
        while chunk := connection.recv(4096):
            connection.sendall(chunk)


_WAITS = "Does anything wait for the first before the next is accepted?"


@refused(6, "serve", _WAITS)
def one_after_the_other(listener: socket.socket, clients: int) -> None:
    for _number in range(clients):
        _echo(listener.accept()[0])


@refused(6, "serve", _WAITS)
def joins_at_once(listener: socket.socket, clients: int) -> None:
    for _number in range(clients):
        thread = threading.Thread(target=_echo, args=[listener.accept()[0]])
        thread.start()
        thread.join()


@refused(6, "serve", _WAITS)
def calls_instead_of_passing(listener: socket.socket, clients: int) -> None:
    for _number in range(clients):
        threading.Thread(target=_echo(listener.accept()[0])).start()  # type: ignore[func-returns-value]


@refused(6, "serve", "serve returned before its clients had left")
def never_joins(listener: socket.socket, clients: int) -> None:
    for _number in range(clients):
        threading.Thread(target=_echo, args=[listener.accept()[0]]).start()


@refused(6, "serve", "serve returned before its clients had left")
def joins_the_last_only(listener: socket.socket, clients: int) -> None:
    threads = []
    for _number in range(clients):
        threads.append(threading.Thread(target=_echo, args=[listener.accept()[0]]))
        threads[-1].start()
    threads[-1].join()


@refused(6, "serve", "All clients have left, and serve does not return")
def accepts_for_ever(listener: socket.socket, clients: int) -> None:
    del clients
    while True:
        threading.Thread(target=_echo, args=[listener.accept()[0]]).start()


@refused(6, "serve", "TypeError")
def passes_no_arguments(listener: socket.socket, clients: int) -> None:
    for _number in range(clients):
        listener.accept()
        threading.Thread(target=_echo).start()


_SERVED = "Start a thread for each at once, and give it its own connection"


@refused(6, "serve", _SERVED)
def looks_at_a_variable_that_changes(listener: socket.socket, clients: int) -> None:
    threads = []
    for _number in range(clients):
        connection, _address = listener.accept()
        thread = threading.Thread(target=lambda: _echo(connection))  # noqa: B023 - that is wrong
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()


@refused(6, "serve", _SERVED)
def starts_when_all_are_here(listener: socket.socket, clients: int) -> None:
    threads = [
        threading.Thread(target=_echo, args=[listener.accept()[0]]) for _number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@refused(6, "serve", _SERVED)
def too_few_threads(listener: socket.socket, clients: int) -> None:
    with ThreadPoolExecutor(clients - 1) as pool:
        for _number in range(clients):
            pool.submit(_echo, listener.accept()[0])


@refused(6, "serve", _SERVED)
def closes_what_a_thread_serves(listener: socket.socket, clients: int) -> None:
    threads = []
    for _number in range(clients):
        with listener.accept()[0] as connection:
            threads.append(threading.Thread(target=_echo, args=[connection]))
            threads[-1].start()
    for thread in threads:
        thread.join()


@refused(6, "serve", "serve returned before its clients had left")
def joins_for_a_moment(listener: socket.socket, clients: int) -> None:
    threads = []
    for _number in range(clients):
        threads.append(threading.Thread(target=_echo, args=[listener.accept()[0]], daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(0.01)


@refused(6, "serve", _WAITS)
def runs_instead_of_starting(listener: socket.socket, clients: int) -> None:
    for _number in range(clients):
        threading.Thread(target=_echo, args=[listener.accept()[0]]).run()


# --- 7: a silent peer -----------------------------------------------------------------------------

PING = b"ping\n"


@refused(7, "next_chunk", "next_chunk waits for ever")
def waits_for_ever(sock: socket.socket, patience: float) -> bytes:
    del patience
    return sock.recv(4096)


@refused(7, "next_chunk", "next_chunk did not return at once")
def sleeps(sock: socket.socket, patience: float) -> bytes:
    time.sleep(patience)
    return sock.recv(4096)


@refused(7, "next_chunk", "A ping is for one who is silent")
def pings_at_once(sock: socket.socket, patience: float) -> bytes:
    sock.sendall(PING)
    sock.settimeout(2 * patience)
    return sock.recv(4096)


@refused(7, "next_chunk", "After a silence exactly PING is sent")
def never_pings(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience)
    try:
        return sock.recv(4096)
    except TimeoutError:
        sock.sendall(b"?")
        return sock.recv(4096)


@refused(7, "next_chunk", "Nobody answered the ping: raise TimeoutError")
def waits_for_ever_after_the_ping(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience)
    try:
        return sock.recv(4096)
    except TimeoutError:
        sock.sendall(PING)
        sock.settimeout(None)
        return sock.recv(4096)


@refused(7, "next_chunk", "raise TimeoutError. You returned b''")
def silence_as_the_end(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience)
    for _attempt in range(2):
        try:
            return sock.recv(4096)
        except TimeoutError:
            sock.sendall(PING)
    return b""


@refused(7, "next_chunk", "After a silence exactly PING is sent, and once")
def pings_twice(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience)
    for _attempt in range(2):
        try:
            return sock.recv(4096)
        except TimeoutError:
            sock.sendall(PING)
    raise TimeoutError


@refused(7, "next_chunk", "wait patience seconds for an answer as well")
def does_not_wait_for_the_answer(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience)
    try:
        return sock.recv(4096)
    except TimeoutError:
        sock.sendall(PING)
        sock.settimeout(0.01)
        return sock.recv(4096)


@refused(7, "next_chunk", "The ping was sent before patience was over")
def too_impatient(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience / 2)
    try:
        return sock.recv(4096)
    except TimeoutError:
        sock.sendall(PING)
        sock.settimeout(2 * patience)
        return sock.recv(4096)


@refused(7, "next_chunk", "recv returns b'': return it")
def takes_the_end_for_silence(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience)
    for _attempt in range(2):
        if select.select([sock], [], [], patience)[0] and (chunk := sock.recv(4096)):
            return chunk
        sock.sendall(PING)
    raise TimeoutError


@refused(7, "next_chunk", "return it, it is the next chunk. You returned b''")
def does_not_read_the_answer(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience)
    try:
        return sock.recv(4096)
    except TimeoutError:
        sock.sendall(PING)
        return b""


@refused(7, "next_chunk", "next_chunk returned None")
def forgets_to_return(sock: socket.socket, patience: float) -> None:
    sock.settimeout(patience)
    sock.recv(4096)


_ANSWERED = (
    "The ping was answered with b'pong\\n': return it, it is the next chunk. You raised Time"
)


@refused(7, "next_chunk", _ANSWERED)
def swallows_the_answer(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience)
    try:
        return sock.recv(4096)
    except TimeoutError:
        sock.sendall(PING)
        sock.recv(4096)
        return sock.recv(4096)


@refused(7, "next_chunk", _ANSWERED)
def waits_twice_and_pings_at_the_end(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(2 * patience)
    try:
        return sock.recv(4096)
    except TimeoutError:
        sock.sendall(PING)
        raise


@refused(7, "next_chunk", "raise TimeoutError. You raised ConnectionError")
def another_exception_for_silence(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience)
    try:
        return sock.recv(4096)
    except TimeoutError:
        sock.sendall(PING)
    try:
        return sock.recv(4096)
    except TimeoutError:
        raise ConnectionError("nobody is there") from None


@refused(7, "next_chunk", "recv returns b'': return it")
def the_end_as_an_exception(sock: socket.socket, patience: float) -> bytes:
    chunk = another_exception_for_silence(sock, patience)
    if not chunk:
        raise EOFError
    return chunk


@refused(7, "next_chunk", "Nobody answered the ping: raise TimeoutError")
def pings_for_ever(sock: socket.socket, patience: float) -> bytes:
    sock.settimeout(patience)
    try:
        return sock.recv(4096)
    except TimeoutError:
        sock.sendall(PING)
        return pings_for_ever(sock, patience)


# --- 8: counter += 1 ------------------------------------------------------------------------------


class _Cellular:
    def __init__(self, cell: SimpleNamespace) -> None:
        self._cell = cell
        self._lock = threading.Lock()


_LOST = "One lock for all calls has to span both reading and writing"


@refused(8, "Counter", _LOST, LEFT=11)
class NoLock(_Cellular):
    def add(self) -> None:
        self._cell.value += 1


@refused(8, "Counter", _LOST, LEFT=11)
class ALockForEachCall(_Cellular):
    def add(self) -> None:
        with threading.Lock():  # noqa: PLW2101 - that is what is wrong
            self._cell.value += 1


@refused(8, "Counter", _LOST, LEFT=11)
class LocksTheWritingOnly(_Cellular):
    def add(self) -> None:
        value = self._cell.value
        with self._lock:
            self._cell.value = value + 1


@refused(8, "Counter", _LOST, LEFT=11)
class LocksEachStepOfAdding(_Cellular):
    def add(self) -> None:
        with self._lock:
            value = self._cell.value
        with self._lock:
            self._cell.value = value + 1


@refused(8, "Counter", "somebody holds the lock and does not release it", LEFT=11)
class NeverReleases(_Cellular):
    def add(self) -> None:
        self._lock.acquire()
        self._cell.value += 1


@refused(8, "Counter", "After one add there must be 11 in cell.value", LEFT=11)
class CountsElsewhere(_Cellular):
    count = 0

    def add(self) -> None:
        with self._lock:
            self.count += 1


@refused(8, "Counter", _LOST, LEFT=11)
class AFlagInsteadOfALock(_Cellular):
    busy = False

    def add(self) -> None:
        while self.busy:
            time.sleep(0.001)
        self.busy = True
        self._cell.value += 1
        self.busy = False


@refused(8, "Counter", _LOST, LEFT=11)
class LooksWhetherItHasCounted(_Cellular):
    def add(self) -> None:
        while True:
            wanted = self._cell.value + 1
            self._cell.value = wanted
            if self._cell.value == wanted:
                return


@refused(8, "Counter", _LOST, LEFT=11)
class GivesUpWhereItIsLocked(_Cellular):
    def add(self) -> None:
        if self._lock.acquire(blocking=False):
            self._cell.value += 1
            self._lock.release()


@refused(8, "Counter", _LOST, LEFT=11)
class LetsTwoIn(_Cellular):
    def __init__(self, cell: SimpleNamespace) -> None:
        super().__init__(cell)
        self._two = threading.Semaphore(2)

    def add(self) -> None:
        with self._two:
            self._cell.value += 1


refuse(8, "nothing predicted", "Write your prediction into LEFT first", LEFT=None)
refuse(8, "nothing lost", "Write the six steps of both threads", LEFT=12)
refuse(8, "a string", "LEFT is of type str; write it as a whole number", LEFT="11")


# --- 9: frames ------------------------------------------------------------------------------------


class _Framer:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        *frames, self._rest = (self._rest + chunk).split(b"\n")
        if self.too_long(frames, self._rest):
            raise ValueError
        return frames

    def too_long(self, frames: list[bytes], rest: bytes) -> bool:
        return any(len(frame) > self._limit for frame in [*frames, rest])


_FRAMES = "these frames came out"
_ALLOWED = "A frame of exactly 10 bytes is allowed"
_NOT_REFUSED = "was not refused with ValueError at once"


@refused(9, "Frames", _FRAMES)
class SplitsLines(_Framer):
    def feed(self, chunk: bytes) -> list[bytes]:
        return chunk.splitlines()


@refused(9, "Frames", _FRAMES)
class Strips(_Framer):
    def feed(self, chunk: bytes) -> list[bytes]:
        return [frame.strip() for frame in super().feed(chunk)]


@refused(9, "Frames", _FRAMES)
class DropsEmptyFrames(_Framer):
    def feed(self, chunk: bytes) -> list[bytes]:
        return [frame for frame in super().feed(chunk) if frame]


@refused(9, "Frames", "UnicodeDecodeError")
class Decodes(_Framer):
    def feed(self, chunk: bytes) -> list[bytes]:
        return super().feed(chunk.decode().encode())


@refused(9, "Frames", "Two streams were mixed")
class SharesTheRest(_Framer):
    rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        self._rest = bytes(self.rest)
        frames = super().feed(chunk)
        self.rest[:] = self._rest
        return frames


@refused(9, "Frames", _NOT_REFUSED)
class NoLimit(_Framer):
    def too_long(self, frames: list[bytes], rest: bytes) -> bool:
        del frames, rest
        return False


@refused(9, "Frames", "[b'xxxxxxxxxxx\\n'] at a limit of 10 was not refused")
class LimitsTheRestOnly(_Framer):
    def too_long(self, frames: list[bytes], rest: bytes) -> bool:
        return len(rest) > self._limit


@refused(9, "Frames", "[b'xxxxxxxxxxx'] at a limit of 10 was not refused")
class LimitsFramesOnly(_Framer):
    def too_long(self, frames: list[bytes], rest: bytes) -> bool:
        return any(len(frame) > self._limit for frame in frames)


@refused(9, "Frames", _ALLOWED)
class OneTooFew(_Framer):
    def too_long(self, frames: list[bytes], rest: bytes) -> bool:
        return any(len(frame) >= self._limit for frame in [*frames, rest])


@refused(9, "Frames", _ALLOWED)
class OneTooFewInTheRest(_Framer):
    def too_long(self, frames: list[bytes], rest: bytes) -> bool:
        return super().too_long(frames, b"") or len(rest) >= self._limit


@refused(9, "Frames", _NOT_REFUSED)
class OneTooMany(_Framer):
    def too_long(self, frames: list[bytes], rest: bytes) -> bool:
        return any(len(frame) > self._limit + 1 for frame in [*frames, rest])


@refused(9, "Frames", _NOT_REFUSED)
class OneTooManyInTheRest(_Framer):
    def too_long(self, frames: list[bytes], rest: bytes) -> bool:
        return super().too_long(frames, b"") or len(rest) > self._limit + 1


@refused(9, "Frames", "was refused, and none of its frames is longer")
class LimitsTheChunk(_Framer):
    def feed(self, chunk: bytes) -> list[bytes]:
        if len(self._rest + chunk) > self._limit + 1:
            raise ValueError
        return super().feed(chunk)


@refused(9, "Frames", "return a list, be it empty")
class Yields(_Framer):
    def feed(self, chunk: bytes) -> Iterator[bytes]:  # type: ignore[override]
        yield from super().feed(chunk)


@refused(9, "Frames", "feed returned None; return a list, be it empty")
class ReturnsNoneWithoutFrames(_Framer):
    def feed(self, chunk: bytes) -> list[bytes] | None:  # type: ignore[override]
        return super().feed(chunk) or None


@refused(9, "Frames", _NOT_REFUSED)
class LimitsLetters(_Framer):
    def too_long(self, frames: list[bytes], rest: bytes) -> bool:
        return any(len(frame.decode(errors="ignore")) > self._limit for frame in [*frames, rest])


@refused(9, "Frames", "UnicodeDecodeError")
class ThinksThatFramesAreText(_Framer):
    def feed(self, chunk: bytes) -> list[bytes]:
        return [frame.decode().encode() for frame in super().feed(chunk)]


# --- 10: one nickname, one owner ------------------------------------------------------------------


class _Registrar:
    def __init__(self, taken: MutableMapping[str, object]) -> None:
        self._taken = taken
        self._lock = threading.Lock()


_TWO = "One lock for all calls has to span both the question and the assignment"


@refused(10, "Registry", _TWO)
class NoLockByIn(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        if nick in self._taken:
            return False
        self._taken[nick] = owner
        return True


@refused(10, "Registry", _TWO)
class NoLockByGet(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        if self._taken.get(nick) is not None:
            return False
        self._taken[nick] = owner
        return True


@refused(10, "Registry", _TWO)
class NoLockByKeyError(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        try:
            self._taken[nick]
        except KeyError:
            self._taken[nick] = owner
            return True
        return False


@refused(10, "Registry", _TWO)
class NoLockByKeys(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        if nick in list(self._taken):
            return False
        self._taken[nick] = owner
        return True


@refused(10, "Registry", _TWO)
class NoLockBySetdefault(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        if nick in self._taken:
            return False
        return self._taken.setdefault(nick, owner) is owner


@refused(10, "Registry", _TWO)
class LocksEachStep(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        with self._lock:
            free = nick not in self._taken
        if free:
            with self._lock:
                self._taken[nick] = owner
        return free


@refused(10, "Registry", _TWO)
class ALockForEachClaim(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        with threading.Lock():  # noqa: PLW2101 - that is what is wrong
            free = nick not in self._taken
            if free:
                self._taken[nick] = owner
            return free


@refused(10, "Registry", "somebody holds the lock and does not release it")
class KeepsTheLockOnReturn(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        self._lock.acquire()
        if nick in self._taken:
            return False
        self._taken[nick] = owner
        self._lock.release()
        return True


@refused(10, "Registry", "True, False, False is right")
class TakesItAway(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        with self._lock:
            self._taken[nick] = owner
            return self._taken[nick] is owner


@refused(10, "Registry", "In taken the nickname must belong to the first")
class KeepsItsOwnBook(_Registrar):
    def __init__(self, taken: MutableMapping[str, object]) -> None:
        super().__init__(taken)
        self._own: set[str] = set()

    def claim(self, nick: str, owner: object) -> bool:
        del owner
        with self._lock:
            free = nick not in self._own
            self._own.add(nick)
            return free


@refused(10, "Registry", "One thread was told True, and the nickname belongs to the other")
class KeepsTheOwnerOutsideTheLock(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        self._owner = owner
        with self._lock:
            if nick in self._taken:
                return False
            self._taken[nick] = self._owner
            return True


@refused(10, "Registry", _TWO)
class AFlagForALock(_Registrar):
    busy = False

    def claim(self, nick: str, owner: object) -> bool:
        while self.busy:
            time.sleep(0.001)
        self.busy = True
        free = nick not in self._taken
        if free:
            self._taken[nick] = owner
        self.busy = False
        return free


@refused(10, "Registry", _TWO)
class WritesAndLooks(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        if nick in self._taken:
            return False
        self._taken[nick] = owner
        return self._taken[nick] is owner


@refused(10, "Registry", "Two threads asked for two nicknames, both free")
class RefusesWhereItIsLocked(_Registrar):
    def claim(self, nick: str, owner: object) -> bool:
        if not self._lock.acquire(blocking=False):
            return False
        with contextlib.ExitStack() as stack:
            stack.callback(self._lock.release)
            if nick in self._taken:
                return False
            self._taken[nick] = owner
            return True


# --- 11: broadcast --------------------------------------------------------------------------------

Sockets = Iterable[socket.socket]


@refused(11, "broadcast", "A full socket raises BlockingIOError")
def nothing_caught(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    return [sock for sock in sockets if sock.send(frame) < len(frame)]


@refused(11, "broadcast", "One who has hung up raises BrokenPipeError")
def only_the_full_caught(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        try:
            sent = sock.send(frame)
        except BlockingIOError:
            sent = 0
        if sent < len(frame):
            slow.append(sock)
    return slow


@refused(11, "broadcast", "A killed program leaves ConnectionResetError")
def reset_not_caught(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        try:
            sent = sock.send(frame)
        except (BlockingIOError, BrokenPipeError):
            sent = 0
        if sent < len(frame):
            slow.append(sock)
    return slow


@refused(11, "broadcast", "One took a part of the frame, and you did not report it")
def result_of_send_ignored(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        try:
            sock.send(frame)
        except OSError:
            slow.append(sock)
    return slow


@refused(11, "broadcast", "sendall does not say how much was taken")
def sendall_caught(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        try:
            sock.sendall(frame)
        except OSError:
            slow.append(sock)
    return slow


@refused(11, "broadcast", "One send for each")
def tries_again(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        rest = frame
        try:
            while rest:
                rest = rest[sock.send(rest) :]
        except OSError:
            slow.append(sock)
    return slow


@refused(11, "broadcast", "One is full, and you wait for it")
def waits_for_the_full(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        sock.setblocking(True)
        try:
            sock.send(frame)
        except OSError:
            slow.append(sock)
    return slow


@refused(11, "broadcast", "The one who was ready has received nothing")
def stops_at_the_first(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    for sock in sockets:
        try:
            sock.send(frame)
        except OSError:
            return [sock]
    return []


@refused(11, "broadcast", "A socket is full, and you did not report it")
def the_full_forgotten(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        try:
            if sock.send(frame) < len(frame):
                slow.append(sock)
        except BlockingIOError:
            continue
        except OSError:
            slow.append(sock)
    return slow


@refused(11, "broadcast", "One has hung up, and you did not report it")
def the_gone_forgotten(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        try:
            if sock.send(frame) < len(frame):
                slow.append(sock)
        except BlockingIOError:
            slow.append(sock)
        except OSError:
            continue
    return slow


@refused(11, "broadcast", "You report one who has taken everything")
def reports_all(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    return [*result_of_send_ignored(members := list(sockets), frame), *members]


@refused(11, "broadcast", "Return a list")
def returns_nothing(sockets: Sockets, frame: bytes) -> None:
    result_of_send_ignored(sockets, frame)


@refused(11, "broadcast", "You report one twice")
def reports_twice(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        sent = 0
        try:
            sent = sock.send(frame)
        except OSError:
            slow.append(sock)
        if sent < len(frame):
            slow.append(sock)
    return slow


@refused(11, "broadcast", "One has hung up, and you did not report it")
def removes_while_walking(sockets: list[socket.socket], frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        if sock in result_of_send_heeded([sock], frame):
            slow.append(sock)
            sockets.remove(sock)
    return slow


def result_of_send_heeded(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    slow = []
    for sock in sockets:
        try:
            if sock.send(frame) == len(frame):
                continue
        except OSError:
            pass
        slow.append(sock)
    return slow


@refused(11, "broadcast", "Return a list")
def returns_a_set(sockets: Sockets, frame: bytes) -> set[socket.socket]:
    return set(result_of_send_heeded(sockets, frame))


@refused(11, "broadcast", "One took a part of the frame, and you did not report it")
def trusts_select(sockets: Sockets, frame: bytes) -> list[socket.socket]:
    everybody = list(sockets)
    _readable, writable, _failed = select.select([], everybody, [], 0)
    return [
        *(sock for sock in everybody if sock not in writable),
        *result_of_send_ignored(writable, frame),
    ]


# --- 12: survive being cut off --------------------------------------------------------------------

Address = tuple[str, int]


@refused(12, "say_all", "30 of 30 messages were lost")
def says_nothing(address: Address, nick: str, words: list[str]) -> None:
    del address, nick, words


@refused(12, "say_all", "and you gave up: ")
def gives_up(address: Address, nick: str, words: list[str]) -> None:
    with socket.create_connection(address) as sock, sock.makefile("rwb") as stream:
        stream.write(encode({"type": "register", "nick": nick}))
        for number, text in enumerate(words, 1):
            stream.write(encode({"type": "message", "text": text, "id": number}))
            stream.flush()
            while json.loads(stream.readline()).get("id") != number:
                pass


@refused(12, "say_all", "KeyError: 'session'")
def guesses_the_format(address: Address, nick: str, words: list[str]) -> None:
    del words
    with socket.create_connection(address) as sock, sock.makefile("rwb") as stream:
        stream.write(encode({"type": "register", "nick": nick}))
        stream.flush()
        json.loads(stream.readline())["session"]


def _say(address: Address, nick: str, words: list[str], *, session: bool, acks: bool) -> None:
    """Say all, with or without coming back in the same session and waiting for each ack."""
    left = dict(enumerate(words, 1))
    hello: Message = {"type": "register", "nick": nick}
    while left:
        try:
            with socket.create_connection(address, timeout=1) as sock:
                sock.sendall(encode(hello))
                decoder = FrameDecoder(Limits.answer_bytes)
                while left and (chunk := sock.recv(65536)):
                    for message in map(decode, decoder.receive(chunk)):
                        if message["type"] == "welcome" and session:
                            hello["session"] = message["session"]
                        elif message["type"] == "ack":
                            left.pop(message["id"], None)
                        if message["type"] not in ("welcome", "ack"):
                            continue
                        for number, text in list(left.items())[: 1 if acks else None]:
                            sock.sendall(encode({"type": "message", "text": text, "id": number}))
                            if not acks:
                                left.pop(number)
        except OSError:
            continue


@refused(12, "say_all", "Some words were heard twice")
def a_new_session_each_time(address: Address, nick: str, words: list[str]) -> None:
    _say(address, nick, words, session=False, acks=True)


@refused(12, "say_all", "messages were lost. What has no ack yet")
def takes_sent_for_heard(address: Address, nick: str, words: list[str]) -> None:
    _say(address, nick, words, session=True, acks=False)


@refused(12, "say_all", "The words were not heard in the order")
def in_another_order(address: Address, nick: str, words: list[str]) -> None:
    _say(address, nick, words[::-1], session=True, acks=True)


@refused(12, "say_all", "say_all does not return")
def waits_for_what_never_comes(address: Address, nick: str, words: list[str]) -> None:
    del words
    with socket.create_connection(address) as sock:
        sock.sendall(encode({"type": "register", "nick": nick}))
        while sock.recv(65536):
            pass
        threading.Event().wait()


@refused(12, "say_all", "ChatClient does the whole exercise by itself")
def lets_the_client_do_it(address: Address, nick: str, words: list[str]) -> None:
    with ResumingClient(address, on_event=lambda _event: None) as client:
        client.register(nick)
        client.listen()
        for text in words:
            client.say(text)
        client.wait_acknowledged()


@refused(12, "say_all", "messages were lost. What has no ack yet")
def numbers_anew_each_time(address: Address, nick: str, words: list[str]) -> None:
    left = list(words)
    hello: Message = {"type": "register", "nick": nick}
    while left:
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=1) as sock:
            sock.sendall(encode(hello))
            said: dict[int, str] = {}
            decoder = FrameDecoder(Limits.answer_bytes)
            while left and (chunk := sock.recv(65536)):
                for message in map(decode, decoder.receive(chunk)):
                    if message["type"] == "welcome":
                        hello["session"] = message["session"]
                        said = dict(enumerate(left, 1))
                        for number, text in said.items():
                            sock.sendall(encode({"type": "message", "text": text, "id": number}))
                    elif message["type"] == "ack":
                        left.remove(said[message["id"]])


@refused(12, "say_all", "Some words were heard twice")
def under_another_nick(address: Address, nick: str, words: list[str]) -> None:
    left = list(words)
    while left:
        nick += "а"
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=1) as sock:
            sock.sendall(encode({"type": "register", "nick": nick}))
            for number, text in enumerate(left, 1):
                sock.sendall(encode({"type": "message", "text": text, "id": number}))
            decoder = FrameDecoder(Limits.answer_bytes)
            while left and (chunk := sock.recv(65536)):
                acks = [m for m in map(decode, decoder.receive(chunk)) if m["type"] == "ack"]
                left = left[len(acks) :]


# --- 13: a new message in the protocol ------------------------------------------------------------


@refused(13, "on_whoami", "must get the error not_registered, not {'type': 'pong'}")
def no_answer(client: ClientConnection, message: Message) -> None:
    del client, message


@refused(13, "on_whoami", "AttributeError")
def no_member_asked_for(client: ClientConnection, _message: Message) -> None:
    nick = client._member.nick  # type: ignore[union-attr]
    client._post({"type": "whoami", "nick": nick})


@refused(13, "on_whoami", "is wanted")
def no_address(client: ClientConnection, _message: Message) -> None:
    client._post({"type": "whoami", "nick": client._require_member().nick})


@refused(13, "on_whoami", "is wanted")
def the_address_of_the_server(client: ClientConnection, _message: Message) -> None:
    host, port = client.server.address
    nick = client._require_member().nick
    client._post({"type": "whoami", "nick": nick, "host": host, "port": port})


@refused(13, "on_whoami", "the answer is for the one who asked")
def tells_everybody(client: ClientConnection, _message: Message) -> None:
    nick = client._require_member().nick
    host, port = client.address
    answer: Message = {"type": "whoami", "nick": nick, "host": host, "port": port}
    for other in list(client.server._clients):
        other._post(answer)


@refused(13, "on_whoami", "The server closed the connection.")
def disconnects(client: ClientConnection, _message: Message) -> None:
    client._on_quit({"type": "quit"})


@refused(13, "on_whoami", "The answer was {'type': 'pong'}")
def returns_the_answer(client: ClientConnection, _message: Message) -> Message:
    nick = client._require_member().nick
    host, port = client.address
    return {"type": "whoami", "nick": nick, "host": host, "port": port}


@refused(13, "on_whoami", "one answer is enough")
def answers_twice(client: ClientConnection, message: Message) -> None:
    for _number in range(2):
        client._post(returns_the_answer(client, message))


@refused(13, "on_whoami", "must get the error not_registered, not {'type': 'whoami'")
def answers_strangers(client: ClientConnection, _message: Message) -> None:
    host, port = client.address
    nick = client._member.nick if client._member else None
    client._post({"type": "whoami", "nick": nick, "host": host, "port": port})


@refused(13, "on_whoami", "PermissionError")
def refuses_in_its_own_way(client: ClientConnection, message: Message) -> None:
    if client._member is None:
        raise PermissionError("not_registered")
    client._post(returns_the_answer(client, message))


# --- 14: /topic; the edits of the solution with one of them done wrong ----------------------------

WRONG_EDITS = {
    "no member is asked for": (
        "set_topic(self._require_member(), ",
        "set_topic(self._member, ",
        "AttributeError",
    ),
    "the stranger is not told": (
        "        self.server.room.set_topic(self._require_member(), ",
        "        if self._member: self.server.room.set_topic(self._member, ",
        "Step 1: without a nickname nobody sets a topic",
    ),
    "the handler has another name": (
        "def _on_topic(self, message",
        "def on_topic(self, message",
        "Step 1: chat/core/server.py has no handler _on_topic",
    ),
    "the client fails": (
        "def _do_topic(self, rest: str",
        "def _do_topic(self, rest: str = no_such_name",
        "Step 4: the client does not get into the chat",
    ),
    "the room knows no topic": (
        "def set_topic(self, member: Member",
        "def setTopic(self, member: Member",
        "Step 2: 'Room' object has no attribute 'set_topic'",
    ),
    "only the others are told": (
        '"nick": member.nick, "text": topic}))',
        '"nick": member.nick, "text": topic}), author=member.connection)',
        "Step 2",
    ),
    "any text will do": (
        "topic = check_text(text, self._limits)",
        "topic = str(text)",
        "Step 2: a topic that is no text of a message",
    ),
    "the room is not locked": (
        "        with self._lock:\n            self._topic = topic",
        "        if topic:\n            self._topic = topic",
        "Step 2: the topic was changed without waiting for the room's lock",
    ),
    "there is None before there is a topic": (
        '        self._topic = ""',
        "        self._topic = None",
        "Step 3: there is no topic yet, and welcome has None",
    ),
    "whoever comes later is not told": (
        'message["topic"] = self._topic',
        'message["topic"] = ""',
        "Step 3: the topic is «Сети», and welcome has ''",
    ),
    "the client has no command": (
        "def _do_topic",
        "def do_topic",
        "Step 4: /topic Потоки was typed, and the others got no topic",
    ),
    "the client shows nothing": (
        "def _on_topic(self, event",
        "def on_topic(self, event",
        "Step 4: a new",
    ),
    "the test is content with anything": (
        "def test_topic(address: tuple[str, int]) -> None:",
        "def test_topic(address: tuple[str, int]) -> None:\n    return",
        "Step 0: test_topic passes on a chat that knows no topic",
    ),
}
