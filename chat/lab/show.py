"""What a notebook shows: figures, pictures, listings and tables, each with a label and a caption.

Every function emits one ``display_data`` with the same thing in several forms (for Jupyter, for a
web page, for Markdown) and with metadata under the key ``report``::

    {"kind": "figure" | "listing" | "table", "label": "fig-…", "caption": "…", "alt": "…"}

The report numbers and places it by that; in Jupyter the caption stands under it without a number.
A figure may have ``steps``, a sentence for each step that it draws; a listing may have ``notes``,
each a ``{"line": index of the line from 0, "number": from 1, "text": "…"}``. The numbers of the
front page are of the kind ``numbers``: ``entries``, each ``{"number": "…", "what": "…"}``.
A caption may hold `code` in back quotes, and no other markup.

A listing takes its lines from the source file of the code that is installed and running, with
their real numbers, so the text of a chapter cannot fall behind the program.
"""

from __future__ import annotations

import ast
import base64
import html
import inspect
import io
import linecache
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from IPython.display import publish_display_data
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

import chat
from chat.app.i18n import gettext as _
from chat.lab import cells, figures, proof

if TYPE_CHECKING:
    from matplotlib.figure import Figure

cells.explain_asserts()  # here, because every notebook shows something

# The folder that holds the package: files of listings are named relative to it.
ROOT = Path(chat.__file__).resolve().parent.parent

CSS_PIXELS = 96  # in an inch
PNG_SCALE = 2  # pixels of the PNG for each pixel that the figure has at its own dpi
ELIDED = "..."  # stands for a body left out; a listing with it is still valid Python
GAP = "# …"  # stands for lines left out between two parts of a listing

PROVE_FIGURES = "CHAT_PROVE_FIGURES"
"""The environment variable that has every figure checked with `chat.lab.proof` before it is shown:
the tests that run the notebooks set it."""

_LONG_NUMBER = re.compile(r"(?<![\w.#-])-?\d+\.\d{3,}(?![\w.])")

LABEL_PREFIXES = {"figure": "fig-", "listing": "lst-", "table": "tab-"}


# --- the four forms ------------------------------------------------------------------------------


def figure(fig: Figure, *, label: str, caption: str, alt: str, steps: Sequence[str] = ()) -> None:
    """Show a matplotlib figure: SVG and PNG, captioned.

    `alt` says in words what the figure shows, for a reader who cannot see it. `steps`: a sentence
    for each step of a figure that can be seen step by step, such as a sequence chart. The figure
    must have been made as ``Figure(...)``, not through pyplot, which would keep it for ever.
    Raises ValueError when there are not as many sentences as steps, and, where `PROVE_FIGURES` is
    set, when the figure cannot be read.
    """
    metadata = _metadata("figure", label, caption, alt)
    if os.environ.get(PROVE_FIGURES) and (found := proof.problems(fig)):
        raise ValueError(f"{label}: " + "; ".join(found))
    if steps:
        drawn = figures.steps_in(fig)
        if len(steps) != drawn:
            raise ValueError(f"{label}: {len(steps)} sentences for a figure of {drawn} steps")
        metadata["report"] |= {"steps": list(steps)}
    # The salt makes the ids inside the SVG a function of the label: unique on a page, and the same
    # on every run. No date, for the same reason.
    with figures.style(), mpl.rc_context({"svg.hashsalt": label}):
        vector = io.StringIO()
        fig.savefig(vector, format="svg", metadata={"Date": None})
        raster = io.BytesIO()
        fig.savefig(raster, format="png", dpi=fig.dpi * PNG_SCALE)
    svg = _compact(vector.getvalue(), alt)
    encoded = base64.b64encode(raster.getvalue()).decode("ascii")
    width = f"{fig.get_figwidth() * CSS_PIXELS:.0f}px"
    _emit(
        {
            "image/svg+xml": svg,
            "image/png": encoded,
            # In Jupyter the PNG: the words of the SVG need the page's fonts.
            "text/html": _html_figure(label, _html_image(encoded, alt, width), caption, steps),
            "text/plain": alt,
        },
        metadata,
    )


def picture(path: str | Path, *, label: str, caption: str, alt: str) -> None:
    """Show a PNG file, such as a screenshot. Raises OSError or ValueError when it is not there."""
    data = Path(path).read_bytes()
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"{path} is not a PNG file")
    encoded = base64.b64encode(data).decode("ascii")
    image = _html_image(encoded, alt)
    _emit(
        {
            "image/png": encoded,
            "text/html": _html_figure(label, image, caption),
            "text/plain": alt,
        },
        _metadata("figure", label, caption, alt),
    )


def table(
    header: Sequence[object], rows: Iterable[Sequence[object]], *, label: str, caption: str
) -> None:
    """Show a table. Cells are turned into text by `str`; text may hold `code` in back quotes.

    Columns in which every cell is an int or a float are aligned to the right.
    Raises ValueError when a row is not as long as the header.
    """
    body = [list(row) for row in rows]
    for row in body:
        if len(row) != len(header):
            raise ValueError(f"a row of {len(row)} cells under a header of {len(header)}: {row!r}")
    numeric = [
        bool(body) and all(isinstance(row[column], int | float) for row in body)
        for column in range(len(header))
    ]
    names = [str(cell) for cell in header]
    cells = [[str(cell) for cell in row] for row in body]
    _emit(
        {
            "text/markdown": _markdown_table(names, cells, numeric),
            "text/html": _html_table(names, cells, numeric, label, caption),
            "text/plain": "\n".join("\t".join(row) for row in [names, *cells]),
        },
        _metadata("table", label, caption),
    )


def listing(
    what: object,
    *,
    label: str,
    caption: str,
    notes: Mapping[str, str] | None = None,
    documentation: bool = True,
) -> None:
    """Show source code from its file, with the line numbers it has there.

    `what` is one of

    * a function, method, property, class or module;
    * a string ``"chat.core.protocol:DEFAULT_PORT"``: a name assigned at the top level of a module
      (its value alone does not know where it was written), with the comment above it;
    * a pair ``(outer, [inner, ...])``: a class or module of which the bodies of some methods,
      functions or classes are left out, shown as ``...``;
    * a list of the above from one file, shown in the order of the file.

    `notes` stand beside their lines, numbered from the top: a key is a piece of the line that the
    note is about, found in no other line of the listing; the value is the note.

    Without *documentation* the docstrings are left out: an appendix has the code alone.

    Besides the usual metadata there are `file` (relative to the repository), `first_line`,
    `last_line`, `line_numbers`: the number of each line shown, None where lines were left out,
    and `notes`.

    Raises ValueError when the parts come from different files or a note has not exactly one line,
    TypeError when something has no source in Python.
    """
    path, lines = _extract(what)
    if not documentation:
        lines = _without_documentation(ROOT / path, lines)
    placed = _place_notes(label, lines, notes or {})
    code = "\n".join(line.text for line in lines)
    numbers = [line.number for line in lines]
    known = [number for number in numbers if number is not None]
    place = _("{file}, lines {first}–{last}").format(file=path, first=known[0], last=known[-1])
    more: dict[str, Any] = {"notes": [note._asdict() for note in placed]} if placed else {}
    _emit(
        {
            "text/x-python": code,
            "text/html": _html_listing(lines, label, caption, place, placed),
            "text/plain": code,
        },
        _metadata(
            "listing",
            label,
            caption,
            file=path,
            first_line=known[0],
            last_line=known[-1],
            line_numbers=numbers,
            **more,
        ),
    )


def numbers(*entries: tuple[str, str]) -> None:
    """Show the few numbers that tell the most, each with its words: the front page's.

    A number is a text, units included; make it of what was measured, with `figures.number`.
    """
    header, words = [number for number, _what in entries], [what for _number, what in entries]
    cells = "".join(
        f'<div style="flex:1 1 8em"><b style="font-size:180%">{html.escape(number)}</b>'
        f"<br>{_inline(what)}</div>"
        for number, what in entries
    )
    _emit(
        {
            "text/markdown": _markdown_table(header, [words], [False] * len(entries)),
            "text/html": f'<div style="display:flex;flex-wrap:wrap;gap:1em 2em">{cells}</div>',
            "text/plain": "\n".join(f"{number}: {what}" for number, what in entries),
        },
        {
            "report": {
                "kind": "numbers",
                "entries": [{"number": number, "what": what} for number, what in entries],
            }
        },
    )


def prose(markdown: str) -> None:
    """Show a paragraph of Markdown: a sentence with measured numbers in it, made by the run."""
    _emit({"text/markdown": markdown, "text/plain": markdown}, {})


# --- where a listing's lines come from -----------------------------------------------------------


class Line(NamedTuple):
    """One line of a listing; the number is None where it stands for lines left out."""

    number: int | None
    text: str


class Note(NamedTuple):
    """A note to a line of a listing: the line's index from 0, the note's number from 1."""

    line: int
    number: int
    text: str


def _place_notes(label: str, lines: list[Line], notes: Mapping[str, str]) -> list[Note]:
    found = []
    for piece, text in notes.items():
        places = [index for index, line in enumerate(lines) if piece in line.text]
        if len(places) != 1:
            raise ValueError(
                f"{label}: {piece!r} stands in {len(places)} lines of the listing; a note needs one"
            )
        found.append((places[0], text))
    return [Note(line, number, text) for number, (line, text) in enumerate(sorted(found), start=1)]


class Span(NamedTuple):
    """Lines `first` to `last` of a file, both included and counted from 1."""

    file: Path
    first: int
    last: int


def _extract(what: object) -> tuple[str, list[Line]]:
    parts = what if isinstance(what, list) else [what]
    if not parts:
        raise ValueError("a listing of nothing")
    spans: list[Span] = []
    hidden: list[Span] = []
    for part in parts:
        outer, inner = part if isinstance(part, tuple) else (part, [])
        spans.append(_span(outer))
        hidden += [_body(_span(each)) for each in inner]
    files = {span.file for span in spans + hidden}
    if len(files) > 1:
        names = ", ".join(sorted(_relative(file) for file in files))
        raise ValueError(f"one listing cannot take lines from several files: {names}")
    (file,) = files
    return _relative(file), _lines_shown(file, spans, hidden)


def _lines_shown(file: Path, spans: list[Span], hidden: list[Span]) -> list[Line]:
    source = _source(file)
    wanted = {number for span in spans for number in range(span.first, span.last + 1)}
    # Blank lines between two neighbours belong to both: show them rather than a gap.
    for number in sorted(wanted):
        following = number + 1
        while following <= len(source) and not source[following - 1].strip():
            following += 1
        if following in wanted:
            wanted.update(range(number + 1, following))
    starts_hidden = {span.first for span in hidden}
    inside_hidden = {number for span in hidden for number in range(span.first, span.last + 1)}
    margin = _margin([source[number - 1] for number in wanted])

    lines: list[Line] = []
    previous = 0
    for number in sorted(wanted):
        text = source[number - 1]
        if previous and number != previous + 1:
            lines += [Line(None, ""), Line(None, GAP), Line(None, "")]
        previous = number
        if number not in inside_hidden:
            lines.append(Line(number, text[margin:]))
        elif number in starts_hidden:
            indent = len(text) - len(text.lstrip())
            lines.append(Line(None, " " * (indent - margin) + ELIDED))
    return lines


def _without_documentation(file: Path, lines: list[Line]) -> list[Line]:
    """Leave out the docstrings; a body of nothing else becomes ``...``."""
    left_out: set[int] = set()
    elided: set[int] = set()
    for node in ast.walk(ast.parse("\n".join(_source(file)))):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        for statement in filter(_is_string, node.body):
            left_out.update(range(statement.lineno, (statement.end_lineno or 0) + 1))
            if len(node.body) == 1:
                elided.add(statement.lineno)
    kept: list[Line] = []
    for line in lines:
        if line.number in elided:
            indent = len(line.text) - len(line.text.lstrip())
            kept.append(Line(None, " " * indent + ELIDED))
        elif line.number not in left_out and (line.text or (kept and kept[-1].text)):
            kept.append(line)
    # A blank line stands before what begins something; the others stood beside a docstring.
    return [
        line
        for line, after in zip(kept, [*kept[1:], Line(None, "")], strict=True)
        if line.text or after.text.lstrip().startswith(("def ", "class ", "@", "#"))
    ]


def _margin(texts: list[str]) -> int:
    return min((len(text) - len(text.lstrip()) for text in texts if text.strip()), default=0)


def _span(what: object) -> Span:
    if isinstance(what, str):
        return _assignment(what)
    if isinstance(what, ModuleType):
        file = Path(inspect.getsourcefile(what) or "")
        return Span(file, 1, len(_source(file)))
    obj = _callable_inside(what)
    # After an edit the reader must see the file as it is now.
    linecache.checkcache()
    file = Path(inspect.getsourcefile(obj) or "")
    lines, first = inspect.getsourcelines(obj)
    while not lines[-1].strip():
        lines.pop()
    return Span(file, first, first + len(lines) - 1)


def _callable_inside(what: object) -> Any:
    """Reach the function that a property, a partial or a wrapper was made of."""
    if isinstance(what, property):
        what = what.fget
    elif isinstance(what, cached_property | partial):
        what = what.func
    elif isinstance(what, staticmethod | classmethod):
        what = what.__func__
    return inspect.unwrap(what) if callable(what) else what


def _assignment(reference: str) -> Span:
    """Find ``module:NAME``, an assignment at the top level, with its comment and its docstring."""
    module_name, _colon, name = reference.partition(":")
    if not name:
        raise ValueError(f"{reference!r}: write it as 'package.module:NAME'")
    file = Path(inspect.getsourcefile(import_module(module_name)) or "")
    source = _source(file)
    statements = ast.parse("\n".join(source)).body
    for index, statement in enumerate(statements):
        if name not in _assigned_names(statement):
            continue
        first, last = statement.lineno, statement.end_lineno or statement.lineno
        while first > 1 and source[first - 2].startswith("#"):
            first -= 1
        if index + 1 < len(statements) and _is_string(statements[index + 1]):
            last = statements[index + 1].end_lineno or last
        return Span(file, first, last)
    raise ValueError(f"{module_name} assigns no {name} at its top level")


def _assigned_names(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()


def _is_string(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def _body(span: Span) -> Span:
    """Return the lines of a function's or class's body: what is left out when it is elided."""
    for node in ast.walk(ast.parse("\n".join(_source(span.file)))):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and span.first <= node.lineno <= span.last
            and (node.end_lineno or 0) <= span.last
            and node.body[0].lineno > node.lineno
        ):
            return Span(span.file, node.body[0].lineno, node.end_lineno or span.last)
    raise ValueError(
        f"{_relative(span.file)}, lines {span.first}-{span.last}: no body to leave out"
    )


def _source(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def _relative(file: Path) -> str:
    resolved = file.resolve()
    return resolved.relative_to(ROOT).as_posix() if resolved.is_relative_to(ROOT) else resolved.name


# --- HTML and Markdown ---------------------------------------------------------------------------


def _emit(data: dict[str, str], metadata: Mapping[str, object]) -> None:
    publish_display_data(data, metadata=metadata)  # type: ignore[no-untyped-call]


def _metadata(
    kind: str, label: str, caption: str, /, alt: str | None = None, **more: Any
) -> dict[str, dict[str, object]]:
    if not re.fullmatch(LABEL_PREFIXES[kind] + "[a-z0-9-]+", label):
        raise ValueError(
            f"a label of a {kind} looks like {LABEL_PREFIXES[kind]}name, not {label!r}"
        )
    if not caption.strip() or (alt is not None and not alt.strip()):
        raise ValueError(
            f"{label}: the caption and the text for those who cannot see it are needed"
        )
    report: dict[str, object] = {"kind": kind, "label": label, "caption": caption}
    if alt is not None:
        report["alt"] = alt
    return {"report": report | more}


def _inline(text: str) -> str:
    """Escape for HTML and turn `code` into <code>code</code>."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def _html_image(png: str, alt: str, width: str = "auto") -> str:
    return (
        f'<img src="data:image/png;base64,{png}" alt="{html.escape(alt)}" '
        f'style="width:{width};max-width:100%;height:auto">'
    )


def _html_figure(label: str, content: str, caption: str, steps: Sequence[str] = ()) -> str:
    told = "".join(f"<li>{_inline(sentence)}</li>" for sentence in steps)
    return (
        f'<figure id="{label}" style="margin:1em 0">{content}'
        f'<figcaption style="font-size:90%;margin-top:.4em">{_inline(caption)}</figcaption>'
        + (
            f"<details><summary>{_('Step by step')}</summary><ol>{told}</ol></details>"
            if told
            else ""
        )
        + "</figure>"
    )


def _compact(svg: str, alt: str) -> str:
    """Keep the <svg> element alone, with its words for who cannot see it, in fewer digits."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = _LONG_NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt)}"', 1)


def _html_listing(
    lines: list[Line], label: str, caption: str, place: str, notes: list[Note]
) -> str:
    code = "\n".join(line.text for line in lines)
    formatter = HtmlFormatter(nowrap=True, noclasses=True, style="friendly")
    # The lexer keeps leading blank lines only when told to; numbers must not slip.
    colored = highlight(code, PythonLexer(stripnl=False), formatter).splitlines()
    width = max(len(str(line.number or "")) for line in lines)
    marks = {note.line: _mark(note.number) for note in notes}
    numbered = "\n".join(
        '<span style="color:#666;user-select:none">'
        f"{str(line.number or '⋮').rjust(width)}  </span>{text}{marks.get(index, '')}"
        for index, (line, text) in enumerate(zip(lines, colored, strict=True))
    )
    told = "".join(f"<li>{_inline(note.text)}</li>" for note in notes)
    return (
        f'<figure id="{label}" style="margin:1em 0"><div style="display:flex;flex-wrap:wrap">'
        '<pre style="background:#f7f7f7;color:#222;padding:.6em .8em;overflow-x:auto;'
        f'line-height:1.35;flex:1 1 32em;margin:0">{numbered}</pre>'
        + (f'<ol style="flex:1 1 14em;font-size:90%;margin:0">{told}</ol>' if told else "")
        + f'</div><figcaption style="font-size:90%">{_inline(caption)} '
        f"({html.escape(place)})</figcaption></figure>"
    )


def _mark(number: int) -> str:
    return (
        '<b style="background:#1c5d7d;color:#fff;border-radius:1em;padding:0 .45em;'
        f'margin-left:.8em;user-select:none">{number}</b>'
    )


def _html_table(
    header: list[str], rows: list[list[str]], numeric: list[bool], label: str, caption: str
) -> str:
    def row(tag: str, cells: list[str]) -> str:
        aligned = zip(cells, numeric, strict=True)
        return "".join(
            f'<{tag} style="text-align:{"right" if right else "left"}">{_inline(cell)}</{tag}>'
            for cell, right in aligned
        )

    body = "".join(f"<tr>{row('td', cells)}</tr>" for cells in rows)
    return (
        f'<table id="{label}"><caption style="text-align:left">{_inline(caption)}</caption>'
        f"<thead><tr>{row('th', header)}</tr></thead><tbody>{body}</tbody></table>"
    )


def _markdown_table(header: list[str], rows: list[list[str]], numeric: list[bool]) -> str:
    def row(cells: list[str]) -> str:
        escaped = (cell.replace("|", r"\|").replace("\n", " ") for cell in cells)
        return "| " + " | ".join(escaped) + " |"

    rule = "|" + "|".join("---:" if right else ":---" for right in numeric) + "|"
    return "\n".join([row(header), rule, *(row(cells) for cells in rows)])
