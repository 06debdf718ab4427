"""The way to PDF and DOCX: Markdown in pandoc's dialect, and pandoc, which travels in a wheel.

The dialect differs from ``report.md`` in what a page needs to know: headings, figures,
listings and tables carry their numbers and labels as attributes, and a filter
(``templates/pandoc/report.lua``) turns them into what Typst and Word call by these names.
"""

import json
from pathlib import Path

from chat.app.i18n import gettext as _

from .export import TEMPLATES, Document, plain, render
from .markdown import fenced, write_pictures
from .run_pandoc import run

# CommonMark with pandoc's attributes: it reads a notebook's Markdown as Jupyter does. The
# author's quotation marks and dashes are left alone.
DIALECT = "commonmark_x-smart+footnotes"
TEXT_WIDTH_CM = 16.0
CSS_PIXELS_IN_CM = 96 / 2.54
# A window of eighty columns and its neighbour, 960 pixels together, are as wide as the text;
# a single window keeps that scale, so that the letters of all screens have one size.
SCREEN_PIXELS_IN_CM = 960 / TEXT_WIDTH_CM


def prepare(document: Document, folder: Path) -> None:
    """Write the document for pandoc into *folder*: text, metadata, pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = document.merged.pictures
    text = render(
        document,
        "pandoc",
        "index.md.j2",
        fenced=fenced,
        plain=plain,
        quoted=lambda text: json.dumps(text, ensure_ascii=False),
        width=lambda about: f"{width_cm(pictures[about.png], drawn='svg' in about):.2f}cm",
    )
    (folder / "report.md").write_text(text, "utf-8")
    (folder / "metadata.json").write_text(json.dumps(_metadata(document)), "utf-8")
    write_pictures(pictures, folder)


def _metadata(document: Document) -> dict[str, object]:
    page = document.title_page
    people = [
        (_("Student"), page.student),
        (_("Group"), page.group),
        (_("Teacher"), page.teacher),
    ]
    return {
        "title": document.title,
        "lang": {"ru": "ru-RU", "en": "en-GB"}[document.lang],
        "keywords": [f"source-digest:{document.digest}"],
        "author": [page.student] if page.student else [],
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
        "contents-title": _("Contents"),
    }


def convert(folder: Path, output: Path, *options: str) -> None:
    """Turn what :func:`prepare` wrote into *folder* into the file *output*, by its suffix.

    Raises PandocError.
    """
    run(
        folder,
        *("--from", DIALECT, "--wrap=none", "--metadata-file", "metadata.json"),
        *("--lua-filter", str(TEMPLATES / "pandoc" / "report.lua")),
        *("--fail-if-warnings", "--output", str(output.resolve()), *options, "report.md"),
    )


def width_cm(png: bytes, drawn: bool) -> float:
    """Return the width, in centimetres, at which a PNG made at double density is shown.

    *drawn*: it is a drawing, and not a picture of a screen. Never more than the width of the
    text.
    """
    pixels = int.from_bytes(png[16:20]) / 2  # PNG specification, 11.2.1: IHDR comes first
    return min(pixels / (CSS_PIXELS_IN_CM if drawn else SCREEN_PIXELS_IN_CM), TEXT_WIDTH_CM)
