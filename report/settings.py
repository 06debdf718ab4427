"""``report/report.toml``: what a student writes on the title page."""

import dataclasses
import datetime
import tomllib
from pathlib import Path

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
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    # A table inside, [title_page.en], is for that edition.
    editions = {name: table.pop(name) for name in list(table) if isinstance(table[name], dict)}
    table |= editions.get(lang, {})
    known = [field.name for field in dataclasses.fields(TitlePage)]
    for key, value in table.items():
        if key not in known:
            raise SettingsError(f"{path}: [title_page] {key}? {', '.join(known)}")
        if not isinstance(value, str | int):
            raise SettingsError(f"{path}: [title_page] {key} = {value!r}")
    values = {key: str(value).strip() for key, value in table.items()}
    values["year"] = values.get("year") or str(datetime.datetime.now().astimezone().year)
    return TitlePage(**values)
