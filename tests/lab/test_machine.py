"""Where numbers were measured."""

import platform

import pytest

from chat.app.i18n import set_language
from chat.lab import machine


@pytest.mark.parametrize(("language", "beginning"), [("ru", "Числа получены"), ("en", "The num")])
def test_the_sentence_names_this_computer(language: str, beginning: str) -> None:
    before = machine.describe()
    set_language(language)
    try:
        sentence = machine.sentence()
    finally:
        set_language("ru")
    assert sentence.startswith(beginning)
    assert f"Python {platform.python_version()}." in sentence
    assert str(before["processor"]) in sentence
    assert str(before["system"]) in sentence


def test_the_sentence_of_a_recording() -> None:
    recorded = {"system": "Plan 9", "processor": "Z80", "processors": 1, "python": "3.11.7"}
    assert all(str(value) in machine.sentence(recorded) for value in recorded.values())
