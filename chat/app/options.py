"""What the two scripts share: their options, and how they say that something is wrong.

An option is looked for on the command line first, then in the environment, then in the user's
file, a small TOML like ::

    [client]
    nick = "Аня"
    bell = true
"""

import argparse
import contextlib
import errno
import io
import math
import os
import shutil
import socket
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from chat.app.i18n import LANGUAGES, set_language
from chat.app.i18n import gettext as _

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


# Options


def read_options(
    make_parser: Callable[[], ArgumentParser],
    section: str,
    arguments: list[str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> argparse.Namespace:
    """Return the options of the script whose table in the file is *section*.

    Sets the language before *make_parser* is called, because the parser speaks it. What the
    command line does not say is taken from *environ* (``CHAT_NICK``; for the server
    ``CHAT_SERVER_PORT``), and then from the file. Ends with status 2 and a sentence when one of
    them is wrong.
    """
    open_closed_streams()
    early = _read_early(arguments)
    path = early.config or environ.get("CHAT_CONFIG") or str(config_path(environ))
    set_language(early.lang or _known_language(environ.get("CHAT_LANG")))
    forgive_encodings()
    table: dict[str, Any] = {}
    problem = None
    try:
        table = _read_table(Path(path), section, needed=early.config is not None)
    except OptionError as error:  # said further down, by the parser
        problem = str(error)
    if not (early.lang or _known_language(environ.get("CHAT_LANG"))):
        set_language(_known_language(table.get("lang")))
    parser = make_parser()
    _add_common(parser, section, path)
    if problem is not None and not {"-h", "--help"} & set(
        sys.argv[1:] if arguments is None else arguments
    ):
        parser.error(problem.removesuffix("."))
    _set_defaults(parser, section, table, path, environ)
    return parser.parse_args(arguments)


def choose_language(arguments: list[str] | None) -> None:
    """Set the language that ``--lang`` asks for, before the parser that speaks it is made."""
    set_language(_read_early(arguments).lang)


def add_language(parser: argparse.ArgumentParser) -> None:
    """Add ``--lang``."""
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        help=_("the language of the interface (default: the environment's, else Russian)"),
    )


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the user's file is: by the XDG Base Directory Specification, or in %APPDATA%.

    Written out, because the scripts run on the standard library alone, and the place must not
    depend on what else is installed.
    """
    if sys.platform == "win32":
        base = environ.get("APPDATA") or "~/AppData/Roaming"
    else:
        base = environ.get("XDG_CONFIG_HOME") or ""
        # "All paths must be absolute"; a relative one is to be ignored.
        base = base if Path(base).is_absolute() else "~/.config"
    with contextlib.suppress(RuntimeError):  # nobody knows where the home folder is
        return Path(base).expanduser() / "tcp-chat" / "config.toml"
    return Path(os.devnull)


def _known_language(wish: object) -> str | None:
    """Return *wish* if it is one of our languages; else what is wrong is said later."""
    return wish if isinstance(wish, str) and wish in LANGUAGES else None


def _read_early(arguments: list[str] | None) -> argparse.Namespace:
    """Return what must be known before the parser is made; the parser will complain."""
    early = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    early.add_argument("--lang", choices=LANGUAGES)
    early.add_argument("--config")
    try:
        return early.parse_known_args(arguments)[0]
    except argparse.ArgumentError:
        return argparse.Namespace(lang=None, config=None)


def _read_table(path: Path, section: str, *, needed: bool) -> dict[str, Any]:
    """Return the table *section* of the file at *path*; nothing if neither exists."""
    sentence = _("Cannot read the settings in {path}: {reason}.")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if needed:
            raise OptionError(sentence.format(path=path, reason=why(error))) from error
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(sentence.format(path=path, reason=why(error))) from error
    table = document.get(section, {})
    if not isinstance(table, dict) or set(document) - {"client", "server"}:
        raise OptionError(
            _("The settings in {path} belong into the tables [client] and [server].").format(
                path=path
            )
        )
    return table


def _set_defaults(
    parser: argparse.ArgumentParser,
    section: str,
    table: dict[str, Any],
    path: str,
    environ: Mapping[str, str],
) -> None:
    """Make what *environ* and *table* say the defaults of *parser*."""
    actions = {
        action.dest: action for action in parser._actions if action.dest not in ("help", "config")
    }
    known = {name.replace("-", "_"): (name, value) for name, value in table.items()}
    for dest, (name, _value) in known.items():
        if dest not in actions:
            names = ", ".join(sorted(dest.replace("_", "-") for dest in actions))
            sentence = _("{path}: there is no setting {name}; there are: {names}")
            parser.error(sentence.format(path=path, name=name, names=names))
    prefix = "CHAT_" if section == "client" else f"CHAT_{section.upper()}_"
    for dest, action in actions.items():
        variable = "CHAT_LANG" if dest == "lang" else prefix + dest.upper()
        if environ.get(variable):
            source, value = variable, environ[variable]
        elif dest in known:
            source, value = f"{path}: {known[dest][0]}", known[dest][1]
        else:
            continue
        try:
            parser.set_defaults(**{dest: _converted(action, value)})
        except argparse.ArgumentTypeError as error:
            parser.error(f"{source}: {error}")


def _converted(action: argparse.Action, value: object) -> object:
    """Return *value* as *action* would have it. Raises `argparse.ArgumentTypeError`."""
    if isinstance(action.const, bool):  # an option without a value
        yes_or_no = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if str(value).lower() not in yes_or_no:
            raise argparse.ArgumentTypeError(
                _("yes or no is needed (true or false in the file), not {text!r}").format(
                    text=value
                )
            )
        return yes_or_no[str(value).lower()]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise argparse.ArgumentTypeError(
            _("one text or number is needed, not {text!r}").format(text=value)
        )
    text = str(value)
    if action.choices is not None and text not in action.choices:
        raise argparse.ArgumentTypeError(
            _("one of {choices} is needed, not {text!r}").format(
                choices=", ".join(action.choices), text=text
            )
        )
    return action.type(text) if callable(action.type) else text


def _shown(path: str) -> str:
    """Return *path* as a person writes it, with ``~`` for their home folder."""
    with contextlib.suppress(RuntimeError, ValueError):
        return f"~/{Path(path).relative_to(Path.home()).as_posix()}"
    return path


def _add_common(parser: argparse.ArgumentParser, section: str, path: str) -> None:
    """Add the options of every script, and say where else options may stand."""
    add_language(parser)
    parser.add_argument(
        "--config",
        metavar=_("FILE"),
        help=_("options are also read from this file (default: {path})").format(
            path=_shown(path).replace("%", "%%")
        ),
    )
    example = "CHAT_HOST" if section == "client" else f"CHAT_{section.upper()}_HOST"
    parser.epilog = f"{parser.epilog or ''} " + _(
        "An option that is not given is looked for in the environment (like {variable}), then in "
        "the file, under [{section}]."
    ).format(variable=example, section=section)


def open_closed_streams() -> None:
    """Put emptiness where a shell has closed stdin, stdout or stderr (``<&-``)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            void = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - until the end
            setattr(sys, name, void)


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


def server_addresses(text: str) -> list[tuple[str, int]]:
    """Return hosts and ports in *text*, ``HOST:PORT,…``. Raises `argparse.ArgumentTypeError`."""
    addresses = []
    for part in filter(None, text.split(",")):
        host, colon, port = part.strip().rpartition(":")
        if not colon or not host:
            sentence = _("HOST:PORT is needed, not {text!r}")
            raise argparse.ArgumentTypeError(sentence.format(text=part))
        name = host.removeprefix("[").removesuffix("]")  # an IPv6 address
        addresses.append((host_name(name), port_number(port)))
    return addresses


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
        "RuntimeError": _("nobody knows where the home folder is"),
        "gaierror": _("no such host is known"),
        "ConnectionClosedError": _("it is no chat server, or it has hung up"),
    }
    if type(error).__name__ in known:
        return known[type(error).__name__]
    if isinstance(error, OSError) and error.strerror:
        return _phrases_of_numbers().get(error.errno or 0) or error.strerror
    return system_phrase(str(error))


def system_phrase(text: str) -> str:
    """Return what the operating system or SQLite says as *text*, in the user's language."""
    phrases = {os.strerror(number): phrase for number, phrase in _phrases_of_numbers().items()}
    phrases |= {
        "database or disk is full": _("the disk is full"),
        "attempt to write a readonly database": _("the file can only be read"),
        "disk I/O error": _("the disk does not work"),
        "unable to open database file": _("the file cannot be opened"),
        "file is not a database": _("it is not a history file"),
        "database is locked": _("another program uses the file"),
    }
    return phrases.get(text, text)


def _phrases_of_numbers() -> dict[int, str]:
    """Return the errors of errno(3) that a user of the chat may meet."""
    return {
        errno.EADDRINUSE: _("the port is already in use"),
        errno.EADDRNOTAVAIL: _("this machine has no such address"),
        errno.EAFNOSUPPORT: _("this machine has no such kind of address"),
        errno.ENETUNREACH: _("there is no way to that network"),
        errno.EHOSTUNREACH: _("there is no way to that host"),
        errno.ECONNRESET: _("the other side has hung up"),
        errno.EMFILE: _("too many open files or connections (see ulimit -n)"),
        errno.ENFILE: _("the whole system has too many open files"),
        errno.ENOSPC: _("the disk is full"),
        errno.EROFS: _("the disk can only be read"),
        errno.EIO: _("the disk does not work"),
        errno.ENOTDIR: _("a folder on the way is a file"),
        errno.ENAMETOOLONG: _("the name is too long"),
    }


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
    if sys.stderr.isatty():
        sentence = textwrap.fill(
            sentence,
            shutil.get_terminal_size().columns,
            break_on_hyphens=False,
            break_long_words=False,
        )
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
