"""A multi-user chat on TCP sockets and threads, small enough to read in one sitting.

``core`` is a complete chat, ``promises`` adds what it does not promise, ``app`` is what surrounds
the two programs ``server`` and ``client``, and ``lab`` is the laboratory of notebooks and tests.
README.md says in which order to read them. All but ``lab`` needs the standard library alone.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a sentence instead of a SyntaxError
    from chat.app.i18n import gettext as _

    sys.exit(
        _("The chat needs Python 3.11 or newer; this is {version}.").format(
            version=".".join(map(str, sys.version_info[:3]))
        )
    )
