"""A server under people, for seconds here, for ten minutes with ``make soak``."""

from pathlib import Path

import pytest

from tests.benchmarks import soak


@pytest.mark.timeout(120)
def test_the_server_is_at_the_end_as_it_was_at_the_start() -> None:
    result = soak.soak(minutes=0.1, people=40)
    assert result.end.threads == result.start.threads
    assert result.end.descriptors == result.start.descriptors
    assert result.growth < 0.2
    assert min(result.joined, result.said, result.heard) > 20
    assert min(result.goodbyes, result.hang_ups, result.resets) > 0


def test_a_result_is_kept(tmp_path: Path) -> None:
    count = soak.Count(1000, 2, 5)
    result = soak.Result(3, 0.5, count, soak.Count(1100, 2, 5), 7, 8, 9)
    soak.save(result, tmp_path / "soak.json")
    assert soak.recorded(tmp_path / "soak.json") == result
    assert result.growth == pytest.approx(0.1)


def test_what_is_recorded_kept_the_promise() -> None:
    result = soak.recorded()
    assert (result.people, result.minutes) == (soak.PEOPLE, soak.MINUTES)
    assert result.end.threads == result.start.threads
    assert result.end.descriptors == result.start.descriptors
    assert result.growth < 0.1
