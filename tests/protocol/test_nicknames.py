"""Which nicknames there are, and which of them are the same."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.core.protocol import Limits, ProtocolError, clean_nick, nick_key

LIMITS = Limits()

SAME = [
    ("Аня", "аня"),
    ("Аня", "АНЯ"),
    ("Аня", "Aня"),  # the second begins with a Latin letter
    ("ТОМ", "TOM"),  # all letters of the second are Latin
    ("сосо", "coco"),
    ("ﬁ", "fi"),
    ("Groß", "GROSS"),
    ("ẞ", "ss"),
    ("Ⅷ", "viii"),
    ("Ａｎｎ", "ann"),
    ("Ⓐnn", "Ann"),
    ("Kelvin", "\u212aelvin"),  # KELVIN SIGN
    ("Андре\u0439", "Андре\u0438\u0306"),  # й, and и with a breve
    ("Семён", "Семе\u0308н"),
    ("Σίσυφος", "ΣΊΣΥΦΟΣ"),  # the sigma at the end of a word
    ("x²", "x2"),
    ("ΑΝΝΑ", "ANNA"),  # all letters of the first are Greek
    ("ΤΟΜ", "ТОМ"),  # Greek and Cyrillic
]

DIFFERENT = [
    ("Ann", "Anna"),
    ("Аня", "Ann"),
    ("е", "ё"),
    ("и", "й"),
    ("a_b", "a-b"),
    ("Ann1", "Ann2"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_nickname_in_another_form(one: str, other: str) -> None:
    assert nick_key(clean_nick(one, LIMITS)) == nick_key(clean_nick(other, LIMITS))
    assert nick_key(one) == nick_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_nicknames(one: str, other: str) -> None:
    assert nick_key(clean_nick(one, LIMITS)) != nick_key(clean_nick(other, LIMITS))


@pytest.mark.parametrize("nick", ["a", "7", "Аня", "李小龍", "Иван-Васильевич_2.0", "x" * 32, "ñ"])
def test_a_nickname_is_shown_as_it_was_given(nick: str) -> None:
    assert clean_nick(nick, LIMITS) == nick


def test_a_nickname_is_shown_in_one_form() -> None:
    assert clean_nick("Андре\u0438\u0306", LIMITS) == "Андре\u0439"
    assert clean_nick("ﬁ", LIMITS) == "fi"


BAD = {
    "empty": "",
    "a space": " ",
    "a filler, which shows nothing": "\u3164",
    "a joiner between two letters": "А\u034fня",
    "a pile of marks": "Z" + "\u0301" * 4,
    "a space inside": "Аня Б",
    "a space before": " Аня",
    "a space after": "Аня ",
    "a no-break space": "Аня\u00a0Б",
    "a tab": "Аня\tБ",
    "a line feed": "Аня\n",
    "33 characters": "x" * 33,
    "33 characters once composed forms are taken apart": "ﬁ" * 17,
    "a million characters": "x" * 1_000_000,
    "a null": "Аня\0",
    "an escape": "\x1b[31mАня",
    "a delete": "Аня\x7f",
    "a C1 control": "Аня\x9b",
    "right to left override": "Аня\u202e",
    "an isolate": "\u2066Аня",
    "a left to right mark": "Аня\u200e",
    "a zero width space": "Аня\u200b",
    "a zero width joiner": "Аня\u200d",
    "a byte order mark": "\ufeffАня",
    "a soft hyphen": "Ан\u00adя",
    "a lone surrogate": "Аня\ud800",
    "a private character": "Аня\ue000",
    "no character at all": "Аня\uffff",
    "a combining mark first": "\u0306Аня",
    "a combining mark alone": "\u0306",
    "a dash first": "-Аня",
    "a dot first": ".",
    "a slash": "/quit",
    "brackets": "[Аня]",
    "a quote": 'Аня"',
    "a comma": "Аня,Боря",
    "an emoji": "🙂",
    "Greek among Latin letters": "Iνan",
    "Greek among Cyrillic letters": "Αня",
    "a Khmer vowel that shows nothing": "A\u17b4",
    "a variation selector": "A\ufe0f",
    "a spacing mark that NFKC takes apart": "´x",
}


@pytest.mark.parametrize("nick", BAD.values(), ids=BAD.keys())
def test_bad_nick(nick: str) -> None:
    with pytest.raises(ProtocolError, match="bad_nick"):
        clean_nick(nick, LIMITS)


@pytest.mark.parametrize("nick", [None, 5, 1.5, True, ["Аня"], {"nick": "Аня"}])
def test_a_nickname_is_text(nick: object) -> None:
    with pytest.raises(ProtocolError, match="bad_nick"):
        clean_nick(nick, LIMITS)


@given(st.text(max_size=40))
def test_a_nickname_that_is_accepted_is_accepted_again_and_stays_the_same(text: str) -> None:
    try:
        shown = clean_nick(text, LIMITS)
    except ProtocolError:
        return
    assert clean_nick(shown, LIMITS) == shown
    assert nick_key(shown) == nick_key(text)
    assert 1 <= len(shown) <= LIMITS.nick_chars
    assert not any(character.isspace() for character in shown)


@given(st.text(max_size=20), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_neither_form_nor_case_makes_another_nickname(text: str, form: str) -> None:
    key = nick_key(text)
    assert nick_key(unicodedata.normalize(form, text)) == key  # type: ignore[arg-type]
    assert nick_key(text.casefold()) == key
    assert nick_key(key) == key
