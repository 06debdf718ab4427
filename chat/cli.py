"""What the two scripts share: their command lines, and how they say that something is wrong."""

import argparse
import errno
import io
import math
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from chat.i18n import LANGUAGES, set_language
from chat.i18n import gettext as _

USAGE_STATUS = 2
FAILURE_STATUS = 1


class OptionError(Exception):
    """An option that cannot be used; its text is a sentence for the user."""


class ArgumentParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Print *message* and end with status 2."""
        hint = _("See --help.")
        self.exit(USAGE_STATUS, f"{self.prog}: {message}. {hint}\n")


def choose_language(arguments: list[str] | None) -> None:
    """Set the language that ``--lang`` asks for, before the parser that speaks it is made."""
    early = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    early.add_argument("--lang", choices=LANGUAGES)
    try:
        known, _rest = early.parse_known_args(arguments)
    except argparse.ArgumentError:  # the real parser will say so
        set_language()
    else:
        set_language(known.lang)


def forgive_encodings() -> None:
    """Let stdin and stdout replace what their encoding cannot say, instead of failing."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def write(text: str) -> None:
    """Write *text* to stdout at once; into the void when nobody reads it any more. Any thread."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        with open(os.devnull, "wb") as void:  # noqa: PTH123
            os.dup2(void.fileno(), sys.stdout.fileno())


def add_address(parser: argparse.ArgumentParser, host: str, port: int) -> None:
    """Add ``--host`` and ``--port``."""
    parser.add_argument(
        "--host",
        type=host_name,
        default=host,
        metavar=_("HOST"),
        help=_("the server's name or IP address (default: %(default)s)"),
    )
    parser.add_argument(
        "--port",
        type=port_number,
        default=port,
        metavar=_("PORT"),
        help=_("the server's TCP port; the server picks a free one for 0 (default: %(default)s)"),
    )


def add_language(parser: argparse.ArgumentParser) -> None:
    """Add ``--lang``."""
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        help=_("the language of the interface (default: the environment's, else Russian)"),
    )


def host_name(text: str) -> str:
    """Return *text* if it can name a host. Raises `argparse.ArgumentTypeError`."""
    try:
        text.encode("idna")  # as the resolver will
    except UnicodeError:
        raise argparse.ArgumentTypeError(why(socket.gaierror())) from None
    return text


def port_number(text: str) -> int:
    """Return the TCP port in *text*. Raises `argparse.ArgumentTypeError`."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(
            _("a port is a number from 0 to 65535, not {text!r}").format(text=text)
        )
    return int(text)


def positive(text: str) -> int:
    """Return the positive whole number in *text*. Raises `argparse.ArgumentTypeError`."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(
            _("a whole number above 0 is needed, not {text!r}").format(text=text)
        )
    return int(text)


def rate(text: str) -> float:
    """Return the non-negative number in *text*. Raises `argparse.ArgumentTypeError`."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(
            _("a number from 0 up is needed, not {text!r}").format(text=text)
        )
    return number


def seconds(text: str) -> float:
    """Return the positive number of seconds in *text*. Raises `argparse.ArgumentTypeError`."""
    number = rate(text)
    if not number:
        raise argparse.ArgumentTypeError(
            _("a number above 0 is needed, not {text!r}").format(text=text)
        )
    return number


def admin_password(path: str | None) -> str | None:
    """Return the admin's password from the file at *path*, else from CHAT_ADMIN_PASSWORD.

    Raises `OptionError` when the file cannot be read or holds no password.
    """
    if path is None:
        return os.environ.get("CHAT_ADMIN_PASSWORD") or None
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(
            _("Cannot read the password file {path}: {reason}.").format(
                path=path, reason=why(error)
            )
        ) from error
    if not lines or not lines[0]:
        raise OptionError(_("The first line of {path} holds no password.").format(path=path))
    return lines[0]


def address_text(host: str, port: int) -> str:
    """Return ``HOST:PORT``; an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def why(error: Exception) -> str:
    """Return the reason of *error* in a few words of the user's language."""
    known = {
        "FileNotFoundError": _("there is no such file"),
        "IsADirectoryError": _("it is a directory"),
        "PermissionError": _("permission denied"),
        "ConnectionRefusedError": _("nobody listens there"),
        "TimeoutError": _("no answer in time"),
        "UnicodeDecodeError": _("it is not UTF-8 text"),
        "gaierror": _("no such host is known"),
        "ConnectionClosedError": _("it is no chat server, or it has hung up"),
    }
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return _("the port is already in use")
    if isinstance(error, OSError):
        return known.get(type(error).__name__) or error.strerror or str(error)
    return known.get(type(error).__name__) or str(error)


def left_sentence(reason: str) -> str:
    """Return how ``{nick}`` left, for a *reason* of the protocol."""
    return {
        "lost": _("{nick} is gone: the connection was lost"),
        "timeout": _("{nick} is gone: no answer"),
        "kicked": _("{nick} was removed by the admin"),
        "slow": _("{nick} was disconnected: reads too slowly"),
        "flood": _("{nick} was disconnected: writes too much"),
        "shutdown": _("{nick} was told goodbye"),
    }.get(reason, _("{nick} has left"))


def fail(sentence: str) -> int:
    """Say *sentence* on stderr and return the exit status of a failure."""
    print(sentence, file=sys.stderr, flush=True)
    return FAILURE_STATUS


def _argparse_sentences() -> tuple[str, ...]:
    """Name for the extractor what ``argparse`` says: it looks its sentences up in our catalogue."""
    return (
        _("usage: "),
        _("options"),
        _("positional arguments"),
        _("show this help message and exit"),
        _("argument %(argument_name)s: %(message)s"),
        _("invalid choice: %(value)r (choose from %(choices)s)"),
        _("unrecognized arguments: %s"),
        _("expected one argument"),
        _("ambiguous option: %(option)s could match %(matches)s"),
        _("ignored explicit argument %r"),
    )
