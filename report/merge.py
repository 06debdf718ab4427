"""Five executed notebooks become one document.

The merged document is a notebook again, so that nbconvert can walk it, with these promises:

* a heading stands in a cell of its own, its number, level and anchor under
  ``metadata.report`` (the title of each notebook is a part, ``##`` a section of it);
* what the functions of ``chat.lab.show`` displayed carries its number, beside its label and
  caption, in ``output.metadata.report``; pictures are files in :attr:`Merged.pictures`;
* every link to a source is followed by its number in the list of sources, which stands where a
  cell is tagged ``sources``: its entries are in ``metadata.report.entries``;
* a prediction (``report.predictions``) is a cell of the kind ``prediction``: its number, question,
  choices, answer and why are in ``metadata.report``. The cell of the kind ``answers`` at the end
  of its section, for paper, has the same again under ``entries``;
* a list in a cell tagged ``glossary`` is a cell of that kind, with anchor, term and definition of
  each entry under ``entries``; ``[сегменты](#term-сегмент)`` leads there;
* the cells tagged ``front``, which tell what the report is, come before the first part and have
  ``metadata.report.front``;
* code that is collapsed in Jupyter, or tagged ``hide-input``, is not in the source of its cell but
  in ``metadata.report.hidden``;
* every reference in the prose is resolved: ``[рисунке](#fig-x)`` reads «рисунке 3» and a link
  to another notebook leads to its part or section of the same document.
"""

import base64
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from nbformat import NotebookNode, v4

from chat.app.i18n import gettext as _

from . import ReportError, predictions
from .sources import Sources

NBSP = "\N{NO-BREAK SPACE}"
PICTURES = "figures"
"""The folder, beside the Markdown, that holds the pictures."""

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
# Code comes before links: what looks like a link inside code is code.
_CODE_OR_LINK = re.compile(
    r"(?P<fenced>^[ ]{0,3}(?P<fence>`{3,}|~{3,}).*?^[ ]{0,3}(?P=fence)[`~]*[ ]*$)"
    r"|(?P<code>(?<!`)(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`))"
    r"|(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]"
    r"\((?P<target>[^()\s]+(?:\([^()\s]*\)[^()\s]*)*)(?P<title>\s+\"[^\"]*\")?\)",
    re.DOTALL | re.MULTILINE,
)
_LABEL = re.compile(r"#(fig|lst|tab)-")
_TERM = re.compile(r"[-*] \*\*(?P<term>.+?)\*\*\s*[–—:-]?\s*(?P<definition>.*)")
APPENDIX = re.compile(r"\d+_appendix")
"""How the file of an appendix is called; its number is a letter."""
LETTERS = {"ru": "АБВГДЕЖИКЛ", "en": "ABCDEFGHKL"}  # GOST 7.32-2017, 6.17.4
# A dash belongs to the line of the word before it (A. Milchin, "Spravochnik izdatelya").
_SPACE_BEFORE_DASH = re.compile(r"(?:(?<=\S)|\A)(?: |\n *)(?=[–—]\s)")
# Words after which a number alone says what is meant.
_NAMES_ITS_KIND = {
    "figure": re.compile(r"(рис|fig)[^\s]*$", re.IGNORECASE),
    "listing": re.compile(r"(листинг|listing)[^\s]*$", re.IGNORECASE),
    "table": re.compile(r"(табл|table)[^\s]*$", re.IGNORECASE),
}


class MergeError(ReportError):
    """The notebooks do not make one document; the message names the notebook and the reason."""


@dataclasses.dataclass(frozen=True)
class Heading:
    """A line of the contents."""

    level: int
    """1 for a part, 2 for a section of it, and so on."""
    number: str
    """«3.2»"""
    title: str
    """In Markdown, without the number."""
    anchor: str
    """An identifier in the document, ASCII."""
    file: str = ""
    """The name of the notebook that it stands in."""
    appendix: bool = False
    """Whether it is the title of an appendix, which is numbered by a letter."""


@dataclasses.dataclass
class Merged:
    """The document, ready to be written in any format."""

    notebook: NotebookNode
    headings: list[Heading]
    pictures: dict[str, bytes]
    """The content of every picture under its name, ``figures/fig-handshake.svg``."""


def merge(notebooks: list[tuple[Path, NotebookNode]], lang: str) -> Merged:
    """Return one document in *lang* of executed *notebooks*: pairs of the file and its content.

    Raises MergeError for a notebook without a title, a label used twice, a reference to
    nowhere, a picture that is not there.
    """
    merger = _Merger(lang)
    for path, book in notebooks:
        merger.add(path, book)
    merger.resolve_references()
    return Merged(
        v4.new_notebook(cells=[cell for _, cell in merger.cells]),  # type: ignore[no-untyped-call]
        merger.headings,
        merger.pictures,
    )


class _Merger:
    """The state of merging: what was numbered so far, and what is known by which name."""

    def __init__(self, lang: str) -> None:
        self.cells: list[tuple[Path, NotebookNode]] = []
        self.headings: list[Heading] = []
        self.pictures: dict[str, bytes] = {}
        self.numbers_by_label: dict[str, tuple[str, int]] = {}
        self._sources = Sources(lang)
        self._anchors_of_headings: dict[tuple[str, str], str] = {}
        self._anchors_of_notebooks: dict[str, str] = {}
        self._counts = {"figure": 0, "listing": 0, "table": 0}
        self._terms: dict[str, str] = {}
        self._section: list[int] = [0]
        self._letters = iter(LETTERS[lang])
        self._number_of_part = ""
        self._predictions = 0
        self._answers: list[dict[str, Any]] = []

    # -- first pass: numbers ---------------------------------------------------------------

    def add(self, path: Path, book: NotebookNode) -> None:
        cells = list(book.cells)
        if not cells or not cells[0].source.startswith("# "):
            raise MergeError(_("{file} must begin with a “# Title”.").format(file=path.name))
        for cell in cells:
            if cell.cell_type == "markdown":
                self._add_prose(path, cell)
            elif cell.cell_type == "code":
                self._add_code(path, cell)

    def _add_prose(self, path: Path, cell: NotebookNode) -> None:
        tags = cell.metadata.get("tags", [])
        if "glossary" in tags:
            self._add_glossary(path, cell.source)
            return
        for level, text in _split_at_headings(cell.source):
            if level:
                self._add_heading(path, level, text)
                continue
            prose = self._take_pictures(path, text, cell.get("attachments", {}))
            try:
                pieces = list(predictions.split(prose))
            except predictions.PredictionError as error:
                raise MergeError(f"{path.name}: {error}") from error
            for piece in pieces:
                if isinstance(piece, str):
                    self._append(path, _cell(piece, {"kind": "prose"}), tags)
                else:
                    self._add_prediction(path, piece)
        if "sources" in tags:
            self._append(path, _cell("", {"kind": "sources"}), tags)

    def _append(self, path: Path, cell: NotebookNode, tags: list[str]) -> None:
        if "front" not in tags:
            self.cells.append((path, cell))
            return
        cell.metadata.report["front"] = True
        front = sum("front" in each.metadata.report for _path, each in self.cells)
        self.cells.insert(front, (path, cell))

    def _add_prediction(self, path: Path, prediction: predictions.Prediction) -> None:
        self._predictions += 1
        about = {"kind": "prediction", "number": self._predictions}
        about |= dataclasses.asdict(prediction)
        self._answers.append(about)
        self.cells.append((path, _cell("", about)))

    def _end_section(self) -> None:
        """Put the answers to the predictions of the section that ends here into a cell."""
        if self._answers:
            path, _last = self.cells[-1]
            self.cells.append((path, _cell("", {"kind": "answers", "entries": self._answers})))
            self._answers = []

    def _add_glossary(self, path: Path, source: str) -> None:
        entries: list[dict[str, str]] = []
        for line in source.splitlines():
            if found := _TERM.match(line):
                anchor = f"term-{len(self._terms) + 1}"
                self._terms[_term_key(found["term"])] = anchor
                entries.append({"anchor": anchor, **found.groupdict()})
            elif entries and line.startswith(" "):
                entries[-1]["definition"] += f" {line.strip()}"
            elif line.strip():
                raise MergeError(
                    _(
                        "{file}: a line of a glossary is “- **term** – meaning”, not “{line}”."
                    ).format(file=path.name, line=line)
                )
        self.cells.append((path, _cell("", {"kind": "glossary", "entries": entries})))

    def _add_heading(self, path: Path, level: int, title: str) -> None:
        if level == 1 and path.name in self._anchors_of_notebooks:
            raise MergeError(
                _("{file} has a second title: “{title}”.").format(file=path.name, title=title)
            )
        self._end_section()
        # A level that was left out (### right under #) counts as one that was there.
        self._section = [*self._section[:level], *[0] * (level - len(self._section))]
        self._section[level - 1] += 1
        appendix = bool(APPENDIX.match(path.name))
        if level == 1:
            self._number_of_part = next(self._letters) if appendix else str(self._section[0])
        number = ".".join([self._number_of_part, *map(str, self._section[1:])])
        anchor = "sec-" + "-".join(map(str, self._section))
        heading = Heading(level, number, title, anchor, path.name, appendix and level == 1)
        self.headings.append(heading)
        if level == 1:
            self._anchors_of_notebooks[path.name] = heading.anchor
        self._anchors_of_headings[path.name, _jupyter_anchor(title)] = heading.anchor
        self.cells.append((path, _cell(title, {"kind": "heading"} | dataclasses.asdict(heading))))

    def _take_pictures(self, path: Path, text: str, attachments: dict[str, Any]) -> str:
        """Bring the pictures of the prose into the document and name them as they lie there."""

        def take(match: re.Match[str]) -> str:
            if not match["image"]:
                return match[0]
            target = unquote(match["target"])
            if target.startswith("attachment:"):
                name = target.removeprefix("attachment:")
                bundle = attachments.get(name) or {}
                content = base64.b64decode("".join(next(iter(bundle.values()), "")))
            else:
                name = Path(target).name
                file = path.parent / target
                content = file.read_bytes() if file.is_file() else b""
            if not content:
                raise MergeError(
                    _("{file}: there is no picture {target}.").format(
                        file=path.name, target=match["target"]
                    )
                )
            kept = f"{PICTURES}/{path.stem}-" + re.sub(r"[^\w.-]", "-", name)
            self.pictures[kept] = content
            return f"![{match['text']}]({kept})"

        return _CODE_OR_LINK.sub(take, text)

    def _add_code(self, path: Path, cell: NotebookNode) -> None:
        tags = cell.metadata.get("tags", [])
        collapsed = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        hidden = collapsed or "hide-input" in tags
        source = cell.source.strip("\n")
        outputs = [output for output in cell.outputs if self._number(path, output)]
        if source or outputs:
            about = {"kind": "code", "hidden": source if hidden else ""}
            shown = v4.new_code_cell(  # type: ignore[no-untyped-call]
                "" if hidden else source, outputs=outputs, metadata={"report": about}
            )
            self._append(path, shown, tags)

    def _number(self, path: Path, output: NotebookNode) -> bool:
        """Number what has a caption; return whether the output is anything to show at all."""
        about = output.get("metadata", {}).get("report")
        if about is None:
            return output.output_type in ("stream", "display_data", "execute_result")
        if about["kind"] == "numbers":
            return True
        kind, label = about["kind"], about["label"]
        if label in self.numbers_by_label:
            raise MergeError(
                _("{file}: the label {label} is used twice.").format(file=path.name, label=label)
            )
        self._counts[kind] += 1
        self.numbers_by_label[label] = kind, self._counts[kind]
        about["number"] = self._counts[kind]
        about["prefix"] = _prefix(kind)
        if kind == "figure":
            self._keep_figure(about, output.data)
        if kind == "listing" and about.get("file"):
            about["caption"] = about["caption"].rstrip(".")
            about["place"] = _place(f"`{about.file}`", about.first_line, about.last_line)
        return True

    def _keep_figure(self, about: NotebookNode, data: NotebookNode) -> None:
        for mime, suffix in (("image/svg+xml", "svg"), ("image/png", "png")):
            if mime in data:
                content = "".join(data[mime])
                name = f"{PICTURES}/{about.label}.{suffix}"
                about[suffix] = name
                self.pictures[name] = (
                    content.encode() if suffix == "svg" else base64.b64decode(content)
                )

    # -- second pass: references -----------------------------------------------------------

    def resolve_references(self) -> None:
        self._end_section()
        for path, cell in self.cells:
            if cell.cell_type == "markdown":
                self._resolve_prose(path, cell)
            for output in cell.get("outputs", []):
                about = output.get("metadata", {}).get("report", {})
                if "caption" in about:
                    about.caption = self._resolve(path, about.caption)
                    for note in about.get("notes", []):
                        note.text = self._resolve(path, note.text)
                elif "text/markdown" in output.get("data", {}):
                    output.data["text/markdown"] = self._resolve(path, output.data["text/markdown"])
        references = self._sources.references()
        for _path, cell in self.cells:
            if cell.cell_type == "markdown" and cell.metadata.report.kind == "sources":
                cell.metadata.report.entries = references

    def _resolve_prose(self, path: Path, cell: NotebookNode) -> None:
        about = cell.metadata.report
        match about.kind:
            case "prose":
                cell.source = self._resolve(path, cell.source)
            case "prediction":
                about.question = self._resolve(path, about.question)
                about.why = self._resolve(path, about.why)
                for letter, text in about.choices.items():
                    about.choices[letter] = self._resolve(path, text)
            case "answers":
                for entry in about.entries:
                    entry.why = self._resolve(path, entry.why)
            case "glossary":
                for entry in about.entries:
                    entry.definition = self._resolve(path, entry.definition)

    def _resolve(self, path: Path, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            target = match["target"]
            if target is None or match["image"]:
                return match[0]
            if label := self._label(path, target):
                return f"[{self._with_number(match['text'], label)}](#{label})"
            if target.startswith("#term-"):
                return f"[{match['text']}](#{self._term(path, target)})"
            if anchor := self._section_anchor(path, target):
                return f"[{match['text']}](#{anchor})"
            if target.startswith(("http://", "https://")):
                number = self._sources.cite(target)
                return f"{match[0]}{NBSP}[\\[{number}\\]](#src-{number})"
            return match[0]

        return _bind_dashes(_CODE_OR_LINK.sub(replace, text))

    def _term(self, path: Path, target: str) -> str:
        try:
            return self._terms[_term_key(unquote(target).removeprefix("#term-"))]
        except KeyError:
            raise MergeError(
                _("{file}: the glossary has no entry for the link {target}.").format(
                    file=path.name, target=target
                )
            ) from None

    def _with_number(self, text: str, label: str) -> str:
        """«рисунке» -> «рисунке 3»; «здесь» -> «здесь (рис. 3)»."""
        kind, number = self.numbers_by_label[label]
        if _NAMES_ITS_KIND[kind].search(text):
            return f"{text}{NBSP}{number}"
        return f"{text} ({_prefix(kind).lower()}{NBSP}{number})"

    def _label(self, path: Path, target: str) -> str | None:
        file, _hash, fragment = target.partition("#")
        if fragment in self.numbers_by_label and (not file or file in self._anchors_of_notebooks):
            return fragment
        if _LABEL.match(f"#{fragment}"):
            raise MergeError(
                _("{file}: nothing is labelled {label}.").format(file=path.name, label=fragment)
            )
        return None

    def _section_anchor(self, path: Path, target: str) -> str | None:
        file, hash_, fragment = target.partition("#")
        notebook = file or path.name
        if notebook not in self._anchors_of_notebooks:
            return None
        if not hash_:
            return self._anchors_of_notebooks[notebook]
        try:
            return self._anchors_of_headings[notebook, _jupyter_anchor(unquote(fragment))]
        except KeyError:
            raise MergeError(
                _("{file}: there is no heading for the link {target}.").format(
                    file=path.name, target=target
                )
            ) from None


def _prefix(kind: str) -> str:
    return {"figure": _("Fig."), "listing": _("Listing"), "table": _("Table")}[kind]


def _term_key(term: str) -> str:
    """Return what a link to *term* may call it: `ACK` and «поток байтов», «поток-байтов»."""
    return term.replace("`", "").replace(" ", "-").casefold()


def _bind_dashes(text: str) -> str:
    pieces, end = [], 0
    for match in _CODE_OR_LINK.finditer(text):
        if match["target"] is None:
            pieces += [_SPACE_BEFORE_DASH.sub(NBSP, text[end : match.start()]), match[0]]
            end = match.end()
    return "".join([*pieces, _SPACE_BEFORE_DASH.sub(NBSP, text[end:])])


def _cell(source: str, about: dict[str, Any]) -> NotebookNode:
    return v4.new_markdown_cell(source, metadata={"report": about})  # type: ignore[no-any-return, no-untyped-call]


def _place(file: str, first: int, last: int) -> str:
    if first == last:
        return _("{file}, line {number}").format(file=file, number=first)
    return _("{file}, lines {first}–{last}").format(file=file, first=first, last=last)


def _split_at_headings(source: str) -> Iterator[tuple[int, str]]:
    """Cut Markdown into headings (level, title) and the prose between them (0, text)."""
    prose: list[str] = []
    fence = ""
    for line in source.splitlines():
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]
        elif heading := _HEADING.match(line):
            if text := "\n".join(prose).strip("\n"):
                yield 0, text
            prose.clear()
            yield len(heading[1]), heading[2]
            continue
        prose.append(line)
    if text := "\n".join(prose).strip("\n"):
        yield 0, text


def _jupyter_anchor(title: str) -> str:
    # What JupyterLab makes of a heading: its text, with hyphens for spaces.
    return re.sub(r"[`*]", "", title).replace(" ", "-")
