"""What the two programs share: their options, and how they say that something is wrong.

An option is looked for on the command line first, then in the environment, then in the user's
file, a small TOML like ::

    [client]
    nick = "Аня"
    bell = true

`argparse` alone reads all three: a line of the file or a variable becomes an argument. Everything
here is of the standard library, because the programs must run where nothing is installed.
"""

import argparse
import contextlib
import io
import os
import select
import shutil
import socket
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

from chat.app.i18n import LANGUAGES, set_language
from chat.app.i18n import gettext as _
from chat.app.sentences import why

N = TypeVar("N", int, float)

USAGE_STATUS = 2
FAILURE_STATUS = 1


class OptionError(Exception):
    """An option that cannot be used; its text is a sentence for the user."""


class ArgumentParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Print *message* and end with status 2."""
        hint = _("See --help.")
        complain(f"{self.prog}: {message}. {hint}")
        self.exit(USAGE_STATUS)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the program, also when what it has printed cannot be written."""
        write("")
        super().exit(status, message)


# Options


def read_options(
    make_parser: Callable[[], ArgumentParser],
    section: str,
    arguments: list[str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> argparse.Namespace:
    """Return the options of the program whose table in the file is *section*.

    Sets the language first, because *make_parser* uses its sentences. What the command line does
    not say is taken from *environ* (``CHAT_NICK``; for the server ``CHAT_SERVER_PORT``), and then
    from the file. Ends with status 2 and a sentence when one of them is wrong.
    """
    prepare_streams()
    early = _read_early(arguments)
    named = early.config or environ.get("CHAT_CONFIG")
    path = Path(named) if named else config_path(environ)
    problem: Exception | None = None
    document: dict[str, Any] = {}
    try:
        document = _read_file(path, needed=bool(named))
    except (OSError, RuntimeError, ValueError) as error:
        problem = error
    table = document.get(section, {})
    is_table = isinstance(table, dict) and not set(document) - {"client", "server"}
    wishes = (early.lang, environ.get("CHAT_LANG"), table.get("lang") if is_table else None)
    set_language(next((wish for wish in wishes if wish in LANGUAGES), None))
    parser = make_parser()
    prefix = "CHAT_" if section == "client" else f"CHAT_{section.upper()}_"
    _add_common(parser, section, prefix, path)
    options = parser.parse_args(arguments)  # what is wrong there, and --help, come first
    if problem is not None:
        sentence = _("Cannot read the settings in {path}: {reason}.").removesuffix(".")
        parser.error(sentence.format(path=path, reason=why(problem)))
    if not is_table:
        sentence = _("The settings in {path} belong in the tables [client] and [server].")
        parser.error(sentence.removesuffix(".").format(path=path))
    names = [name for name in vars(options) if name != "config"]
    settings = {name.replace("-", "_"): (f"{path}: {name}", table[name]) for name in table}
    for name in settings.keys() - names:
        sentence = _("{path}: there is no setting {name}; there are: {names}")
        known = ", ".join(sorted(names)).replace("_", "-")
        parser.error(sentence.format(path=path, name=name.replace("_", "-"), names=known))
    for name in names:
        variable = "CHAT_LANG" if name == "lang" else prefix + name.upper()
        if environ.get(variable):
            settings[name] = (variable, environ[variable])
    _apply(parser, settings, options := argparse.Namespace())
    return parser.parse_args(arguments, options)


def _apply(
    parser: ArgumentParser, settings: dict[str, tuple[str, object]], options: argparse.Namespace
) -> None:
    """Set *options* to the values in *settings*, which come with the place where they stand."""
    parser.exit_on_error = False  # an error says where the setting stands, not how it is written
    for name, (source, value) in settings.items():
        is_switch = isinstance(parser.get_default(name), bool)
        try:
            parser.parse_args(_argument(name, value, is_switch=is_switch), options)
        except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
            parser.error(f"{source}: {getattr(error, 'message', error)}")


def _argument(name: str, value: object, *, is_switch: bool) -> list[str]:
    """Return the setting *name* as it would stand on the command line.

    Raises `argparse.ArgumentTypeError` when *value* is of no use for it.
    """
    option = "--" + name.replace("_", "-")
    if is_switch:
        answers = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if str(value).lower() not in answers:
            sentence = _("yes or no is needed (true or false in the file), not {text!r}")
            raise argparse.ArgumentTypeError(sentence.format(text=value))
        return [option] if answers[str(value).lower()] else []
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        sentence = _("one text or number is needed, not {text!r}")
        raise argparse.ArgumentTypeError(sentence.format(text=value))
    return [f"{option}={value}"]


def add_file(parser: argparse.ArgumentParser, option: str, meaning: str) -> None:
    """Add an *option* that is a file's path."""
    parser.add_argument(option, type=file_path, metavar=_("FILE"), help=meaning)


def add_switch(parser: argparse.ArgumentParser, option: str, meaning: str) -> None:
    """Add an *option* without a value."""
    parser.add_argument(option, action="store_true", help=meaning)


def choose_language(arguments: list[str] | None) -> None:
    """Set the language that ``--lang`` asks for; before the parser is made."""
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

    Not by platformdirs: the place must not depend on what else is installed.
    """
    if sys.platform == "win32":
        base = environ.get("APPDATA") or "~/AppData/Roaming"
    else:
        base = environ.get("XDG_CONFIG_HOME") or ""
        # "All paths must be absolute"; a relative one is to be ignored.
        base = base if Path(base).is_absolute() else "~/.config"
    with contextlib.suppress(RuntimeError):  # the home folder is unknown
        return Path(base).expanduser() / "tcp-chat" / "config.toml"
    return Path(os.devnull)


def _read_early(arguments: list[str] | None) -> argparse.Namespace:
    """Return what must be known before the parser is made; the parser will complain."""
    early = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    early.add_argument("--lang", choices=LANGUAGES)
    early.add_argument("--config")
    try:
        return early.parse_known_args(arguments)[0]
    except argparse.ArgumentError:
        return argparse.Namespace(lang=None, config=None)


def _read_file(path: Path, *, needed: bool) -> dict[str, Any]:
    """Return what stands in the settings at *path*; nothing if nobody *needed* them to be there.

    Raises `OSError`, `RuntimeError` (no home folder), `ValueError` (no text, no TOML).
    """
    try:
        return tomllib.loads(read_text(path))
    except OSError:  # no such file, or the home folder is somebody else's
        if needed:
            raise
        return {}


def read_text(path: Path) -> str:
    """Return the text in a file that a person edits. Raises `OSError`, `UnicodeDecodeError`.

    With ``~`` for the home folder (`RuntimeError` if there is none), and without the byte order
    mark that an editor may put in front.
    """
    return path.expanduser().read_text(encoding="utf-8-sig")


def _add_common(parser: argparse.ArgumentParser, section: str, prefix: str, path: Path) -> None:
    """Add the options of both programs, and say where else options may stand."""
    shown = str(path)
    with contextlib.suppress(RuntimeError, ValueError):
        shown = f"~/{path.relative_to(Path.home()).as_posix()}"
    add_language(parser)
    parser.add_argument(
        "--config",
        metavar=_("FILE"),
        help=_("options are also read from this file (default: {path})").format(
            path=shown.replace("%", "%%")
        ),
    )
    parser.epilog = f"{parser.epilog or ''} " + _(
        "An option that is not given is looked for in the environment (like {variable}), then in "
        "the file, under [{section}]."
    ).format(variable=f"{prefix}HOST", section=section)


# What an option may be. Each of these raises `argparse.ArgumentTypeError` with a sentence.


def host_name(text: str) -> str:
    """Return *text* if it can name a host."""
    try:
        text.encode("idna")  # as the resolver will
    except UnicodeError:
        raise argparse.ArgumentTypeError(why(socket.gaierror())) from None
    return text


def port_number(text: str, least: int = 1) -> int:
    """Return the TCP port in *text*. A server's may be 0: it gets a free one."""
    if text.isascii() and text.isdigit() and len(text) < 6 and least <= int(text) <= 65535:
        return int(text)
    sentence = _("a port is a number from {least} to 65535, not {text!r}")
    raise argparse.ArgumentTypeError(sentence.format(least=least, text=text))


def server_addresses(text: str) -> list[tuple[str, int]]:
    """Return hosts and ports in *text*, ``HOST:PORT,…``."""
    addresses = []
    for part in filter(None, text.split(",")):
        host, colon, port = part.strip().rpartition(":")
        if not colon or not host:
            sentence = _("HOST:PORT is needed, not {text!r}")
            raise argparse.ArgumentTypeError(sentence.format(text=part))
        name = host.removeprefix("[").removesuffix("]")  # an IPv6 address
        addresses.append((host_name(name), port_number(port)))
    return addresses


def file_path(text: str) -> str:
    """Return the path in *text*, with ``~`` for the home folder."""
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text}: {why(error)}") from None


def number(
    kind: Callable[[str], N], least: float, most: float, *others: float
) -> Callable[[str], N]:
    """Return what reads a number of that *kind* from *least* to *most*, or one of *others*."""

    def read(text: str) -> N:
        with contextlib.suppress(ValueError):
            if least <= (value := kind(text)) <= most or value in others:
                return value
        sentence = _("a number from {least:.12g} to {most:.12g} is needed, not {text!r}")
        if kind is int:
            sentence = _("a whole number from {least} to {most} is needed, not {text!r}")
        elif others:
            sentence = _("0 or a number from {least:.12g} to {most:.12g} is needed, not {text!r}")
        raise argparse.ArgumentTypeError(sentence.format(least=least, most=most, text=text))

    return read


positive = number(int, 1, 10**9)


def admin_password(path: str | None) -> str | None:
    """Return the admin's password from the file at *path*, else from CHAT_ADMIN_PASSWORD.

    Raises `OptionError` when the file cannot be read or holds no password.
    """
    if path is None:
        return os.environ.get("CHAT_ADMIN_PASSWORD") or None
    try:
        lines = read_text(Path(path)).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        sentence = _("Cannot read the password file {path}: {reason}.")
        raise OptionError(sentence.format(path=path, reason=why(error))) from error
    if not lines or not lines[0]:
        raise OptionError(_("The first line of {path} holds no password.").format(path=path))
    return lines[0]


def address_text(host: str, port: int) -> str:
    """Return ``HOST:PORT``; an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# The standard streams, any of which may be closed, full, or a terminal that is gone


def prepare_streams() -> None:
    """Make stdin, stdout and stderr usable.

    Where a shell has closed one of them (``<&-``), nothing is read and what is written is lost.
    Characters that an encoding does not have are replaced, in both directions.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            void = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - until the end
            setattr(sys, name, void)
        elif name != "stderr" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def write(text: str, stream: TextIO | None = None) -> None:
    """Write *text* to *stream* (stdout) at once; from an error on, into the void. Any thread.

    A reader who has gone needs no word; about a full disk stderr gets a sentence. The buffer of
    *stream* is left out: a thread that waits in it for a terminal would keep the program from
    ending.
    """
    stream = stream or sys.stdout
    data = text.encode(stream.encoding, stream.errors or "strict")
    try:
        stream.flush()
        raw = getattr(stream.buffer, "raw", stream.buffer)
        while data:
            written = raw.write(data)
            if written is None:  # somebody has made the terminal non-blocking
                select.select((), (stream,), ())
            data = data[written or 0 :]
    except OSError as error:
        with open(os.devnull, "wb") as void:  # noqa: PTH123
            os.dup2(void.fileno(), stream.fileno())
        if stream is not sys.stderr and not isinstance(error, BrokenPipeError):
            complain(
                _("The output cannot be written any more: {reason}.").format(reason=why(error))
            )


def wrapped(sentence: str, stream: TextIO, indent: int) -> str:
    """Return *sentence* broken between words for a terminal; a program reads whole lines."""
    if not stream.isatty():
        return sentence
    return textwrap.fill(
        sentence,
        max(20, shutil.get_terminal_size().columns),
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def complain(sentence: str) -> None:
    """Say *sentence* on stderr."""
    write(wrapped(sentence, sys.stderr, indent=2) + "\n", sys.stderr)


def fail(sentence: str) -> int:
    """Say *sentence* on stderr and return the exit status of a failure."""
    complain(sentence)
    return FAILURE_STATUS
