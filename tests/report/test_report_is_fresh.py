"""The committed report says what the committed sources say."""

import re
from collections import Counter
from pathlib import Path

import pytest

from report import digest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("lang", ["ru", "en"])
@pytest.mark.parametrize("suffix", ["html", "pdf", "docx", "md"])
def test_report_is_fresh(suffix: str, lang: str) -> None:
    report = ROOT / "report" / lang / f"report.{suffix}"
    assert report.is_file(), "there is no built report: run `make report`"
    assert digest.embedded_digest(report) == digest.sources_digest(ROOT, lang), (
        f"{report.name} was built from other sources than these: run `make report`"
    )


@pytest.mark.parametrize("lang", ["ru", "en"])
def test_no_name_on_the_page_is_given_twice(lang: str) -> None:
    page = (ROOT / "report" / lang / "report.html").read_text("utf-8")
    names = Counter(re.findall(r'\sid="([^"]+)"', page))
    assert [name for name, count in names.items() if count > 1] == []
