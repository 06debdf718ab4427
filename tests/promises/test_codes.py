"""A promise says what is wrong by a code; each code has a sentence for the users."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.app import i18n, sentences
from chat.app.sentences import phrase, setting
from chat.promises import tls

PROMISES = Path(tls.__file__).parent


def first_arguments(name: str) -> Iterator[str]:
    """Yield the texts with which *name* is called in the promises."""
    for path in sorted(PROMISES.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name and node.args:
                for argument in ast.walk(node.args[0]):
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield argument.value


def codes_of_tls() -> set[str]:
    """Return all codes with which an encrypted stream can end."""
    source = (PROMISES / "tls.py").read_text(encoding="utf-8")
    [function] = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "_code"
    ]
    said = set(re.findall(r"'([a-z]+(?:_[a-z]+)+)'", ast.unparse(function)))
    return said | set(tls._VERIFICATION.values())


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i18n, "_current", gettext.NullTranslations())


def test_the_codes_are_found() -> None:
    assert {"unreadable", "no_redis"} <= set(first_arguments("UnusableError"))
    assert {"no_tls", "certificate_expired"} <= codes_of_tls()


@pytest.mark.parametrize("code", sorted(codes_of_tls()))
def test_every_end_of_an_encrypted_stream_has_a_sentence(code: str) -> None:
    assert phrase(code) != code


def test_every_setting_that_cannot_be_used_has_a_sentence_and_no_sentence_is_left_over() -> None:
    codes = set(first_arguments("UnusableError")) | set(first_arguments("_check_pem"))
    codes |= {"no_certificate", "no_key", "key_mismatch", "pair_damaged"}  # chosen by a condition
    codes |= {"no_redis_package"}  # said by the program, which cannot import the promise
    assert codes == set(sentences._SETTINGS)


def test_a_sentence_says_an_error_of_the_system_in_words() -> None:
    sentence = setting("unreadable", {"path": "x.pem", "reason": FileNotFoundError(2, "No such")})
    assert sentence == "Cannot read x.pem: there is no such file."
