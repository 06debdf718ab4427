"""Whose files are graded, by which Python, and what is said of what is missing."""

import sys
import zipfile
from pathlib import Path

import pytest

from . import python
from .python import choose, own_files


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    folder = tmp_path / "handed in"
    folder.mkdir()
    (folder / "server.py").write_text("import socket\n")
    return folder


def test_what_was_handed_in_as_well_is_not_the_students(submission: Path) -> None:
    for name in (
        "env/pyvenv.cfg",
        "env/lib/server.py",
        "lib/site-packages/server.py",
        ".idea/server.py",
        "__pycache__/server.py",
        "code/client.py",
    ):
        path = submission / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("import nothing_of_the_kind\n")
    found = [path.relative_to(submission).as_posix() for path in own_files(submission)]
    assert found == ["code/client.py", "server.py"]


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize(
    "code",
    ["type Name = str\n", "def first[T](x: T) -> T: return x\n", "from typing import override\n"],
)
def test_a_newer_python_is_used_or_named(
    code: str, submission: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (submission / "server.py").write_text(code)
    monkeypatch.setattr(sys, "version_info", (3, 11, 0, "final", 0))
    newer = [(version, path) for version, path in python._installed() if version >= (3, 12)]
    found = choose(submission)
    if newer:
        assert found.path == newer[0][1]
        assert "Graded with Python 3." in found.notes[0]
    monkeypatch.setattr(python, "_installed", lambda: ())
    found = choose(submission)
    assert found.path == sys.executable
    assert found.notes == ("It needs Python 3.12; graded with 3.11.",)


@pytest.mark.parametrize("error", [RuntimeError, PermissionError])
def test_a_home_that_is_not_there_or_closed_does_no_harm(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def home() -> Path:
        raise error

    monkeypatch.setattr(Path, "home", home)
    assert all(version > (3, 0) for version, _path in python._installed.__wrapped__())


@pytest.mark.usefixtures("english")
def test_the_version_that_a_project_asks_for_counts(
    submission: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (submission / "pyproject.toml").write_text('[project]\nrequires-python = ">=3.19"\n')
    monkeypatch.setattr(python, "_installed", lambda: ())
    assert "It needs Python 3.19" in choose(submission).notes[0]


@pytest.mark.usefixtures("english")
@pytest.mark.timeout(120)
def test_packages_are_named_and_installed_when_the_teacher_allows_it(
    submission: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(python, "_ENVIRONMENTS", tmp_path / "environments")
    (submission / "server.py").write_text("import socket\nimport chatwords\nimport helper\n")
    (submission / "helper.py").write_text("try:\n    import colourless\nexcept ImportError: pass\n")
    with zipfile.ZipFile(submission / "chatwords-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("chatwords.py", "")
        info = "chatwords-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: chatwords\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    (submission / "requirements.txt").write_text("./chatwords-1.0-py3-none-any.whl\n")
    assert choose(submission).lacking == ("It needs packages that are not installed: chatwords.",)
    found = choose(submission, install=True)
    assert (found.notes, found.lacking) == ((), ())
    assert found.path != sys.executable
    assert choose(submission, install=True) == found  # kept for the next time
    (submission / "requirements.txt").write_text("./no-such-file-1.0-py3-none-any.whl\n")
    assert "could not be installed" in choose(submission, install=True).notes[0]
