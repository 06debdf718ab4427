"""The editions in other languages: ``python -m report.edition`` writes them anew.

The chapters and exercises are written in Russian. What people read in them, which is the prose,
and in the code whatever string or comment has Russian letters, stands with its translation in
``report/editions/LANGUAGE/NAME.po`` (gettext manual, 10). An edition is made from both, so that
it cannot say other things than the Russian one: same cells, same code, other words.

Says which sentences have no translation yet, and ends with status 1 when there are any.
"""

import ast
import copy
import io
import re
import subprocess
import sys
import token
import tokenize
from collections.abc import Iterator
from pathlib import Path

import nbformat
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
ORIGINAL = "ru"
EDITIONS = ("en",)
CATALOGUES = Path("report", "editions")
"""Where the translations are kept, a folder for each language."""

_RUSSIAN = re.compile(r"[А-Яа-яЁё]")
_RUSSIAN_CODE = '"ru"'
"""The language itself, where the code of a chapter names it."""

# From Python 3.12 on the parts of an f-string are tokens of their own.
_F_STRING_START = getattr(token, "FSTRING_START", None)
_F_STRING_END = getattr(token, "FSTRING_END", None)


def chapters(root: Path) -> list[Path]:
    """Return the Russian chapters below *root*, in their order."""
    return sorted((root / "notebooks" / ORIGINAL).glob("0*.ipynb"))


def exercises(root: Path) -> list[Path]:
    """Return the Russian exercises below *root*, in their order."""
    return sorted((root / "notebooks" / "exercises" / ORIGINAL).glob("ex*.py"))


def main() -> int:
    """Bring catalogues and editions up to date; return 1 when a translation is missing."""
    status = 0
    for path in chapters(ROOT):
        fold(path)
    for lang in EDITIONS:
        for catalogue, sources in catalogues(ROOT, lang).items():
            for place, sentence in update(catalogue, sources):
                first_line = sentence.strip().partition("\n")[0]
                where = f"{catalogue.relative_to(ROOT)}: {place}"
                print(f"{where}: not translated: {first_line}", file=sys.stderr)
                status = 1
        write(ROOT, ROOT, lang)
    return status


def fold(path: Path) -> None:
    """Have Jupyter show folded what the report does not show of the chapter at *path*."""
    chapter = _notebook(path)
    before = copy.deepcopy(chapter)
    for cell in chapter.cells:
        jupyter = cell.metadata.setdefault("jupyter", {})
        jupyter.pop("source_hidden", None)
        if "hide-input" in cell.metadata.get("tags", []):
            jupyter["source_hidden"] = True
        if not jupyter:
            del cell.metadata["jupyter"]
    if chapter != before:
        nbformat.write(chapter, path)  # type: ignore[no-untyped-call]


def catalogues(root: Path, lang: str) -> dict[Path, list[Path]]:
    """Return each catalogue of the edition in *lang* with the Russian files that it speaks for."""
    folder = root / CATALOGUES / lang
    by_chapter = {folder / f"{path.stem}.po": [path] for path in chapters(root)}
    return by_chapter | {folder / "exercises.po": exercises(root)}


# --- catalogues -----------------------------------------------------------------------------------


def update(catalogue: Path, sources: list[Path]) -> list[tuple[str, str]]:
    """Bring *catalogue* in step with *sources*; return what is not translated, and its place.

    The old translation of a sentence that was changed stays, marked as fuzzy, for the translator.
    """
    template = Catalog(project="tcp-chat", fuzzy=False)
    for source in sources:
        for place, sentence in sentences(source):
            template.add(sentence, locations=[(place, 0)])
    known = _read(catalogue)
    known.update(template, update_creation_date=False)
    known.obsolete.clear()
    known.header_comment = ""
    known.last_translator = known.language_team = known.msgid_bugs_address = ""
    with catalogue.open("wb") as file:
        write_po(file, known, width=0, include_lineno=False)
    return missing(known)


def missing(catalogue: Catalog) -> list[tuple[str, str]]:
    """Return the place and the Russian of each sentence that has no translation to be used."""
    return [
        (", ".join(place for place, _line in message.locations), str(message.id))
        for message in catalogue
        if message.id and (message.fuzzy or not message.string)
    ]


def sentences(source: Path) -> Iterator[tuple[str, str]]:
    """Yield place and text of all that has to be translated in a chapter or an exercise."""
    if source.suffix != ".ipynb":
        for _span, text in russian_tokens(source.read_text("utf-8")):
            yield source.stem, text
        return
    for cell in _notebook(source).cells:
        if cell.cell_type == "markdown":
            yield cell.id, cell.source
        else:
            for _span, text in russian_tokens(cell.source):
                yield cell.id, text


def _read(catalogue: Path) -> Catalog:
    if not catalogue.is_file():
        return Catalog(locale=catalogue.parent.name, project="tcp-chat", fuzzy=False)
    with catalogue.open("rb") as file:
        return read_po(file, locale=catalogue.parent.name)


def _translations(catalogue: Path) -> dict[str, str]:
    return {
        str(message.id): str(message.string)
        for message in _read(catalogue)
        if message.id and message.string and not message.fuzzy
    }


# --- words in code --------------------------------------------------------------------------------

Span = tuple[int, int]
"""Where a text begins and ends in the code, in characters."""


def russian_tokens(code: str) -> list[tuple[Span, str]]:
    """Return the strings, quotes included, and the comments of *code* that have Russian letters."""
    return [
        (span, text)
        for span, text in _words(code)
        if _RUSSIAN.search(text) or text == _RUSSIAN_CODE
    ]


def translate_code(code: str, translations: dict[str, str]) -> str:
    """Return *code* with each string or comment that *translations* knows replaced."""
    for (first, last), text in reversed(list(_words(code))):
        code = code[:first] + translations.get(text, text) + code[last:]
    return code


def _words(code: str) -> Iterator[tuple[Span, str]]:
    starts = [0]
    for line in code.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    depth, opened = 0, 0
    for found in tokenize.generate_tokens(io.StringIO(code).readline):
        first = starts[found.start[0] - 1] + found.start[1]
        last = starts[found.end[0] - 1] + found.end[1]
        if found.type == _F_STRING_START:
            opened = opened if depth else first
            depth += 1
        elif found.type == _F_STRING_END:
            depth -= 1
            if not depth:
                yield (opened, last), code[opened:last]
        elif found.type in (token.STRING, token.COMMENT) and not depth:
            yield (first, last), code[first:last]


# --- editions -------------------------------------------------------------------------------------


def place(source: Path, lang: str) -> Path:
    """Return the path of the edition in *lang* of the Russian file *source*."""
    return Path(*(lang if part == ORIGINAL else part for part in source.parts))


def misfits(root: Path, lang: str, files: list[Path]) -> Iterator[str]:
    """Yield where the edition in *lang* of the Russian *files* is not what their catalogues make.

    Each is a path and, for a chapter, the cell. How code is broken into lines does not count.
    Without catalogues of that language its files were not made but written, and may say anything.
    """
    if not (root / CATALOGUES / lang).is_dir():
        return
    for catalogue, sources in catalogues(root, lang).items():
        translations = _translations(catalogue)
        for source in (source for source in sources if source in files):
            path = root / place(source.relative_to(root), lang)
            name = path.relative_to(root).as_posix()
            if not path.is_file():
                yield name
            elif source.suffix != ".ipynb":
                code = source.read_text("utf-8")
                known = all(text in translations for _span, text in russian_tokens(code))
                made = translate_code(code, translations)
                if not known or not _same_code(made, path.read_text("utf-8")):
                    yield name
            else:
                yield from _other_cells(name, _notebook(source), _notebook(path), translations)


def _other_cells(
    name: str, chapter: NotebookNode, kept: NotebookNode, translations: dict[str, str]
) -> Iterator[str]:
    cells = {cell.id: cell for cell in kept.cells}
    for cell in chapter.cells:
        other = cells.pop(cell.id, None)
        if other is None or other.cell_type != cell.cell_type:
            same = False
        elif cell.cell_type == "markdown":
            same = other.source == translations.get(cell.source)
        else:
            words = (text for _span, text in russian_tokens(cell.source))
            made = translate_code(cell.source, translations)
            same = all(map(translations.__contains__, words)) and _same_code(made, other.source)
        if not same:
            yield f"{name}, {cell.id}"
    yield from (f"{name}, {left}" for left in cells)


def _same_code(one: str, other: str) -> bool:
    try:
        return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    except SyntaxError:
        return one == other


def write(root: Path, target: Path, lang: str) -> None:
    """Write the chapters and exercises of *root* in *lang* below *target*.

    What has no translation stays Russian.
    """
    written = []
    for catalogue, sources in catalogues(root, lang).items():
        translations = _translations(catalogue)
        for source in sources:
            path = target / place(source.relative_to(root), lang)
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(path)
            if source.suffix == ".ipynb":
                nbformat.write(_translate_chapter(_notebook(source), translations), path)  # type: ignore[no-untyped-call]
            else:
                path.write_text(translate_code(source.read_text("utf-8"), translations), "utf-8")
    # English words are of another length: the lines are broken anew.
    command = [sys.executable, "-m", "ruff", "format", "--quiet"]
    config = ["--config", str(ROOT / "pyproject.toml")]
    subprocess.run([*command, *config, *map(str, written)], check=True)


def _translate_chapter(chapter: NotebookNode, translations: dict[str, str]) -> NotebookNode:
    edition = copy.deepcopy(chapter)
    for cell in edition.cells:
        if cell.cell_type == "markdown":
            cell.source = translations.get(cell.source, cell.source)
        else:
            cell.source = translate_code(cell.source, translations)
    return edition


def _notebook(path: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


if __name__ == "__main__":
    sys.exit(main())
