"""`read_passphrase`: the passphrase comes from a file, and a bad file is named in a sentence."""

import gettext
from pathlib import Path

import pytest

from chat.app import i18n
from chat.app.sentences import setting
from chat.promises import UnusableError
from chat.promises.encryption import read_passphrase

PASSPHRASE = "верная лошадь батарея"


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i18n, "_current", gettext.NullTranslations())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "passphrase.txt"


def complaint(path: Path) -> str:
    with pytest.raises(UnusableError) as caught:
        read_passphrase(path)
    return setting(caught.value.code, caught.value.details)


@pytest.mark.parametrize(
    "content",
    [
        PASSPHRASE.encode(),
        f"{PASSPHRASE}\n".encode(),
        f"  {PASSPHRASE} \r\nзаметки\r\n".encode(),
        f"\ufeff{PASSPHRASE}\r\n".encode(),  # as the Notepad of Windows writes it
    ],
)
def test_it_is_the_first_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_passphrase(path) == PASSPHRASE


def test_a_missing_file(path: Path) -> None:
    assert complaint(path) == f"Cannot read {path}: there is no such file."


def test_a_directory(tmp_path: Path) -> None:
    assert complaint(tmp_path).endswith(": it is a directory.")


def test_what_is_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    assert complaint(path).endswith(": it is not UTF-8 text.")


@pytest.mark.parametrize("content", ["", "\n", "   \nвторая строка, длинная\n"])
def test_an_empty_first_line(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    assert complaint(path) == f"The first line of {path} holds no passphrase."


def test_one_that_can_be_guessed(path: Path) -> None:
    path.write_text("a" * 11)
    sentence = complaint(path)
    assert sentence.startswith(f"The passphrase in {path} is too short")
    assert "a" * 11 not in sentence
    path.write_text("a" * 12)
    assert read_passphrase(path) == "a" * 12
