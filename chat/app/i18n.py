"""Sentences for people: gettext catalogues in ``chat/app/locale``, Russian unless told otherwise.

The code speaks English (the msgids); a catalogue says it in another language. Compiled
catalogues travel with the source, so that a bare Python needs no build step.
"""

from __future__ import annotations  # a Python that is too old is told so, and needs this to be

import gettext as _gettext
import os
from collections.abc import Mapping
from pathlib import Path

LANGUAGES = ("ru", "en")
DEFAULT_LANGUAGE = "ru"
LOCALE_DIRECTORY = Path(__file__).parent / "locale"


def environment_language(environ: Mapping[str, str] = os.environ) -> str:
    """Return the first of our languages that *environ* asks for, or Russian.

    Looks where gettext looks: LANGUAGE, LC_ALL, LC_MESSAGES, LANG (gettext manual, 2.3).
    """
    for variable in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        for wish in environ.get(variable, "").split(":"):
            if wish[:2].lower() in LANGUAGES:
                return wish[:2].lower()
    return DEFAULT_LANGUAGE


def set_language(language: str | None = None) -> str:
    """Make *language* (None: the environment's) that of all sentences; return its code.

    Call it from the main thread before anything is said: it also turns the standard
    library's own sentences, those of ``argparse``, to our catalogue.
    """
    global _current, _language  # noqa: PLW0603 - a process speaks one language
    _language = language or environment_language()
    _current = _catalogue(_language)
    os.environ["LANGUAGE"] = _language
    _gettext.bindtextdomain("chat", str(LOCALE_DIRECTORY))
    _gettext.textdomain("chat")
    return _language


def language() -> str:
    """Return the code of the language now spoken: ``"ru"`` or ``"en"``."""
    return _language


def mark(sentence: str) -> str:
    """Return *sentence* as it is: it is in the catalogue, and `gettext` is called where it is used.

    For tables, which are made before the language is known.
    """
    return sentence


def nmark(singular: str, plural: str) -> tuple[str, str]:
    """Return both forms as they are, as `mark` does, for `ngettext`."""
    return singular, plural


def gettext(sentence: str) -> str:
    """Return *sentence* in the current language."""
    return _current.gettext(sentence)


def ngettext(singular: str, plural: str, number: int) -> str:
    """Return the form that goes with *number*: «1 пользователь, 2 пользователя, 5 …»."""
    return _current.ngettext(singular, plural, number)


def _catalogue(code: str) -> _gettext.NullTranslations:
    """Return the sentences in a language; English is what the code says itself."""
    if code == "en":
        return _gettext.NullTranslations()
    return _gettext.translation("chat", LOCALE_DIRECTORY, languages=[code])


_language = environment_language()
_current = _catalogue(_language)
