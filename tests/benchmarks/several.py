"""What several servers cost: measured once and kept, because not everybody has a Redis.

``python -m tests.benchmarks.several`` measures anew and writes `RECORDED`: one speaker, many
listeners shared out over 1, 2 and 4 servers, one Redis, the load in a process of its own. What
the two cores of a small machine cannot show, that servers on further machines would add their
strength, a model must: so the processor time of each process is measured too, per message and per
delivery.

The model. A server spends ``a`` on each message of the chat, whoever is here to hear it, and ``b``
on each delivery to one of its own users; Redis spends ``c`` on each message and ``d`` on each
server that reads it. `fit` finds the four, `Model.server` and `Model.redis` predict. What Redis
spends depends on how many messages come in one call, so ``c`` and ``d`` are taken from where they
come in the smallest numbers, with the most listeners.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import redis

from chat.lab import load, machine
from chat.lab.faults import ServerProcess
from chat.lab.redis_process import RedisProcess

RECORDED = Path(__file__).with_name("several_servers.json")

SERVERS = (1, 2, 4)
LISTENERS = (20, 100, 400)
MESSAGES = 4000
PACED_MESSAGES, INTERVAL = 300, 0.01
REPEATS = 5


@dataclass(frozen=True)
class Row:
    """One measurement; 0 *servers* is one server without Redis. Times in seconds."""

    servers: int
    listeners: int
    deliveries_per_second: float
    """With 64 messages in flight."""

    p50: float
    p99: float
    """From saying to hearing, at 100 messages a second."""

    server_time: float
    """Processor time of all servers together for one message of the fast run."""

    redis_time: float
    """Processor time of Redis for one message of the fast run."""


@dataclass(frozen=True)
class Model:
    """What things cost, in seconds of processor time."""

    message: float
    """``a``: a server reads a message, whoever hears it."""

    delivery: float
    """``b``: a server delivers it to one user."""

    redis_message: float
    """``c``: Redis takes a message."""

    redis_reader: float
    """``d``: one server reads it from Redis."""

    def server(self, servers: int, listeners: float) -> float:
        """Return the time of all *servers* together for one message to *listeners*."""
        return servers * self.message + listeners * self.delivery

    def redis(self, servers: int) -> float:
        """Return the time of Redis for one message."""
        return self.redis_message + servers * self.redis_reader


def fit(rows: Iterable[Row]) -> Model:
    """Return the model that is nearest to *rows* (least squares of relative errors)."""
    shared = [row for row in rows if row.servers]
    message, delivery = _solve([(row.servers, row.listeners, row.server_time) for row in shared])
    most = max(row.listeners for row in shared)
    redis_message, redis_reader = _solve(
        [(1, row.servers, row.redis_time) for row in shared if row.listeners == most]
    )
    return Model(message, delivery, redis_message, redis_reader)


def _solve(points: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Return x and y so that a*x + b*y is near to c, relatively, for all (a, b, c)."""
    matrix = np.array([[a / c, b / c] for a, b, c in points])
    (x, y), *_rest = np.linalg.lstsq(matrix, np.ones(len(points)), rcond=None)
    return float(x), float(y)


def measure(servers: int, listeners: int, messages: int = MESSAGES) -> Row:
    """Measure once: 0 *servers* is one server without Redis."""
    with contextlib.ExitStack() as stack:
        options = ["--rate", "0", "--max-clients", str(listeners + 1)]
        store = stack.enter_context(RedisProcess()) if servers else None
        if store is not None:
            options += ["--backplane", store.url]
        running = [
            stack.enter_context(ServerProcess(*options, develop=False))
            for _number in range(max(1, servers))
        ]
        processes = [psutil.Process(server.pid) for server in running]
        first, *others = [server.address for server in running]
        server_before, redis_before = sum(map(_busy, processes)), _redis_busy(store)
        fast = load.measure(first, listeners=listeners, messages=messages, also=others)
        server_time = sum(map(_busy, processes)) - server_before
        redis_time = _redis_busy(store) - redis_before
        paced = load.measure(
            first, listeners=listeners, messages=PACED_MESSAGES, interval=INTERVAL, also=others
        )
        return Row(
            servers,
            listeners,
            fast.deliveries_per_second,
            paced.latency(0.5),
            paced.latency(0.99),
            server_time / messages,
            redis_time / messages,
        )


def _busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _redis_busy(store: RedisProcess | None) -> float:
    if store is None:
        return 0.0
    with redis.Redis(*store.address, decode_responses=True) as client:
        info = client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def median(rows: list[Row]) -> Row:
    """Return the medians of repeated measurements of one and the same."""
    columns = {
        name: statistics.median(getattr(row, name) for row in rows) for name in asdict(rows[0])
    }
    return Row(**columns)


def recorded() -> tuple[dict[str, Any], list[Row]]:
    """Return on what was measured, and what."""
    data = json.loads(RECORDED.read_text(encoding="utf-8"))
    return data["machine"], [Row(**row) for row in data["rows"]]


def main() -> None:
    """Measure everything, repeat by repeat, and write it down."""
    found: dict[tuple[int, int], list[Row]] = {}
    for repeat in range(1, REPEATS + 1):
        for listeners in LISTENERS:
            for servers in (0, *SERVERS):
                row = measure(servers, listeners)
                found.setdefault((servers, listeners), []).append(row)
                print(f"{repeat}/{REPEATS}: {row}", flush=True)
    rows = [asdict(median(repeats)) for repeats in found.values()]
    data = {"machine": machine.describe() | {"repeats": REPEATS}, "rows": rows}
    RECORDED.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
