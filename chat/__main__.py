"""``python -m chat`` says which of the programs to run."""

import sys

from chat.app import options as cli
from chat.app.i18n import gettext as _

if __name__ == "__main__":
    cli.prepare_streams()
    cli.choose_language(None)
    cli.complain(
        _(
            "Which of the two? {python} -m chat.server starts a server, "
            "{python} -m chat.client connects to it."
        ).format(python=cli.PYTHON)
    )
    sys.exit(cli.USAGE_STATUS)
