"""The load generator: what it counts, and that it notices when a server does not do its part."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.generator import in_one_order, judge, quantile
from tests.benchmarks.plan import Case
from tests.benchmarks.protocols import PROTOCOLS
from tests.benchmarks.run import MeasurementError, measure, summary
from tests.benchmarks.servers import Peer, find, running

ROOT = Path(__file__).resolve().parents[2]
SAID = {"a": ["1", "2"], "b": ["3"]}


@pytest.mark.parametrize(
    ("heard", "complaint"),
    [
        ([("a", "1"), ("b", "3"), ("a", "2")], ""),
        ([("a", "1"), ("b", "3")], "1 messages lost, the first is '2'"),
        ([("a", "1"), ("a", "1"), ("a", "2"), ("b", "3")], "1 messages too many"),
        ([("a", "2"), ("a", "1"), ("b", "3")], "in another order"),
        ([("a", "1"), ("a", "2"), ("b", "33")], "never said: '33'"),
        ([("a", "1"), ("a", "2"), ("b", "3"), ("c", "4")], "never said: '4'"),
    ],
)
def test_what_a_client_got_is_judged(heard: list[tuple[str, str]], complaint: str) -> None:
    problems = judge(SAID, {"listener": heard, "a": [("b", "3")], "b": [("a", "1"), ("a", "2")]})
    assert [problem.partition(": ")[2] for problem in problems] == (
        [complaint] if complaint else []
    )


def test_an_echo_is_a_message_that_should_not_come() -> None:
    [problem] = judge({"a": ["1"]}, {"a": [("a", "1")]})
    assert problem.startswith("a from a")


def test_one_order_for_all_is_told_from_two() -> None:
    said = {"listener": [("a", "1"), ("b", "2")]}
    assert in_one_order(said | {"other": [("a", "1"), ("b", "2")]}, {"a", "b"})
    assert not in_one_order(said | {"other": [("b", "2"), ("a", "1")]}, {"a", "b"})


def test_quantiles() -> None:
    assert quantile(range(100), 0.5) == 50
    assert quantile(range(100), 1) == 99


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_burst_is_the_messages_one_after_another(name: str) -> None:
    protocol = PROTOCOLS[name]
    assert protocol.burst("text", 7, 3) == b"".join(
        protocol.say("text", number) for number in (7, 8, 9)
    )


# Against servers


@contextmanager
def wrong_server(answer: Callable[[bytes], Sequence[bytes]]) -> Iterator[tuple[str, int]]:
    """A line chat for as many as come; *answer* says what the others get of each line."""
    clients: list[socket.socket] = []
    lock = threading.Lock()

    def serve(client: socket.socket) -> None:
        with client, client.makefile("rb") as lines:
            name = lines.readline().strip()
            client.sendall(b"* welcome\n")
            with lock:
                clients.append(client)
            try:
                for line in lines:
                    for said in answer(line):
                        with lock:
                            for other in clients:
                                if other is not client:
                                    other.sendall(name + b": " + said)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=[client]))
            threads[-1].start()

    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def generate(address: tuple[str, int], **job: Any) -> subprocess.CompletedProcess[str]:
    """Put load on the server at *address* for a moment."""
    common = {"protocol": "lines", "clients": 4, "senders": 2, "at_once": 4, "pid": os.getpid()}
    whole = {"host": address[0], "port": address[1]} | common | job
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.generator"],
        input=json.dumps(whole),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=50,
        check=False,
    )


FLOOD = {"kind": "throughput", "window": 8, "seconds": 0.2, "warmup": 0.1, "stalled": False}
CHECK = {"kind": "correctness", "window": 8, "messages": 50, "seconds": 3.0, "seed": 1}


def test_a_server_that_says_everything_twice_is_found() -> None:
    with wrong_server(lambda line: [line, line]) as address:
        done = generate(address, **FLOOD)
        assert done.returncode == 1
        assert "more messages than were said" in done.stderr
    with wrong_server(lambda line: [line, line]) as address:
        result = json.loads(generate(address, **CHECK).stdout)
        assert any("too many" in problem for problem in result["problems"])


def test_a_server_that_damages_a_text_is_found() -> None:
    with wrong_server(lambda line: [line.replace(b"x", b"y")]) as address:
        result = json.loads(generate(address, **CHECK).stdout)
    assert any("never said" in problem for problem in result["problems"])


def test_a_server_that_hangs_up_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = generate(listener.getsockname(), kind="storm", clients=1, seconds=0.2)
        assert json.loads(done.stdout)["late"] == 1


PEERS = ("chat", "naive", "streams", "coalescing", "websocket", "relay", "ngircd", "inspircd")


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Peer], dict[str, str]]:
    """Who can be measured here, and why the others cannot."""
    return find(tmp_path_factory.mktemp("peers"))


@pytest.mark.parametrize("name", PEERS)
def test_every_message_arrives_everywhere_once_in_order_and_whole(
    name: str, peers: tuple[dict[str, Peer], dict[str, str]], tmp_path: Path
) -> None:
    """Of all servers alike: the comparison would not be fair to those who do."""
    there, skipped = peers
    if name in skipped:
        pytest.skip(skipped[name])
    case = Case("correctness", name, 8, CHECK | {"senders": 4, "messages": 300, "seconds": 20.0})
    result = measure(there[name], case, tmp_path)
    assert result["problems"] == []
    assert result["deliveries"] == 7 * 300


def test_this_chat_gives_everybody_one_order(
    peers: tuple[dict[str, Peer], dict[str, str]], tmp_path: Path
) -> None:
    case = Case("correctness", "chat", 8, CHECK | {"senders": 7, "messages": 500})
    assert measure(peers[0]["chat"], case, tmp_path)["one_order"]


@pytest.mark.parametrize(
    ("kind", "job"),
    [
        ("throughput", FLOOD),
        ("stalled", FLOOD | {"window": 256, "seconds": 0.6, "stalled": True}),
        ("latency", {"kind": "latency", "pace": 100, "seconds": 0.3, "warmup": 0.1}),
        ("storm", {"kind": "storm", "seconds": 20.0}),
        ("memory", {"kind": "memory", "steps": [5, 10]}),
    ],
)
def test_the_chat_is_measured(
    kind: str, job: dict[str, Any], peers: tuple[dict[str, Peer], dict[str, str]], tmp_path: Path
) -> None:
    case = Case(kind, "chat", 10, {"senders": 2} | job)
    result = measure(peers[0]["chat"], case, tmp_path)
    if kind == "throughput":
        assert result["deliveries"] > result["messages"]  # each goes to nine
        assert result["rate"] == pytest.approx(result["deliveries"] / result["seconds"])
    elif kind == "stalled":
        asleep, dropped = result["asleep"]
        assert 0.5 <= asleep < dropped <= result["seconds"]
        assert result["rate"] > 0
    elif kind == "latency":
        assert 0 < result["p50"] <= result["p99"] < 10
        assert result["deliveries"] == 30 * 9
    elif kind == "storm":
        assert (result["entered"], result["refused"], result["late"]) == (10, 0, 0)
    else:
        assert [clients for clients, _bytes in result["points"]] == [0, 5, 10]
    assert summary(case, [result])["median"].keys() <= result.keys()


def test_a_server_that_does_not_start_is_named(tmp_path: Path) -> None:
    broken = Peer("broken", "lines", lambda *_: [sys.executable, "-c", "exit('no')"], "0")
    with pytest.raises(Exception, match="broken: no"), running(broken, tmp_path, clients=1):
        pass


def test_a_failed_measurement_is_named(tmp_path: Path) -> None:
    program = "print('127.0.0.1:9', flush=True); import time; time.sleep(60)"
    nobody = Peer("nobody", "lines", lambda *_: [sys.executable, "-c", program], "0")
    case = Case("throughput", "nobody", 2, FLOOD | {"senders": 1})
    with pytest.raises(MeasurementError, match="throughput nobody N=2 W=8: "):
        measure(nobody, case, tmp_path)
