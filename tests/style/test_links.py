"""What the pages of the repository point at is there."""

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)\s#]+)")
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)\b")


def pages() -> list[Path]:
    """Return the Markdown that people wrote: not the reports, not what is installed or built."""
    found = [
        *ROOT.glob("*.md"),
        *(path for name in ("chat", "tests", "notebooks") for path in (ROOT / name).rglob("*.md")),
    ]
    # The examples of the grading are as students hand them in.
    return sorted(
        path for path in found if not {".ipynb_checkpoints", "examples"} & set(path.parts)
    )


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    missing = [
        link for link in LINK.findall(text) if not (page.parent / unquote(link)).resolve().exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_make_exist(page: Path) -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony is not None
    code = " ".join(re.findall(r"`+[^`]+`+", page.read_text("utf-8")))
    assert set(MAKE.findall(code)) <= set(phony[1].split())


def test_what_is_ignored_is_not_kept() -> None:
    """Nothing that a command of the Makefile writes is in the way of the next pull."""
    kept = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if kept.returncode:
        pytest.skip("not a git repository")
    assert kept.stdout == ""
