"""What a student has changed is said on the title page; the original says nothing."""

from pathlib import Path

from report import original
from report.original import Changes


def test_what_is_another_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "chat"
    folder.mkdir()
    (tmp_path / "report").mkdir()
    for name in ("room", "server", "client"):
        (folder / f"{name}.py").write_text(name, "utf-8")
    assert original.changes(tmp_path) == Changes([], [], [])
    original.write(tmp_path)
    assert original.changes(tmp_path) == Changes([], [], [])
    (folder / "room.py").write_text("mine", "utf-8")
    (folder / "server.py").unlink()
    (folder / "dice.py").write_text("new", "utf-8")
    found = original.changes(tmp_path)
    assert found == Changes(["chat/room.py"], ["chat/dice.py"], ["chat/server.py"])
    assert found.sentences() == [
        ("Изменено", "chat/room.py"),
        ("Добавлено", "chat/dice.py"),
        ("Удалено", "chat/server.py"),
    ]
