"""What several servers cost: the model and the measurement."""

import pytest

from chat.lab import redis_process
from tests.benchmarks import several
from tests.benchmarks.several import Model, Row


def test_the_model_is_found_again_in_what_it_predicts() -> None:
    model = Model(message=1e-5, delivery=5e-7, redis_message=3e-5, redis_reader=2e-6)
    rows = [
        Row(servers, n, 1, 1, 1, model.server(servers, n), model.redis(servers))
        for servers in (1, 2, 4)
        for n in (20, 400)
    ]
    found = several.fit(rows)
    for name in ("message", "delivery", "redis_message", "redis_reader"):
        assert getattr(found, name) == pytest.approx(getattr(model, name))


def test_what_is_recorded_is_complete() -> None:
    machine, rows = several.recorded()
    assert {"system", "processors", "python", "date", "repeats"} <= set(machine)
    assert {(row.servers, row.listeners) for row in rows} == {
        (servers, listeners) for servers in (0, *several.SERVERS) for listeners in several.LISTENERS
    }


def test_a_small_measurement() -> None:
    if not redis_process.available():
        pytest.skip(redis_process.HOW_TO_GET_IT)
    row = several.measure(2, 4, messages=500)
    assert (row.servers, row.listeners) == (2, 4)
    assert row.deliveries_per_second > 0
    assert 0 < row.p50 <= row.p99
    assert row.redis_time > 0
