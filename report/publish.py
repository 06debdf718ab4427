"""``python -m report.publish``: check what was built, and copy it to where the repository shows it.

Building writes below ``build/``, which git ignores; this is the only program that writes
``report/LANGUAGE`` and ``screenshots/LANGUAGE``. It is for those who look after the project:
``make publish`` records what the original is, builds, and calls this.
"""

import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import screenshots
from chat.app.i18n import LANGUAGES, set_language
from chat.app.i18n import gettext as _

from . import digest, edition
from .build import Place, is_fresh
from .merge import PICTURES

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 12_000_000
"""Of all that is published: every version stays in the history of the repository for ever."""

_PICTURE = re.compile(rf"\]\(({PICTURES}/[^)\s]+)\)")
# What the English edition shows on purpose: words of the experiment with Cyrillic letters, and
# the link to the other edition.
_DRAWN = re.compile(r"<!--(.*?)-->|<text[^>]*>(.*?)</text>", re.DOTALL)  # as matplotlib writes
_CYRILLIC = re.compile("[А-Яа-яЁё]+")
_CYRILLIC_SHOWN = {"Ж", "Жук", "Уж", "Ёж", "По", "русски", "авекмнорстух", "А", "ж", "я"}


def main() -> int:
    """Publish the report in all languages; return 1, and publish nothing, if it must not be."""
    set_language()
    there = [lang for lang in LANGUAGES if Place(ROOT, lang).notebooks]
    places = [Place(ROOT, lang, tuple(set(there) - {lang})) for lang in there]
    found = list(complaints(places))
    if found:
        print(_("The report was not published."), *found, sep="\n", file=sys.stderr)
        return 1
    for place in places:
        publish(place)
        print(place.published.relative_to(place.root))
    return 0


def complaints(places: list[Place]) -> Iterator[str]:
    """Yield a sentence for each reason why the reports at *places* must not be published."""
    stale = [place for place in places if not is_fresh(place)]
    for place in stale:
        yield _("{folder}: the sources have changed since it was built: make report").format(
            folder=_name(place.output, place)
        )
    if stale:
        return
    version = digest.version(places[0].root)
    if not version or version.endswith(digest.UNCOMMITTED):
        yield _(
            "A published report says from which version it was built: commit the sources, "
            "then publish."
        )
    root = places[0].root
    for lang in edition.EDITIONS:
        for misfit in edition.misfits(
            root, lang, [*edition.chapters(root), *edition.exercises(root)]
        ):
            yield _("{place}: another text than the Russian one: make edition").format(place=misfit)
    for place in places:
        yield from _incomplete(place)
    yield from _different(places)
    yield from _heavy(places)


def _incomplete(place: Place) -> Iterator[str]:
    wanted = {path.name for path in screenshots.pictures(place.screenshots).values()}
    taken = {path.name for path in place.screenshots.glob("*")}
    if taken != wanted:
        yield _("{folder}: not the pictures of the scenarios: {names}").format(
            folder=_name(place.screenshots, place), names=", ".join(sorted(taken ^ wanted))
        )
    text = "\n".join(path.read_text("utf-8") for path in sorted(place.output.glob("*.md")))
    shown = {match[1] for match in _PICTURE.finditer(text)}
    kept = {f"{PICTURES}/{path.name}" for path in (place.output / PICTURES).glob("*")}
    if shown != kept:
        yield _("{file}: shown and kept pictures differ: {names}").format(
            file=_name(place.output, place), names=", ".join(sorted(shown ^ kept))
        )
    page = (place.output / "report.html").read_text("utf-8")
    twice = [
        name for name, n in Counter(re.findall(r'<\w[^<>]*\sid="([^"]+)"', page)).items() if n > 1
    ]
    if twice:
        yield _("{file}: names given twice: {names}").format(
            file=_name(place.output / "report.html", place), names=", ".join(twice)
        )
    drawings = (place.output / PICTURES).glob("*.svg")
    drawn = [str(words) for path in drawings for words in _DRAWN.findall(path.read_text("utf-8"))]
    left = set(_CYRILLIC.findall(text + " ".join(drawn))) - _CYRILLIC_SHOWN
    if place.lang == "en" and left:
        yield _("{file}: Russian words are left: {words}").format(
            file=_name(place.output, place), words=", ".join(sorted(left))
        )


def _different(places: list[Place]) -> Iterator[str]:
    """Compare the numbers of sections, figures, listings, tables and sources."""
    numbers = [
        re.findall(
            r'<(?:h\d|figure|li)[^>]* id="([^"]+)"',
            (place.output / "report.html").read_text("utf-8"),
        )
        for place in places
    ]
    if any(other != numbers[0] for other in numbers[1:]):
        yield _("The editions have different sections, figures, tables or sources.")


def _heavy(places: list[Place]) -> Iterator[str]:
    files = {
        path.read_bytes(): _name(path, place)  # what is there twice is published once
        for place in places
        for folder in (place.output, place.screenshots)
        for path in folder.rglob("*")
        if path.is_file()
    }
    sizes = {name: len(content) for content, name in files.items()}
    if sum(sizes.values()) > MOST_BYTES:
        largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:8]
        yield _("{size:.1f} MB is more than {most:.0f} MB; the largest files: {files}").format(
            size=sum(sizes.values()) / 1e6,
            most=MOST_BYTES / 1e6,
            files=", ".join(f"{name} {sizes[name] / 1e6:.1f}" for name in largest),
        )


def _name(path: Path, place: Place) -> str:
    return path.relative_to(place.root).as_posix()


def publish(place: Place) -> None:
    """Copy the built report at *place* and its screenshots to where the repository shows them.

    A screenshot is kept once: the Markdown leads to the folder of the screenshots.
    """
    shots = place.root / "screenshots" / place.lang
    for source, target in ((place.output, place.published), (place.screenshots, shots)):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    by_content = {path.read_bytes(): path.name for path in shots.iterdir()}
    elsewhere = {}
    for picture in (place.published / PICTURES).iterdir():
        if (name := by_content.get(picture.read_bytes())) is not None:
            elsewhere[f"{PICTURES}/{picture.name}"] = f"../../screenshots/{place.lang}/{name}"
            picture.unlink()
    for part in place.published.glob("*.md"):
        text = _PICTURE.sub(
            lambda match: f"]({elsewhere.get(match[1], match[1])})", part.read_text("utf-8")
        )
        part.write_text(text, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
