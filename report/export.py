"""The merged notebook through a Jinja template: what every format begins with."""

import dataclasses
from pathlib import Path
from typing import Any

from nbconvert.exporters import TemplateExporter
from nbconvert.filters import strip_ansi

from chat.app.i18n import gettext as _

from .digest import UNCOMMITTED
from .merge import Heading, Merged
from .original import Changes
from .settings import TitlePage

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
    def title(self) -> str:
        """What stands in a window's title bar: the subject, or at least the kind of work."""
        return self.title_page.title or self.title_page.kind or _("Report")


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
            "words": _words(),
            "title_lines": _title_lines(document),
            "others": [(lang, OTHER_EDITION[lang]) for lang in document.others],
        },
    )
    return str(text)


def plain(text: str) -> str:
    """Return what a program wrote for a terminal without its colours."""
    return str(strip_ansi(text))  # type: ignore[no-untyped-call]


def _words() -> dict[str, str]:
    return {
        "contents": _("Contents"),
        "skip": _("Skip to the text"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "by_steps": _("Step by step"),
        "back": _("Back"),
        "next": _("Next"),
        "all": _("All at once"),
        "step": _("Step {n} of {all}"),
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


def joined(separator: str, *parts: str) -> str:
    """Return those of *parts* that are not empty with *separator* between them."""
    return separator.join(part for part in parts if part)
