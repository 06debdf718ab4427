"""``report/report.toml``: what a student writes on the title page, and the form of the paper."""

import dataclasses
import datetime
import re
import tomllib
from pathlib import Path
from typing import Any

from chat.app.i18n import gettext as _

from . import ReportError

FORMS = ("book", "gost")
"""How PDF and DOCX are set: as a book, or as GOST 7.32-2017 wants a report."""


class SettingsError(ReportError):
    """The settings file cannot be read; the message says where and why."""


@dataclasses.dataclass(frozen=True)
class TitlePage:
    """The lines of the title page. An empty line is left out of the page."""

    title: str = ""
    """The subject of the work; empty: the title is the kind of work alone."""
    kind: str = ""
    """«Отчёт по курсовой работе» or whatever the course calls it."""
    institution: str = ""
    department: str = ""
    course: str = ""
    student: str = ""
    group: str = ""
    teacher: str = ""
    city: str = ""
    year: str = ""
    """Four digits; empty: the year in which the report is built."""


@dataclasses.dataclass(frozen=True)
class Paper:
    """What PDF and DOCX look like, and what only the form of GOST has."""

    form: str = FORMS[0]
    abstract: str = ""
    """The text of РЕФЕРАТ; empty: there is none."""
    keywords: str = ""
    """From 5 to 15 words in the nominative, separated by commas."""


def load(path: Path, lang: str) -> TitlePage:
    """Read the title page from the TOML file *path*, with what it says of an edition in *lang*.

    Raises SettingsError for a file that is not TOML, a key that is not known, or a value
    that is neither a string nor a number.
    """
    values = _section(path, _read(path), "title_page", lang, TitlePage)
    values["year"] = values.get("year") or str(datetime.datetime.now().astimezone().year)
    return TitlePage(**values)


def load_paper(path: Path, lang: str, form: str = "") -> Paper:
    """Read the form of the paper from the TOML file *path*; *form*, if not empty, has priority.

    Raises SettingsError as :func:`load` does, and for a form that is not one of FORMS.
    """
    table = _read(path)
    chosen = form or table.get("format", FORMS[0])
    if chosen not in FORMS:
        raise SettingsError(
            _("{file}: format = {format}? Write one of: {known}").format(
                file=path, format=repr(chosen), known=", ".join(FORMS)
            )
        )
    values = _section(path, table, "abstract", lang, Paper)
    return Paper(**values | {"form": chosen})


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(
            _("{file} cannot be read: {reason}").format(file=path, reason=error.strerror)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(_not_toml(path, error)) from error


def _section(
    path: Path, whole: dict[str, Any], name: str, lang: str, kind: type[TitlePage | Paper]
) -> dict[str, str]:
    """Return the texts below [*name*], those of [name.lang] before the common ones."""
    table = dict(whole.get(name, {}))
    # A table inside, [title_page.en], is for that edition.
    editions = {key: table.pop(key) for key in list(table) if isinstance(table[key], dict)}
    table |= editions.get(lang, {})
    known = [field.name for field in dataclasses.fields(kind) if field.name != "form"]
    for key, value in table.items():
        if key not in known:
            raise SettingsError(
                _("{file}: [{part}] has no line “{key}”; it has: {known}.").format(
                    file=path, part=name, key=key, known=", ".join(known)
                )
            )
        if not isinstance(value, str | int):
            raise SettingsError(
                _('{file}: {key} must be words in quotation marks: {key} = "…"').format(
                    file=path, key=key
                )
            )
    return {key: str(value).strip() for key, value in table.items()}


def _not_toml(path: Path, error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return _("{file} must be saved in the encoding UTF-8.").format(file=path)
    lines = path.read_text("utf-8").splitlines()
    place = re.search(r"line (\d+)", str(error))
    number = min(int(place[1]), len(lines)) if place else len(lines)
    return _(
        "In line {number} of {file} something is written otherwise than TOML wants it: {line}\n"
        'Words stand in straight quotation marks: student = "Ivanova A." '
        "Quotation marks inside of them are those of print: «…»."
    ).format(number=number, file=path, line=lines[number - 1].strip() if lines else "")
