"""The grader is graded: of every chat that is wrong in one way it says which, and no other."""

from pathlib import Path

import pytest

from .engine import ALL_CHECKS
from .mutants import MUTANTS, NOTHING, try_all
from .rubric import RUBRIC, read_rubric


def test_each_mutant_breaks_a_requirement_that_there_is() -> None:
    ids = {requirement.id for requirement in read_rubric(RUBRIC, ALL_CHECKS).requirements}
    wrong = [mutant for mutant in MUTANTS if mutant is not NOTHING]
    assert len(wrong) >= 15
    for mutant in wrong:
        assert mutant.broken
        assert mutant.broken <= ids


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
