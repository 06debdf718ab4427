"""The chat server as a program: its options, its signals, its terminal.

Run it with ``python -m chat.server`` or ``python chat/server.py``; ``--help`` lists the options.
"""

import errno
import functools
import signal
import sqlite3
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

if not __package__:  # python chat/server.py: make the package importable, and hide its folder
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from chat.app import journal
from chat.app import options as cli
from chat.app.i18n import gettext as _
from chat.core.history import History
from chat.core.protocol import DEFAULT_HOST, DEFAULT_PORT, Limits
from chat.core.room import Post, Room
from chat.core.server import ChatServer, logger
from chat.promises.tls import server_context

DEFAULT_RATE = 10.0
"""Messages a second, when the server is run as a script: among strangers."""


def main(arguments: list[str] | None = None) -> int:
    """Run the server from the command line until it is told to stop; return the exit status."""
    options = cli.read_options(_parser, "server", arguments)
    try:
        server = ChatServer(
            options.host,
            options.port,
            limits=Limits(**{name: getattr(options, name) for name, *_rest in _limits()}),
            admin_password=cli.admin_password(options.admin_password_file),
            history=options.history,
            tls=_tls(options.tls_cert, options.tls_key),
            make_room=_room(options.backplane, options.history),
        )
    except cli.OptionError as error:
        return cli.fail(str(error))
    except (OSError, sqlite3.Error) as error:
        sentence = _("Cannot keep the history in {path}: {reason}.")
        return cli.fail(sentence.format(path=options.history, reason=cli.why(error)))
    try:
        server.bind()
    except cli.OptionError as error:
        return cli.fail(str(error))
    except OSError as error:
        address = cli.address_text(options.host, options.port)
        sentence = _("Cannot listen on {address}: {reason}. --host chooses another address.")
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            sentence = _(
                "Cannot listen on {address}: {reason}. --port chooses another one (0: any free "
                "one)."
            )
        return cli.fail(sentence.format(address=address, reason=cli.why(error)))

    def stop(number: int, _frame: object) -> None:
        if number == signal.SIGINT and sys.stdout.isatty():
            cli.write("\n")  # the terminal has just shown ^C
        server.request_stop("stopped")

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    about = journal.about(
        server.address,
        server.limits,
        history=options.history,
        backplane=options.backplane,
        tls=server.tls is not None,
    )
    with journal.on_console(
        logger, about, show_text=options.show_text, as_json=options.log_format == "json"
    ):
        server.start()
        server.wait()
    return 0


def _room(url: str | None, history: str | None) -> Callable[[Post, Limits, History], Room]:
    """Return what makes the room: the only one, or one that is shared over the Redis at *url*.

    Raises `cli.OptionError`.
    """
    if url is None:
        return Room
    if history is not None:
        raise cli.OptionError(_("--history and --backplane exclude each other: Redis keeps it."))
    try:
        from chat.promises.cluster import Backplane, SharedRoom  # noqa: PLC0415 - needs a package
    except ImportError as error:
        raise cli.OptionError(
            _("--backplane needs the package redis: pip install 'redis[hiredis]'.")
        ) from error
    return functools.partial(SharedRoom, Backplane(url))


def _tls(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    """Return the settings of TLS, None without it. Raises `cli.OptionError`."""
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise cli.OptionError(_("--tls-cert and --tls-key go together."))
    return server_context(cert, key)


def _limits() -> list[tuple[str, Callable[[str], float], float, str]]:
    """Return the limits that the command line sets: name, type, default, help."""
    return [
        (
            "max_clients",
            cli.positive,
            Limits.max_clients,
            _("users at a time (default: %(default)s)"),
        ),
        (
            "rate",
            cli.rate,
            DEFAULT_RATE,
            _(
                "messages a second that one user may go on sending, after {burst} at once; "
                "0: as many as they like (default: %(default)s)"
            ).format(burst=Limits.burst),
        ),
        (
            "queue_bytes",
            cli.positive,
            Limits.queue_bytes,
            _("bytes that may wait for a client that reads slowly (default: %(default)s)"),
        ),
        (
            "queue_frames",
            cli.positive,
            Limits.queue_frames,
            _("messages that may wait for a client that reads slowly (default: %(default)s)"),
        ),
        (
            "register_timeout",
            cli.seconds,
            Limits.register_timeout,
            _("seconds that a newcomer has to give a nickname (default: %(default)s)"),
        ),
        (
            "ping_after",
            cli.seconds,
            Limits.ping_after,
            _(
                "seconds of silence after which a client is asked for an answer "
                "(default: %(default)s)"
            ),
        ),
        (
            "answer_timeout",
            cli.seconds,
            Limits.answer_timeout,
            _("seconds that it has for that answer (default: %(default)s)"),
        ),
    ]


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="chat.server",
        description=_("A chat server: everybody who connects can talk to all or to one."),
        epilog=_("Ctrl-C stops the server; everybody is told first."),
    )
    cli.add_address(parser, DEFAULT_HOST, DEFAULT_PORT)
    for name, kind, default, sentence in _limits():
        parser.add_argument(
            "--" + name.replace("_", "-"),
            type=kind,
            default=default,
            metavar=_("N"),
            help=sentence,
        )
    parser.add_argument(
        "--history",
        metavar=_("FILE"),
        help=_("keep what is said in this file (SQLite), so that it outlives the server"),
    )
    parser.add_argument(
        "--backplane",
        metavar=_("URL"),
        help=_(
            "be one chat with all servers that use this Redis (redis://HOST:PORT/0), which keeps "
            "the history; an address with a password belongs into the variable "
            "CHAT_SERVER_BACKPLANE"
        ),
    )
    parser.add_argument(
        "--tls-cert",
        metavar=_("FILE"),
        help=_(
            "encrypt all connections (TLS), with the certificate in this file; without it, "
            "passwords and texts can be read by anybody on the way"
        ),
    )
    parser.add_argument(
        "--tls-key", metavar=_("FILE"), help=_("the private key that belongs to the certificate")
    )
    parser.add_argument(
        "--show-text",
        action="store_true",
        help=_("show the text of messages here, not only their size"),
    )
    parser.add_argument(
        "--admin-password-file",
        metavar=_("FILE"),
        help=_(
            "the admin's password is the first line of this file (or the variable "
            "CHAT_ADMIN_PASSWORD); without either, nobody is admin"
        ),
    )
    journal.add_log_format(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
