"""What the two programs share: options, error messages, signals, standard streams.

An option is looked up on the command line first, then in the environment, then in the user's
settings, a small TOML file like ::

    [client]
    nick = "Аня"
    bell = true

`argparse` reads all three: a setting or a variable becomes an argument. Everything here uses only
the standard library, because the programs must run where nothing is installed.
"""

import argparse
import contextlib
import functools
import io
import os
import re
import select
import shutil
import signal
import socket
import sys
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

from chat.app.i18n import LANGUAGES, set_language
from chat.app.i18n import gettext as _
from chat.app.sentences import why
from chat.core.protocol import DEFAULT_HOST, DEFAULT_PORT
from chat.promises import UnusableError, read_file

Kind = Callable[[str], object]
"""Converts a text to the value of an option, or raises `argparse.ArgumentTypeError`."""

PYTHON = "py" if os.name == "nt" else "python3"
"""The command that starts Python: not every system has one called ``python``."""

USAGE_STATUS = 2
FAILURE_STATUS = 1

_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_PIECES = re.compile("\x1b\\[[0-9;]*m|.", re.DOTALL)
_EMOJI_SELECTOR = "\ufe0f"  # makes some characters wider on some terminals
_TAB = " " * 4


class OptionError(Exception):
    """An invalid option; its text is a sentence for the user."""


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose error messages are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Print *message* and exit with status 2."""
        hint = _("See --help.")
        complain(f"{self.prog}: {message.removesuffix('.')}. {hint}")
        self.exit(USAGE_STATUS)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit, even if the output cannot be written."""
        write("")
        super().exit(status, message)

    def add(
        self, option: str, kind: Kind, metavar: str, meaning: str, default: object = None
    ) -> None:
        """Add an *option* whose value *kind* converts; its help ends with the *default*."""
        if default is not None:
            meaning += " " + _("(default: %(default)s)")
        self.add_argument(option, type=kind, metavar=metavar, help=meaning, default=default)

    def add_file(self, option: str, meaning: str) -> None:
        """Add an *option* that is a file's path."""
        self.add(option, file_path, _("FILE"), meaning)

    def add_switch(self, option: str, meaning: str) -> None:
        """Add an *option* without a value."""
        self.add_argument(option, action="store_true", help=meaning)

    def add_address(self, host: str, port: str, *, least_port: int = 1) -> None:
        """Add ``--host`` and ``--port`` with the descriptions *host* and *port*."""
        read_port = functools.partial(port_number, least=least_port)
        self.add("--host", host_name, _("HOST"), host, DEFAULT_HOST)
        self.add("--port", read_port, _("PORT"), port, DEFAULT_PORT)


# Where options come from


def read_options(
    make_parser: Callable[[], ArgumentParser],
    section: str,
    arguments: list[str] | None = None,
) -> argparse.Namespace:
    """Return the options of the program whose table in the file is *section*.

    Sets the language first, because *make_parser* uses translated texts. Options not given on the
    command line are taken from the environment (``CHAT_NICK``; for the server
    ``CHAT_SERVER_PORT``), then from the file. Exits with status 2 and a message if an option is
    invalid.
    """
    prepare_streams()
    named = _read_early(arguments).config or os.environ.get("CHAT_CONFIG")
    path = Path(named) if named else config_path()
    choose_language(arguments, os.environ.get("CHAT_LANG"))
    table: dict[str, Any] = {}
    problem = ""
    try:
        table = _read_table(path, section, needed=bool(named))
    except OptionError as error:
        problem = str(error)
    choose_language(arguments, os.environ.get("CHAT_LANG"), table.get("lang"))
    parser = make_parser()
    prefix = "CHAT_" if section == "client" else f"CHAT_{section.upper()}_"
    _add_common(parser, section, prefix, path)
    given = parser.parse_args(arguments)  # its errors, and --help, come first
    if problem:
        parser.error(problem)
    settings = {name.replace("-", "_"): (f"{path}: {name}", table[name]) for name in table}
    names = vars(given).keys() - {"config"}
    for name in settings.keys() - names:
        sentence = _("{path}: there is no setting {name}; there are: {names}")
        known = ", ".join(sorted(names)).replace("_", "-")
        parser.error(sentence.format(path=path, name=name.replace("_", "-"), names=known))
    for name in names:
        variable = "CHAT_LANG" if name == "lang" else prefix + name.upper()
        if os.environ.get(variable):
            settings[name] = (variable, os.environ[variable])
    return parser.parse_args(arguments, _chosen(parser, settings))


def _chosen(parser: ArgumentParser, settings: dict[str, tuple[str, object]]) -> argparse.Namespace:
    """Return the options in *settings*: by name, the place where an option is set and its value."""
    parser.exit_on_error = False  # errors name the place of the setting, not an option
    chosen = argparse.Namespace()
    for name, (place, value) in settings.items():
        is_switch = isinstance(parser.get_default(name), bool)
        try:
            parser.parse_args(_as_argument(name, value, is_switch=is_switch), chosen)
        except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
            parser.error(f"{place}: {getattr(error, 'message', error)}")
    return chosen


def _as_argument(name: str, value: object, *, is_switch: bool) -> list[str]:
    """Return the setting *name* as it would be written on the command line.

    Raises `argparse.ArgumentTypeError` when *value* has a wrong type.
    """
    option = "--" + name.replace("_", "-")
    answer = str(value).lower()
    if is_switch and answer in ("1", "true", "yes"):
        return [option]
    if is_switch and answer in ("0", "false", "no"):
        return []
    if is_switch:
        sentence = _("yes or no is needed (true or false in the file), not {text!r}")
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        return [f"{option}={value}"]
    else:
        sentence = _("one text or number is needed, not {text!r}")
    raise argparse.ArgumentTypeError(sentence.format(text=value))


def _read_early(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options needed before the parser is made; their errors are left to the parser."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ("--lang", "--config"):
        early.add_argument(option, nargs="?")
    return early.parse_known_args(arguments)[0]


def choose_language(arguments: list[str] | None, *wishes: object) -> None:
    """Set the language of ``--lang``, or the first of *wishes* that we have."""
    wishes = (_read_early(arguments).lang, *wishes)
    set_language(next((str(wish) for wish in wishes if wish in LANGUAGES), None))


def config_path() -> Path:
    """Return the path of the settings: XDG Base Directory Specification, on Windows %APPDATA%.

    It may begin with ``~``, the home folder.
    Not by platformdirs: the path must not depend on what is installed.
    """
    variable, otherwise = "XDG_CONFIG_HOME", "~/.config"
    if os.name == "nt":
        variable, otherwise = "APPDATA", "~/AppData/Roaming"
    base = Path(os.environ.get(variable, ""))
    # "All paths must be absolute"; a relative one is to be ignored.
    return (base if base.is_absolute() else Path(otherwise)) / "tcp-chat" / "config.toml"


def _read_table(path: Path, section: str, *, needed: bool) -> dict[str, Any]:
    """Return the settings of *section* in the file at *path*.

    Returns none if the file cannot be read and is not *needed*. Raises `OptionError`.
    """
    try:
        document = tomllib.loads(read_text(path))
    except (OSError, RuntimeError, ValueError) as error:
        if not (needed or isinstance(error, ValueError)):  # none, or no home, or not ours
            return {}
        sentence = _("Cannot read the settings in {path}: {reason}.")
        raise OptionError(sentence.format(path=path, reason=why(error))) from error
    table = document.get(section, {})
    if not isinstance(table, dict) or set(document) - {"client", "server"}:
        sentence = _("The settings in {path} belong in the tables [client] and [server].")
        raise OptionError(sentence.format(path=path))
    return table


def read_text(path: Path) -> str:
    """Return the text of a file that people edit. Raises `OSError`, `UnicodeDecodeError`.

    Expands ``~`` to the home folder (`RuntimeError` if there is none), and removes the byte order
    mark that some editors write.
    """
    return read_file(path.expanduser()).decode("utf-8-sig")


def add_language(parser: argparse.ArgumentParser) -> None:
    """Add ``--lang``."""
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        help=_("the language of the interface (default: the environment's, else Russian)"),
    )


def _add_common(parser: argparse.ArgumentParser, section: str, prefix: str, path: Path) -> None:
    """Add the options common to both programs, and explain where else options may be set."""
    add_language(parser)
    parser.add_argument(
        "--config",
        metavar=_("FILE"),
        help=_("options are also read from this file (default: {path})").format(
            path=str(path).replace("%", "%%")
        ),
    )
    parser.epilog = f"{parser.epilog or ''} " + _(
        "An option that is not given is looked for in the environment (like {variable}), then in "
        "the file, under [{section}]."
    ).format(variable=f"{prefix}HOST", section=section)


# Values of options. Each of these raises `argparse.ArgumentTypeError` with a sentence.


def host_name(text: str) -> str:
    """Return *text* if it is a valid host name."""
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
        host, _colon, port = part.strip().rpartition(":")
        if not host:
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


def number(kind: type[float], least: float, most: float, *others: float) -> Kind:
    """Return a function that reads a *kind* of number from *least* to *most*, or *others*."""

    def read(text: str) -> float:
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

    Raises `OptionError` if the file cannot be read or has no password.
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


def stop_signals() -> list[signal.Signals]:
    """Return the signals that end the program: without SIGHUP if ``nohup`` has it ignored."""
    heeded = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heeded.append(signal.SIGHUP)  # Windows has none
    return heeded


# The standard streams, which may be closed, full, or a terminal that is gone


def prepare_streams() -> None:
    """Make stdin, stdout and stderr usable.

    If a shell has closed one of them (``<&-``), reading gives nothing and writing has no effect.
    Characters that an encoding lacks are replaced, in both directions.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            void = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - until the end
            setattr(sys, name, void)
        elif name != "stderr" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def write(text: str, stream: TextIO | None = None) -> None:
    """Write *text* to *stream* (stdout) at once; after an error discard everything. Any thread.

    A closed pipe needs no message; a full disk is reported on stderr. The buffer of *stream* is
    bypassed: a thread that waits in it for a terminal would keep the program from ending.
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


def wrapped(text: str, columns: int, indent: int) -> str:
    """Return *text* in rows of at most *columns*, all but the first indented by *indent*.

    The terminal must not wrap a row itself: a continuation in the first column could look like
    output of the program or a message of another user.
    """
    margin = " " * min(indent, columns // 3)
    rows: list[str] = []
    for number, line in enumerate(text.replace("\t", _TAB).split("\n")):
        row = margin if number else ""
        taken = len(row)
        for word in re.findall(" +|[^ ]+", line):
            fits = len(margin) + text_width(word, widest=True) <= columns
            for piece in [word] if fits else _PIECES.findall(word):
                width = text_width(piece, widest=True)
                if taken + width > columns:
                    rows.append(row)
                    row, taken = margin, len(margin)
                    if not piece.strip(" "):
                        continue
                row += piece
                taken += width
        rows.append(row)
    return "\n".join(rows)


def text_width(text: str, *, widest: bool = False) -> int:
    """Return the columns that *text* takes on a terminal (Unicode Annex 11).

    Terminals do not all agree; with *widest*, the most columns that one may need.
    """
    nothing = ("Mn", "Me") if widest else ("Mn", "Me", "Cf")
    return sum(
        0
        if unicodedata.category(character) in nothing
        and not (widest and character == _EMOJI_SELECTOR)
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in _COLOUR.sub("", text)
    )


def fitting(sentence: str, stream: TextIO, indent: int) -> str:
    """Return *sentence* wrapped for a terminal, unchanged for other programs."""
    if not stream.isatty():
        return sentence
    return wrapped(sentence, shutil.get_terminal_size().columns, indent)


def complain(sentence: str) -> None:
    """Print *sentence* on stderr."""
    write(fitting(sentence, sys.stderr, indent=2) + "\n", sys.stderr)


def fail(sentence: str) -> int:
    """Print *sentence* on stderr and return the exit status of a failure."""
    complain(sentence)
    return FAILURE_STATUS


def attempt(work: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Return the exit status of *work*; if the *options* are unusable, say why."""
    try:
        return work(options)
    except (OptionError, UnusableError) as error:
        return fail(why(error))
