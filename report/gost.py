"""The order and the numbers of GOST 7.32-2017, for the paper: PDF and DOCX.

The five parts stand between ВВЕДЕНИЕ and ЗАКЛЮЧЕНИЕ; then come СПИСОК ИСПОЛЬЗОВАННЫХ ИСТОЧНИКОВ
and the appendices. What the text calls «Введение» and «Заключение» (sections of any part) goes
there; without them the introduction is what opens the first part, and the conclusion is the last
section of the last part. What the pages look like stands in the templates.
"""

import copy
import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

from nbformat import NotebookNode, v4

from chat.app.i18n import gettext as _

from . import ReportError
from .export import Document
from .merge import LETTERS, NBSP, Heading, Merged

LONGEST_LISTING = 30
"""Lines; a longer listing goes to an appendix."""

# The end of a link to a figure, listing or table: «рисунке 3](#fig-x)», «здесь (рис. 3)](#fig-x)».
_REFERENCE = re.compile(
    r"(?P<word>\([^\s()\[\]]+\s)?(?P<number>\d+)(?P<end>\)?\]\(#(?P<label>[\w-]+)\))"
)
_MENTION = re.compile(r"\]\(#((?:fig|lst|tab)-[\w-]+)\)")
# A paragraph of plain sentences, to which a mention can be added before its last sign.
_SENTENCES = re.compile(
    r"(?P<text>(?![-*+>|#<$!~`]|\d+[.)])\S[^\n]*(?:\n\S[^\n]*)*?)(?P<sign>[.:;?!…])\Z"
)


class GostError(ReportError):
    """The text lacks what the standard wants; the message says what."""


def arrange(document: Document) -> Document:
    """Return *document* as GOST 7.32-2017 orders and numbers it. Raises GostError."""
    cells = copy.deepcopy(document.merged.notebook.cells)
    cells = [_without_table(cell) for cell in cells]
    cells = list(_with_mentions(cells))
    listings = _take_long_listings(cells)
    sections = list(_sections(cells))
    front = sections.pop(0) if sections and not _heading_of(sections[0]) else []
    sources = _take_sources(sections)
    introduction = _structural(_("Introduction"), "sec-introduction", _take_introduction(sections))
    introduction[1:1] = front
    if len(introduction) < 2:
        raise GostError(
            _("GOST 7.32 wants an introduction: write a section “{title}”.").format(
                title=_("Introduction")
            )
        )
    conclusion = _structural(_("Conclusion"), "sec-conclusion", _take_conclusion(sections))
    appendices = _take_appendices(sections)
    if listings:
        appendices += _appendix_of(listings, document.lang, appendices)
    body = [cell for section in sections for cell in section]
    cells = [*introduction, *body, *conclusion]
    if sources:
        cells += _structural(_("List of sources used"), "sec-sources", sources)
    cells += appendices
    _number(cells)
    return dataclasses.replace(
        document,
        merged=Merged(
            v4.new_notebook(cells=cells),  # type: ignore[no-untyped-call]
            [_as_heading(cell) for cell in cells if _heading(cell)],
            document.merged.pictures,
        ),
    )


def counts(document: Document) -> dict[str, int]:
    """Return how many figures, tables, sources and appendices there are, for РЕФЕРАТ."""
    cells = document.merged.notebook.cells
    kinds = [about.kind for cell in cells for about in _captioned(cell)]
    return {
        "figures": kinds.count("figure"),
        "tables": kinds.count("table"),
        "sources": sum(
            len(cell.metadata.report.get("entries", []))
            for cell in cells
            if cell.metadata.report.kind == "sources"
        ),
        "appendices": sum(heading.appendix for heading in document.headings),
    }


# --- sections ---------------------------------------------------------------------------------


def _heading(cell: NotebookNode) -> NotebookNode | None:
    about = cell.metadata.report
    return about if about.kind == "heading" else None


def _heading_of(section: list[NotebookNode]) -> NotebookNode | None:
    return _heading(section[0])


def _as_heading(cell: NotebookNode) -> Heading:
    known = {field.name for field in dataclasses.fields(Heading)}
    return Heading(**{key: value for key, value in cell.metadata.report.items() if key in known})


def _sections(cells: list[NotebookNode]) -> Iterator[list[NotebookNode]]:
    """Cut *cells* before every heading."""
    section: list[NotebookNode] = []
    for cell in cells:
        if _heading(cell) and section:
            yield section
            section = []
        section.append(cell)
    if section:
        yield section


def _take(sections: list[list[NotebookNode]], index: int) -> list[NotebookNode]:
    """Remove the section at *index* with those below it from *sections* and return its cells."""
    level = sections[index][0].metadata.report.level
    end = index + 1
    while end < len(sections) and sections[end][0].metadata.report.level > level:
        end += 1
    taken = [cell for section in sections[index:end] for cell in section]
    del sections[index:end]
    return taken


def _called(sections: list[list[NotebookNode]], title: str) -> int | None:
    for index, section in enumerate(sections):
        if section[0].source.strip(" .").casefold() == title.casefold():
            return index
    return None


def _take_introduction(sections: list[list[NotebookNode]]) -> list[NotebookNode]:
    if (index := _called(sections, _("Introduction"))) is not None:
        return _take(sections, index)
    has_sections = len(sections) > 1 and sections[1][0].metadata.report.level > 1
    if not has_sections:
        return []
    heading, *opening = sections[0]
    sections[0] = [heading]
    return opening


def _take_conclusion(sections: list[list[NotebookNode]]) -> list[NotebookNode]:
    if (index := _called(sections, _("Conclusion"))) is not None:
        return _take(sections, index)
    parts = [i for i, section in enumerate(sections) if _is_part(section)]
    if parts:
        end = next(
            (i for i in range(parts[-1] + 1, len(sections)) if _is_appendix(sections[i])),
            len(sections),
        )
        own = [i for i in range(parts[-1] + 1, end) if sections[i][0].metadata.report.level == 2]
        if len(own) > 1:
            return _take(sections, own[-1])
    raise GostError(
        _("GOST 7.32 wants a conclusion: write a section “{title}”.").format(title=_("Conclusion"))
    )


def _is_part(section: list[NotebookNode]) -> bool:
    about = section[0].metadata.report
    return bool(about.level == 1 and not about.appendix)


def _is_appendix(section: list[NotebookNode]) -> bool:
    return bool(section[0].metadata.report.appendix)


def _take_sources(sections: list[list[NotebookNode]]) -> list[NotebookNode]:
    for index, section in enumerate(sections):
        if any(cell.metadata.report.kind == "sources" for cell in section):
            if section[0].metadata.report.level > 1:
                return _take(sections, index)
            taken = [cell for cell in section if cell.metadata.report.kind == "sources"]
            sections[index] = [cell for cell in section if cell not in taken]
            return taken
    return []


def _take_appendices(sections: list[list[NotebookNode]]) -> list[NotebookNode]:
    taken: list[NotebookNode] = []
    while (index := next((i for i, s in enumerate(sections) if _is_appendix(s)), None)) is not None:
        taken += _take(sections, index)
    return taken


def _structural(title: str, anchor: str, cells: list[NotebookNode]) -> list[NotebookNode]:
    """Return *cells* below a heading of the standard; what was a heading there is no more."""
    own = [cell for cell in cells if _heading(cell)][:1]
    anchor = own[0].metadata.report.anchor if own and cells[0] is own[0] else anchor
    rest = cells[1:] if own and cells[0] is own[0] else cells
    about = {"level": 1, "number": "", "title": title.upper(), "anchor": anchor}
    about |= {"kind": "heading", "appendix": False, "structural": True}
    return [_cell(title.upper(), about), *(_unheaded(cell) for cell in rest)]


def _unheaded(cell: NotebookNode) -> NotebookNode:
    if about := _heading(cell):
        return _cell(f"[*{cell.source}*]{{#{about.anchor}}}", {"kind": "prose"})
    return cell


def _appendix_of(
    outputs: list[NotebookNode], lang: str, before: list[NotebookNode]
) -> list[NotebookNode]:
    headings = [found for cell in before if (found := _heading(cell))]
    letter = LETTERS[lang][sum(bool(found.appendix) for found in headings)]
    title = _("Listings of the programs")
    about: dict[str, Any] = {"level": 1, "number": letter, "title": title, "anchor": "sec-listings"}
    about |= {"kind": "heading", "appendix": True}
    shown = v4.new_code_cell(  # type: ignore[no-untyped-call]
        "", outputs=outputs, metadata={"report": {"kind": "code", "hidden": ""}}
    )
    return [_cell(title, about), shown]


def _cell(source: str, about: dict[str, Any]) -> NotebookNode:
    return v4.new_markdown_cell(source, metadata={"report": about})  # type: ignore[no-any-return, no-untyped-call]


# --- what has a caption -----------------------------------------------------------------------


def _about(output: NotebookNode) -> NotebookNode | None:
    about = output.get("metadata", {}).get("report")
    return about if about and "caption" in about else None


def _captioned(cell: NotebookNode) -> list[NotebookNode]:
    return [about for output in cell.get("outputs", []) if (about := _about(output))]


def _without_table(cell: NotebookNode) -> NotebookNode:
    """The numbers of the front page as a list: a table would need a caption."""
    for output in cell.get("outputs", []):
        about = output.get("metadata", {}).get("report", {})
        if about.get("kind") == "numbers":
            lines = [f"- {entry.number} {entry.what}" for entry in about.entries]
            output.data["text/markdown"] = ";\n".join(lines) + "."
    return cell


def _with_mentions(cells: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Yield *cells*; what has a caption and is not mentioned before it gets a mention."""
    mentioned: set[str] = set()
    before: NotebookNode | None = None
    for cell in cells:
        mentioned.update(*(_MENTION.findall(text) for text in _texts(cell)))
        missing = [about for about in _captioned(cell) if about.label not in mentioned]
        if missing:
            mentioned.update(about.label for about in missing)
            links = ", ".join(
                f"[{_name(about.kind).lower()}{NBSP}{about.number}](#{about.label})"
                for about in missing
            )
            added = _mention(before, links)
            if before is not None:
                yield before
            before = added
        if before is not None:
            yield before
        before = cell
    if before is not None:
        yield before


def _mention(before: NotebookNode | None, links: str) -> NotebookNode | None:
    """Mention in *before*, if its last paragraph allows, or return a cell that does."""
    if before is not None and before.metadata.report.kind == "prose":
        *rest, last = before.source.rstrip().split("\n\n")
        if found := _SENTENCES.match(last):
            before.source = "\n\n".join([*rest, f"{found['text']} ({links}){found['sign']}"])
            return None
    return _cell(_("See {what}.").format(what=links), {"kind": "prose"})


def _texts(cell: NotebookNode) -> Iterator[str]:
    """Yield all the Markdown of *cell* but captions."""
    about = cell.metadata.report
    yield cell.source if cell.cell_type == "markdown" else ""
    yield from (about[key] for key in ("question", "why") if key in about)
    for output in cell.get("outputs", []):
        yield output.get("data", {}).get("text/markdown", "")


def _take_long_listings(cells: list[NotebookNode]) -> list[NotebookNode]:
    taken = []
    for cell in cells:
        for output in list(cell.get("outputs", [])):
            about = _about(output)
            if about and about.kind == "listing":
                lines = output.data["text/x-python"].count("\n") + 1
                if lines > LONGEST_LISTING:
                    cell.outputs.remove(output)
                    taken.append(output)
    return taken


def _name(kind: str) -> str:
    return {"figure": _("Figure"), "listing": _("Listing"), "table": _("Table")}[kind]


# --- numbers ----------------------------------------------------------------------------------


def _number(cells: list[NotebookNode]) -> None:
    """Number sections and captions anew, and say the new numbers in the text."""
    numbers: dict[str, str] = {}
    kinds: dict[str, str] = {}
    section: list[int] = []
    counted: dict[str, int] = {}
    letter = ""
    parts = 0
    for cell in cells:
        if about := _heading(cell):
            if about.level == 1 and about.appendix:
                letter, counted = str(about.number), {}
            if about.level == 1 and not about.appendix and not about.get("structural"):
                parts += 1
                about.number = str(parts)
            section = [*section[: about.level], *[0] * (about.level - len(section))]
            section[about.level - 1] += 1
            if about.level > 1:
                about.number = ".".join([letter or str(parts), *map(str, section[1:])])
        for about in _captioned(cell):
            counted[about.kind] = counted.get(about.kind, 0) + 1
            about.number = f"{letter}.{counted[about.kind]}" if letter else counted[about.kind]
            about.prefix = _name(about.kind)
            about.caption = _title(about.caption)
            numbers[about.label] = str(about.number)
            kinds[about.label] = about.kind

    def renumbered(text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            label = match["label"]
            if label not in numbers:
                return match[0]
            word = f"({_name(kinds[label]).lower()}{NBSP}" if match["word"] else ""
            return f"{word}{numbers[label]}{match['end']}"

        return _REFERENCE.sub(replace, text)

    for cell in cells:
        _change_texts(cell, renumbered)


def _change_texts(cell: NotebookNode, change: Callable[[str], str]) -> None:
    about = cell.metadata.report
    if cell.cell_type == "markdown":
        cell.source = change(cell.source)
    for key in ("question", "why"):
        if key in about:
            about[key] = change(about[key])
    for entry in about.get("entries", []) if about.kind in ("answers", "glossary") else []:
        for key in ("why", "definition"):
            if key in entry:
                entry[key] = change(entry[key])
    for output in cell.get("outputs", []):
        if "text/markdown" in output.get("data", {}):
            output.data["text/markdown"] = change(output.data["text/markdown"])
        if caption := _about(output):
            caption.caption = change(caption.caption)
            for note in caption.get("notes", []):
                note.text = change(note.text)


def _title(caption: str) -> str:
    """A capital at the beginning and no point at the end: GOST 7.32-2017, 6.5.7 and 6.6.3."""
    return caption[:1].upper() + caption[1:].rstrip().removesuffix(".")
