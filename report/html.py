"""``report.html``: one file that a browser shows without asking any network for anything.

Formulas are MathML, drawings are inline SVG, photographs and fonts are data URIs, code is coloured
by Pygments. The page works without its script, which only adds comfort: the contents follow the
reader, code is copied by a click, and drawings of a sequence can be seen step by step.
"""

import base64
import re
from collections.abc import Sequence
from pathlib import Path

import markupsafe
from latex2mathml.converter import convert as mathml
from nbconvert.filters import ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from chat.app.i18n import ngettext

from .export import TEMPLATES, Document, render

FOLD_LINES = 40
"""A listing longer than this is shown folded…"""
UNFOLDED_LINES = 14
"""… below this many lines of it."""

_MIME = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg"}
_MIME |= {"gif": "image/gif", "webp": "image/webp", "svg": "image/svg+xml", "woff2": "font/woff2"}


def write(document: Document, path: Path) -> None:
    """Write *document* to the file *path* as a self-contained page."""
    page = _Page(document.merged.pictures)
    text = render(
        document,
        "html",
        "index.html.j2",
        prose=page.prose,
        inline=page.inline,
        code=code,
        listing=listing,
        picture=page.figure,
        terminal=ansi2html,
        is_html=lambda data: "text/html" in data,
        font=font,
    )
    path.write_text(text, "utf-8")


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
        return f'<pre class="code" tabindex="0"><code>{code(code_text, *language)}</code></pre>\n'

    def block_mermaidjs(self, code: str) -> str:
        return self.block_code(code)

    def table(self, text: str) -> str:
        return _scrolling(f"<table>\n{text}</table>\n")

    def image(self, text: str, url: str, title: str | None = None) -> str:
        if url in self._pictures:
            url = data_uri(url, self._pictures[url])
        return super().image(text, url, title)


class _Page:
    """The filters of the template that need to know the document's pictures."""

    def __init__(self, pictures: dict[str, bytes]) -> None:
        self._pictures = pictures

    def prose(self, source: str) -> str:
        """Return Markdown as HTML."""
        return str(MarkdownWithMath(renderer=_Renderer(self._pictures)).render(source))

    def inline(self, source: str) -> str:
        """Return one line of Markdown (a heading, a caption) as HTML without a paragraph."""
        return self.prose(source).strip().removeprefix("<p>").removesuffix("</p>")

    def figure(self, about: NotebookNode) -> str:
        """Return the picture of a captioned output: SVG inline, anything else as an image."""
        if name := about.get("svg"):
            return inline_svg(self._pictures[name].decode(), about.label, about.alt)
        width = css_width(self._pictures[about.png])
        return (
            f'<img src="{data_uri(about.png, self._pictures[about.png])}"'
            f' alt="{markupsafe.escape(about.alt)}" style="width:{width}px">'
        )


def _display(latex: str) -> str:
    # A wide formula scrolls by itself; with a tab index, from the keyboard too.
    return mathml(latex.strip(), display="block").replace("<math", '<math tabindex="0"', 1)


def data_uri(name: str, content: bytes) -> str:
    """Return the picture *content* as an address that needs no network."""
    mime = _MIME[name.rpartition(".")[2].lower()]
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def font(name: str) -> str:
    """Return a font of ours as an address that needs no network."""
    return data_uri(f"{name}.woff2", (TEMPLATES / "html" / "fonts" / f"{name}.woff2").read_bytes())


def css_width(png: bytes) -> int:
    """Return how wide, in CSS pixels, a picture drawn at double density should be shown."""
    width = int.from_bytes(png[16:20])  # PNG specification, 11.2.1: IHDR comes first
    return width // 2


def inline_svg(svg: str, label: str, alt: str) -> str:
    """Return an SVG file as an element of a page.

    Identifiers get the *label* in front, because those of two drawings on one page may
    coincide; the declaration and the metadata go; *alt* is what a screen reader says.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    names: dict[str, str] = {}
    for match in re.finditer(r'\bid="([^"]+)"', svg):
        # The steps of a sequence keep their numbers, for who wants to see them one by one.
        part = match[1] if match[1].startswith("step-") else len(names) + 1
        names.setdefault(match[1], f"{label}-{part}")
    references = r'(\bid="|href="#|url\(["\']?#)([^"\')]+)'
    svg = re.sub(references, lambda match: match[1] + names.get(match[2], match[2]), svg)
    root, rest = svg.split(">", 1)
    root = re.sub(r'\s(role|aria-label|style)="[^"]*"', "", root)
    return f'{root} role="img" aria-label="{markupsafe.escape(alt)}">{rest}'


def code(source: str, language: str = "python") -> str:
    """Return *source* coloured: HTML to be put inside ``<code>``."""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return str(markupsafe.escape(source))
    return highlight(source, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")


def listing(source: str, numbers: list[int | None], notes: Sequence[NotebookNode] = ()) -> str:
    """Return a listing with numbered lines; a long one shows its beginning and folds the rest.

    *numbers*: that of each line, None for a line that stands for others left out. A listing with
    *notes* is not folded: the lines that they speak of have to be seen.
    """
    # Neither the number of a line nor that of a note is text, which somebody may want to copy.
    marks = {note.line: f'<b class="mark" data-mark="{note.number}"></b>' for note in notes}
    # Pygments closes its elements at the end of every line, so that a line stands by itself.
    lines = [
        f'<span class="line" data-n="{number or ""}">{line}{marks.get(index, "")}\n</span>'
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
    return f'<pre class="code numbered" tabindex="0"><code>{"".join(lines)}</code></pre>'


def _scrolling(html: str) -> str:
    # What is wider than the page scrolls by itself, from the keyboard too.
    return f'<div class="scroll" tabindex="0" role="group">\n{html}</div>\n'
