"""The way to PDF and DOCX: Markdown in pandoc's dialect, and pandoc, which travels in a wheel.

The dialect differs from ``report.md`` in what a page needs to know: headings, figures,
listings and tables carry their numbers and labels as attributes, and a filter
(``templates/pandoc/report.lua``) turns them into what Typst and Word call by these names.
"""

import io
import json
import re
from pathlib import Path
from typing import Any

from PIL import Image

from chat.app.i18n import gettext as _

from . import gost
from .export import CSS_PIXELS, TEMPLATES, Document, css_size, joined, marked, plain, render
from .markdown import fenced, write_pictures
from .run_pandoc import run

# CommonMark with pandoc's attributes: it reads a notebook's Markdown as Jupyter does. The
# author's quotation marks and dashes are left alone, and «(а)» or «~5» are what they look like.
DIALECT = "commonmark_x-smart-fancy_lists-subscript-superscript-emoji-definition_lists+footnotes"
METADATA = "metadata.json"
"""The file, beside the text, with what is known about the document; its texts are plain."""
TEXT_WIDTH_CM = 16.0
CSS_PIXELS_IN_CM = CSS_PIXELS / 2.54
# A window of eighty columns and its neighbour, 960 pixels together, are as wide as the text;
# a single window keeps that scale, so that the letters of all screens have one size.
SCREEN_PIXELS_IN_CM = 960 / TEXT_WIDTH_CM


def prepare(document: Document, folder: Path) -> None:
    """Write the document for pandoc into *folder*: text, metadata, pictures. Raises GostError."""
    folder.mkdir(parents=True, exist_ok=True)
    if document.paper.form == "gost":
        document = gost.arrange(document)
    pictures = document.merged.pictures
    text = render(
        document,
        "pandoc",
        "index.md.j2",
        fenced=fenced,
        marked=marked,
        plain=plain,
        quoted=lambda text: json.dumps(text, ensure_ascii=False),
        escaped=escaped,
        width=lambda about: f"{width_cm(pictures[about.png], drawn='svg' in about):.2f}cm",
    )
    (folder / "report.md").write_text(text, "utf-8")
    told = _metadata(document)
    (folder / METADATA).write_text(json.dumps(told), "utf-8")
    (folder / "markdown.json").write_text(json.dumps(_as_markdown(told)), "utf-8")
    write_pictures({name: opaque(name, content) for name, content in pictures.items()}, folder)


def metadata(folder: Path) -> dict[str, Any]:
    """Return what :func:`prepare` wrote about the document in *folder*."""
    return dict(json.loads((folder / METADATA).read_text("utf-8")))


def _as_markdown(value: Any) -> Any:
    """Return *value* with all its plain texts as Markdown, which pandoc takes metadata for."""
    match value:
        case dict():
            return {key: _as_markdown(each) for key, each in value.items()}
        case list():
            return [_as_markdown(each) for each in value]
        case str():
            return escaped(value)
    return value


def escaped(text: str) -> str:
    """Return Markdown that reads as the plain *text*, in one line."""
    return re.sub(r"([\\`*_\[\]<>$^~|#!&{}])", r"\\\1", " ".join(text.split()))


def opaque(name: str, content: bytes) -> bytes:
    """Return the picture *content*, if it is a PNG, without transparency.

    A PDF keeps transparency as a second picture. What has it is a drawing or a screen: a palette of
    128 colours holds it without a difference that one sees, in a third of the size.
    """
    if not name.endswith(".png"):
        return content
    with Image.open(io.BytesIO(content)) as picture:
        if not picture.has_transparency_data:
            return content
        visible = picture.convert("RGBA")
        flat = Image.new("RGB", picture.size, "white")
        flat.paste(visible, mask=visible)
    smaller = io.BytesIO()
    small = flat.quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(smaller, "png", optimize=True)
    return smaller.getvalue()


def _metadata(document: Document) -> dict[str, object]:
    page, paper = document.title_page, document.paper
    people = [
        (_("Student"), page.student),
        (_("Group"), page.group),
        (_("Teacher"), page.teacher),
    ]
    contents = _("Contents")
    return {
        "form": paper.form,
        "title": document.title,
        "year": int(found[0] if (found := re.search(r"\d{4}", page.year)) else 2000),
        "lang": {"ru": "ru-RU", "en": "en-GB"}[document.lang],
        "keywords": [
            *[word.strip() for word in paper.keywords.split(",") if word.strip()],
            f"source-digest:{document.digest}",
        ],
        "author": [page.student] if page.student else [],
        "description": joined(". ", page.kind, page.course, page.institution),
        "title-page": {
            "title": document.title,
            "kind": page.kind if page.title else "",
            "institution": page.institution,
            "department": page.department,
            "course": _("Course: {course}").format(course=page.course) if page.course else "",
            "people": [
                {"role": role, "name": name} for role, name in [*people, *document.origin] if name
            ],
            "place": document.place,
        },
        "front": "front" in document.merged.notebook.cells[0].metadata.get("report", {}),
        "contents-title": contents.upper() if paper.form == "gost" else contents,
        "appendix": _("Appendix"),
        "continued-listing": _("Listing {number}, continued"),
        "continued-table": _("Table {number}, continued"),
        "summary": _abstract(document) if paper.form == "gost" and paper.abstract else None,
    }


def _abstract(document: Document) -> dict[str, object]:
    """Return РЕФЕРАТ: its size, which only who counts the pages can finish, words and text."""
    counted = {
        "figures": _("{number} fig."),
        "tables": _("{number} tab."),
        "sources": _("{number} src."),
        "appendices": _("{number} app."),
    }
    sizes = [
        counted[what].format(number=number)
        for what, number in gost.counts(document).items()
        if number
    ]
    before, after = _("Report {pages} p.").split("{pages}")
    return {
        "title": _("Abstract").upper(),
        "before-pages": before.strip(),
        "after-pages": ", ".join([after.strip(), *sizes]),
        "keywords": document.paper.keywords.upper(),
        "paragraphs": [text for text in document.paper.abstract.split("\n\n") if text.strip()],
    }


def convert(folder: Path, output: Path, *options: str) -> None:
    """Turn what :func:`prepare` wrote into *folder* into the file *output*, by its suffix.

    Raises PandocError.
    """
    run(
        folder,
        *("--from", DIALECT, "--wrap=none", "--metadata-file", "markdown.json"),
        *("--lua-filter", str(TEMPLATES / "pandoc" / "report.lua")),
        *("--fail-if-warnings", "--output", str(output.resolve()), *options, "report.md"),
    )


def width_cm(png: bytes, drawn: bool) -> float:
    """Return the width, in centimetres, at which a PNG is shown.

    *drawn*: it is a drawing, and not a picture of a screen. Never more than the width of the
    text.
    """
    with Image.open(io.BytesIO(png)) as picture:
        pixels, _height = css_size(picture)
    return min(pixels / (CSS_PIXELS_IN_CM if drawn else SCREEN_PIXELS_IN_CM), TEXT_WIDTH_CM)
