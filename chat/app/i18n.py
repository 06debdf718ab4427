"""Translations: gettext catalogues in ``chat/app/locale``, Russian by default.

The texts in the code (the msgids) are English; the catalogues have the translations. Compiled
catalogues are kept with the source, so that nothing has to be built before the chat runs.
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
    """Return the first language in *environ* that we have, or Russian.

    Looks where gettext looks: LANGUAGE, LC_ALL, LC_MESSAGES, LANG (gettext manual, 2.3).
    """
    for variable in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        for wish in environ.get(variable, "").split(":"):
            if wish[:2].lower() in LANGUAGES:
                return wish[:2].lower()
    return DEFAULT_LANGUAGE


def set_language(language: str | None = None) -> str:
    """Set the language of all texts (None: the environment's); return its code.

    Call it in the main thread before any text is used. It also makes the standard library, that
    is ``argparse``, use our catalogue.
    """
    global _current, _language  # noqa: PLW0603 - a process speaks one language
    _language = language or environment_language()
    _current = _catalogue(_language)
    os.environ["LANGUAGE"] = _language
    _gettext.bindtextdomain("chat", str(LOCALE_DIRECTORY))
    _gettext.textdomain("chat")
    return _language


def language() -> str:
    """Return the code of the current language: ``"ru"`` or ``"en"``."""
    return _language


def mark(sentence: str) -> str:
    """Return *sentence* unchanged, marked for the catalogue: `gettext` is called where it is used.

    For tables, which are made before the language is known.
    """
    return sentence


def nmark(singular: str, plural: str) -> tuple[str, str]:
    """Return both forms unchanged, as `mark` does, for `ngettext`."""
    return singular, plural


def gettext(sentence: str) -> str:
    """Return *sentence* in the current language."""
    return _current.gettext(sentence)


def ngettext(singular: str, plural: str, number: int) -> str:
    """Return the form that goes with *number*: «1 пользователь, 2 пользователя, 5 …»."""
    return _current.ngettext(singular, plural, number)


def _catalogue(code: str) -> _gettext.NullTranslations:
    """Return the translations into a language; English needs none."""
    return _gettext.translation("chat", LOCALE_DIRECTORY, [code], fallback=code == "en")


_language = environment_language()
_current = _catalogue(_language)
