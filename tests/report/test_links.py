"""Every link of a chapter to a heading, figure, listing, table or file has its target.

The builder refuses the same, but only after minutes of executing the notebooks.
"""

import json
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from report.sources import SourceError, Sources

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LINK = re.compile(r"\]\((?!https?://)([^()\s]*(?:\([^()\s]*\))?[^()\s]*)\)")
LABEL = re.compile(r"label=f?[\"'](?P<label>[a-z]+-[^\"']*)[\"']")


def cells(path: Path) -> list[tuple[str, str]]:
    """Return kind and text of each cell."""
    found = json.loads(path.read_text("utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in found]


def headings(path: Path) -> set[str]:
    """Return the headings, as links name them (report/AUTHORING.md)."""
    text = "\n".join(text for kind, text in cells(path) if kind == "markdown")
    found = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub("[`*]", "", heading).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_link_between_the_chapters_has_its_target(language: str) -> None:
    chapters = {path.name: path for path in (NOTEBOOKS / language).glob("0*.ipynb")}
    labels = [
        re.sub(r"\{.*?\}", ".*", match["label"])
        for path in chapters.values()
        for _kind, text in cells(path)
        for match in LABEL.finditer(text)
    ]
    assert len(labels) == len(set(labels)), f"used twice: {Counter(labels).most_common(3)}"
    lost = []
    for name, path in chapters.items():
        for _kind, text in cells(path):
            for target in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.S)):
                file, _hash, fragment = unquote(target).partition("#")
                if file and not (path.parent / file).exists():
                    lost.append(f"{name}: {target}")
                elif re.match("(fig|lst|tab)-", fragment):
                    if not any(re.fullmatch(label, fragment) for label in labels):
                        lost.append(f"{name}: {target}")
                elif fragment and not fragment.startswith("term-"):
                    chapter = chapters.get(Path(file).name if file else name)
                    if chapter is None or fragment not in headings(chapter):
                        lost.append(f"{name}: {target}")
    assert lost == []


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_address_has_its_source(language: str) -> None:
    sources = Sources(language)
    cited = re.compile(r"\]\((https?://[^()\s]+)\)")
    unknown = []
    for path in sorted((NOTEBOOKS / language).glob("0*.ipynb")):
        for kind, text in cells(path):
            for address in cited.findall(text) if kind == "markdown" else ():
                try:
                    sources.cite(address)
                except SourceError as error:
                    unknown.append(str(error))
    assert unknown == []
