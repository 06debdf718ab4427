"""The plain face of a client: lines on a terminal, or through a pipe.

Two threads: the main thread reads what the user types and carries it out, a line at a time; the
client's listener thread shows what comes. On a terminal, a message that arrives while a line is
half typed is printed above it and the line is drawn again.
"""

import contextlib
import getpass
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from typing import TextIO, TypeVar

from chat import cli
from chat.client import ChatClient, ConnectionClosedError, RefusedError
from chat.i18n import gettext as _
from chat.i18n import ngettext
from chat.protocol import DEFAULT_HOST, DEFAULT_PORT, Message, nick_key, printable

try:
    import readline
except ImportError:  # Windows
    readline = None  # type: ignore[assignment]

_COLOUR = re.compile("\x1b\\[[0-9;]*m")

T = TypeVar("T")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Of the 256 colours of xterm, these can be read on black and on white: contrast 3 and more.
_NICK_COLOURS = (166, 99, 28, 197, 33, 30, 136, 163, 67, 64, 131, 134)


class Style:
    """Colours for a terminal, or none."""

    def __init__(self, *, colours: bool) -> None:
        """Colour with *colours*, else return every text as it is."""
        self._colours = colours

    @classmethod
    def for_output(cls, output: TextIO) -> "Style":
        """Return the style that suits *output*; see no-color.org."""
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return cls(colours=output.isatty() and not plain)

    def nick(self, nick: str) -> str:
        """Return *nick* in its own colour, the same for everybody and always."""
        colour = _NICK_COLOURS[zlib.crc32(nick_key(nick).encode()) % len(_NICK_COLOURS)]
        return self._paint(f"1;38;5;{colour}", nick)

    def quiet(self, text: str) -> str:
        """Return *text* as what is worth less attention than a message."""
        return self._paint("2", text)

    def private(self, text: str) -> str:
        """Return *text* as what only two people read."""
        return self._paint("35", text)

    def warning(self, text: str) -> str:
        """Return *text* as what went wrong."""
        return self._paint("31", text)

    def _paint(self, codes: str, text: str) -> str:
        return f"\x1b[{codes}m{text}\x1b[0m" if self._colours else text


class Screen:
    """The terminal, shared by the line being typed and the lines that arrive.

    `read` belongs to the main thread; `show` may be called by any.
    """

    def __init__(self) -> None:
        """Use stdin and stdout; edit lines only when both are a terminal."""
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._editing = False  # a prompt and a half-typed line stand on the last rows
        self._settled = threading.Event()  # unset while the prompt is being drawn
        self._settled.set()
        self._prompt = ""
        self._redraws = self.interactive and hasattr(readline, "set_pre_input_hook")
        if self._redraws:
            readline.set_pre_input_hook(self._prompt_is_drawn)

    def read(self, prompt: str) -> str:
        """Return the next line typed. Raises `EOFError` at the end of input."""
        self._prompt = prompt
        if self._redraws:
            self._settled.clear()
        try:
            return input(prompt) if self.interactive else _next_line()
        except KeyboardInterrupt:
            if self.interactive:
                self._write("\n" if self._typed() else "\r\x1b[K")
            raise
        finally:
            self._editing = False
            self._settled.set()

    def show(self, text: str) -> None:
        """Print *text*, above the half-typed line if there is one."""
        if self.interactive:
            text = _wrapped(text, shutil.get_terminal_size().columns)
        self._settled.wait(1)
        if self._editing:
            typed = self._prompt + self._typed()
            rows_above = max(0, _width(typed) - 1) // shutil.get_terminal_size().columns
            up = f"\x1b[{rows_above}A" if rows_above else ""
            self._write(f"\r{up}\x1b[J{text}\n{typed}")
        else:
            self._write(f"{text}\n")

    def _prompt_is_drawn(self) -> None:
        self._editing = True
        self._settled.set()

    def _typed(self) -> str:
        return readline.get_line_buffer() if self._redraws else ""

    def _write(self, text: str) -> None:
        # One call: a text written by one thread is never torn by another's.
        cli.write(text)


def _next_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.removesuffix("\n")


def _clock(moment: float) -> str:
    """Return the local time of *moment* (Unix seconds) as ``HH:MM``."""
    try:
        return time.strftime("%H:%M", time.localtime(moment))
    except (OverflowError, ValueError, OSError):  # a server may send any number
        return "--:--"


def _wrapped(text: str, columns: int) -> str:
    """Return *text* with line feeds instead of the spaces at which *columns* are full."""
    lines = []
    for line in text.split("\n"):
        row, *words = line.split(" ")
        for word in words:
            if _width(_COLOUR.sub("", f"{row} {word}")) > columns:
                lines.append(row)
                row = word
            else:
                row += f" {word}"
        lines.append(row)
    return "\n".join(lines)


def _width(text: str) -> int:
    """Return the columns that *text* takes on a terminal (Unicode Annex 11)."""
    return sum(
        0
        if unicodedata.combining(character)
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


class Console:
    """A user at the chat: commands in, events out."""

    def __init__(self, client: ChatClient, screen: Screen, log: TextIO | None = None) -> None:
        """Drive *client* from *screen*; append what is received to *log*, if given."""
        self._client = client
        self._screen = screen
        self._log = log
        self._style = Style.for_output(sys.stdout)
        self._partner: str | None = None
        self._waiting = False
        self._over = False
        self._noticed = threading.Event()  # the main thread reads no more
        self.end_reason = "quit"
        """Why the conversation ended: ``quit``, ``shutdown``, ``kicked``, ``lost`` …"""

    # The main thread

    def register(self, nick: str | None) -> list[str]:
        """Register as *nick*, or under a name asked for until one is accepted; return the others.

        Raises `RefusedError` when nobody can be asked, `OSError` when the connection is lost.
        """
        while True:
            name = nick or self._screen.read(_("Your nickname: ")).strip()
            try:
                welcome = self._register_once(name)
            except RefusedError as error:
                if error.code not in ("bad_nick", "nick_taken") or not self._screen.interactive:
                    raise
                self._warn(error_sentence(error.code))
                nick = None
            else:
                users: list[str] = welcome["users"]
                return users

    def _register_once(self, nick: str) -> Message:
        try:
            return self._client.register(nick)
        except RefusedError as error:
            if error.code != "register_timeout":
                raise
        except ConnectionClosedError:
            pass
        self._client.connect()  # the user took their time, and the server did not wait
        return self._client.register(nick)

    def greet(self, users: list[str]) -> None:
        """Say that the user is in, and whom they can talk to."""
        self._show(_("You are in the chat as {nick}.").format(nick=self._nick(self._client.nick)))
        self._show_users(users)
        self._show(self._style.quiet(_("/help lists the commands.")))

    def converse(self) -> None:
        """Carry out what the user types until they leave or the conversation is over."""
        try:
            self._read_and_carry_out()
        finally:
            self._noticed.set()
        if not self._screen.interactive:
            with contextlib.suppress(
                EOFError, KeyboardInterrupt, ConnectionClosedError, TimeoutError
            ):
                self._interruptibly(self._client.wait_acknowledged)

    def _read_and_carry_out(self) -> None:
        while not self._over:
            try:
                line = self._read()
                if line.strip() in ("/quit", "exit"):
                    break
                self._carry_out(line)
            except (EOFError, KeyboardInterrupt, ConnectionClosedError):
                break
            except TimeoutError:
                self._warn(_("The server does not answer. Not sent: {line}").format(line=line))

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal end the waiting, for input or for the server, and nothing else."""

        def interrupted(_number: int, _frame: object) -> None:
            self._over = True
            if self._waiting:
                raise KeyboardInterrupt

        before = [signal.signal(number, interrupted) for number in STOP_SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(STOP_SIGNALS, before, strict=True):
                signal.signal(number, handler)

    def _read(self) -> str:
        to = _("all") if self._partner is None else printable(self._partner)
        return self._interruptibly(lambda: self._screen.read(f"[{to}] "))

    def _interruptibly(self, wait: Callable[[], T]) -> T:
        self._waiting = True
        try:
            if self._over:  # since the last line
                raise EOFError
            return wait()
        finally:
            self._waiting = False

    def _carry_out(self, line: str) -> None:
        if line.startswith("//"):
            self._say(line[1:])
        elif line.startswith("/"):
            name, _space, rest = line[1:].partition(" ")
            command = COMMANDS.get(name)
            if command is None:
                self._warn(_("There is no command /{name}. /help lists them.").format(name=name))
            else:
                command(self, rest.strip())
        elif line.strip():
            self._say(line)

    def _say(self, text: str, to: str | None = None) -> None:
        self._interruptibly(self._client.wait_ready)
        self._client.say(printable(text.replace("\r", "")), to or self._partner)

    def _find(self, nick: str) -> str | None:
        """Return the user called *nick* as it is shown; None, and a warning, if nobody is."""
        for user in self._client.users:
            if nick_key(user) == nick_key(nick):
                return user
        sentence = _("There is no user {nick}. /users shows who is here.")
        self._warn(sentence.format(nick=printable(nick)))
        return None

    # The commands

    def _do_help(self, _rest: str) -> None:
        for usage, meaning in _help():
            self._show(f"  {usage:<18} {meaning}")

    def _do_users(self, _rest: str) -> None:
        self._client.request_users()

    def _do_chat(self, rest: str) -> None:
        if not rest:
            self._warn(_("Whom to talk to? /chat NICK"))
        elif user := self._find(rest):
            self._partner = user
            sentence = _("Your lines now go to {nick} only; /all returns to everybody.")
            self._show(sentence.format(nick=self._nick(user)))

    def _do_all(self, _rest: str) -> None:
        self._partner = None
        self._show(_("Your lines now go to everybody."))

    def _do_msg(self, rest: str) -> None:
        nick, _space, text = rest.partition(" ")
        if not text.strip():
            self._warn(_("To whom, and what? /msg NICK TEXT"))
        elif user := self._find(nick):
            self._say(text, to=user)

    def _do_history(self, rest: str) -> None:
        if rest and not (rest.isascii() and rest.isdigit()):
            self._warn(_("How many messages? /history NUMBER"))
        else:
            self._client.request_history(int(rest[:9]) if rest else None)

    def _do_dice(self, _rest: str) -> None:
        rolled = random.randint(1, 6)
        self._show(_("You roll {number}.").format(number=rolled))
        self._say(_("* rolls the dice: {number}").format(number=rolled))

    def _do_admin(self, rest: str) -> None:
        if not rest and self._screen.interactive:
            rest = self._interruptibly(lambda: getpass.getpass(_("Admin password: ")))
        self._client.become_admin(rest)

    def _do_kick(self, rest: str) -> None:
        if not rest:
            self._warn(_("Whom to remove? /kick NICK"))
        elif user := self._find(rest):
            self._client.kick(user)

    def _do_down(self, _rest: str) -> None:
        self._client.shut_server_down()

    # The listener thread

    def on_event(self, event: Message) -> None:
        """Show *event* and note it in the log file."""
        show = _EVENTS.get(event["type"])
        if show is not None:
            show(self, event)

    def _on_message(self, event: Message) -> None:
        self._show(self._message_line(event))

    def _on_joined(self, event: Message) -> None:
        sentence = _("{nick} is in the chat now").format(nick=printable(event["nick"]))
        self._show(self._style.quiet(f"{_clock(time.time())} * {sentence}"))

    def _on_left(self, event: Message) -> None:
        if event["nick"] == self._client.nick:
            return  # "closed" follows, and says why
        sentence = cli.left_sentence(event["reason"]).format(nick=printable(event["nick"]))
        self._show(self._style.quiet(f"{_clock(time.time())} * {sentence}"))

    def _on_users(self, event: Message) -> None:
        self._show_users(event["users"])

    def _on_history(self, event: Message) -> None:
        messages = event["messages"]
        if not messages:
            self._show(_("Nothing has been said yet."))
            return
        number = len(messages)
        title = ngettext("The last {n} message:", "The last {n} messages:", number)
        self._show("\n".join([title.format(n=number), *map(self._message_line, messages)]))

    def _on_admin(self, _event: Message) -> None:
        self._show(_("You are the admin now: /kick NICK, /down."))

    def _on_error(self, event: Message) -> None:
        sentence = error_sentence(event["code"])
        if "message" in event:
            sentence += " " + _("Not delivered: {text}").format(text=event["message"]["text"])
        self._warn(sentence)

    def _on_closed(self, event: Message) -> None:
        self.end_reason = event["reason"]
        if self.end_reason == "quit":
            return
        self._warn(end_sentence(self.end_reason))
        self._over = True
        main = threading.main_thread().ident
        if main is None or not hasattr(signal, "pthread_kill"):
            self._warn(_("Press Enter to end."))
            return
        # The main thread waits for a line that matters no more. A signal that comes just before
        # it begins to wait would be lost, so it is repeated until it is noticed.
        signal.pthread_kill(main, signal.SIGINT)
        while not self._noticed.wait(0.1):
            signal.pthread_kill(main, signal.SIGINT)

    # Either thread

    def _nick(self, nick: str) -> str:
        return self._style.nick(printable(nick))

    def _message_line(self, event: Message) -> str:
        own = event["from"] == self._client.nick
        sender = _("You") if own else self._nick(event["from"])
        if event["to"] is not None:
            to = self._nick(event["to"]) if own else _("you")
            sender += self._style.private(f" → {to}")
        text = printable(event["text"]).replace("\n", "\n      ")
        return f"{self._style.quiet(_clock(event['time']))} {sender}: {text}"

    def _show_users(self, users: list[str]) -> None:
        if not users:
            self._show(_("There is nobody else here yet."))
            return
        number = len(users)
        title = ngettext("{n} more user is here:", "{n} more users are here:", number)
        names = ", ".join(map(self._nick, users))
        self._show(f"{title.format(n=number)} {names}")

    def _warn(self, sentence: str) -> None:
        self._show(self._style.warning(f"! {sentence}"))

    def _show(self, text: str) -> None:
        self._screen.show(text)
        if self._log is not None:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S")
            try:
                self._log.write(f"{stamp}  {_COLOUR.sub('', text)}\n")
            except OSError as error:
                log, self._log = self._log, None
                with contextlib.suppress(OSError):  # what it holds cannot be written either
                    log.close()
                self._warn(_("The log is not written any more: {why}.").format(why=cli.why(error)))


COMMANDS: dict[str, Callable[[Console, str], None]] = {
    name.removeprefix("_do_"): method
    for name, method in vars(Console).items()
    if name.startswith("_do_")
}

_EVENTS: dict[str, Callable[[Console, Message], None]] = {
    name.removeprefix("_on_"): method
    for name, method in vars(Console).items()
    if name.startswith("_on_")
}


# Sentences


def _help() -> list[tuple[str, str]]:
    return [
        ("/users", _("who is here")),
        (_("/chat NICK"), _("talk to one person: the following lines are private")),
        ("/all", _("talk to everybody again")),
        (_("/msg NICK TEXT"), _("one private message")),
        (_("/history [NUMBER]"), _("what was said before")),
        ("/dice", _("roll the dice in front of everybody")),
        ("/admin", _("become the admin (asks for the password)")),
        (_("/kick NICK"), _("remove a user (admin)")),
        ("/down", _("stop the server (admin)")),
        (_("/quit or exit"), _("leave the chat")),
        (_("//text"), _("say a line that begins with a slash")),
    ]


def error_sentence(code: str) -> str:
    """Return what an error *code* of the protocol means, and what to do next."""
    return {
        "bad_frame": _("The server did not understand the request."),
        "frame_too_long": _("The request was too long for the server."),
        "unknown_type": _("The server does not know this request: is it of another version?"),
        "not_registered": _("You are not in the chat any more. Start the client again."),
        "bad_nick": _(
            "This nickname will not do: letters, digits, and _ - . after the first character, "
            "up to 32 characters, no spaces."
        ),
        "nick_taken": _("This nickname is taken. Choose another one."),
        "no_such_user": _("There is no such user here. /users shows who is."),
        "bad_text": _("The text is empty or has characters that a terminal must not get."),
        "text_too_long": _("The message is too long. Send it in parts."),
        "too_fast": _("Too many messages at once. Wait a moment and send it again."),
        "server_full": _("The server is full. Try again later."),
        "not_admin": _("Only the admin may do that. /admin asks for the password."),
        "register_timeout": _("The server waited too long for a nickname. Start the client again."),
    }.get(code, _("The server refused: {code}.").format(code=printable(str(code))))


def end_sentence(reason: str) -> str:
    """Return why the conversation has ended, for a *reason* of a ``closed`` event."""
    return {
        "shutdown": _("The server is shutting down. The conversation is over."),
        "kicked": _("The admin has removed you from the chat."),
        "timeout": _(
            "The server had no answer from us for too long and has closed the connection."
        ),
        "flood": _("The server has closed the connection: too many messages at once."),
        "bad_frame": _("The server sent something that is no message of this chat."),
    }.get(reason, _("The connection to the server is lost."))


# The script


def main(arguments: list[str] | None = None) -> int:
    """Run the client from the command line; return the exit status."""
    cli.choose_language(arguments)
    cli.forgive_encodings()
    options = _parser().parse_args(arguments)
    for number in STOP_SIGNALS:  # both, however we were started: a shell may ignore Ctrl-C for us
        signal.signal(number, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        try:
            log = options.log and stack.enter_context(
                open(options.log, "a", encoding="utf-8", buffering=1)  # noqa: PTH123
            )
        except OSError as error:
            reason = cli.why(error)
            return cli.fail(
                _("Cannot write the log {path}: {reason}.").format(path=options.log, reason=reason)
            )
        try:
            return _run(options.host, options.port, options.nick, log)
        except (KeyboardInterrupt, EOFError):
            return 0
        except RefusedError as error:
            return cli.fail(error_sentence(error.code))
        except OSError as error:
            address = cli.address_text(options.host, options.port)
            return cli.fail(
                _("Cannot connect to {address}: {reason}.").format(
                    address=address, reason=cli.why(error)
                )
            )


def _run(host: str, port: int, nick: str | None, log: TextIO | None) -> int:
    screen = Screen()
    console: Console | None = None

    def on_event(event: Message) -> None:
        if console is not None:
            console.on_event(event)

    client = ChatClient((host, port), on_event=on_event)
    console = Console(client, screen, log)
    try:
        client.connect()
        users = console.register(nick)
        console.greet(users)
        with console.interruptible():
            client.listen()
            console.converse()
            client.close()  # within: the signal that ends the waiting may come late
    finally:
        client.close()
    return 0 if console.end_reason in ("quit", "shutdown") else cli.FAILURE_STATUS


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="chat.client",
        description=_("A chat client: what you type goes to everybody, or to one."),
        epilog=_("In the chat, /help lists the commands; exit or Ctrl-C leaves."),
    )
    cli.add_address(parser, DEFAULT_HOST, DEFAULT_PORT)
    parser.add_argument(
        "--nick", metavar=_("NICK"), help=_("your nickname (default: you are asked)")
    )
    parser.add_argument(
        "--log", metavar=_("FILE"), help=_("append all that you receive to this file")
    )
    cli.add_language(parser)
    return parser
