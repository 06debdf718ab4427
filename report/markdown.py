"""``report.md``: for reading on a repository's web page, its pictures in a folder beside it."""

import re
import shutil
from pathlib import Path

from .export import Document, marked, plain, render
from .merge import PICTURES, Heading


def write(document: Document, path: Path) -> None:
    """Write *document* to the file *path*, and its pictures to ``figures`` next to it.

    The folder of pictures is emptied first: a picture that the report no longer shows goes.
    """
    slugs = heading_slugs(document.headings)

    def with_slugs(source: str) -> str:
        return re.sub(r"\]\(#(sec-[\d-]+)\)", lambda link: f"](#{slugs[link[1]]})", source)

    text = render(
        document,
        "markdown",
        "index.md.j2",
        prose=with_slugs,
        slug=lambda heading: slugs[heading.anchor],
        fenced=fenced,
        marked=marked,
        plain=plain,
    )
    path.write_text(text.rstrip() + "\n", "utf-8")
    used = {name for name in document.merged.pictures if f"({name})" in text}
    write_pictures({name: document.merged.pictures[name] for name in used}, path.parent)


def write_pictures(pictures: dict[str, bytes], folder: Path) -> None:
    """Make ``folder/figures`` hold exactly these *pictures*."""
    shutil.rmtree(folder / PICTURES, ignore_errors=True)
    (folder / PICTURES).mkdir(parents=True)
    for name, content in pictures.items():
        (folder / name).write_bytes(content)


def heading_slugs(headings: list[Heading]) -> dict[str, str]:
    """Return, by anchor, the identifiers that a repository's web page gives to *headings*.

    GitHub's rule: the text in lower case, without punctuation, with hyphens for spaces; a
    second heading of the same text gets ``-1``, the next ``-2``.
    """
    slugs: dict[str, str] = {}
    seen: dict[str, int] = {}
    for heading in headings:
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", f"{heading.number}. {heading.title}")
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        slugs[heading.anchor] = f"{slug}-{count}" if count else slug
    return slugs


def fenced(source: str, language: str = "") -> str:
    """Return *source* as a fenced block, the fence longer than any inside it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", source)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{source.strip(chr(10))}\n{fence}"
