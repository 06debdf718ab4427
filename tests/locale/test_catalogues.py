"""What people read: every sentence has its translation, and says the same with the same facts."""

import ast
import gettext
import io
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from chat.app import i18n
from chat.app.locale.__main__ import ROOT, files, template

CATALOGUES = list(files())

LETTERS = ("str.maketrans", "re.compile")
"""Functions whose arguments are letters, not words."""

BYTES = [
    (1, "1 байт"),
    (2, "2 байта"),
    (4, "4 байта"),
    (5, "5 байт"),
    (11, "11 байт"),
    (12, "12 байт"),
    (21, "21 байт"),
    (22, "22 байта"),
    (25, "25 байт"),
    (111, "111 байт"),
    (121, "121 байт"),
    (0, "0 байт"),
]


@pytest.fixture
def russian() -> gettext.NullTranslations:
    return gettext.translation("chat", i18n.LOCALE_DIRECTORY, languages=["ru"])


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def sentences(catalog: Catalog) -> Iterator[Message]:
    return (message for message in catalog if message.id)


def original(message: Message) -> str:
    """Return the sentence of the code; of a plural, the form for many."""
    return message.id if isinstance(message.id, str) else message.id[-1]


def forms(message: Message) -> list[str]:
    """Return the translation, in all its forms."""
    assert message.string is not None
    return [message.string] if isinstance(message.string, str) else list(message.string)


def test_every_language_but_english_has_a_catalogue() -> None:
    assert {path.parent.parent.name for path in CATALOGUES} == set(i18n.LANGUAGES) - {"en"}


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parent.parent.name)
def test_a_catalogue_has_every_sentence_of_the_code_and_no_other(path: Path) -> None:
    """If this fails, run ``python -m chat.app.locale``."""
    in_code = {str(message.id): message for message in sentences(template())}
    in_catalogue = {str(message.id): message for message in sentences(read(path))}
    new = [told(in_code[key]) for key in in_code.keys() - in_catalogue.keys()]
    gone = [told(in_catalogue[key]) for key in in_catalogue.keys() - in_code.keys()]
    assert not new, "run `make locale`, then translate in " + "\n".join([str(path), *new])
    assert not gone, "run `make locale`: the code says no more\n" + "\n".join(gone)


def told(message: Message) -> str:
    """Return the sentence and the files that say it, as a line for who has to translate it."""
    places = ", ".join(sorted({place for place, _line in message.locations}))
    return f"“{original(message)}” ({places})"


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parent.parent.name)
def test_every_sentence_is_translated(path: Path) -> None:
    missing = [
        told(message)
        for message in sentences(read(path))
        if not all(forms(message)) or message.fuzzy
    ]
    assert not missing, "\n".join([f"not translated in {path}, then `make locale`:", *missing])


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parent.parent.name)
def test_the_compiled_catalogue_is_that_of_the_source(path: Path) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, read(path))
    compiled.seek(0)
    with path.with_suffix(".mo").open("rb") as file:
        same = known(gettext.GNUTranslations(file)) == known(gettext.GNUTranslations(compiled))
    assert same, f"{path} was changed and not compiled: run `make locale`"


def known(translations: gettext.GNUTranslations) -> dict[object, str]:
    catalogue = dict(translations._catalog)  # type: ignore[attr-defined]
    del catalogue[""]  # the header, with dates
    return catalogue


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parent.parent.name)
def test_a_translation_has_the_same_placeholders(path: Path) -> None:
    for message in sentences(read(path)):
        facts = placeholders(original(message))
        assert {placeholders(form) for form in forms(message)} == {facts}, message.id


def placeholders(text: str) -> frozenset[str]:
    percent = re.findall(r"%\(\w+\)[sdr]|%[sdr]", text)
    if percent and "{" not in text:
        return frozenset(percent)
    fields = [
        f"{{{name}!{conversion}:{spec}}}"
        for _literal, name, spec, conversion in string.Formatter().parse(text)
        if name is not None
    ]
    return frozenset(percent + fields)


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parent.parent.name)
def test_a_translation_ends_as_its_sentence_does(path: Path) -> None:
    """What is put together from parts comes out with one full stop, and with a space after it."""
    for message in sentences(read(path)):
        for form in forms(message):
            assert ending(form) == ending(original(message)), message.id


def ending(text: str) -> str:
    """Return how *text* ends, all ends of a sentence being alike."""
    found = re.search(r"[.:?!…]*\s*$", text)
    assert found is not None
    return re.sub("[?!…]", ".", found[0])


@pytest.mark.parametrize(("number", "shown"), BYTES)
def test_russian_plurals(russian: gettext.NullTranslations, number: int, shown: str) -> None:
    assert russian.ngettext("{n} byte", "{n} bytes", number).format(n=number) == shown


def test_every_plural_has_three_forms_in_russian() -> None:
    [path] = [path for path in CATALOGUES if path.parent.parent.name == "ru"]
    plurals = [message for message in sentences(read(path)) if message.pluralizable]
    assert plurals
    for message in plurals:
        assert len(forms(message)) == 3


def test_the_chat_says_nothing_that_is_not_in_the_catalogue() -> None:
    """No Russian in the code of the chat: what it says is English, and translated."""
    rooms = [ROOT / "chat" / name for name in ("", "core", "promises", "app")]
    for path in (path for room in rooms for path in room.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = {
            id(node): node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.search("[а-яё]", node.value, re.IGNORECASE)
        }
        for node in ast.walk(tree) if found else ():
            if isinstance(node, ast.Expr):
                found.pop(id(node.value), None)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in LETTERS:
                for argument in node.args:
                    found.pop(id(argument), None)
        assert not found, (path.name, [*found.values()])


# Which language


@pytest.fixture
def language() -> Iterator[None]:
    """Let a test change the language, and change it back."""
    before = i18n.language()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LANGUAGE", before)
        yield
        i18n.set_language(before)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "ru"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "ru_RU.KOI8-R"}, "ru"),
        ({"LANG": "fr_FR.UTF-8"}, "ru"),
        ({"LANG": "C"}, "ru"),
        ({"LC_MESSAGES": "en_US", "LANG": "ru_RU"}, "en"),
        ({"LC_ALL": "en_US", "LC_MESSAGES": "ru_RU"}, "en"),
        ({"LANGUAGE": "fr:en:ru", "LC_ALL": "ru_RU"}, "en"),
        ({"LANGUAGE": "fr", "LANG": "en_US"}, "en"),
        ({"LANGUAGE": "", "LANG": "EN"}, "en"),
    ],
)
def test_the_language_that_the_environment_asks_for(
    environment: dict[str, str], expected: str
) -> None:
    assert i18n.environment_language(environment) == expected


@pytest.mark.usefixtures("language")
def test_the_language_can_be_set() -> None:
    assert i18n.set_language("en") == "en" == i18n.language()
    assert i18n.gettext("Your nickname: ") == "Your nickname: "
    assert i18n.ngettext("{n} byte", "{n} bytes", 2) == "{n} bytes"
    assert i18n.set_language("ru") == "ru" == i18n.language()
    assert i18n.gettext("Your nickname: ") == "Ваш ник: "


@pytest.mark.usefixtures("language")
def test_a_language_that_we_do_not_speak_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        i18n.set_language("fr")
