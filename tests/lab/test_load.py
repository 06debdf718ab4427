"""The load that is put on a server: everybody hears everything, and the times are real."""

import pytest

from chat.core.protocol import Limits
from chat.core.server import ChatServer
from chat.lab import load
from chat.lab.background import no_leftovers


def test_every_listener_hears_every_message_and_each_is_timed() -> None:
    with no_leftovers(), ChatServer() as server:
        measured = load.measure(server.address, listeners=3, messages=200, window=16)
    assert (measured.listeners, measured.messages) == (3, 200)
    assert len(measured.latencies) == 600
    assert 0 < measured.latency(0.5) <= measured.latency(0.99) <= measured.latency(1)
    assert measured.latency(1) <= measured.seconds
    assert measured.deliveries_per_second == pytest.approx(600 / measured.seconds)


def test_an_interval_sets_the_pace() -> None:
    with ChatServer() as server:
        measured = load.measure(server.address, listeners=2, messages=11, interval=0.02)
    assert measured.seconds >= 0.2  # ten intervals between eleven messages


@pytest.mark.parametrize(
    ("limits", "why"),
    [(Limits(max_clients=2), "server_full"), (Limits(text_chars=1), "text_too_long")],
)
def test_a_server_that_refuses_is_no_measurement(limits: Limits, why: str) -> None:
    with ChatServer(limits=limits) as server, pytest.raises(RuntimeError, match=why):
        load.measure(server.address, listeners=3, messages=20)


def test_a_load_that_takes_too_long_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load._Plan(listeners=1, messages=10, window=1, interval=60)
    monkeypatch.setattr(load, "TIME_LIMIT", 0.3)
    with ChatServer() as server, pytest.raises(TimeoutError, match="1 из 10"):
        load._fan_out([server.address], plan)
