"""What may be said, and how a client shows what a server says was said."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.core.protocol import Limits, ProtocolError, check_text, printable

LIMITS = Limits(text_chars=10)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        " a",
        "  два  ",
        "a\nb",
        "a\tb",
        "🙂",
        "0123456789",
        "й" * 10,
        "🙂" * 10,
        "\u200fa",
        "👩‍👩‍👧",
    ],
)
def test_a_text_is_said_as_it_is(text: str) -> None:
    assert check_text(text, LIMITS) == text


BAD = {
    "empty": "",
    "blank": " \t\n\u00a0\u2003",
    "a null": "a\0",
    "an escape": "\x1b[2J",
    "a bell": "a\a",
    "a carriage return": "a\rb",
    "a backspace": "a\b",
    "a delete": "a\x7f",
    "a C1 control": "\x9b2J",
    "next line": "a\x85b",
    "a line separator": "a\u2028b",
    "a paragraph separator": "a\u2029b",
    "right to left override": "\u202etxt.exe",
    "an embedding": "\u202aa",
    "an isolate": "\u2067a",
    "a lone surrogate": "a\ud83d",
    "nothing that can be seen": " \u200b\u2060\ufeff",
    "a soft hyphen": "\u00ad",
    "a Hangul filler": "\u3164",
    "an empty Braille pattern": "\u2800",
    "a tag": "\U000e0061",
    "marks without a letter": "\u0301\u0302",
    "a tower of marks": "a" + "\u0301" * 9,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_bad_text(text: str) -> None:
    with pytest.raises(ProtocolError, match="bad_text"):
        check_text(text, LIMITS)


def test_no_mark_and_no_control_character_of_unicode_is_overlooked() -> None:
    """The ordinary texts that need no closer look are told by a list of ranges."""
    for character in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(character)
        if category.startswith("M"):
            assert printable("a" + 9 * character).endswith("\ufffd")
        elif category in ("Cc", "Cs", "Zl", "Zp") and character not in "\t\n":
            assert printable(character) == "\ufffd"


@pytest.mark.parametrize("text", [None, 5, True, ["a"], {"text": "a"}])
def test_a_text_is_text(text: object) -> None:
    with pytest.raises(ProtocolError, match="bad_text"):
        check_text(text, LIMITS)


@pytest.mark.parametrize("text", ["0123456789a", "🙂" * 11, "a" * 1_000_000])
def test_text_too_long(text: str) -> None:
    with pytest.raises(ProtocolError, match="text_too_long"):
        check_text(text, LIMITS)


def test_the_longest_text_fits_into_a_frame_even_if_every_character_is_escaped() -> None:
    limits = Limits()
    escaped = len(r"\ud83d\ude42") * limits.text_chars
    assert escaped + 1000 < limits.frame_bytes


@given(st.text() | st.text("а\u0301\u0489", max_size=100))
def test_printable_leaves_what_may_be_said_and_replaces_the_rest(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    for before, after in zip(text, shown, strict=True):
        assert after in (before, "\N{REPLACEMENT CHARACTER}")
    if any(character.isalnum() for character in shown):
        assert check_text(shown, Limits(text_chars=len(text))) == shown


def test_printable_takes_the_power_from_an_escape_sequence() -> None:
    assert printable("\x1b]0;title\x07 привет\n") == "\ufffd]0;title\ufffd привет\n"
