"""The merged notebook through a Jinja template: what every format begins with."""

import dataclasses
import re
import textwrap
from pathlib import Path
from typing import Any

from nbconvert.exporters import TemplateExporter
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode
from PIL import Image

from chat.app.i18n import gettext as _

from .digest import UNCOMMITTED
from .merge import Heading, Merged
from .original import Changes
from .settings import Paper, TitlePage

WORDS_A_MINUTE = 200
CSS_PIXELS = 96  # in an inch
TEMPLATES = Path(__file__).parent / "templates"
OTHER_EDITION = {"ru": "По-русски", "en": "In English"}
"""How a link to an edition is called, for who reads that language."""


@dataclasses.dataclass(frozen=True)
class Document:
    """All that is known about the report before it takes the shape of some format."""

    merged: Merged
    title_page: TitlePage
    lang: str
    digest: str
    changes: Changes
    """What is not as in the original."""

    others: tuple[str, ...] = ()
    """The languages in which there is this report too."""

    version: str = ""
    """Which version of the sources it was built from; empty: nobody knows."""

    paper: Paper = dataclasses.field(default_factory=Paper)
    """What only PDF and DOCX are told."""

    @property
    def origin(self) -> list[tuple[str, str]]:
        """The lines of the title page about what it was built from: a word, and what it says."""
        version = self.version
        if version.endswith(UNCOMMITTED):
            version = _("{version} and changes that are not committed").format(
                version=version.removesuffix(UNCOMMITTED)
            )
        lines = [(_("Version"), version), *self.changes.sentences()]
        return [(word, value) for word, value in lines if value]

    @property
    def headings(self) -> list[Heading]:
        """The lines of the contents."""
        return self.merged.headings

    @property
    def place(self) -> str:
        """Where and when: «Москва, 2026»."""
        return joined(", ", self.title_page.city, self.title_page.year)

    @property
    def minutes(self) -> dict[str, int]:
        """How long it takes to read each part, by its anchor."""
        words: dict[str, int] = {}
        part = ""
        for cell in self.merged.notebook.cells:
            about = cell.metadata.report
            if about.kind == "heading" and about.level == 1:
                part = about.anchor
            words[part] = words.get(part, 0) + len(_prose_of(cell).split())
        return {part: max(1, round(count / WORDS_A_MINUTE)) for part, count in words.items()}

    @property
    def description(self) -> str:
        """The beginning of the front page, for a search engine or a messenger; or the title."""
        for cell in self.merged.notebook.cells:
            if cell.cell_type == "markdown" and cell.metadata.report.get("front"):
                text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell.source)
                return textwrap.shorten(re.sub(r"[`*_]", "", text), 200, placeholder="…")
        return self.title

    @property
    def title(self) -> str:
        """What stands in a window's title bar: the subject, or at least the kind of work."""
        return self.title_page.title or self.title_page.kind or _("Report")


def _prose_of(cell: NotebookNode) -> str:
    about = cell.metadata.report
    match about.kind:
        case "prediction":
            return " ".join([about.question, *about.choices.values(), about.why])
        case "code":
            return " ".join(
                output.get("data", {}).get("text/markdown", "") for output in cell.outputs
            )
    return str(cell.source)


def render(document: Document, folder: str, template: str, **filters: Any) -> str:
    """Return the document written by ``templates/<folder>/<template>``.

    The template gets ``nb``, ``resources.document``, ``resources.title_lines``,
    ``resources.words``, ``resources.others`` (language and the words of a link), nbconvert's
    filters and *filters*.
    """
    exporter = TemplateExporter(  # type: ignore[no-untyped-call]
        template_name=folder,
        template_file=template,
        extra_template_basedirs=[str(TEMPLATES)],
        template_data_paths=[],
        filters=filters,
    )
    text, _resources = exporter.from_notebook_node(
        document.merged.notebook,
        resources={
            "document": document,
            "words": words(),
            "title_lines": _title_lines(document),
            "others": [(lang, OTHER_EDITION[lang]) for lang in document.others],
        },
    )
    return str(text)


def marked(about: NotebookNode, source: str) -> str:
    """Return the listing *source* with the number of each of its notes as a comment: ``# ①``."""
    lines = source.split("\n")
    for note in about.get("notes", []):
        lines[note.line] += f"  # {chr(0x245F + note.number)}"
    return "\n".join(lines)


def plain(text: str) -> str:
    """Return what a program wrote for a terminal without its colours."""
    return str(strip_ansi(text))  # type: ignore[no-untyped-call]


def words() -> dict[str, str]:
    """Return the words that the formats have around the text, in the language of the report."""
    return {
        "contents": _("Contents"),
        "skip": _("Skip to the text"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "by_steps": _("Step by step"),
        "search": _("Search"),
        "nothing_found": _("Nothing was found."),
        "minutes": _("{n} min"),
        "notebooks": _("Notebooks"),
        "notebook": _("The notebook of this part"),
        "permalink": _("Link to this place"),
        "appendix": _("Appendix"),
        "hidden_code": _("Code of this cell"),
        "enlarge": _("Enlarge"),
        "close": _("Close"),
        "go": _("Go there"),
        "up": _("To the beginning"),
        "back": _("Back"),
        "next": _("Next"),
        "all": _("All at once"),
        "step": _("Step {n} of {all}"),
        "answer": _("Answer"),
        "answer_to": _("Answer to question {n}"),
        "question": _("Question {n}"),
        "right": _("Right"),
        "wrong": _("No"),
        "fonts": _("Set in {fonts} (SIL Open Font License 1.1).").format(
            fonts="Vollkorn, Noto Sans, JetBrains Mono"
        ),
    }


def _title_lines(document: Document) -> list[tuple[str, str]]:
    """Return the lines of the title page below the title: what it is, and who."""
    page = document.title_page
    lines = [
        (_("Institution"), joined(" · ", page.institution, page.department)),
        (_("Course"), page.course),
        (_("Student"), page.student),
        (_("Group"), page.group),
        (_("Teacher"), page.teacher),
        *document.origin,
    ]
    return [(what, value) for what, value in lines if value]


def css_size(picture: Image.Image) -> tuple[int, int]:
    """Return the width and height of *picture* on a page, in CSS pixels, 96 to an inch.

    A file that does not tell its density was made at double that of the page.
    """
    across, down = picture.info.get("dpi", (2 * CSS_PIXELS, 2 * CSS_PIXELS))
    return round(picture.width * CSS_PIXELS / across), round(picture.height * CSS_PIXELS / down)


def joined(separator: str, *parts: str) -> str:
    """Return those of *parts* that are not empty with *separator* between them."""
    return separator.join(part for part in parts if part)
