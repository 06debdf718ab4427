"""Figures of how the chat is built, and the count of its code."""

from pathlib import Path

from matplotlib.text import Text

from chat.core.room import Room
from chat.core.server import ClientConnection
from chat.core.writer import Writer
from chat.lab import diagrams
from chat.lab.count import code_lines


def test_the_life_of_a_connection_names_methods_that_there_are() -> None:
    said = [text.get_text() for text in diagrams.connection_life().findobj(Text)]
    methods = [text.removesuffix("()") for text in said if text.startswith("_")]
    assert len(methods) == 4
    assert [method for method in methods if not hasattr(ClientConnection, method)] == []
    assert hasattr(Writer, "close")
    assert "close()" in said


def test_the_architecture_names_what_there_is() -> None:
    said = {text.get_text() for text in diagrams.architecture().findobj(Text)}
    for named in (ClientConnection, Room, Writer):
        assert named.__name__ in said
    assert hasattr(Room, "say")
    assert hasattr(Writer, "post")


def test_code_is_counted_without_blanks_comments_and_documentation(tmp_path: Path) -> None:
    file = tmp_path / "counted.py"
    file.write_text(
        '"""Documentation\n\nof the module."""\n\n# a comment\nNUMBER = 1  # with a comment\n'
        '"""What it is."""\n\n\ndef function(\n    argument,\n):\n    """Documentation."""\n'
        '    return """text\n    of two lines"""\n'
    )
    assert code_lines(file) == 6  # NUMBER; three of def; two of return
