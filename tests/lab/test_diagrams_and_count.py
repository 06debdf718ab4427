"""Figures of how the chat is built, and the count of its code."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from chat.core.server import ChatServer, ClientConnection
from chat.lab import diagrams
from chat.lab.count import code_lines

DRAWINGS: list[Callable[[], Figure]] = [
    diagrams.architecture,
    diagrams.server_threads,
    diagrams.connection_life,
]


@pytest.fixture(scope="module", autouse=True)
def fonts() -> None:
    """Have the fonts opened before a test begins: they stay open with the process."""
    for draw in DRAWINGS:
        draw().savefig(io.BytesIO(), format="png")


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_no_words_stand_outside_of_a_figure(draw: Callable[[], Figure]) -> None:
    figure = draw()
    figure.savefig(io.BytesIO(), format="png")
    page = figure.bbox
    for text in texts(figure):
        box = text.get_window_extent()
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text


def test_the_life_of_a_connection_names_methods_that_there_are() -> None:
    said = [text.get_text() for text in texts(diagrams.connection_life())]
    for method in ("run", "_register", "_converse", "_part"):
        assert hasattr(ClientConnection, method)
        assert f"{method}()" in said
    assert hasattr(ChatServer, "forget")


def test_code_is_counted_without_blanks_comments_and_documentation(tmp_path: Path) -> None:
    file = tmp_path / "counted.py"
    file.write_text(
        '"""Documentation\n\nof the module."""\n\n# a comment\nNUMBER = 1  # with a comment\n'
        '"""What it is."""\n\n\ndef function(\n    argument,\n):\n    """Documentation."""\n'
        '    return """text\n    of two lines"""\n'
    )
    assert code_lines(file) == 6  # NUMBER; three of def; two of return
