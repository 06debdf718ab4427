"""The committed report says what the committed sources say."""

import re
from collections import Counter
from pathlib import Path

import pytest

from report import digest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("suffix", ["html", "pdf", "docx", "md"])
def test_report_is_fresh(suffix: str) -> None:
    report = ROOT / "report" / "ru" / f"report.{suffix}"
    assert report.is_file(), "there is no built report: run `make report`"
    assert digest.embedded_digest(report) == digest.sources_digest(ROOT, "ru"), (
        f"{report.name} was built from other sources than these: run `make report`"
    )


def test_no_name_on_the_page_is_given_twice() -> None:
    page = (ROOT / "report" / "ru" / "report.html").read_text("utf-8")
    names = Counter(re.findall(r'\sid="([^"]+)"', page))
    assert [name for name, count in names.items() if count > 1] == []
