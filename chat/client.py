"""The chat client as a program: its options, and the choice between plain lines and full screen.

Run it with ``python -m chat.client`` or ``python chat/client.py``; ``--help`` lists the options.
"""

import contextlib
import os
import signal
import ssl
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

if not __package__:  # python chat/client.py: make the package importable, and hide its folder
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from chat.app import options as cli
from chat.app.console import STOP_SIGNALS, Console, Screen
from chat.app.conversation import Conversation, error_sentence
from chat.app.i18n import gettext as _
from chat.core.client import ChatClient, Cipher, ConnectionClosedError, RefusedError
from chat.core.protocol import DEFAULT_HOST, DEFAULT_PORT, Message
from chat.promises.tls import TlsError, client_context


def main(arguments: list[str] | None = None) -> int:
    """Run the client from the command line; return the exit status."""
    options = cli.read_options(_parser, "client", arguments)
    for number in STOP_SIGNALS:  # both, however we were started: a shell may ignore Ctrl-C for us
        signal.signal(number, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        try:
            log = options.log and stack.enter_context(
                open(
                    Path(options.log).expanduser(),
                    "a",
                    encoding="utf-8",
                    buffering=1,
                    opener=_open_for_us_alone,
                )
            )
        except (OSError, RuntimeError) as error:
            sentence = _("Cannot write the log {path}: {reason}. --log FILE names another one.")
            if isinstance(error, FileNotFoundError):
                sentence = _("Cannot write the log {path}: there is no such folder. Make it first.")
            return cli.fail(sentence.format(path=options.log, reason=cli.why(error)))
        try:
            return _run(options, log)
        except (KeyboardInterrupt, EOFError):
            return 0
        except cli.OptionError as error:
            return cli.fail(str(error))
        except RefusedError as error:
            return cli.fail(error_sentence(error.code))
        except OSError as error:
            address = cli.address_text(options.host, options.port)
            sentence = _connection_sentence(error, secure=_wants_tls(options))
            return cli.fail(sentence.format(address=address, reason=cli.why(error)))


def _open_for_us_alone(path: str, flags: int) -> int:
    """Open a file that, if it is new, nobody else may read: private messages are in it."""
    return os.open(path, flags, 0o600)


def _connection_sentence(error: OSError, *, secure: bool) -> str:
    """Return what to say, and to do, when there is no connection."""
    if isinstance(error, TlsError):
        return _("Cannot connect securely to {address}: {reason}. Nothing was sent.")
    if isinstance(error, ConnectionClosedError | TimeoutError) and not secure:
        return _(
            "Cannot connect to {address}: {reason}. If that server encrypts, it takes --tls "
            "or --tls-ca; --host and --port say where to look."
        )
    return _(
        "Cannot connect to {address}: {reason}. Is the server running there? "
        "python -m chat.server starts one; --host and --port say where to look."
    )


def _run(options: Namespace, log: TextIO | None) -> int:
    console: Console | None = None
    face: Conversation | None = None

    def on_event(event: Message) -> None:
        if face is not None:
            face.on_event(event)

    cipher = _cipher(options.passphrase_file)
    client = ChatClient(
        (options.host, options.port),
        also=options.also,
        on_event=on_event,
        tls=_tls(options),
        cipher=cipher,
        reconnect=not options.no_reconnect,
    )
    settings = {"bell": options.bell, "has_passphrase": cipher is not None}
    console = face = Console(client, Screen(), log, **settings)
    try:
        client.connect()
        users = console.register(options.nick)
        if _full_screen(options):
            from chat.app import tui  # noqa: PLC0415 - it needs more than the standard library

            face = tui.Talk(client, log, **settings)
            if tui.run(face, users, options):
                return cli.FAILURE_STATUS
        else:
            console.greet(users)
            with console.interruptible():
                client.listen()
                console.converse()
                client.close()  # within: the signal that ends the waiting may come late
    finally:
        client.close()
    return 0 if face.end_reason in ("quit", "shutdown") else cli.FAILURE_STATUS


def _full_screen(options: Namespace) -> bool:
    """Tell whether there is a terminal for the full screen, and what draws it."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return terminal and not options.plain and find_spec("textual") is not None


def _tls(options: Namespace) -> ssl.SSLContext | None:
    """Return the settings of TLS, None without it. Raises `cli.OptionError`."""
    return client_context(options.tls_ca) if _wants_tls(options) else None


def _wants_tls(options: Namespace) -> bool:
    return bool(options.tls or options.tls_ca)


def _cipher(path: str | None) -> Cipher | None:
    """Return what seals the texts, None without a passphrase. Raises `cli.OptionError`."""
    if path is None:
        return None
    from chat.promises import encryption  # noqa: PLC0415 - it needs more than the standard library

    return encryption.Cipher(encryption.read_passphrase(path))


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="chat.client",
        description=_("A chat client: what you type goes to everybody, or to one."),
        epilog=_("In the chat, /help lists the commands; exit or Ctrl-C leaves."),
    )
    cli.add_address(parser, DEFAULT_HOST, DEFAULT_PORT)
    parser.add_argument(
        "--also",
        type=cli.server_addresses,
        default=[],
        metavar=_("HOST:PORT,…"),
        help=_("other servers of the same chat, for when the first does not answer"),
    )
    parser.add_argument(
        "--nick", metavar=_("NICK"), help=_("your nickname (default: you are asked)")
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help=_("plain lines instead of the full screen: for a screen reader, or by taste"),
    )
    parser.add_argument(
        "--bell",
        action="store_true",
        help=_("ring when somebody writes to you alone or names you"),
    )
    parser.add_argument(
        "--log", metavar=_("FILE"), help=_("append all that you receive to this file")
    )
    parser.add_argument(
        "--tls",
        action="store_true",
        help=_(
            "encrypt the connection (TLS) and check the server; without it, passwords and texts "
            "can be read by anybody on the way"
        ),
    )
    parser.add_argument(
        "--tls-ca",
        metavar=_("FILE"),
        help=_("with TLS, trust the certificates in this file and no others"),
    )
    parser.add_argument(
        "--passphrase-file",
        metavar=_("FILE"),
        help=_(
            "hide the texts from the server, too: only who has the same passphrase, "
            "the first line of this file, can read them"
        ),
    )
    parser.add_argument(
        "--no-reconnect",
        action="store_true",
        help=_("end when the connection is lost, instead of trying to come back"),
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
