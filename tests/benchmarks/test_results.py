"""The results that the report shows: what they hold, what is drawn and concluded from them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chat.app.i18n import set_language
from tests.benchmarks import __main__ as program
from tests.benchmarks import figures, plan
from tests.benchmarks.goals import Goal, goals
from tests.benchmarks.run import RESULTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """What stands in the repository."""
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8"))
    for draw in (figures.throughput, figures.latency):  # opens the fonts, which stay open
        draw(found).savefig(io.BytesIO(), format="svg")
    return found


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (6.132e6, "6,13 млн"),
        (561_130, "561 тысяча"),
        (772_761, "773 тысячи"),
        (17_900, "17,9 тысячи"),
        (405_000, "405 тысяч"),
        (999, "999"),
    ],
)
def test_a_count_is_written_as_a_reader_says_it(value: float, words: str) -> None:
    set_language("ru")
    assert figures.thousands(value).replace("\N{NO-BREAK SPACE}", " ") == words


def test_the_kept_results_are_of_a_full_run_without_failures(results: dict[str, Any]) -> None:
    kept = {(case["name"], case["peer"], case["clients"]) for case in results["cases"]}
    wanted = {(case.name, case.peer, case.clients) for case in plan.full()}
    assert kept == {case for case in wanted if case[1] in results["versions"]}
    assert results["failures"] == {}
    for case in results["cases"]:
        if case["name"] == "throughput":
            assert case["repeats"] >= 5


def test_in_the_kept_results_everything_arrived(results: dict[str, Any]) -> None:
    checks = [case for case in results["cases"] if case["name"] == "correctness"]
    assert {case["peer"] for case in checks} == set(results["versions"]) - {"chat-durable"}
    assert [case["middle"]["problems"] for case in checks] == [[]] * len(checks)


@pytest.mark.parametrize("name", ["throughput", "latency", "memory", "stalled", "scaling"])
def test_a_figure_is_drawn_of_them(name: str, results: dict[str, Any], tmp_path: Path) -> None:
    getattr(figures, name)(results).savefig(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_the_fitted_line_is_near_what_was_measured(results: dict[str, Any]) -> None:
    line = figures.cost(results)
    assert line.per_message > 0
    assert line.per_delivery > 0
    for clients, seconds in line.points:
        assert line.of(clients) == pytest.approx(seconds, rel=0.5)


def test_every_goal_was_measured(results: dict[str, Any]) -> None:
    assert [goal.what for goal in goals(results) if goal.reached is None] == []


def test_a_goal_is_met_or_not() -> None:
    assert Goal("more", 2.0, 2.0).is_met
    assert not Goal("more", 2.0, 1.9).is_met
    assert Goal("less", 2.0, 1.9, at_least=False).is_met
    assert not Goal("less", 2.0, 2.1, at_least=False).is_met
    assert Goal("nothing", 2.0, None).is_met is None


def test_a_ratio_is_of_the_medians_of_the_same_case() -> None:
    def case(peer: str, clients: int, rate: float) -> dict[str, Any]:
        named = {"name": "throughput", "peer": peer, "clients": clients, "window": 256}
        return named | {"median": {"rate": rate}}

    kept = {"cases": [case("chat", 10, 30.0), case("naive", 10, 2.0), case("chat", 100, 70.0)]}
    reached = {goal.what: goal.reached for goal in goals(kept) if goal.reached is not None}
    assert list(reached.values()) == [15.0]


def test_the_program_shows_what_is_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--show", "--lang", "en"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for title in (
        "As fast as it goes",
        "While one does not read",
        "Goals",
        "decoding 16 bytes at a time",
    ):
        assert title in done.stdout.replace("\n", " ")


def test_the_program_measures_and_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = {"kind": "throughput", "senders": 2, "window": 8, "seconds": 0.2, "warmup": 0.1}
    cases = [
        plan.Case("throughput", peer, 5, job | {"stalled": False}, repeats=2)
        for peer in ("chat", "naive")
    ]
    monkeypatch.setattr(plan, "quick", lambda: cases)
    kept = tmp_path / "results.json"
    assert program.main(["--quick", "--output", str(kept), "--lang", "ru"]) == 0
    results = json.loads(kept.read_text("utf-8"))
    assert [case["repeats"] for case in results["cases"]] == [2, 2]
    assert results["failures"] == {}
    assert len(results["codec"]) == 4
    assert "наивный" in capsys.readouterr().out
