"""The editions say the same: same cells, same code but for its words, same figures and links."""

import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from babel.messages.pofile import read_po
from nbformat import NotebookNode

from report import edition, original

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [path.name for path in edition.chapters(ROOT)]
RUSSIAN = re.compile("[А-Яа-яЁё]")


@pytest.fixture
def translated() -> None:
    """Skip where the Russian chapters are not the original's: only `make publish` insists then.

    Whoever writes a report of their own need not translate it.
    """
    found = original.changes(ROOT)
    own = [
        name
        for name in [*found.changed, *found.added, *found.removed]
        if name.startswith(("notebooks/ru/", "notebooks/exercises/ru/"))
    ]
    if own:
        pytest.skip(f"{', '.join(own)}: not those of the original")


def read(lang: str, name: str) -> list[NotebookNode]:
    """Return the cells of a chapter."""
    path = ROOT / "notebooks" / lang / name
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return list(notebook.cells)


def addresses(text: str) -> Counter[str]:
    """Return the links out of the notebooks, and the labels that are referred to."""
    return Counter(re.findall(r"\]\((https?://[^)\s]+|#(?:fig|lst|tab)-[\w-]+)\)", text))


@pytest.mark.usefixtures("translated")
@pytest.mark.parametrize("lang", edition.EDITIONS)
def test_everything_is_translated(lang: str) -> None:
    for catalogue, sources in edition.catalogues(ROOT, lang).items():
        with catalogue.open("rb") as file:
            known = read_po(file, locale=lang)
        missing = [f"{place}: {text.strip()}" for place, text in edition.missing(known)]
        assert not missing, "\n".join([f"not translated in {catalogue}:", *missing])
        wanted = {text for source in sources for _place, text in edition.sentences(source)}
        assert {str(message.id) for message in known if message.id} == wanted, "run `make edition`"


@pytest.mark.usefixtures("translated")
@pytest.mark.parametrize("lang", edition.EDITIONS)
def test_an_edition_is_what_its_catalogues_make_of_the_russian_one(
    lang: str, tmp_path: Path
) -> None:
    """A change to one of them alone fails here; `make edition` names what is missing."""
    edition.write(ROOT, tmp_path, lang)
    for path in [*edition.chapters(ROOT), *edition.exercises(ROOT)]:
        place = edition.place(path.relative_to(ROOT), lang)
        if path.suffix != ".ipynb":
            assert (ROOT / place).read_text("utf-8") == (tmp_path / place).read_text("utf-8"), place
            continue
        made = nbformat.read(tmp_path / place, as_version=4).cells  # type: ignore[no-untyped-call]
        kept = read(lang, path.name)
        assert [cell.id for cell in kept] == [cell.id for cell in made], place
        changed = [a.id for a, b in zip(kept, made, strict=True) if a.source != b.source]
        assert changed == [], f"{place}: cells that say something else"


@pytest.mark.usefixtures("translated")
@pytest.mark.parametrize("name", CHAPTERS)
def test_the_same_links_sources_and_headings_in_every_cell(name: str) -> None:
    different = []
    for russian, english in zip(read("ru", name), read("en", name), strict=True):
        assert (russian.id, russian.cell_type) == (english.id, english.cell_type)
        assert russian.metadata.get("tags") == english.metadata.get("tags")
        if addresses(russian.source) != addresses(english.source):
            different.append((russian.id, "links"))
        if russian.cell_type == "markdown":
            levels = [re.findall(r"(?m)^#+ ", cell.source) for cell in (russian, english)]
            if levels[0] != levels[1]:
                different.append((russian.id, "headings"))
            fences = [cell.source.count("```") for cell in (russian, english)]
            if fences[0] != fences[1]:
                different.append((russian.id, "listings"))
    assert different == []


@pytest.mark.usefixtures("translated")
@pytest.mark.parametrize("name", CHAPTERS)
def test_no_cyrillic_is_left(name: str) -> None:
    assert [cell.id for cell in read("en", name) if RUSSIAN.search(cell.source)] == []


def test_words_in_code_are_found_whole() -> None:
    code = 'print(f"раз {n}: {d[\'a\']}", "b")  # два\nx = """три\n"""\n'
    found = [text for _span, text in edition.russian_tokens(code)]
    assert found == ["f\"раз {n}: {d['a']}\"", "# два", '"""три\n"""']
    made = edition.translate_code(code, {"# два": "# two", '"""три\n"""': '"""three\n"""'})
    assert made == 'print(f"раз {n}: {d[\'a\']}", "b")  # two\nx = """three\n"""\n'


def test_what_was_changed_keeps_its_old_translation_for_the_translator(tmp_path: Path) -> None:
    source, catalogue = tmp_path / "ex1.py", tmp_path / "en" / "exercises.po"
    catalogue.parent.mkdir()
    source.write_text("# сколько байтов в слове\n", "utf-8")
    assert [text for _place, text in edition.update(catalogue, [source])] == [
        "# сколько байтов в слове"
    ]
    text = catalogue.read_text("utf-8").replace(
        'msgid "# сколько байтов в слове"\nmsgstr ""',
        'msgid "# сколько байтов в слове"\nmsgstr "# how many bytes"',
    )
    catalogue.write_text(text, "utf-8")
    assert edition.update(catalogue, [source]) == []
    source.write_text("# сколько байтов в словах\n", "utf-8")
    assert len(edition.update(catalogue, [source])) == 1
    assert "# how many bytes" in catalogue.read_text("utf-8")
