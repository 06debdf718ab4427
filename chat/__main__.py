"""``python -m chat``: says what to start instead."""

import sys

from chat import cli
from chat.i18n import gettext as _

sys.exit(
    cli.fail(
        _("Start a server with “python -m chat.server”, a client with “python -m chat.client”.")
    )
)
