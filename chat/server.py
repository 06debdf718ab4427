"""The chat server as a program: its options, its signals, its terminal.

Run it with ``python -m chat.server`` or ``python chat/server.py``; ``--help`` lists the options.
"""

import signal

if __name__ == "__main__":  # Ctrl-C before the program is ready ends it without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import errno
import functools
import gc
import os
import socket
import sqlite3
import ssl
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # python chat/server.py: make the package importable, and hide its folder
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from chat.app import journal
from chat.app import options as cli
from chat.app.i18n import gettext as _
from chat.app.sentences import why
from chat.core.connection import Transport
from chat.core.history import Log
from chat.core.protocol import DEFAULT_HOST, Limits
from chat.core.room import Directory, Sessions
from chat.core.server import ChatServer, Gate, log, logger
from chat.promises import UnusableError
from chat.promises.limits import Budgets  # promise: limits
from chat.promises.resume import RememberedSessions  # promise: resume

if TYPE_CHECKING:  # promise: cluster
    from chat.promises.cluster import Cluster

# A line marked with a promise goes when its file in chat/promises goes, with all that it begins.
# What only an option asks for is imported when it is asked for.

DEFAULTS = Limits(rate=10.0)
"""The limits when the server is run as a program: among strangers, each may say so much."""

DAY = 86_400


def main(arguments: list[str] | None = None) -> int:
    """Run the server from the command line until it is told to stop; return the exit status."""
    return cli.attempt(_run, cli.read_options(_parser, "server", arguments))


def _run(options: Namespace) -> int:
    if options.backplane is not None and options.history is not None:
        raise cli.OptionError(_("--history and --backplane exclude each other: Redis keeps it."))
    tls: ssl.SSLContext | None = None
    tls = _tls(options)  # promise: tls
    try:
        server = assemble(
            options.host,
            options.port,
            limits=Limits(**{name: getattr(options, name) for name in _limits()}),
            admin_password=cli.admin_password(options.admin_password_file),
            history=options.history,
            backplane=options.backplane,
            tls=tls,
        )
    except (OSError, sqlite3.Error) as error:
        sentence = _("Cannot keep the history in {path}: {reason}.")
        if isinstance(error, FileNotFoundError):
            sentence = _(
                "Cannot keep the history in {path}: there is no such folder. Make it first."
            )
        raise cli.OptionError(sentence.format(path=options.history, reason=why(error))) from error
    try:
        server.bind()
    except OSError as error:
        address = cli.address_text(options.host, options.port)
        sentence = _("Cannot listen on {address}: {reason}. --host chooses another address.")
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            sentence = _(
                "Cannot listen on {address}: {reason}. --port chooses another one (0: any free "
                "one)."
            )
        raise cli.OptionError(sentence.format(address=address, reason=why(error))) from error
    _heed_signals(server, tls, options)
    gc.set_threshold(20_000, 20, 20)  # what is said lives long, and is in no cycle
    with journal.on_console(logger, server.address, server.limits, options):
        server.start()
        server.wait()
    return 0


def assemble(
    host: str = DEFAULT_HOST,
    port: int = 0,
    *,
    limits: Limits | None = None,
    admin_password: str | None = None,
    history: str | Path | None = None,
    backplane: "str | Cluster | None" = None,
    tls: ssl.SSLContext | None = None,
) -> ChatServer:
    """Return a server with all promises, each put in at its seam.

    *history* is a file, *backplane* the address of a Redis (or what talks to it already); with
    *tls* connections are encrypted.
    Raises `OSError` or `sqlite3.Error` for a file, `UnusableError` for a Redis.
    """
    limits = limits or Limits()
    messages: Log = Log(limits)
    sessions: Sessions | None = None
    directory: Directory | None = None
    gate: Gate | None = None
    transport: Callable[[socket.socket], Transport] = Transport
    if history is not None:  # promise: durable
        from chat.promises.durable import SqliteLog

        messages = SqliteLog(history, limits)
    if backplane is not None:  # promise: cluster
        messages = directory = _cluster(backplane, limits)
    sessions = RememberedSessions(limits, messages)  # promise: resume
    gate = Budgets(limits)  # promise: limits
    if tls is not None:  # promise: tls
        from chat.promises.tls import TlsTransport

        transport = functools.partial(TlsTransport, context=tls, server_side=True)
    return ChatServer(
        host,
        port,
        limits=limits,
        admin_password=admin_password,
        log=messages,
        sessions=sessions,
        directory=directory,
        gate=gate,
        transport=transport,
    )


def _cluster(backplane: "str | Cluster", limits: Limits) -> "Cluster":  # promise: cluster
    """Return what talks to the Redis at *backplane*. Raises `UnusableError`."""
    try:
        from chat.promises.cluster import Cluster
    except ImportError as error:
        raise UnusableError("no_redis_package") from error
    return Cluster(backplane, limits) if isinstance(backplane, str) else backplane


def _tls(options: Namespace) -> ssl.SSLContext | None:  # promise: tls
    """Return the settings of TLS, None without it. Raises `cli.OptionError`, `UnusableError`."""
    if not options.tls_cert and not options.tls_key:
        return None
    if not (options.tls_cert and options.tls_key):
        raise cli.OptionError(_("--tls-cert and --tls-key go together."))
    from chat.promises.tls import server_context

    return server_context(options.tls_cert, options.tls_key)


def _heed_signals(server: ChatServer, tls: ssl.SSLContext | None, options: Namespace) -> None:
    """Stop *server* on SIGINT, SIGTERM, and SIGHUP, which with TLS renews the certificate.

    That is what SIGHUP means to a service; from a terminal that is gone it ends the server.
    """

    def stop(number: int, _frame: object) -> None:
        if number == signal.SIGINT and sys.stdout.isatty():
            cli.write("\n")  # the terminal has just shown ^C
        server.request_stop("stopped")

    def renew(number: int, frame: object) -> None:  # promise: tls
        if number in ending and not all(map(os.isatty, terminals)):
            stop(number, frame)
            return
        try:
            _tls(options)  # a pair that fits, or an error
            assert tls is not None
            tls.load_cert_chain(options.tls_cert, options.tls_key)
        except (UnusableError, OSError) as error:
            log("not_renewed", reason=why(error))
        else:
            log("renewed")

    ending = cli.stop_signals()
    for number in ending:
        signal.signal(number, stop)
    if tls is not None and hasattr(signal, "SIGHUP"):  # promise: tls
        terminals = [one for one in range(3) if os.isatty(one)]
        signal.signal(signal.SIGHUP, renew)


def _limits() -> dict[str, tuple[cli.Kind, str]]:
    """Return the limits that the command line sets: what reads each, and what it means."""
    seconds = cli.number(float, 0.1, DAY)
    return {
        "max_clients": (cli.number(int, 1, 10**6), _("users in the chat at once")),
        "rate": (
            cli.number(float, 0.01, 10**6, 0),
            _(
                "messages a second that one user may go on sending, after {burst} at once; "
                "0: as many as they like"
            ).format(burst=DEFAULTS.burst),
        ),
        "queue_bytes": (
            cli.number(int, 65_536, 2**30),
            _("bytes that may wait for a client that reads slowly"),
        ),
        "queue_frames": (
            cli.number(int, 16, 10**6),
            _("messages that may wait for a client that reads slowly"),
        ),
        "register_timeout": (seconds, _("seconds that a newcomer has to give a nickname")),
        "ping_after": (
            seconds,
            _("seconds of silence after which a client is asked for an answer"),
        ),
        "answer_timeout": (seconds, _("seconds that it has for that answer")),
    }


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="chat.server",
        description=_("A chat server: everybody who connects can talk to all or to one."),
        epilog=_("Ctrl-C stops the server; everybody is told first."),
    )
    # Without the promise:
    parser.set_defaults(history=None, backplane=None, tls_cert=None, tls_key=None)
    parser.add_address(
        _("the address to listen on; 0.0.0.0 or :: for all"),
        _("the TCP port to listen on; 0: the server picks a free one"),
        least_port=0,
    )
    for name, (read, meaning) in _limits().items():
        option = "--" + name.replace("_", "-")
        parser.add(option, read, _("N"), meaning, getattr(DEFAULTS, name))
    parser.add_file(  # promise: durable
        "--history",
        _("keep what is said in this file (SQLite), so that it outlives the server"),
    )
    parser.add(  # promise: cluster
        "--backplane",
        str,
        _("URL"),
        _(
            "share one chat with all servers that use this Redis (redis://HOST:PORT/0), which "
            "keeps the history; an address with a password belongs in the variable "
            "CHAT_SERVER_BACKPLANE"
        ),
    )
    parser.add_file(  # promise: tls
        "--tls-cert",
        _(
            "encrypt all connections (TLS), with the certificate in this file; without it, "
            "anybody can read passwords and texts in transit"
        ),
    )
    parser.add_file(  # promise: tls
        "--tls-key", _("the private key that belongs to the certificate")
    )
    parser.add_switch("--show-text", _("show the text of messages here, not only their size"))
    parser.add_file(
        "--admin-password-file",
        _(
            "the admin's password is the first line of this file (or the variable "
            "CHAT_ADMIN_PASSWORD); without either, nobody is admin"
        ),
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help=_("sentences for people, or one JSON object a line for programs (default: text)"),
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
