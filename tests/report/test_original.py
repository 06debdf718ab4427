"""What a student has changed is said on the title page and shown; the original says nothing."""

import shutil
from pathlib import Path

import nbformat
import pytest

from report import original
from report.original import Changes

from .conftest import code, markdown, notebook, run_builder, write_project


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project that is its own original."""
    root = write_project(tmp_path / "project")
    for name in ("02_theory", "03_practice", "04_screenshots", "05_conclusions"):
        (root / "notebooks" / "ru" / f"{name}.ipynb").unlink()
    book = notebook(markdown("# Раз"), code("print(6 * 7)"))
    for lang in ("ru", "en"):
        path = root / "notebooks" / lang / "01_description.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(book, path)  # type: ignore[no-untyped-call]
    for name in ("room", "server", "client"):
        write(root / "chat" / f"{name}.py", f"name = '{name}'\nlimit = 100\n")
    write(root / "chat" / "app" / "locale" / "ru" / "LC_MESSAGES" / "chat.po", "")
    original.write(root)
    return root


def test_the_original_has_no_changes(root: Path) -> None:
    assert original.changes(root) == Changes([], [], [])
    book = root / "notebooks" / "ru" / "01_description.ipynb"
    read = nbformat.read(book, as_version=4)  # type: ignore[no-untyped-call]
    read.cells[1].execution_count = 7  # as Jupyter saves it
    nbformat.write(read, book)  # type: ignore[no-untyped-call]
    write(root / "chat" / "room.py", "name = 'room'\r\nlimit = 100\r\n")
    assert original.changes(root) == Changes([], [], [])
    before = (root / original.ARCHIVE).read_bytes()
    original.write(root)
    assert (root / original.ARCHIVE).read_bytes() == before


def test_what_is_another_is_named(root: Path) -> None:
    write(root / "chat" / "room.py", "name = 'room'\nlimit = 5\n")
    (root / "chat" / "server.py").unlink()
    write(root / "chat" / "dice.py", "six = 6\n")
    write(root / "chat" / "app" / "locale" / "ru" / "LC_MESSAGES" / "chat.po", "#\n")
    found = original.changes(root)
    assert found.sentences() == [
        ("Изменено", "chat/app/locale/ru/LC_MESSAGES/chat.po, chat/room.py"),
        ("Добавлено", "chat/dice.py"),
        ("Удалено", "chat/server.py"),
    ]
    assert found.lines == {
        "chat/room.py": ["@@ -1,2 +1,2 @@", " name = 'room'", "-limit = 100", "+limit = 5"],
        "chat/dice.py": ["@@ -0,0 +1 @@", "+six = 6"],
    }


def test_an_edition_that_nobody_wants_is_not_missed(root: Path) -> None:
    shutil.rmtree(root / "notebooks" / "en")
    assert original.changes(root) == Changes([], [], [])
    (root / "notebooks" / "ru" / "01_description.ipynb").unlink()
    assert original.changes(root).removed == ["notebooks/ru/01_description.ipynb"]


def test_what_is_another_is_shown_in_the_report(root: Path) -> None:
    write(root / "chat" / "dice.py", "\n".join(f"side_{n} = {n}" for n in range(200)))
    done = run_builder(root, "--lang", "ru")
    assert done.returncode == 0, done.stderr
    text = (root / "build" / "report" / "ru" / "original.md").read_text("utf-8")
    assert "# 2. Что изменено" in text
    assert "+side_5 = 5" in text
    assert "+side_199" not in text
    assert "… и ещё 121 строка" in text
    for suffix in ("html", "pdf", "docx"):
        assert (root / "build" / "report" / "ru" / f"report.{suffix}").is_file()
