"""One user's conversation: what the plain and the full-screen client share.

It handles what the user types, and turns events into `Line` objects, which contain text and roles
but no colours. `chat.app.console` and `chat.app.tui` derive from `Conversation` and display them,
one as plain lines, the other on a full screen.
"""

import abc
import contextlib
import random
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TextIO

from chat.app.i18n import gettext as _
from chat.app.i18n import mark, ngettext
from chat.app.sentences import end_sentence, error_sentence, left_sentence, phrase, why
from chat.core.client import ChatClient, ConnectionClosedError
from chat.core.protocol import Message, nick_key, printable

# Of the 256 colours of xterm, these are readable on black and on white: contrast 3 and more.
_NICK_COLOURS = (166, 99, 28, 197, 33, 30, 136, 163, 67, 64, 131, 134)


_NO_NICK = str.maketrans("\n\t", "\N{REPLACEMENT CHARACTER}" * 2)

USERS_NAMED = 1000
"""Users named in one line, at most: more would take a terminal seconds."""

INDENT = 6
"""Columns of a message's time, by which its further rows are indented."""


# What is shown


class Part(NamedTuple):
    """A piece of a line in one style."""

    text: str
    role: str = "plain"
    """``plain``, ``nick``, ``quiet``, ``private``, ``mention``, ``lock`` or ``warning``."""


@dataclass(frozen=True)
class Line:
    """A line for the user."""

    parts: tuple[Part, ...]

    kind: str = "answer"
    """``message``; ``news``: who came and went; ``answer`` to a command; ``help``; ``warning``."""

    time: float | None = None
    """When it happened, in Unix seconds, if that is to be shown."""

    panes: tuple[str | None, ...] = ()
    """The conversations it belongs to: nicknames, None for everybody; empty: the one in view."""

    own: bool = False
    """Whether it is the user's own message."""

    indent: int = 2
    """Columns by which further rows are indented, if it is not a message."""

    @property
    def text(self) -> str:
        """The text of the line, without its time."""
        return "".join(part.text for part in self.parts)


def nick_colour(nick: str) -> int:
    """Return the colour of *nick* among xterm's 256, always the same for a nickname."""
    return _NICK_COLOURS[zlib.crc32(nick_key(nick).encode()) % len(_NICK_COLOURS)]


def clock(moment: float) -> str:
    """Return the local time of *moment* (Unix seconds) as ``HH:MM``."""
    return _local_time(moment, "%H:%M", "--:--")


def date(moment: float) -> str:
    """Return the local date of *moment* (Unix seconds) in the user's format."""
    return _local_time(moment, _("%Y-%m-%d"), "----")


def _local_time(moment: float, form: str, otherwise: str) -> str:
    try:
        return time.strftime(form, time.localtime(moment))
    except (OverflowError, ValueError, OSError):  # a server may send any number
        return otherwise


def shown_nick(nick: str) -> str:
    """Return *nick*, which may come from a hostile server, in a form that is safe in a line."""
    return printable(nick).translate(_NO_NICK)


def addressee(partner: str | None, *, here: bool) -> str:
    """Return the name of *partner* for the prompt, with a note if they are not *here*."""
    if partner is None:
        return _("all")
    return shown_nick(partner) if here else _("{nick} (left)").format(nick=shown_nick(partner))


def fill(sentence: str, role: str = "plain", /, **values: str | int | Part) -> tuple[Part, ...]:
    """Return *sentence* in the style of *role*, with its ``{names}`` replaced by *values*."""
    pieces = re.split(r"{(\w+)}", sentence)
    parts = (values[piece] if place % 2 else piece for place, piece in enumerate(pieces) if piece)
    return tuple(part if isinstance(part, Part) else Part(str(part), role) for part in parts)


# What is typed


def is_goodbye(line: str) -> bool:
    """Tell whether *line* asks to leave the chat."""
    return line.strip().lower() == "exit" or command_in(line) in ("quit", "exit")


def command_in(line: str) -> str | None:
    """Return the name of the command that *line* begins with, None if it is something to say."""
    words = line.split(maxsplit=1)
    if not words or not words[0].startswith("/") or words[0].startswith("//"):
        return None
    return words[0][1:].lower()


def command_meant(line: str) -> str | None:
    """Return the command that *line* was probably meant to be, without its slash."""
    quitting, helping = _("quit"), _("help")
    names = {"?": "help", "help": "help", helping: "help", "quit": "quit", quitting: "quit"}
    return names.get(line.strip().lower())


class Conversation(abc.ABC):
    """A user at the chat: commands in, lines out.

    One thread, the user's, calls what handles commands; the client's listener thread calls
    `on_event`. Both call `display`.
    """

    def __init__(
        self,
        client: ChatClient,
        log: TextIO | None = None,
        *,
        bell: bool = False,
    ) -> None:
        """Drive *client* and handle its events; append what is shown to *log*, if given.

        With *bell*, ring when somebody writes to the user alone or names them.
        """
        self.client = client
        client.on_event = self.on_event
        self._log = log
        self._bell = bell
        self._partner: str | None = None
        self._gone: set[str] = set()  # keys of partners who have left since they were chosen
        self._entered = time.time()
        self._spoke: dict[str, float] = {}  # when each spoke last, by the keys of nicknames
        self.end_reason = "quit"
        """Why the conversation ended: ``quit``, ``shutdown``, ``kicked``, ``lost`` …"""

    # What the two clients do differently

    @abc.abstractmethod
    def display(self, lines: list[Line]) -> None:
        """Display *lines* together. Any thread."""

    @abc.abstractmethod
    def ring(self) -> None:
        """Call the user's attention. The listener's thread."""

    @abc.abstractmethod
    def ask_password(self) -> None:
        """Ask for the admin's password and send it. The user's thread."""

    @abc.abstractmethod
    def over(self) -> None:
        """React to the end of the conversation. The listener's thread."""

    def talk_to(self, partner: str | None) -> None:
        """Send what is typed from now on to *partner*, None for everybody. The user's thread."""
        self._partner = partner
        if partner is not None:
            self._gone.discard(nick_key(partner))

    def keys(self) -> list[tuple[str, str]]:
        """Return further lines for /help: a key, and what it does."""
        return []

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the user's thread waits for the user or for the server."""
        return contextlib.nullcontext()

    def said(self, text: str, to: str | None) -> None:
        """Show that *text* was sent, where it is not visible yet. The user's thread."""
        del text, to

    # Entering

    def greet(self) -> None:
        """Tell the user that they are in the chat, and who else is."""
        self._tell(_("You are in the chat as {nick}."), nick=_nick(self.client.nick))
        self._show_users(self.client.users)
        self._show(Line((Part(_("/help lists the commands."), "quiet"),)))

    # The user's thread

    def _handle(self, line: str) -> None:
        """Handle *line*. Raises `ConnectionClosedError` when the conversation is over."""
        try:
            self._obey(line)
        except TimeoutError:
            self._warn(_("The server does not answer. Not sent: {line}"), line=line)
        except ConnectionClosedError:
            if self.client.closed or command_in(line) is None:
                raise
            self._warn(_("There is no connection at the moment. Try again when it is back."))

    def _obey(self, line: str) -> None:
        name = command_in(line)
        word, rest = (*line.split(maxsplit=1), "", "")[:2]
        if meant := command_meant(line):
            sentence = _(
                "Nothing was sent. Commands begin with a slash: /{command}. "
                "To say the word, put a full stop behind it."
            )
            self._warn(sentence, command=meant)
        elif name in COMMANDS:
            COMMANDS[name](self, rest.rstrip())
        elif name is not None:
            self._warn(_("There is no command {name}. /help lists them."), name=word)
        elif word:
            self._say(line.lstrip()[1:] if word.startswith("//") else line)

    def _say(self, text: str, to: str | None = None) -> None:
        if len(text) > self.client.text_chars:
            sentence = _(
                "The message is too long: {n} characters, and {most} will do. Send it in parts."
            )
            self._warn(sentence, n=len(text), most=self.client.text_chars)
            return
        text, to = printable(text.replace("\r", "")), to or self._partner
        if not self.is_here(to):
            self._on_error({"code": "no_such_user", "message": {"text": text}})
            return
        with self.waiting():
            self.client.wait_ready()
        if to is not None and nick_key(to) in self._gone:
            sentence = _(
                "The {nick} you talked to has left; this may be another person. "
                "/chat {nick} if you know who it is, /all returns to everybody."
            )
            self._warn(sentence, nick=to)
        self.client.say(text, to)
        self.said(text, to)

    @property
    def addressee(self) -> str:
        """The recipient of what is typed, for the prompt. The user's thread."""
        return addressee(self._partner, here=self.is_here(self._partner))

    def is_here(self, nick: str | None) -> bool:
        """Tell whether somebody called *nick* is in the chat. Any thread."""
        return nick is None or nick_key(nick) in map(nick_key, self.client.users)

    def _find(self, nick: str) -> str | None:
        """Return the nickname of the user called *nick*; None, with a warning, if there is none."""
        key = nick_key(nick)
        for user in self.client.users:
            if nick_key(user) == key:
                return user
        sentence = _("There is no user {nick}. /users shows who is here.")
        if key == nick_key(self.client.nick):
            sentence = _("That is you. /users shows who else is here.")
        self._warn(sentence, nick=nick)
        return None

    def candidates(self, before: str, word: str) -> list[str]:
        """Return completions of *word* after *before*: commands, or nicknames of present users.

        The user who spoke last comes first. Any thread.
        """
        begins = not before.strip()
        if begins and word.startswith("/"):
            names = [*COMMANDS, "quit"]
            return [f"/{name} " for name in names if name.startswith(word[1:])]
        if not word and before.strip() not in ("", "/msg", "/chat", "/kick"):
            return []  # in the middle of a text no nickname is expected
        key = nick_key(word)
        users = [user for user in self.client.users if nick_key(user).startswith(key)]
        users.sort(key=lambda user: self._spoke.get(nick_key(user), 0), reverse=True)
        return [shown_nick(user) + (", " if begins else " ") for user in users]

    # The commands

    def _do_help(self, _rest: str) -> None:
        column = 21  # of the meanings
        rows = [*command_list(), *self.keys()]
        texts = [f"  {usage:<{column - 3}} {meaning}" for usage, meaning in rows]
        self._show(*(Line((Part(text),), "help", indent=column) for text in texts))

    def _do_users(self, _rest: str) -> None:
        self.client.request_users()

    def _do_chat(self, rest: str) -> None:
        if not rest:
            self._warn(_("Whom to talk to? /chat NICK"))
        elif user := self._find(rest):
            self.talk_to(user)
            sentence = _("Your lines now go to {nick} only; /all returns to everybody.")
            self._tell(sentence, nick=_nick(user))

    def _do_all(self, _rest: str) -> None:
        self.talk_to(None)
        self._tell(_("Your lines now go to everybody."))

    def _do_msg(self, rest: str) -> None:
        nick, text = (*rest.split(maxsplit=1), "", "")[:2]
        if not text:
            self._warn(_("To whom, and what? /msg NICK TEXT"))
        elif user := self._find(nick):
            self._say(text, to=user)

    def _do_history(self, rest: str) -> None:
        if rest and not (rest.isascii() and rest.isdigit() and rest.strip("0")):
            self._warn(_("How many messages? /history NUMBER"))
        else:
            self.client.request_history(int(rest[:9]) if rest else None)

    def _do_dice(self, _rest: str) -> None:
        rolled = random.randint(1, 6)
        self._tell(_("You roll {number}."), number=rolled)
        # A joke: it proves nothing, because anybody can type the same text.
        self._say(_("My dice shows {number}, upon my word!").format(number=rolled))

    def _do_admin(self, rest: str) -> None:
        if rest:
            self.client.become_admin(rest)
        else:
            self.ask_password()

    def _do_kick(self, rest: str) -> None:
        if not rest:
            self._warn(_("Whom to remove? /kick NICK"))
        elif user := self._find(rest):
            self.client.kick(user)

    def _do_down(self, _rest: str) -> None:
        self.client.shut_server_down()

    # The listener's thread

    def on_event(self, event: Message) -> None:
        """Show *event*, and write it to the log file."""
        if show := getattr(self, f"_on_{event['type']}", None):
            show(event)
        elif sentence := _NEWS.get(str(event.get("code", event["type"]))):
            self._tell(_(sentence))

    def _on_message(self, event: Message) -> None:
        self._spoke[nick_key(event["from"])] = time.perf_counter()
        line = self._message_line(event)
        self._show(line)
        named = any(part.role == "mention" for part in line.parts)
        if self._bell and (named or event["to"] is not None):
            self.ring()

    def _on_joined(self, event: Message) -> None:
        self._news(event["nick"], _("{nick} is in the chat now"))

    def _on_left(self, event: Message) -> None:
        if event["nick"] == self.client.nick:
            return  # "closed" follows, and says why
        if self._partner is not None and nick_key(event["nick"]) == nick_key(self._partner):
            self._gone.add(nick_key(event["nick"]))
        self._news(event["nick"], left_sentence(event["reason"]))

    def _on_users(self, event: Message) -> None:
        self._show_users(event["users"])

    def _on_history(self, event: Message) -> None:
        messages = event["messages"]
        if not messages:
            self._tell(_("Nothing has been said yet."))
            return
        number = len(messages)
        title = ngettext("The last {n} message:", "The last {n} messages:", number)
        lines = [self._message_line(message, panes=()) for message in messages]
        self._show(Line(fill(title, n=number)), *lines)
        if messages[0]["time"] < self._entered:
            sentence = _(
                "Private messages from before you came in are not shown: a nickname alone does not "
                "prove who you are."
            )
            self._show(Line((Part(sentence, "quiet"),)))

    def _on_error(self, event: Message) -> None:
        sentence = error_sentence(event["code"], event.get("re"))
        if "message" in event:
            sentence += " " + _("Not delivered: {text}").format(text=event["message"]["text"])
        self._warn(sentence)

    def _on_held(self, event: Message) -> None:
        sentence = _(
            "Not sent, because the {nick} it was for has left, and this may be another person: "
            "{text} – /msg {nick} TEXT sends it all the same."
        )
        message = event["message"]
        self._warn(sentence, nick=shown_nick(message["to"]), text=message["text"])

    def _on_reconnecting(self, event: Message) -> None:
        if event["attempt"] == 1:
            self._warn(_("The connection is lost. Reconnecting… What you type is sent afterwards."))

    def _on_untrusted(self, event: Message) -> None:
        sentence = _("The server that answers now cannot be trusted: {why}.")
        self._warn(sentence, why=phrase(event["why"]))

    def _on_closed(self, event: Message) -> None:
        self.end_reason = event["reason"]
        if self.end_reason != "quit":
            self._warn(end_sentence(self.end_reason))
        for message in self.client.unacknowledged:
            self._warn(_("The server has not confirmed: {text}"), text=message["text"])
        self.over()

    # Either thread

    def _message_line(self, event: Message, panes: tuple[str | None, ...] | None = None) -> Line:
        """Return the line for a message; *panes* is where to show it, if not where it belongs."""
        me = self.client.nick
        own, to, private = event["from"] == me, event["to"], event["to"] is not None
        parts = [Part(_("You")) if own else _nick(event["from"])]
        if private:
            words = _(" (only {nick} sees it)") if own else _(" (to you alone)")
            parts += fill(words, "private", nick=_nick(to))
        if event.get("sealed") is True:
            parts.append(Part(_(" (encrypted)"), "lock"))
        elif self.client.cipher is not None:
            parts.append(Part(_(" (NOT encrypted)"), "warning"))
        parts.append(Part(": "))
        if event["text"] is not None:
            parts += _with_mentions(printable(event["text"]), me)
        elif self.client.cipher is not None:
            parts.append(Part(_("[encrypted under another passphrase]"), "quiet"))
        else:
            sentence = _("[encrypted: a passphrase is needed, see --passphrase-file]")
            parts.append(Part(sentence, "quiet"))
        if panes is None:
            panes = (to if own else event["from"],) if private else (None,)
        return Line(tuple(parts), "message", event["time"], panes, own)

    def _show_users(self, users: list[str]) -> None:
        if not users:
            self._tell(_("There is nobody else here yet."))
            return
        number = len(users)
        title = ngettext("{n} more user is here:", "{n} more users are here:", number)
        names: list[Part] = []
        for user in users[:USERS_NAMED]:
            names += [Part(", " if names else " "), _nick(user)]
        if number > USERS_NAMED:
            names.append(Part(", …"))
        self._show(Line((*fill(title, n=number), *names)))

    def _news(self, nick: str, sentence: str) -> None:
        words = sentence.format(nick=shown_nick(nick))
        self._show(Line((Part(f"* {words}", "quiet"),), "news", time.time(), (None, nick)))

    def _tell(self, sentence: str, **values: str | int | Part) -> None:
        self._show(Line(fill(sentence, **values)))

    def _warn(self, sentence: str, **values: object) -> None:
        words = sentence.format(**values) if values else sentence
        # It may quote what the user has typed, or a hostile server has sent.
        self._show(Line((Part(f"! {printable(words)}", "warning"),), "warning"))

    def _show(self, *lines: Line) -> None:
        self.display(list(lines))
        if self._log is not None:
            try:
                self._log.write("".join(map(_logged, lines)))
            except OSError as error:
                log, self._log = self._log, None
                with contextlib.suppress(OSError):  # its buffer cannot be written either
                    log.close()
                self._warn(_("The log is not written any more: {why}."), why=why(error))


COMMANDS: dict[str, Callable[[Conversation, str], None]] = {
    name.removeprefix("_do_"): method
    for name, method in vars(Conversation).items()
    if name.startswith("_do_")
}

_NEWS = {
    "admin": mark("You are the admin now: /kick NICK, /down."),
    "reconnected": mark("The connection is back. What was said meanwhile follows."),
    "gap": mark("Some of what was said meanwhile is not remembered by the server any more."),
    "store_lost": mark("The server cannot reach its store. What you say waits until it can."),
    "store_back": mark("The server reaches its store again. What waited has been sent."),
}
"""Texts for events, by their type or code."""


def _nick(nick: str) -> Part:
    return Part(shown_nick(nick), "nick")


def _with_mentions(text: str, nick: str) -> list[Part]:
    """Return *text* in parts, with each occurrence of *nick* as a mention."""
    pieces = re.split(rf"(?<!\w)({re.escape(nick)})(?!\w)", text, flags=re.IGNORECASE)
    parts = [Part(piece, "mention" if place % 2 else "plain") for place, piece in enumerate(pieces)]
    return [part for part in parts if part.text]


def _logged(line: Line) -> str:
    moment = time.time() if line.time is None else line.time
    stamp = _local_time(moment, "%Y-%m-%d %H:%M:%S", "-" * 19)
    text = line.text.replace("\n", "\n" + " " * (len(stamp) + 2))
    return f"{stamp}  {text}\n"


# Sentences


def command_list() -> list[tuple[str, str]]:
    """Return every command: what to type, and what it does."""
    return [
        ("/users", _("who is here")),
        (_("/chat NICK"), _("talk to one person: the following lines are private")),
        ("/all", _("talk to everybody again")),
        (_("/msg NICK TEXT"), _("one private message")),
        (_("/history [NUMBER]"), _("what was said before")),
        ("/dice", _("roll a die, for fun: whoever you talk to sees the result")),
        ("/admin", _("become the admin (asks for the password)")),
        (_("/kick NICK"), _("remove a user (admin)")),
        ("/down", _("stop the server (admin)")),
        (_("/quit or exit"), _("leave the chat")),
        (_("//text"), _("say a line that begins with a slash")),
    ]
