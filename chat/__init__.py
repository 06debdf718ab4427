"""A multi-user chat on TCP sockets and threads, small enough to read in one sitting.

Read the modules in the order in which they build on one another::

    protocol ── what is said on the wire: bytes in, messages out
       │
       ├── history ──── the ordered log of what was said
       ├── room ─────── who is here, who may take which nickname, who receives what
       ├── connection ─ one peer on one socket: reading, the outbound queue, closing
       │      │
       │      ├── server ── a listener, a thread for every client
       │      └── client ── ChatClient: a socket and a listener thread
       │             │
       │             └── console ── the face of a client: lines on a terminal
       └── lab ──────── the laboratory for notebooks and tests

The arrows of import point upwards only: a module knows nothing of those below it.
All of it but ``lab`` needs the standard library alone.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a sentence instead of a SyntaxError
    from chat.app.i18n import gettext as _

    sys.exit(
        _("The chat needs Python 3.11 or newer; this is {version}.").format(
            version=".".join(map(str, sys.version_info[:3]))
        )
    )
