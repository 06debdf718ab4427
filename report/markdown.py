"""``report.md``: for reading on a repository's web page, its pictures in a folder beside it.

It is an index; each part is a file of its own, called like its notebook, because code hosts do not
show a file of half a megabyte. Every file leads to its neighbours.
"""

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

from nbformat import NotebookNode, v4

from .export import Document, marked, plain, render, words
from .merge import PICTURES, Heading

# A drawing that stands alone has the fonts of its reader's machine. DejaVu Sans, the only other one
# that Matplotlib knows, is wider than Noto Sans: the ends of words would be cut off.
_FONTS = b"'Noto Sans', 'DejaVu Sans'"
_NO_WIDER = (
    b"'Noto Sans', 'Open Sans', 'Liberation Sans', Arial, Helvetica, 'DejaVu Sans', sans-serif"
)

_LINK = re.compile(r"\]\(#([\w-]+)\)")


def write(document: Document, path: Path) -> None:
    """Write the index of *document* to the file *path*, its parts and pictures beside it.

    The folder of pictures is emptied first: a picture that the report no longer shows goes.
    """
    parts = _parts(document.merged.notebook.cells, path.name)
    addresses = {
        anchor: (file, target)
        for file, cells in parts.items()
        for anchor, target in _anchors(cells).items()
    }
    files = [file for file in parts if file != path.name]
    titles = {heading.file: named(heading) for heading in document.headings if heading.level == 1}
    texts = {}
    for file, cells in parts.items():
        at = files.index(file) if file in files else None
        texts[file] = _render(
            document, cells, file, addresses, _neighbours(files, titles, at, path)
        )
    for file, text in texts.items():
        path.with_name(file).write_text(text.rstrip() + "\n", "utf-8")
    shown = "".join(texts.values())
    pictures = document.merged.pictures
    write_pictures({name: pictures[name] for name in pictures if f"({name})" in shown}, path.parent)


def _parts(cells: list[NotebookNode], index: str) -> dict[str, list[NotebookNode]]:
    """Return the cells of each file; those before the first part belong to the *index*."""
    parts: dict[str, list[NotebookNode]] = {index: []}
    for cell in cells:
        about = cell.metadata.report
        if about.kind == "heading" and about.level == 1:
            parts[_file(about.file)] = []
        parts[list(parts)[-1]].append(cell)
    return parts


def _file(notebook: str) -> str:
    return notebook.partition(".")[0] + ".md"


def _anchors(cells: list[NotebookNode]) -> dict[str, str]:
    """Return what can be led to in a file, as the report names it and as the file does."""
    headings = [cell.metadata.report for cell in cells if cell.metadata.report.kind == "heading"]
    anchors = heading_slugs([Heading(**_known(about)) for about in headings])
    for cell in cells:
        about = cell.metadata.report
        entries = about.get("entries", [])
        if about.kind == "sources":
            anchors |= {f"src-{n}": f"src-{n}" for n in range(1, len(entries) + 1)}
        elif about.kind == "glossary":
            anchors |= {entry.anchor: entry.anchor for entry in entries}
        for output in cell.get("outputs", []):
            if label := output.get("metadata", {}).get("report", {}).get("label"):
                anchors[label] = label
    return anchors


def _known(about: NotebookNode) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(Heading)}
    return {key: value for key, value in about.items() if key in fields}


def _render(
    document: Document,
    cells: list[NotebookNode],
    file: str,
    addresses: dict[str, tuple[str, str]],
    neighbours: str,
) -> str:
    def address(anchor: str) -> str:
        there, target = addresses[anchor]
        return f"#{target}" if there == file else f"{there}#{target}"

    def with_addresses(source: str) -> str:
        return _LINK.sub(
            lambda link: f"]({address(link[1])})" if link[1] in addresses else link[0], source
        )

    book = v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    merged = dataclasses.replace(document.merged, notebook=book)
    return render(
        dataclasses.replace(document, merged=merged),
        "markdown",
        "part.md.j2" if neighbours else "index.md.j2",
        prose=with_addresses,
        address=address,
        named=named,
        fenced=fenced,
        marked=marked,
        plain=plain,
        neighbours=lambda _nb: neighbours,
    )


def _neighbours(files: list[str], titles: dict[str, str], at: int | None, index: Path) -> str:
    """Return the line of links from the part number *at* to those before and after it."""
    if at is None:
        return ""
    links = [f"[{words()['contents']}]({index.name})"]
    by_file = {_file(notebook): title for notebook, title in titles.items()}
    if at > 0:
        links.insert(0, f"← [{by_file[files[at - 1]]}]({files[at - 1]})")
    if at + 1 < len(files):
        links.append(f"[{by_file[files[at + 1]]}]({files[at + 1]}) →")
    return " · ".join(links)


def named(heading: Heading | NotebookNode) -> str:
    """Return a heading with its number: «2.1. Кадры», «Приложение А. Ядро»."""
    number = f"{words()['appendix']} {heading.number}" if heading.appendix else heading.number
    return f"{number}. {heading.title}"


def write_pictures(pictures: dict[str, bytes], folder: Path) -> None:
    """Make ``folder/figures`` hold exactly these *pictures*."""
    shutil.rmtree(folder / PICTURES, ignore_errors=True)
    (folder / PICTURES).mkdir(parents=True)
    for name, content in pictures.items():
        if name.endswith(".svg"):
            content = content.replace(_FONTS, _NO_WIDER)  # noqa: PLW2901
        (folder / name).write_bytes(content)


def heading_slugs(headings: list[Heading]) -> dict[str, str]:
    """Return, by anchor, the identifiers that a repository's web page gives to *headings*.

    GitHub's rule: the text in lower case, without punctuation, with hyphens for spaces; a
    second heading of the same text gets ``-1``, the next ``-2``.
    """
    slugs: dict[str, str] = {}
    seen: dict[str, int] = {}
    for heading in headings:
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", named(heading))
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
