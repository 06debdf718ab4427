"""The grader is graded: of every chat that is wrong in one way it says which, and no other."""

from pathlib import Path

import pytest

from .engine import ALL_CHECKS, grade
from .mutants import GOOD, busy_machine, quick_rubric, try_all
from .rubric import read_rubric
from .submission import read_submission


@pytest.mark.timeout(1200)
def test_points_are_taken_off_what_is_broken_and_nothing_else(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    wrong = []
    thorough = pytestconfig.getoption("--thorough", default=False)
    for mutant, lost in try_all(tmp_path, thorough=thorough):
        if {test["tags"][0] for test in lost} != mutant.broken:
            wrong.append(f"{mutant.name}: should lose {sorted(mutant.broken)}")
            wrong += [f"  {test['tags'][0]}: {test['output']}" for test in lost]
        wrong += [
            f"{mutant.name}: {test['tags']}: no reason" for test in lost if not test["output"]
        ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(3600)
def test_a_busy_machine_costs_no_points(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """Twenty gradings of one submission, of everything, when asked for; else one, of what waits."""
    thorough = pytestconfig.getoption("--thorough", default=False)
    rubric = read_rubric(quick_rubric(tmp_path), ALL_CHECKS)
    submission = read_submission(GOOD / "submission.toml")
    only = [] if thorough else ["threads", "unique_name", "no_echo", "leave_announced", "bursts"]
    with busy_machine():
        for number in range(20 if thorough else 1):
            lost = [
                f"{result.requirement.id}: {result.reason}"
                for result in grade(submission, rubric, only=only).results
                if not result.is_full
            ]
            assert not lost, f"grading {number + 1}: " + "\n".join(lost)
