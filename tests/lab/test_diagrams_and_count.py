"""Figures of how the chat is built, and the count of its code."""

from pathlib import Path

from matplotlib.text import Text

from chat.core.server import ChatServer, ClientConnection
from chat.lab import diagrams
from chat.lab.count import code_lines


def test_the_life_of_a_connection_names_methods_that_there_are() -> None:
    said = [text.get_text() for text in diagrams.connection_life().findobj(Text)]
    for method in ("_register", "_converse", "_part"):
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
