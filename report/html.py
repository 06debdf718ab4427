"""``report.html``: one file that a browser shows without asking any network for anything.

Formulas are MathML, drawings are inline SVG whose words are text in the page's fonts, photographs
and fonts are data URIs, code is coloured by Pygments. The page works without its script, which
only adds comfort.
"""

import base64
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import markupsafe
from latex2mathml.converter import convert as mathml
from mistune.plugins.table import render_table_cell
from nbconvert.filters import ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from chat.app.i18n import ngettext
from chat.lab.figures import dark

from .export import TEMPLATES, Document, css_size, render
from .merge import Heading

FOLD_LINES = 40
"""A listing longer than this is shown folded…"""
UNFOLDED_LINES = 14
"""… below this many lines of it."""

MAY_WRAP = 60
"""A line of code of more letters may need two lines of the page."""

SHORT_CELL, LONG_CELL = 16, 40
"""A cell of a table with as few letters stays on one line; one with more needs a wide column."""

_MIME = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg"}
_MIME |= {"gif": "image/gif", "webp": "image/webp", "svg": "image/svg+xml", "woff2": "font/woff2"}
_COLORS_PLACE = "/* colours of the drawings */"
_COLOR = re.compile(r"(?<=[: \"])#[0-9a-fA-F]{6}(?=[;\"])")
_TOKEN = re.compile(r'<span class="(\w+)">([^<]*)</span>')
# The short names of Pygments' tokens that the style sheet has a colour for.
_COLORED = {"k", "kd", "kn", "kr", "ow", "kc", "m", "mi", "mf", "mh", "mb", "mo"}
_COLORED |= {"s", "s1", "s2", "sa", "sb", "se", "si", "sd", "sr", "c", "c1", "cm", "ch"}
_COLORED |= {"gp", "nf", "nc", "fm", "nd", "ne"}
_NOTED = re.compile(r'<table.*?</table>|<a href="#(?P<target>(?:src|term)-\d+)">.*?</a>', re.DOTALL)
_SHORT = re.compile(r"\s*(?://|URL:|– URL).*", re.DOTALL)


def write(document: Document, path: Path) -> None:
    """Write *document* to the file *path* as a self-contained page."""
    page = _Page(document)
    text = render(
        document,
        "html",
        "index.html.j2",
        prose=page.prose,
        noted_prose=page.noted_prose,
        inline=page.inline,
        title=page.title,
        code_lines=code_lines,
        listing=listing,
        picture=page.figure,
        terminal=ansi2html,
        is_html=lambda data: "text/html" in data,
        nested=nested,
        tells_something=tells_something,
        file_uri=file_uri,
    )
    path.write_text(text.replace(_COLORS_PLACE, page.colors.css()), "utf-8")


class _Renderer(IPythonRenderer):
    """nbconvert's Markdown with formulas in MathML and pictures inside the page."""

    def __init__(self, pictures: dict[str, bytes]) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)
        self._pictures = pictures

    def block_math(self, body: str) -> str:
        return _display(body)

    def inline_math(self, body: str) -> str:
        return mathml(body.strip())

    def latex_environment(self, name: str, body: str) -> str:
        return _display(f"\\begin{{{name}}}{body}\\end{{{name}}}")

    def block_code(self, code_text: str, info: str | None = None) -> str:
        language = (info or "").split(maxsplit=1)[:1]
        return f'<pre class="code"><code>{code_lines(code_text.rstrip(), *language)}</code></pre>\n'

    def block_mermaidjs(self, code: str) -> str:
        return self.block_code(code)

    def table(self, text: str) -> str:
        return _scrolling(f"<table>\n{text}</table>\n")

    def table_cell(self, text: str, **about: Any) -> str:
        """Return a cell that says whether it is a word or two, or a sentence."""
        letters = len(_plain(text))
        kind = "short" if letters <= SHORT_CELL else "long" if letters > LONG_CELL else ""
        cell = render_table_cell(self, text, **about)
        return cell.replace("<td", f'<td class="{kind}"', 1) if kind else cell

    def image(self, text: str, url: str, title: str | None = None) -> str:
        if url in self._pictures:
            return photograph(url, self._pictures[url], text)
        return super().image(text, url, title)


class _Page:
    """The filters of the template that need to know the whole document."""

    def __init__(self, document: Document) -> None:
        self._pictures = document.merged.pictures
        self.colors = Colors()
        self._notes = dict(self._found_notes(document))
        self._noted: set[str] = set()

    def _found_notes(self, document: Document) -> Iterator[tuple[str, str]]:
        """Yield what stands in the margin beside a link to each source and word of the glossary."""
        for cell in document.merged.notebook.cells:
            about = cell.metadata.report
            if about.kind == "sources":
                for number, entry in enumerate(about.entries, start=1):
                    short = _SHORT.sub("", entry)
                    yield f"src-{number}", f"<b>{number}</b> {self.inline(short)}"
            elif about.kind == "glossary":
                for entry in about.entries:
                    term = self.inline(entry.term)
                    yield entry.anchor, f"<b>{term}</b> – {self.inline(entry.definition)}"

    def prose(self, source: str) -> str:
        """Return Markdown as HTML."""
        return str(MarkdownWithMath(renderer=_Renderer(self._pictures)).render(source))

    def noted_prose(self, source: str) -> str:
        """Return Markdown as HTML, with a note in the margin for what it is the first to name."""

        def note(match: re.Match[str]) -> str:
            target = match["target"]
            if target not in self._notes or target in self._noted:
                return match[0]
            self._noted.add(target)
            # The same stands in the list of sources, and in the glossary, for who listens.
            inside = re.sub(r"</?a\b[^>]*>", "", self._notes[target])
            return f'{match[0]}<span class="sidenote" aria-hidden="true">{inside}</span>'

        return _NOTED.sub(note, self.prose(source))

    def title(self, source: str, level: int) -> str:
        """Return a heading as HTML; notes in the margin begin anew with each section."""
        if level <= 2:
            self._noted.clear()
        return self.inline(source)

    def inline(self, source: str) -> str:
        """Return one line of Markdown (a heading, a caption) as HTML without a paragraph."""
        return self.prose(source).strip().removeprefix("<p>").removesuffix("</p>")

    def figure(self, about: NotebookNode) -> str:
        """Return the picture of a captioned output: SVG inline, anything else as an image."""
        if name := about.get("svg"):
            drawing = inline_svg(self._pictures[name].decode(), about.label, about.alt)
            return self.colors.replace(drawing)
        return photograph(about.png, self._pictures[about.png], about.alt)


class Colors:
    """The colours of the drawings, each a variable that is another one on a dark page."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def replace(self, svg: str) -> str:
        """Return *svg* with its colours replaced by variables."""
        return _COLOR.sub(lambda color: f"var({self._name(color[0].lower())})", svg)

    def _name(self, color: str) -> str:
        return self._names.setdefault(color, f"--d{len(self._names)}")

    def css(self) -> str:
        """Return what gives the variables their values."""
        # White is paper, of whatever colour the page's is.
        paper = {"#ffffff": "var(--paper)"}
        day = " ".join(f"{name}: {paper.get(color, color)};" for color, name in self._names.items())
        night = " ".join(
            f"{name}: {paper.get(color, dark(color))};" for color, name in self._names.items()
        )
        return (
            f":root {{ {day} }}\n"
            f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {night} }} }}"
        )


def tells_something(cell: NotebookNode) -> bool:
    """Whether the hidden code of *cell* does more than show a listing or a picture file."""
    kinds = [output.get("metadata", {}).get("report", {}) for output in cell.outputs]
    shows_files = kinds and all(
        about.get("kind") == "listing" or (about.get("kind") == "figure" and "svg" not in about)
        for about in kinds
    )
    return bool(cell.metadata.report.hidden and not shows_files)


def nested(headings: Sequence[Heading], deepest: int) -> Iterator[tuple[Heading, bool, int]]:
    """Yield each heading down to a level, whether a list opens below it, and how many end there."""
    shown = [heading for heading in headings if heading.level <= deepest]
    open_levels: list[int] = []
    for heading, following in zip(shown, [*(each.level for each in shown[1:]), 0], strict=True):
        opens = following > heading.level
        if opens:
            open_levels.append(heading.level)
        closes = 0
        while open_levels and open_levels[-1] >= following:
            open_levels.pop()
            closes += 1
        yield heading, opens, closes


def _display(latex: str) -> str:
    return mathml(latex.strip(), display="block")


def data_uri(name: str, content: bytes) -> str:
    """Return the picture *content* as an address that needs no network."""
    mime = _MIME[name.rpartition(".")[2].lower()]
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def file_uri(name: str) -> str:
    """Return a file of the page's templates as an address that needs no network."""
    return data_uri(name, (TEMPLATES / "html" / name).read_bytes())


def photograph(name: str, content: bytes, alt: str) -> str:
    """Return a picture as an element.

    A PNG becomes WebP, which loses nothing and takes half the room.
    """
    size = ""
    if name.endswith(".png"):
        with Image.open(io.BytesIO(content)) as image:
            size = ' width="{}" height="{}"'.format(*css_size(image))
            packed = io.BytesIO()
            image.save(packed, "webp", lossless=True, quality=100, method=6)
        if packed.tell() < len(content):
            name, content = f"{name}.webp", packed.getvalue()
    return (
        f'<img src="{data_uri(name, content)}" alt="{markupsafe.escape(alt)}"{size}'
        ' decoding="async">'
    )


def inline_svg(svg: str, label: str, alt: str) -> str:
    """Return an SVG file as an element of a page.

    Identifiers get the *label* in front, because those of two drawings on one page may
    coincide; the declaration and the metadata go; *alt* is what a screen reader says.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<defs>\s*</defs>", "", svg)
    # The page says in which font; whether letters are all of one width is the drawing's.
    svg = re.sub(
        r'(<text) (style="[^"]*?)font-family: \'JetBrains Mono\'[^;"]*;? ?',
        r'\1 class="mono" \2',
        svg,
    )
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r"\s*\n\s*", " ", svg).replace("> <", "><").replace(' z "', ' z"')
    names: dict[str, str] = {}
    for match in re.finditer(r'\bid="([^"]+)"', svg):
        # The steps of a sequence keep their numbers, for who wants to see them one by one.
        part = match[1] if match[1].startswith("step-") else len(names) + 1
        names.setdefault(match[1], f"{label}-{part}")
    references = r'(\bid="|href="#|url\(["\']?#)([^"\')]+)'
    svg = re.sub(references, lambda match: match[1] + names.get(match[2], match[2]), svg)
    root, rest = svg.split(">", 1)
    root = re.sub(r'\s(role|aria-label|style|version|xmlns(:xlink)?)="[^"]*"', "", root)
    return f'{root} role="img" aria-label="{markupsafe.escape(alt)}">{rest}'


def code(source: str, language: str = "python") -> str:
    """Return *source* coloured: HTML to be put inside ``<code>``."""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return str(markupsafe.escape(source))
    colored = highlight(source, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    return _TOKEN.sub(lambda token: token[0] if token[1] in _COLORED else token[2], colored)


def code_lines(source: str, language: str = "python") -> str:
    """Return *source* coloured, each line an element: a long one goes on under itself."""
    lines = code(source, language).split("\n")
    return "".join(f'<span class="line"{_depth(line)}>{line}\n</span>' for line in lines)


def _depth(line: str) -> str:
    """Return the attribute that says how far in a line begins, for one that may not fit."""
    text = _plain(line)
    depth = len(text) - len(text.lstrip())
    return f' style="--in: {depth}"' if depth and len(text) > MAY_WRAP else ""


def listing(source: str, numbers: list[int | None], notes: Sequence[NotebookNode] = ()) -> str:
    """Return a listing with numbered lines; a long one shows its beginning and folds the rest.

    *numbers*: that of each line, None for a line that stands for others left out. A listing with
    *notes* is not folded: the lines that they speak of have to be seen.
    """
    # Neither the number of a line nor that of a note is text, which somebody may want to copy.
    marks = {note.line: f'<b class="mark" data-mark="{note.number}"></b>' for note in notes}
    # Pygments closes its elements at the end of every line, so that a line stands by itself.
    lines = [
        f'<span class="line" data-n="{number or ""}"{_depth(line)}>'
        f"{line}{marks.get(index, '')}\n</span>"
        for index, (number, line) in enumerate(zip(numbers, code(source).split("\n"), strict=True))
    ]
    if notes or len(lines) <= FOLD_LINES:
        return _numbered(lines)
    rest = len(lines) - UNFOLDED_LINES
    more = ngettext("{count} more line", "{count} more lines", rest).format(count=rest)
    return (
        f"{_numbered(lines[:UNFOLDED_LINES])}<details><summary><span>{more}</span></summary>"
        f"{_numbered(lines[UNFOLDED_LINES:])}</details>"
    )


def _numbered(lines: list[str]) -> str:
    return f'<pre class="code numbered"><code>{"".join(lines)}</code></pre>'


def _plain(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def _scrolling(html: str) -> str:
    # What is wider than the page scrolls by itself.
    return f'<div class="scroll">\n{html}</div>\n'
