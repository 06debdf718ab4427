"""What is measured, of whom, how often: the cases of a run, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SENDERS = 10
CROWDS = (10, 100, 500)
SCALING = (10, 20, 50, 100, 200, 500, 1000, 2000)
WINDOW = 256
PACES = ((100, 100), (500, 20))
"""Clients, and messages a second said to them, where latency is measured."""

EVERYBODY = (
    *("chat", "naive", "streams", "coalescing", "websocket"),
    *("ngircd", "inspircd", "relay", "relay-each"),
)
FOR_LATENCY = ("chat", "naive", "coalescing", "ngircd", "inspircd")
FOR_MEMORY = ("chat", "naive", "coalescing", "ngircd", "inspircd")


@dataclass(frozen=True)
class Case:
    """One measurement of one server, which is repeated."""

    name: str
    """What it is about: ``throughput``, ``latency``, ``storm``, ``memory``, ``stalled`` …"""

    peer: str
    clients: int
    job: dict[str, Any] = field(hash=False)
    repeats: int = 1

    @property
    def key(self) -> str:
        """How the results name it."""
        window = f" W={self.job['window']}" if "window" in self.job else ""
        return f"{self.name} {self.peer} N={self.clients}{window}"


def full() -> list[Case]:
    """Return the cases whose results the report shows."""
    return [*_cases(EVERYBODY, CROWDS, seconds=1.5, warmup=0.7, repeats=5), *_scaling()]


def quick() -> list[Case]:
    """Return enough to see in a minute whether something has become slow."""
    cases = _cases(("chat", "naive", "relay"), (100,), seconds=0.5, warmup=0.3, repeats=1)
    return [case for case in cases if case.name != "memory"]


def _cases(
    peers: tuple[str, ...],
    crowds: tuple[int, ...],
    *,
    seconds: float,
    warmup: float,
    repeats: int,
) -> Iterator[Case]:
    timing = {"seconds": seconds, "warmup": warmup}
    flood = timing | {"kind": "throughput", "senders": SENDERS, "stalled": False}
    for peer in peers:
        check = {"kind": "correctness", "senders": SENDERS, "window": 64, "messages": 2000}
        yield Case("correctness", peer, 20, check | {"seconds": 30.0, "seed": 2026})
    for clients in crowds:
        for peer in peers:
            yield Case("throughput", peer, clients, flood | {"window": WINDOW}, repeats)
    for window in (16, 1):
        for peer in ("chat", "naive"):
            yield Case("throughput", peer, 100, flood | {"window": window}, repeats)
    yield Case("durable", "chat-durable", 100, flood | {"window": WINDOW}, repeats)
    stalled = flood | {"window": WINDOW, "stalled": True, "seconds": 2 * seconds}
    yield Case("stalled", "chat", 100, stalled, repeats)
    yield Case("not stalled", "chat", 100, stalled | {"stalled": False}, repeats)
    for clients, pace in PACES:
        for peer in FOR_LATENCY if len(peers) > 3 else peers:
            paced = {"kind": "latency", "senders": SENDERS, "pace": pace}
            yield Case("latency", peer, clients, paced | timing | {"seconds": 2 * seconds}, repeats)
    yield Case("storm", "chat", 1000, {"kind": "storm", "seconds": 30.0}, repeats)
    for peer in FOR_MEMORY:
        yield Case("memory", peer, 1000, {"kind": "memory", "steps": [100, 250, 500, 750, 1000]})


def _scaling() -> Iterator[Case]:
    """How cost grows with the crowd: a fixed number of messages in flight, ever more listeners."""
    for clients in SCALING:
        job = {"kind": "throughput", "senders": SENDERS, "window": WINDOW, "stalled": False}
        yield Case("scaling", "chat", clients, job | {"seconds": 1.5, "warmup": 0.7}, 3)
