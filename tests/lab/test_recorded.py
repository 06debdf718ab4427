"""An experiment that needs Linux runs there, and elsewhere its recording is shown, and said so."""

import json
from pathlib import Path

import pytest

from chat.lab import recorded, show


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what the reader is told, instead of displaying it."""
    sentences: list[str] = []
    monkeypatch.setattr(show, "prose", sentences.append)
    monkeypatch.delenv("CHAT_LAB", raising=False)
    return sentences


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "recorded.json"
    monkeypatch.setattr(recorded, "RECORDING", file)
    return file


def test_on_linux_the_experiment_runs(
    said: list[str], recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert recorded.linux_only("x", lambda: {"pair": (1, 2)}) == {"pair": [1, 2]}
    assert not said
    assert not recording.exists()


def test_what_was_recorded_is_shown_elsewhere(
    said: list[str], recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("CHAT_LAB", "record")
    live = recorded.linux_only("x", lambda: [["ждёт", 1]])
    recorded.linux_only("y", lambda: None)

    def never() -> None:
        raise AssertionError("this needs Linux")

    monkeypatch.delenv("CHAT_LAB")
    monkeypatch.setattr("sys.platform", "darwin")
    assert recorded.linux_only("x", never) == live
    assert "Linux" in said[0]
    assert set(json.loads(recording.read_text())) == {"x", "y"}
    with pytest.raises(KeyError):
        recorded.linux_only("z", never)


def test_replay_shows_the_recording_on_linux_too(
    said: list[str], recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    recording.write_text('{"x": {"system": "Linux 6.1", "result": 7}}')
    monkeypatch.setenv("CHAT_LAB", "replay")
    assert recorded.linux_only("x", lambda: 8) == 7
    assert "Linux 6.1" in said[0]


def test_every_experiment_of_the_theory_has_a_recording() -> None:
    notebook = show.ROOT / "notebooks" / "ru" / "02_theory.ipynb"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    names = {part.split('"')[1] for part in source.split("linux_only(")[1:]}
    assert names
    assert names == set(json.loads(recorded.RECORDING.read_text(encoding="utf-8")))
