"""Everything at once that the chat must survive, in five minutes: ``make torture``.

Forty strangers of each kind at once while two friends talk (the strangers' process has the lowest
priority, because it stands for other people's machines), the failures of `test_injected`, the
server killed 30 times and connections cut 200 times, 100,000 hostile inputs. Prints a table, and
ends with the status 1 when something was not as promised.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from chat.core.timing import Deadline
from chat.lab.faults import ROOT, ServerProcess
from tests.faults.strangers import KINDS, strangers
from tests.faults.test_ratios import MEGABYTE, MOST_GROWTH, friends

MINUTES = 5.0
STRANGERS = 40
INPUTS = 100_000
SLOWEST = 0.050
"""Seconds: what 99 of 100 messages between two friends may take at most."""

STOP_TIMEOUT = 2.0 + 2.0

SUITES = {
    "a failure at every call": ["tests/faults/test_injected.py"],
    "30 × kill -9, 200 cuts": ["tests/faults/test_nothing_is_lost.py"],
    "every other fault": ["tests/faults/test_matrix.py"],
    "hostile inputs": ["tests/fuzz"],
}


@dataclass
class Row:
    """What one ordeal has shown."""

    ordeal: str
    kept: bool
    found: str
    seconds: float = 0.0


def among_strangers(kind: str, count: int, seconds: float) -> Row:
    """Let two friends talk for so many *seconds* while *count* strangers of that *kind* are here.

    Each message must arrive once and in order, 99 of 100 in time, in little memory, and SIGTERM
    must end the server while the strangers go on.
    """
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        password = Path(folder, "password")
        password.write_text("right\n", encoding="utf-8")
        password.chmod(0o600)
        options = ("--admin-password-file", str(password))
        with ServerProcess(*options, develop=False) as server:
            process = psutil.Process(server.pid)
            with friends(server) as talk:
                talk.pause = 0.05  # within the rate that everybody has
                talk.talk(seconds / 4)
                before = process.memory_info().rss
                with strangers(kind, count, server.address):
                    delays = talk.talk(seconds)
                    grown = process.memory_info().rss - before
                    heard = texts_from(talk.borya.frames, "Аня")
                    told = time.monotonic()
                    status = server.end(timeout=20)
                    stopped = time.monotonic() - told
            complaints = server.complaints()
    right = heard == [str(number) for number in range(1, talk.said + 1)]
    p99 = (
        statistics.quantiles(delays, n=100, method="inclusive")[98]
        if len(delays) > 1
        else delays[0]
    )
    kept = (
        right
        and p99 < SLOWEST
        and grown < MOST_GROWTH
        and stopped < STOP_TIMEOUT
        and status == 0
        and not complaints
    )
    found = (
        f"{len(delays)} messages, {'each once, in order' if right else 'LOST OR DOUBLED'}; "
        f"median {statistics.median(delays) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms; "
        f"{grown / MEGABYTE:+.1f} MB; stopped in {stopped:.1f} s{complaints and '; ' + complaints}"
    )
    return Row(f"{count} × {kind}", kept, found, time.monotonic() - begin)


def texts_from(frames: Sequence[bytes], nick: str) -> list[str]:
    """Return what *nick* has said in private among *frames*."""
    messages = [json.loads(frame) for frame in frames if b'"message"' in frame]
    return [m["text"] for m in messages if m.get("from") == nick and m.get("to") is not None]


def suite(name: str, inputs: int, seconds: float) -> Row:
    """Run the tests called *name* for so many *seconds* at most."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider"]
    command += ["-n", "2"]
    try:
        done = subprocess.run(
            [*command, *SUITES[name]],
            cwd=ROOT,
            env=os.environ | {"FUZZ_INPUTS": str(inputs)},
            timeout=max(1.0, seconds),
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Row(name, False, "not finished in time", time.monotonic() - begin)
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1].strip("= ")
    return Row(name, done.returncode == 0, last, time.monotonic() - begin)


def ordeals(count: int, inputs: int, minutes: float) -> Iterator[Row]:
    """Go through everything; whatever does not fit into so many *minutes* has failed."""
    deadline = Deadline(minutes * 60)
    yield among_strangers(KINDS[0], 0, 2)  # what this machine can do
    for kind in KINDS:
        yield among_strangers(kind, count, 2)
    for name in SUITES:
        yield suite(name, inputs, deadline.left)


def main(arguments: list[str] | None = None) -> int:
    """Torture the chat; return the exit status."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--strangers", type=int, default=STRANGERS)
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    options = parser.parse_args(arguments)
    table = Table("ordeal", "kept", "found", "s")
    console = Console()
    rows = []
    for row in ordeals(options.strangers, options.inputs, options.minutes):
        rows.append(row)
        console.print(f"{row.ordeal}: {row.found}", highlight=False)
        table.add_row(row.ordeal, "yes" if row.kept else "NO", row.found, f"{row.seconds:.0f}")
    console.print(table)
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
