"""The small version of ``make torture``: it runs, keeps its promises, and can fail."""

from pathlib import Path

import pytest

from tests.faults import torture


@pytest.mark.parametrize("kind", ["history", "resetting"])
def test_two_friends_among_ten_strangers(kind: str) -> None:
    row = torture.among_strangers(kind, 10, 0.5)
    assert "each once, in order" in row.found
    assert "stopped in" in row.found


def test_what_is_slow_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torture, "SLOWEST", 0.0)
    assert not torture.among_strangers("pings", 1, 0.1).kept


def test_a_suite_that_fails_or_does_not_end_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # loading them takes most of the time
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin,pytest_timeout")
    path = tmp_path / "test_it.py"
    path.write_text("def test_it(): assert 1 == 2\n", encoding="utf-8")
    monkeypatch.setitem(torture.SUITES, "ours", [str(path)])
    assert not torture.suite("ours", 1, 60).kept
    path.write_text("def test_it(): assert 1 == 1\n", encoding="utf-8")
    assert torture.suite("ours", 1, 60).kept
    path.write_text("import time\ndef test_it(): time.sleep(60)\n", encoding="utf-8")
    assert torture.suite("ours", 1, 1).found == "not finished in time"
