"""Keeps the catalogues in step with the code: ``python -m chat.app.locale``.

Extracts the sentences, merges them into every catalogue, and compiles these. Says which
sentences have no translation yet, and ends with status 1 when there are any.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from chat.app.i18n import mark

ARGPARSE = (
    mark("usage: "),
    mark("options"),
    mark("positional arguments"),
    mark("show this help message and exit"),
    mark("argument %(argument_name)s: %(message)s"),
    mark("invalid choice: %(value)r (choose from %(choices)s)"),
    mark("unrecognized arguments: %s"),
    mark("expected one argument"),
    mark("ambiguous option: %(option)s could match %(matches)s"),
    mark("ignored explicit argument %r"),
)
"""What `argparse` says: it looks its sentences up in our catalogue."""

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("chat", "report", "screenshots", "tests")
DOMAIN = "chat"


def template() -> Catalog:
    """Return a catalogue of all sentences in the code, without translations."""
    catalog = Catalog(project="tcp-chat", fuzzy=False)
    for room in ROOMS:
        found = extract_from_dir(
            ROOT / room,
            method_map=[("**.py", "python")],
            keywords={
                "_": None,
                "gettext": None,
                "mark": None,
                "ngettext": (1, 2),
                "nmark": (1, 2),
            },
        )
        for name, _line, message, _comments, context in found:
            catalog.add(message, locations=[(f"{room}/{name}", 0)], context=context)
    return catalog


def files() -> Iterator[Path]:
    """Yield the source of every catalogue."""
    yield from sorted((ROOT / "chat" / "app" / "locale").glob(f"*/LC_MESSAGES/{DOMAIN}.po"))


def update(path: Path) -> list[str]:
    """Bring the catalogue at *path* up to date, compile it; return what is not translated."""
    with path.open("rb") as source:
        old = read_po(source, locale=path.parent.parent.name, domain=DOMAIN)
    # Keep the old dates: a catalogue changes when its sentences do.
    catalog = Catalog(
        locale=old.locale,
        domain=DOMAIN,
        project="tcp-chat",
        fuzzy=False,
        creation_date=old.creation_date,
        revision_date=old.revision_date,
    )
    missing = []
    for message in sorted(template(), key=lambda message: str(message.id)):
        if not message.id:
            continue
        known = old.get(message.id)
        translation = known.string if known is not None and not known.fuzzy else ""
        catalog.add(message.id, translation, locations=message.locations)
        parts = translation if isinstance(translation, tuple) else (translation,)
        if not all(parts):
            missing.append(str(message.id))
    with path.open("wb") as target:
        write_po(target, catalog, width=96, include_lineno=False, omit_header=False)
    compile_(path)
    return missing


def compile_(path: Path) -> None:
    """Write what the programs read of the catalogue at *path*."""
    with path.open("rb") as source:
        catalog = read_po(source, locale=path.parent.parent.name, domain=DOMAIN)
    with path.with_suffix(".mo").open("wb") as target:
        write_mo(target, catalog)


def main(arguments: list[str]) -> int:
    """Update all catalogues; return 1 when one of them lacks a translation.

    With ``--compile`` what was translated is compiled, and nothing else.
    """
    if arguments == ["--compile"]:
        for path in files():
            compile_(path)
        return 0
    status = 0
    for path in files():
        for sentence in update(path):
            print(f"{path.relative_to(ROOT)}: {sentence!r} is not translated", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
