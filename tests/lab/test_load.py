"""The load that is put on a server: everybody hears everything, and the times are real."""

import subprocess

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


def test_a_server_that_refuses_is_no_measurement() -> None:
    with (
        ChatServer(limits=Limits(max_clients=2)) as server,
        pytest.raises(subprocess.CalledProcessError) as failure,
    ):
        load.measure(server.address, listeners=3, messages=1)
    assert b"server_full" in failure.value.stderr
