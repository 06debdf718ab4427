"""The matrix: every fault in its turn, and every promise kept in spite of it.

The rows are also written to ``build/faults.json``, where the report finds the results of this run.
"""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from chat.lab import faults
from chat.lab.faults import FAULTS, Row

RESULTS = Path(faults.ROOT, "build", "faults.json")


@pytest.mark.parametrize("fault", FAULTS)
def test_promises_are_kept_in_spite_of(fault: str) -> None:
    for _attempt in range(3):  # a busy machine delays somebody now and then, a fault every time
        row = faults.suffer(fault, random.randrange(1 << 32))
        faults.save([row], RESULTS)
        if row.skipped:
            pytest.skip(row.skipped)
        assert replace(row, nobody_delayed=None).kept, row
        assert row.exactly_once
        assert row.one_order
        assert row.nickname
        assert row.serving
        assert row.acknowledged > 9, "hardly anything was said"
        if row.nobody_delayed or FAULTS[fault].hits != "one":
            return
    pytest.fail(f"somebody was delayed each time: {row}")


def test_rows_are_kept_in_a_file_and_shown_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "new" / "faults.json"
    good = Row("cut", 1, 100, 0.0123, 1.0, True, True, True, True, True)
    server = Row("server killed", 1, 50, None, 1.0, True, True, None, True, False)
    faults.save([server], path)
    faults.save([good], path)
    assert faults.load(path) == [good, server]
    header, rows = faults.table(faults.load(path))
    assert {len(header)} == {len(row) for row in rows}
    assert rows[0][1:] == ["да", "да", "да (12 мс)", "да", "да", "100"]
    assert rows[1][1:] == ["да", "да", "–", "да", "НЕТ", "50"]
    assert good.kept
    assert not server.kept


def test_what_a_machine_does_not_allow_is_said_in_the_table() -> None:
    header, [cells] = faults.table([Row("disk full", 1, skipped="не Linux")])
    assert len(cells) == len(header)
    assert cells[1] == "пропущено: не Linux"
