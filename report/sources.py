"""The list of sources: what the prose links to, as readers of the language expect it.

What is known of each source stands in ``sources.json``, in the format of CSL
(https://docs.citationstyles.org); pandoc sets the list by a well-kept style: GOST R 7.0.5-2008
in Russian, that of the IEEE in English.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from chat.app.i18n import gettext as _

from . import ReportError
from .run_pandoc import run

SOURCES = Path(__file__).with_name("sources.json")
STYLES = {"ru": ("ru-RU", "gost-r-7-0-5-2008-numeric.csl"), "en": ("en-US", "ieee.csl")}
"""The locale and the style of each language."""

_FOLDER = Path(__file__).parent / "templates" / "pandoc"

_NUMBER = re.compile(r"^\[?\d+[.\]] ")
_LINK = re.compile(r"https?://\S+[^\s.,;:)]")


class SourceError(ReportError):
    """A link leads to what is not among the sources; the message names it."""


class Sources:
    """The sources that were cited so far, in that order."""

    def __init__(self, lang: str) -> None:
        """Read what is known; nothing is cited yet. The list is to be in *lang*."""
        self._locale, self._style = STYLES[lang]
        known: list[dict[str, Any]] = json.loads(SOURCES.read_text("utf-8"))
        self._by_address = {source["URL"]: source for source in known}
        self._cited: list[dict[str, Any]] = []

    def cite(self, address: str) -> int:
        """Return the number of the source at *address*, whatever part of it. Raises SourceError."""
        page = address.partition("#")[0]
        source = self._by_address.get(page)
        if source is None:
            raise SourceError(
                _("{address} is not in report/{file}.").format(address=page, file=SOURCES.name)
            )
        if source not in self._cited:
            self._cited.append(source)
        return self._cited.index(source) + 1

    def references(self) -> list[str]:
        """Return the list, an entry each, in Markdown without the numbers."""
        if not self._cited:
            return []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            (path / "sources.json").write_text(json.dumps(self._cited), "utf-8")
            marks = "\n".join(f"[@{source['id']}]" for source in self._cited)
            (path / "marks.md").write_text(f"{marks}\n\n::: {{#refs}}\n:::\n", "utf-8")
            printed = run(
                path,
                *("--from", "markdown", "--to", "plain", "--wrap=none", "--citeproc"),
                *("--bibliography", "sources.json", "--csl", str(_FOLDER / self._style)),
                *("--metadata", f"lang={self._locale}", "--fail-if-warnings", "marks.md"),
            )
        _marks, *entries = printed.decode().strip().split("\n\n")
        return [_entry(entry) for entry in entries]


def _entry(printed: str) -> str:
    text = _NUMBER.sub("", " ".join(printed.split()))
    text = re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)
    return _LINK.sub(lambda link: f"<{link[0].replace(chr(92), '')}>", text)
