"""An example of every figure that the project can draw, with the longest words that it has to hold.

Whoever adds a kind of figure adds an example: `test_proof.py` draws them all in both languages.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from chat.app.i18n import language
from chat.lab import diagrams, figures
from chat.lab.wiretap import Direction, Kind, Record, Stage
from tests.benchmarks import figures as measured

TO_SERVER, TO_CLIENT = Direction.TO_SERVER, Direction.TO_CLIENT
RESULTS = Path(measured.__file__).with_name("results.json")


def say(russian: str, english: str) -> str:
    """Return the words in the language that is set."""
    return russian if language() == "ru" else english


def frame(kind: str, **fields: Any) -> bytes:
    """Return a frame as it goes over the wire."""
    return json.dumps({"type": kind, **fields}, ensure_ascii=False).encode() + b"\n"


class Tape:
    """What a wiretap would have recorded: each call is one arrow, at its moment in milliseconds."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def straight(
        self,
        moment: float,
        direction: Direction,
        data: bytes = b"",
        *,
        kind: Kind = Kind.DATA,
        connection: int = 1,
    ) -> None:
        """Add what came in and went out at once."""
        for stage in (Stage.IN, Stage.OUT):
            self.records.append(Record(moment / 1e3, connection, direction, stage, kind, data))

    def half(self, moment: float, direction: Direction, stage: Stage, data: bytes) -> None:
        """Add what was on one side of the tap."""
        self.records.append(Record(moment / 1e3, 1, direction, stage, Kind.DATA, data))


def conversation() -> list[Record]:
    """Return a conversation with a message in pieces, a long pause and an end."""
    tape = Tape()
    tape.straight(0, TO_SERVER, kind=Kind.OPEN)
    tape.straight(0.4, TO_CLIENT, frame("register"))
    tape.straight(0.9, TO_SERVER, frame("register", nickname="Аня", resume=False, session="k" * 90))
    tape.straight(1.6, TO_CLIENT, frame("welcome", users=["Боря", "Вера"] * 40))
    tape.half(2.2, TO_SERVER, Stage.IN, frame("message", text="Привет"))
    tape.half(2.3, TO_SERVER, Stage.OUT, frame("message", text="Привет")[:20])
    tape.half(80.3, TO_SERVER, Stage.OUT, frame("message", text="Привет")[20:])
    tape.straight(1081, TO_CLIENT, frame("ack", id=1) + frame("joined") + frame("message") * 3)
    tape.straight(1082, TO_SERVER, kind=Kind.END)
    tape.straight(1083, TO_CLIENT, kind=Kind.END)
    return tape.records


def lost() -> dict[str, list[Record]]:
    """Return three ends of a connection, to stand side by side."""
    ends = {}
    for title, kind in (
        (say("Программа закрылась", "The program closed"), Kind.END),
        (say("Связь сброшена", "Reset"), Kind.RESET),
        (say("Вынули кабель", "Cable pulled out"), Kind.CUT),
    ):
        tape = Tape()
        tape.straight(0, TO_SERVER, kind=Kind.OPEN)
        tape.straight(0.2, TO_SERVER, say("Привет", "Hello").encode())
        tape.straight(130.5, TO_CLIENT, kind=kind)
        ends[title] = tape.records
    return ends


def two_clients() -> list[Record]:
    """Return a message of one client to another."""
    tape = Tape()
    tape.straight(0, TO_SERVER, kind=Kind.OPEN)
    tape.straight(1, TO_SERVER, kind=Kind.OPEN, connection=2)
    tape.straight(2, TO_SERVER, frame("message", to="Боря", text="Только тебе"))
    tape.straight(3, TO_CLIENT, frame("message", text="Только тебе"), connection=2)
    tape.straight(3.5, TO_CLIENT, frame("delivered", id=1, to="Боря"))
    return tape.records


def stream(per_row: int) -> Figure:
    """Return a stream cut twice, with a short piece and a long one."""
    frames = ["Привет!\n".encode(), "Ж\n".encode(), frame("ack", id=7)]
    whole = b"".join(frames)
    chunks = [whole[:1], whole[1:4], whole[4:20], whole[20:]]
    name = say("порция", "chunk")
    return figures.stream_bytes(chunks, frames, per_row=per_row, chunk_name=name)


def queues() -> Figure:
    """Return two queues that fill up and empty."""
    received = [*range(0, 65536, 4096), *[65536] * 10, *range(65536, -1, -8192)]
    sent = [*[0] * 16, *range(0, 163840, 16384), *[0] * 9]
    return figures.queue_lengths(
        range(35),
        {
            say("у получателя: пришло, не прочитано", "at the receiver: not yet read"): received,
            say("у отправителя: принято, не ушло", "at the sender: not yet sent"): sent,
        },
        xlabel=say("Шаг: сначала вызовы send, затем recv", "Step: calls of send, then of recv"),
        events={25: say("ядро больше не берёт", "the kernel takes no more")},
    )


def times() -> Figure:
    """Return three series, two of them close together."""
    names = (
        say("две отправки", "two sends"),
        say("две, TCP_NODELAY", "two, TCP_NODELAY"),
        say("одна отправка", "one send"),
    )
    series = dict(zip(names, ([0.041] * 20, [3e-5] * 20, [2.6e-5] * 20), strict=True))
    return figures.measured_times(
        series,
        xlabel=say("Номер обмена", "Exchange"),
        ylabel=say("Длительность обмена", "Duration of an exchange"),
    )


def compared() -> Figure:
    """Return bars beside a mark, one of them ending right before it."""
    names = [
        f"{name}, {how}"
        for how in (
            say("рассылка под замком", "under the lock"),
            say("через очередь", "through a queue"),
        )
        for name in (say("Боря", "Borya"), say("Вера", "Vera"))
    ]
    values = dict(zip(names, (0, 17, 59, 60), strict=True))
    mark = (60, say("отправлено", "sent"))
    label = say("Дошло сообщений", "Messages that arrived")
    return figures.bars(values, xlabel=label, mark=mark, ours=names[2:])


def ladder() -> Figure:
    """Return two charts of three rows."""
    talks, waits = say("разговаривает", "talks"), say("ждёт ответа", "waits for an answer")
    clients = [say(f"клиент {number}", f"client {number}") for number in (1, 2, 3)]
    one_by_one = [
        span
        for index, client in enumerate(clients)
        for span in (
            figures.Span(client, 0, 0.15 * index, waits),
            figures.Span(client, 0.15 * index, 0.15 * (index + 1), talks),
        )
    ]
    at_once = [figures.Span(client, 0, 0.15, talks) for client in clients]
    return figures.timelines(
        {
            say("Один поток на всех", "One thread for all"): one_by_one,
            say("Поток на клиента", "A thread for each client"): at_once,
        },
        [talks, waits],
    )


def way() -> Figure:
    """Return one chart without a title, of kinds with long names."""
    legs = (
        say("клиент кодирует и отправляет", "the client encodes and sends"),
        say("сервер записывает и рассылает", "the server records and fans out"),
        say("сокет получателя ждёт чтения", "the receiver's socket waits to be read"),
        say("собеседник разбирает кадр", "the other client decodes the frame"),
    )
    spans = [figures.Span(leg, 90 * index, 90 * index + 90, leg) for index, leg in enumerate(legs)]
    axis = say("Время от вызова say(), мкс", "Time since say(), µs")
    return figures.timelines({"": spans}, legs, xlabel=axis)


def states() -> Figure:
    """Return the states of a connection."""
    lanes = (say("слушающий", "listening"), say("клиент", "client"), say("сервер", "server"))
    steps = [
        (say("сервер: listen()", "server: listen()"), ("LISTEN", "", "")),
        (
            say("клиент: close(), потом ещё чтение", "client: close(), one more read"),
            ("LISTEN", "FIN_WAIT2", "CLOSE_WAIT"),
        ),
        (
            say("сервер: recv() вернул b''", "server: recv() gave b''"),
            ("LISTEN", "TIME_WAIT", "ESTABLISHED"),
        ),
    ]
    rows = [(done, dict(zip(lanes, after, strict=True))) for done, after in steps]
    colors = {"LISTEN": figures.GREY, "TIME_WAIT": figures.PURPLE, "CLOSE_WAIT": figures.ORANGE}
    return figures.lifelines(rows, lanes, colors=colors)


def layers() -> Figure:
    """Return the layers of the Internet."""
    rows = [
        (
            say("Программа", "Program"),
            say("байты: один вызов sendall", "bytes: one call of sendall"),
            say("1 000 000 байтов", "1,000,000 bytes"),
        ),
        (
            "TCP",
            say("сегменты: номера, подтверждения, повторы", "segments: numbers, acknowledgements"),
            say("17 сегментов", "17 segments"),
        ),
        ("IP", say("пакет на каждый сегмент: адреса", "a packet for each segment: addresses"), ""),
        (say("Канал", "Link"), say("провод, радио; здесь петля lo", "wire, radio; here lo"), ""),
    ]
    return figures.layers(rows, border_after=1)


def of_results(name: str) -> Callable[[], Figure]:
    """Return a function that draws a figure of the recorded benchmark."""

    def draw() -> Figure:
        results = json.loads(RESULTS.read_text("utf-8"))
        drawn: Figure = getattr(measured, name)(results)
        return drawn

    return draw


DRAWINGS: dict[str, Callable[[], Figure]] = {
    "sequence": lambda: figures.sequence_chart(conversation()),
    "sequence of two": lambda: figures.sequence_chart(
        two_clients(),
        (say("Аня", "Anya"), say("Боря", "Borya"), say("Сеть", "Network"), say("Сервер", "Server")),
    ),
    "sequences": lambda: figures.sequence_charts(
        lost(), outcomes=dict.fromkeys(lost(), say("recv → исключение", "recv → exception"))
    ),
    "sequences of two": lambda: figures.sequence_charts({"TLS": conversation(), "": two_clients()}),
    "stream": lambda: stream(24),
    "stream in short rows": lambda: stream(19),
    "queues": queues,
    "times": times,
    "bars": compared,
    "ladder": ladder,
    "way": way,
    "states": states,
    "layers": layers,
    "architecture": diagrams.architecture,
    "connection life": diagrams.connection_life,
    **{
        name: of_results(name)
        for name in ("comparison", "throughput", "latency", "memory", "stalled", "scaling")
    },
}
