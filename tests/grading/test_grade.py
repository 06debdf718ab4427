"""The grade itself: one test a requirement, of this chat or of the one given."""

import pytest

from .engine import Grading
from .rubric import Requirement


@pytest.mark.timeout(600)
def test_requirement(requirement: Requirement, grading: Grading) -> None:
    result = grading.check(requirement)
    if result.share is None:
        pytest.skip(result.reason)
    assert result.is_full, f"{result.points:g}/{result.possible:g}\n{result.reason}"
