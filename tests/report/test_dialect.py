"""Pandoc, on the way to paper, reads a notebook's Markdown as Jupyter shows it."""

from pathlib import Path

import pytest

from report.pandoc import DIALECT
from report.run_pandoc import run


@pytest.mark.parametrize(
    "text",
    [
        "(а) один; (б) два",
        "(a) one",
        "a) один",
        "около ~5 мс, не ~7 мс",
        "2^10 и 2^20",
        "порт :8000: занят",
        "«кавычки» -- и тире...",
    ],
)
def test_what_is_plain_in_jupyter_is_plain_on_paper(text: str, tmp_path: Path) -> None:
    for source, expected in ((text, text), (f"- {text}", f"- {text}")):
        (tmp_path / "text.md").write_text(source, "utf-8")
        printed = run(tmp_path, "--from", DIALECT, "--to", "plain", "--wrap=none", "text.md")
        assert printed.decode().strip() == expected
