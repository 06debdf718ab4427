"""Every figure is drawn from what was recorded, in Russian, in one style, and leaves nothing."""

import io
import socket
from collections.abc import Callable, Iterator

import matplotlib as mpl
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.figure import Figure
from matplotlib.text import Text

from chat.app.i18n import set_language
from chat.core.server import ChatServer
from chat.lab import figures
from chat.lab.background import RecordingClient, connected_pair
from chat.lab.wiretap import Direction, Kind, Record, Stage, Wiretap

TO_SERVER, TO_CLIENT = Direction.TO_SERVER, Direction.TO_CLIENT


@pytest.fixture(autouse=True)
def no_global_state() -> Iterator[None]:
    settings = dict(mpl.rcParams)
    yield
    assert not Gcf.get_all_fig_managers()  # nothing went through pyplot
    assert dict(mpl.rcParams) == settings  # and the style stayed inside


def drawn(fig: Figure) -> list[str]:
    """Draw *fig* as SVG and as PNG; return all that is written in it.

    A letter that the font does not have is a warning of matplotlib's, and so a failure here.
    """
    with figures.style():
        fig.savefig(io.StringIO(), format="svg")
        fig.savefig(io.BytesIO(), format="png")
    texts: list[str] = [text.get_text() for text in fig.findobj(Text)]
    return [text for text in texts if text.strip()]


@pytest.fixture(scope="module")
def conversation() -> list[Record]:
    """What a tap recorded between a client and a server, one message in pieces."""
    with (
        ChatServer() as server,
        Wiretap(server.address) as tap,
        RecordingClient(tap.address, "Аня") as anya,
    ):
        anya.wait_for("ack", id=anya.say("Привет"))
        tap.split(40)
        anya.wait_for("ack", id=anya.say("Лиса 🦊 и пр."))
        tap.heal()
        tap.delay(0.05, direction=TO_SERVER)
        anya.wait_for("ack", id=anya.say("поздно"))
        anya.close()
        return tap.records


def test_sequence_chart_tells_the_conversation(conversation: list[Record]) -> None:
    chart = figures.sequence_chart(conversation)
    texts = drawn(chart)
    assert {"Клиент", "Сеть", "Сервер", "мс", "соединение", "конец потока (FIN)"} <= set(texts)
    assert any(
        text.startswith("welcome  ") and text.endswith("\N{NO-BREAK SPACE}Б") for text in texts
    )
    assert any(text.startswith("ack  ") for text in texts)
    assert any("{" in text for text in texts)  # a piece of a frame shows its beginning
    (ax,) = chart.axes
    assert any(line.get_marker() == "." for line in ax.lines)  # the delay is pointed out
    moments = [float(text.replace(",", ".")) for text in texts if text.replace(",", "").isdigit()]
    assert moments == sorted(moments)
    assert moments[0] == 0


def test_sequence_chart_joins_what_passed_straight_through() -> None:
    def record(at: float, direction: Direction, stage: Stage, data: bytes) -> Record:
        return Record(at, 1, direction, stage, Kind.DATA, data)

    straight = [
        record(0.000, TO_SERVER, Stage.IN, b"one"),
        record(0.001, TO_SERVER, Stage.IN, b"two"),
        record(0.002, TO_SERVER, Stage.OUT, b"one"),
        record(0.003, TO_SERVER, Stage.OUT, b"two"),
    ]
    assert arrows(straight) == 2
    merged = [*straight[:2], record(0.002, TO_SERVER, Stage.OUT, b"onetwo")]
    assert arrows(merged) == 3
    late = [straight[0], record(1.0, TO_SERVER, Stage.OUT, b"one")]
    assert arrows(late) == 2


def arrows(records: list[Record]) -> int:
    (ax,) = figures.sequence_chart(records).axes
    return len(ax.patches)


def test_sequence_chart_has_a_lane_for_each_client() -> None:
    with ChatServer() as server, Wiretap(server.address) as tap:
        with RecordingClient(tap.address, "Аня"), RecordingClient(tap.address, "Боря"):
            pass
        records = tap.records
    texts = drawn(figures.sequence_chart(records, ("Аня", "Боря", "Сеть", "Сервер")))
    assert {"Аня", "Боря", "Сеть", "Сервер"} <= set(texts)


def test_sequence_charts_stand_side_by_side() -> None:
    cut, reset = violence(Kind.CUT), violence(Kind.RESET)
    fig = figures.sequence_charts(
        {"Обрыв": cut, "Сброс": reset}, outcomes={"Сброс": "recv → ошибка"}
    )
    texts = drawn(fig)
    assert len(fig.axes) == 2
    assert {"Обрыв", "Сброс", "× обрыв", "× сброс (RST)", "recv → ошибка"} <= set(texts)


def violence(kind: Kind) -> list[Record]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Wiretap(listener.getsockname()) as tap,
        socket.create_connection(tap.address),
        listener.accept()[0],
    ):
        tap.cut() if kind is Kind.CUT else tap.reset()
        return tap.records


def test_sequence_chart_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was recorded"):
        figures.sequence_chart([])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"type":"ack","id":1}\n', "ack"),
        (b'{"type":"joined"}\n{"type":"left"}\n', "joined + left"),
        (b'{"type":"ack"}\n' * 9, "9 кадров: ack…"),
        ("Жук".encode(), "«Жук»"),
        (b'{"type":"a', '«{"type":"a»'),
        (b"\xd0", "«\N{REPLACEMENT CHARACTER}»"),
        (b"[1]\n", "«[1]⏎»"),
        ("🦊\x00".encode(), "«··»"),
        (b"x" * 100, "«" + "x" * 29 + "…»"),
    ],
)
def test_a_chunk_in_few_words(data: bytes, words: str) -> None:
    assert figures.describe(data) == words


def test_stream_bytes_shows_both_cuts() -> None:
    frames = ["Жук\n".encode(), "Уж\n".encode()]
    stream = b"".join(frames)
    texts = drawn(figures.stream_bytes([stream[:1], stream[1:8], stream[8:]], frames))
    assert [text for text in texts if text in ("Ж", "у", "к", "У", "ж", "⏎")] == list("Жук⏎Уж⏎")
    assert [text for text in texts if len(text) == 2 and text != "д0"].count("d0") == 4
    assert {"1", "recv 2", "recv 3", "кадр 1", "кадр 2"} <= set(texts)


@pytest.mark.parametrize("length", [1, 24, 25, 100])
def test_stream_bytes_of_any_length(length: int) -> None:
    stream = bytes(range(length))
    drawn(figures.stream_bytes([stream], [stream[: length // 2], stream[length // 2 :]]))


def test_stream_bytes_refuses_two_different_streams() -> None:
    with pytest.raises(ValueError, match="not the same"):
        figures.stream_bytes([b"ab"], [b"ac"])
    with pytest.raises(ValueError, match="empty"):
        figures.stream_bytes([b""], [b""])


def test_queue_lengths() -> None:
    client, server = connected_pair()
    with client, server:
        sent = [0]
        for _ in range(5):
            client.sendall(bytes(10_000))
            sent.append(sent[-1] + 10_000)
    fig = figures.queue_lengths(
        range(6),
        {"у получателя": sent, "у отправителя": [0] * 6},
        xlabel="Шаг",
        events={3: "середина"},
    )
    texts = drawn(fig)
    assert {"Шаг", "Байты в очередях ядра", "у получателя", "у отправителя", "середина"} <= set(
        texts
    )
    assert any(text.endswith("КиБ") for text in texts)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.measured_times(
            {"две отправки": [1e-4, 0.04], "одна отправка": [2e-5, 2e-5]},
            xlabel="Номер",
            ylabel="Время",
        ),
        lambda: figures.bars({"одна отправка": 2.0, "две отправки": 1.0}, xlabel="Время"),
        lambda: figures.bars({"одна отправка": 2.0}, xlabel="Время", mark=(1, "две отправки")),
        lambda: figures.timelines(
            {"Время": [figures.Span("одна отправка", 0, 1, "две отправки")]}, ["две отправки"]
        ),
        lambda: figures.lifelines(
            [("одна отправка", {"Время": "ESTABLISHED"}), ("две отправки", {"Время": "CLOSED"})],
            ("Время",),
            colors={"CLOSED": figures.GREY},
        ),
        lambda: figures.layers(
            [("одна отправка", "Время", "1"), ("две отправки", "", "")], border_after=1
        ),
    ],
)
def test_the_other_figures_carry_their_words(draw: Callable[[], Figure]) -> None:
    words = " ".join(drawn(draw()))
    assert "одна отправка" in words
    assert "две отправки" in words
    assert "Время" in words


def test_numbers_are_written_the_russian_way() -> None:
    space = "\N{NO-BREAK SPACE}"
    assert figures.number(1234567) == f"1{space}234{space}567"
    assert figures.number(2048) == f"2{space}048"  # an int is exact
    assert figures.number(64892.0) == f"64{space}900"  # a measurement is not
    assert figures.number(0.25) == "0,25"
    assert figures.number(100.0) == "100"
    assert figures.number(0) == "0"
    assert figures.duration(0.04398) == f"44{space}мс"
    assert figures.duration(0.0000132) == f"13{space}мкс"
    assert figures.duration(1.5) == f"1,5{space}с"
    assert figures.size(12) == f"12{space}Б"
    assert figures.size(1023) == f"1{space}023{space}Б"
    assert figures.size(3 << 19) == f"1,5{space}МиБ"
    assert figures.size(2048) == f"2{space}КиБ"


@pytest.fixture
def english() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LANGUAGE", "ru")
        set_language("en")
        yield
        set_language("ru")


@pytest.mark.usefixtures("english")
def test_numbers_are_written_the_english_way() -> None:
    space = "\N{NO-BREAK SPACE}"
    assert figures.number(1234567) == "1,234,567"
    assert figures.number(0.25) == "0.25"
    assert figures.number(100.0) == "100"
    assert figures.duration(0.04398) == f"44{space}ms"
    assert figures.size(3 << 19) == f"1.5{space}MiB"
    assert figures.times(3305) == f"3,300{space}times"
    assert figures.times(1.5) == f"1.5{space}times"


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (2.26, "2,3 раза"),
        (3305, "3 300 раз"),
        (2, "2 раза"),
        (12, "12 раз"),
        (22, "22 раза"),
        (5, "5 раз"),
    ],
)
def test_times_agree_with_the_number(ratio: float, words: str) -> None:
    assert figures.times(ratio).replace("\N{NO-BREAK SPACE}", " ") == words
