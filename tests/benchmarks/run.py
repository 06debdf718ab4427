"""Carries out the cases, each in a fresh server, and puts the results together."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chat.lab import machine

from .plan import Case
from .servers import Peer, ServerError, cores, find, on_core, running

RESULTS = Path(__file__).with_name("results.json")
JOB_TIMEOUT = 90.0
"""Seconds after which a measurement counts as failed."""

Results = dict[str, Any]
Progress = Callable[[int, int, str], None]
"""Is told before each measurement: how many are done, how many there are, which one is next."""


def run(cases: Sequence[Case], progress: Progress) -> Results:
    """Measure all *cases*, their repeats interleaved; return what stands in ``results.json``.

    One round after another goes through all cases, so that what slows the machine down for a
    while slows all servers alike.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        peers, skipped = find(folder)
        wanted = [case for case in cases if case.peer in peers]
        rounds = range(max(case.repeats for case in wanted))
        turns = [(number, case) for number in rounds for case in wanted if number < case.repeats]
        outcomes: dict[Case, list[Results]] = {case: [] for case in wanted}
        failures: dict[str, str] = {}
        for done, (_round, case) in enumerate(turns):
            progress(done, len(turns), case.key)
            try:
                outcomes[case].append(measure(peers[case.peer], case, folder))
            except (MeasurementError, ServerError) as error:
                failures[case.key] = str(error)
        progress(len(turns), len(turns), "")
    return {
        "machine": machine.describe(),
        "versions": {name: peer.version for name, peer in peers.items()},
        "skipped": skipped,
        "failures": failures,
        "cases": [summary(case, results) for case, results in outcomes.items() if results],
    }


class MeasurementError(Exception):
    """A measurement failed; the text says how."""


def measure(peer: Peer, case: Case, folder: Path) -> Results:
    """Start *peer*, put the load of *case* on it, return what the generator has measured.

    Raises `ServerError`, and `MeasurementError` when the server does not do its part.
    """
    server_core, load_core = cores()
    with running(peer, folder, clients=case.clients + 1, core=server_core) as server:
        host, port = server.address
        common = {"host": host, "port": port, "pid": server.pid, "protocol": peer.protocol}
        job = common | {"clients": case.clients, "at_once": peer.at_once} | case.job
        with on_core(load_core):
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "tests.benchmarks.generator"],
                    input=json.dumps(job),
                    capture_output=True,
                    text=True,
                    timeout=JOB_TIMEOUT,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise MeasurementError(f"{case.key}: not over after {JOB_TIMEOUT:g} s") from None
    if done.returncode:
        raise MeasurementError(f"{case.key}: {done.stderr.strip().splitlines()[-1]}")
    result: Results = json.loads(done.stdout)
    return result


# What one repeat is ranked by; what is drawn later comes from the repeat in the middle.
_RANKED_BY = {"throughput": "rate", "latency": "p99", "storm": "rate"}


def summary(case: Case, results: Sequence[Results]) -> Results:
    """Return the medians of all numbers, how far the repeats lie apart, and the middle repeat."""
    numbers = [name for name, value in results[0].items() if isinstance(value, int | float | bool)]
    ranked = _RANKED_BY.get(case.job["kind"])
    ordered = sorted(results, key=lambda one: float(one[ranked])) if ranked else list(results)
    middle = ordered[len(ordered) // 2]
    return {
        "name": case.name,
        "peer": case.peer,
        "clients": case.clients,
        "window": case.job.get("window"),
        "pace": case.job.get("pace"),
        "repeats": len(results),
        "median": {name: statistics.median(one[name] for one in results) for name in numbers},
        "least": {name: min(one[name] for one in results) for name in numbers},
        "most": {name: max(one[name] for one in results) for name in numbers},
        "middle": {name: value for name, value in middle.items() if name not in numbers},
    }


def codec(*, quick: bool) -> dict[str, float]:
    """Return the seconds that each benchmark of ``codec.py`` takes for one frame, the median."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        report = Path(folder) / "codec.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [str(Path(__file__).with_name("codec.py")), f"--benchmark-json={report}"]
        command += [f"--benchmark-max-time={0.2 if quick else 1.0}"]
        command += ["-p", "no:xdist"]
        alone = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, env=alone
        )
        if done.returncode:
            raise MeasurementError(done.stdout[-2000:])
        benchmarks = json.loads(report.read_text())["benchmarks"]
    return {one["name"]: one["stats"]["median"] / one["extra_info"]["frames"] for one in benchmarks}
