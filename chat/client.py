"""The chat client as a program: its options, and the choice between plain lines and full screen.

Run it with ``python -m chat.client`` or ``python chat/client.py``; ``--help`` lists the options.
"""

import signal

if __name__ == "__main__":  # Ctrl-C before the program is ready ends it without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import functools
import os
import sys
import threading
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

if not __package__:  # python chat/client.py: make the package importable, and hide its folder
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from chat.app import options as cli
from chat.app.console import Console, Screen
from chat.app.conversation import Conversation
from chat.app.i18n import gettext as _
from chat.app.sentences import error_sentence, why
from chat.core.client import ChatClient, ConnectionClosedError, RefusedError
from chat.core.connection import TransportError
from chat.promises.resume import ResumingClient  # promise: resume

# A line marked with a promise goes when its file in chat/promises goes, with all that it begins.

PATIENCE = 2.0
"""Seconds of a server's silence after which the user is told what it may mean."""


def main(arguments: list[str] | None = None) -> int:
    """Run the client from the command line; return the exit status."""
    options = cli.read_options(_parser, "client", arguments)
    for number in cli.stop_signals():  # however we were started: a shell may ignore Ctrl-C for us
        signal.signal(number, signal.default_int_handler)
    try:
        return cli.attempt(_run, options)
    except (KeyboardInterrupt, EOFError):
        return 0


def _run(options: Namespace) -> int:
    options.tls = options.tls or options.tls_ca is not None
    with _open_log(options.log) as log, contextlib.closing(_assemble(options)) as client:
        try:
            return _talk(client, log, options)
        except RefusedError as error:
            return cli.fail(error_sentence(error.code))
        except OSError as error:
            return cli.fail(_cannot_connect(error, options))


def _open_log(path: str | None) -> contextlib.AbstractContextManager[TextIO | None]:
    """Open the transcript, which nobody else may read: private messages are in it."""
    if not path:
        return contextlib.nullcontext()
    try:
        opener = functools.partial(os.open, mode=0o600)
        return open(path, "a", encoding="utf-8", buffering=1, opener=opener)
    except OSError as error:
        sentence = _("Cannot write the log {path}: {reason}. --log FILE names another one.")
        if isinstance(error, FileNotFoundError):
            sentence = _("Cannot write the log {path}: there is no such folder. Make it first.")
        raise cli.OptionError(sentence.format(path=path, reason=why(error))) from error


def _cannot_connect(error: OSError, options: Namespace) -> str:
    """Return what to say, and to do, about an *error* that ends the client."""
    address, reason = cli.address_text(options.host, options.port), why(error)
    sentence = _(
        "Cannot connect to {address}: {reason}. Is the server running there? "
        "{python} -m chat.server starts one; --host and --port say where to look."
    )
    if isinstance(error, TransportError):
        sentence = _("Cannot connect securely to {address}: {reason}. Nothing was sent.")
    elif isinstance(error, ConnectionClosedError | TimeoutError) and not options.tls:
        sentence = _(
            "Cannot connect to {address}: {reason}. If that server encrypts, it takes --tls "
            "or --tls-ca; --host and --port say where to look."
        )
    return sentence.format(address=address, reason=reason, python=cli.PYTHON)


def _talk(client: ChatClient, log: TextIO | None, options: Namespace) -> int:
    face: Conversation
    console = face = Console(client, Screen(), log, bell=options.bell)
    _connect(client, options)
    console.register(options.nick)
    if _full_screen(options):
        from chat.app import tui

        face = tui.Talk(client, log, bell=options.bell)
        if tui.run(face, options):
            return cli.FAILURE_STATUS
    else:
        console.converse()
    return 0 if face.end_reason in ("quit", "shutdown") else cli.FAILURE_STATUS


def _assemble(options: Namespace) -> ChatClient:
    """Return a client with the promises that it is to keep, each put in at its seam.

    Raises `UnusableError`.
    """
    kind: type[ChatClient] = ChatClient
    if not options.no_reconnect:  # promise: resume
        kind = ResumingClient
    client = kind((options.host, options.port), also=options.also or ())
    if options.tls:  # promise: tls
        from chat.promises.tls import client_context, client_transport

        client.transport = client_transport(client_context(options.tls_ca))
    if options.passphrase_file is not None:  # promise: encryption
        from chat.promises.encryption import Cipher, read_passphrase

        client.cipher = Cipher(read_passphrase(options.passphrase_file))
    return client


def _connect(client: ChatClient, options: Namespace) -> None:
    """Connect; when the server is silent for `PATIENCE` seconds, say what that may mean."""
    sentence = _("The server at {address} has not answered yet.")
    if not options.tls:
        sentence += " " + _("If it encrypts, it waits for --tls or --tls-ca. Ctrl-C ends this.")
    address = cli.address_text(options.host, options.port)
    timer = threading.Timer(PATIENCE, cli.complain, [sentence.format(address=address)])
    timer.start()
    try:
        client.connect()
    finally:
        timer.cancel()
        timer.join()


def _full_screen(options: Namespace) -> bool:
    """Tell whether there is a terminal for the full screen, and what draws it."""
    streams = (sys.stdin, sys.stdout, sys.stderr)  # the screen is written to the last
    terminal = all(stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb"
    return terminal and not options.plain and find_spec("textual") is not None


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="chat.client",
        description=_("A chat client: what you type goes to everybody, or to one."),
        epilog=_("In the chat, /help lists the commands; exit or Ctrl-C leaves."),
    )
    # Without the promise:
    parser.set_defaults(tls=False, tls_ca=None, passphrase_file=None)
    parser.add_address(_("the server's name or IP address"), _("the server's TCP port"))
    parser.add(
        "--also",
        cli.server_addresses,
        _("HOST:PORT,…"),
        _("other servers of the same chat, for when the first does not answer"),
    )
    parser.add("--nick", str, _("NICK"), _("your nickname (default: you are asked)"))
    parser.add_switch(
        "--plain", _("print plain lines instead of using the full screen: good for screen readers")
    )
    parser.add_switch("--bell", _("ring when somebody writes to you alone or names you"))
    parser.add_file("--log", _("append all that you receive to this file"))
    parser.add_switch(  # promise: tls
        "--tls",
        _(
            "encrypt the connection (TLS) and check the server; without it, anybody can read "
            "passwords and texts in transit"
        ),
    )
    parser.add_file(  # promise: tls
        "--tls-ca", _("with TLS, trust the certificates in this file and no others")
    )
    parser.add_file(  # promise: encryption
        "--passphrase-file",
        _(
            "hide the texts from the server, too: only those who have the same passphrase, "
            "the first line of this file, can read them"
        ),
    )
    parser.add_switch(  # promise: resume
        "--no-reconnect",
        _("end when the connection is lost, instead of trying to come back"),
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
