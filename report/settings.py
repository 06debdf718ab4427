"""``report/report.toml``: what a student writes on the title page."""

import dataclasses
import datetime
import re
import tomllib
from pathlib import Path

from chat.app.i18n import gettext as _

from . import ReportError


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


def load(path: Path, lang: str) -> TitlePage:
    """Read the title page from the TOML file *path*, with what it says of an edition in *lang*.

    Raises SettingsError for a file that is not TOML, a key that is not known, or a value
    that is neither a string nor a number.
    """
    try:
        with path.open("rb") as file:
            table = dict(tomllib.load(file).get("title_page", {}))
    except OSError as error:
        raise SettingsError(
            _("{file} cannot be read: {reason}").format(file=path, reason=error.strerror)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(_not_toml(path, error)) from error
    # A table inside, [title_page.en], is for that edition.
    editions = {name: table.pop(name) for name in list(table) if isinstance(table[name], dict)}
    table |= editions.get(lang, {})
    known = [field.name for field in dataclasses.fields(TitlePage)]
    for key, value in table.items():
        if key not in known:
            raise SettingsError(
                _("{file}: the title page has no line “{key}”; it has: {known}.").format(
                    file=path, key=key, known=", ".join(known)
                )
            )
        if not isinstance(value, str | int):
            raise SettingsError(
                _('{file}: {key} must be words in quotation marks: {key} = "…"').format(
                    file=path, key=key
                )
            )
    values = {key: str(value).strip() for key, value in table.items()}
    values["year"] = values.get("year") or str(datetime.datetime.now().astimezone().year)
    return TitlePage(**values)


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
