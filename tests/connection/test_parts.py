"""The small parts: deadlines, rates, and the waker that wakes a thread in a selector."""

import selectors
from types import SimpleNamespace

import pytest

from chat.core import timing
from chat.core.connection import Waker
from chat.core.timing import Deadline, TokenBucket
from tests.wire import PATIENCE


class Clock:
    """A monotonic clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_a_deadline_runs_through_several_steps(clock: Clock) -> None:
    deadline = Deadline(5)
    assert deadline.remaining() == 5
    clock.now += 3
    assert deadline.remaining() == 2
    clock.now += 2
    with pytest.raises(TimeoutError):
        deadline.remaining()


def test_a_bucket_gives_its_burst_at_once_and_its_rate_afterwards(clock: Clock) -> None:
    bucket = TokenBucket(rate=2, burst=5)
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]
    assert bucket.wait_time() == 0.5
    clock.now += 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    clock.now += 100
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]


def test_a_bucket_is_full_when_nothing_was_taken_for_long_enough(clock: Clock) -> None:
    bucket = TokenBucket(rate=1, burst=3)
    assert bucket.take()
    assert bucket.full
    assert bucket.take()
    assert not bucket.full
    clock.now += 2
    assert bucket.take()
    assert bucket.full


def test_a_rate_of_0_is_no_limit(clock: Clock) -> None:
    del clock
    bucket = TokenBucket(rate=0, burst=0)
    assert all(bucket.take() for _ in range(1000))


def test_the_waker_wakes_a_selector_and_can_be_cleared() -> None:
    waker = Waker()
    with selectors.DefaultSelector() as selector:
        selector.register(waker.watched, selectors.EVENT_READ)
        assert not selector.select(0)
        for _ in range(3):
            waker.wake()
        assert selector.select(PATIENCE)
        waker.clear()
        assert not selector.select(0)
        waker.clear()  # it did not ring
    waker.close()
    waker.wake()  # nobody hears it


def test_the_waker_may_ring_as_often_as_it_likes_and_never_waits() -> None:
    waker = Waker()
    for _ in range(100_000):
        waker.wake()
    waker.close()
