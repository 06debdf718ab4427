"""The scenarios: who does what, what they wait for, and which windows the picture shows.

Each is a function that plays on a `Stage` and returns the windows of its picture. It fails loudly
(`chat.lab.terminal.ScreenTimeout`) when what it waits for does not come. That somebody did *not*
get a message is never concluded from a pause: something later has come, and the message has not.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass

from chat.app import sentences
from chat.app.i18n import gettext as _
from chat.lab.terminal import Terminal

from .draw import FULL_COLUMNS, SINGLE_COLUMNS
from .stage import ADMIN_PASSWORD, PATIENCE, Picture, Server, Stage, User, says

# What a terminal sends for these keys (xterm's control sequences, "PC-Style Function Keys").
DOWN, ALT_DOWN, SHIFT_TAB = "\x1b[B", "\x1b[1;3B", "\x1b[Z"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One picture and how it comes about. The texts are in the language of the moment."""

    name: str
    """Lower-case words with hyphens: a part of the file's name."""

    situation: str
    """What happens, in a sentence: it stands before the picture."""

    caption: str
    """What to look at, without a full stop."""

    alt: str
    """What is on the picture, for who cannot see it."""

    play: Callable[[Stage], Picture]


def all_scenarios() -> list[Scenario]:
    """Return all scenarios in the order of the gallery, their texts in the current language."""
    return [
        Scenario(
            "server-start",
            _("The server is started with `--port 0`, so the kernel picks a free port."),
            _("Clients connect to the address in the line “The server is listening on …”"),
            _(
                "The server’s terminal: its address, its limits, where the history is kept, no "
                "TLS, and how to stop it."
            ),
            server_start,
        ),
        Scenario(
            "first-user",
            _("Anya starts the client without a nickname, and the server asks for one."),
            _(
                "In the server’s window, the open connection and the user in the chat are two "
                "separate lines"
            ),
            _(
                "Above, the server’s terminal; below, Anya’s: she types her nickname and reads "
                "that nobody else is here."
            ),
            first_user,
        ),
        Scenario(
            "several-users",
            _("Anya, Borya, and Vera connect one after another."),
            _(
                "Each user gets a list of those who came earlier, and a line about each who "
                "comes later"
            ),
            _(
                "Borya’s list has Anya, and he reads that Vera is in the chat; Vera’s list has "
                "Anya and Borya."
            ),
            several_users,
        ),
        Scenario(
            "help",
            _("Anya types `/help`."),
            _("What to type is on the left, what it does is on the right"),
            _("Anya’s terminal with the list of commands, one on each line."),
            help_,
        ),
        Scenario(
            "choose-partner",
            _(
                "Anya chooses Borya with `/chat`, writes to him, and returns to everybody with "
                "`/all`."
            ),
            _("The prompt shows who gets the next line; Vera did not get the one for Borya"),
            _(
                "Anya’s prompt changes to Borya and back; Borya has both of her messages, Vera "
                "only the second."
            ),
            choose_partner,
        ),
        Scenario(
            "private-message",
            _("Anya and Borya exchange private messages; then Anya writes to everybody."),
            _(
                "Vera has only the broadcast; it was sent last, so nothing private is still on "
                "its way to her"
            ),
            _(
                "The windows of Anya and Borya show the private messages, Vera’s does not; the "
                "server’s terminal lists sender, recipient, and size."
            ),
            private_message,
        ),
        Scenario(
            "message-to-all",
            _("Anya writes to everybody, and Borya answers everybody."),
            _(
                "Everybody except the author gets a message; the server’s terminal has one "
                "line for it"
            ),
            _(
                "Vera has both messages, Anya and Borya each other’s; the server’s terminal "
                "has two lines with “→ all”."
            ),
            message_to_all,
        ),
        Scenario(
            "half-typed",
            _("Borya has typed half a line when two messages arrive."),
            _("The messages appear above the input line, and the cursor stays where it was"),
            _(
                "In Borya’s window two messages from Anya stand above his unfinished line; the "
                "cursor is at its end."
            ),
            half_typed,
        ),
        Scenario(
            "history",
            _("Vera joins later and types `/history`."),
            _("Vera gets the two broadcasts, but not the private message between them"),
            _(
                "Borya’s window shows three messages, the second one private; Vera’s shows the "
                "first and the third."
            ),
            history,
        ),
        Scenario(
            "nick-taken",
            _("Anya is in the chat when a second client asks for her nickname in lower case."),
            _("The nickname is refused, and another one is asked for on the same connection"),
            _(
                "The second client reads that the nickname is taken, is asked again, and joins "
                "as Annie."
            ),
            nick_taken,
        ),
        Scenario(
            "no-such-user",
            _("Anya chooses Grisha, who is not in the chat, and then writes to him."),
            _("Both times the client says how to find out who is here; the prompt has not changed"),
            _(
                "Anya’s terminal: two refusals, then the list of users, in which there is only "
                "Borya."
            ),
            no_such_user,
        ),
        Scenario(
            "errors",
            _(
                "A second server is started on the same port, then a client with too large a port "
                "number, then a client after the server was stopped with Ctrl-C."
            ),
            _(
                "Each mistake is explained without a traceback, and `echo $?` prints a "
                "non-zero exit status"
            ),
            _(
                "The server’s terminal ends with Ctrl-C and a summary; the other shows three "
                "refusals, each followed by its exit status."
            ),
            errors,
        ),
        Scenario(
            "exit",
            _("Borya types `exit`; somebody else joins under his nickname."),
            _(
                "Borya’s client has ended with status 0, Anya reads that he has left, and the "
                "nickname is free at once"
            ),
            _("Anya reads that Borya has left and then that Borya is in the chat."),
            exit_,
        ),
        Scenario(
            "client-killed",
            _("From another terminal the process of Borya’s client is ended with the signal KILL."),
            _("Anya reads a different reason than after `exit`: the connection was lost"),
            _(
                "Borya’s window is back in the shell; Anya’s and the server’s windows say that "
                "the connection was lost."
            ),
            client_killed,
        ),
        Scenario(
            "kick",
            _(
                "Anya gives the admin’s password, which the terminal does not show, and "
                "removes Borya."
            ),
            _("Borya reads why; his client has ended with status 1, unlike after `exit`"),
            _("Anya becomes the admin and removes Borya; the server’s terminal shows both."),
            kick,
        ),
        Scenario(
            "shutdown",
            _("Borya may not use `/down`; Anya, who has given the password, may."),
            _("Both users read the same sentence, and their clients have ended by themselves"),
            _(
                "Two clients say that the server is stopping and are back in the shell; the "
                "server says that the admin has stopped it."
            ),
            shutdown,
        ),
        Scenario(
            "server-terminal",
            _("The same conversation on two servers; the second was started with `--show-text`."),
            _(
                "Without the option the server shows who wrote to whom and how many bytes, but "
                "not what"
            ),
            _("Two terminals with the same lines; only in the second one do they hold the texts."),
            server_terminal,
        ),
        Scenario(
            "full-screen-choose",
            _("Anya presses Shift+Tab, ↓ twice, and Enter, then writes."),
            _("After Enter, the prompt names Vera, who was highlighted in the list"),
            _(
                "Above, Vera is highlighted in the list of users; below, her nickname is in "
                "the prompt and Anya’s message on her page."
            ),
            full_screen_choose,
        ),
        Scenario(
            "full-screen-unread",
            _(
                "Borya and Vera write to Anya while she looks at the page “Everybody”; then she "
                "presses Alt+↓."
            ),
            _(
                "The list and the status line count unread messages; on Borya’s page a rule "
                "stands above the new ones"
            ),
            _(
                "Above, the page “Everybody” with “Borya 2, Vera 1” unread; below, Borya’s page "
                "with a rule above his two messages."
            ),
            full_screen_unread,
        ),
        Scenario(
            "full-screen-reconnecting",
            _(
                "A server with `--history` is ended with the signal KILL, Anya writes, and the "
                "server is started again."
            ),
            _("The message waits for its acknowledgement and then has it; Borya got it once"),
            _(
                "Above, Anya’s client is reconnecting and one message is not confirmed; then "
                "it is online again; below, Borya’s window with the message."
            ),
            full_screen_reconnecting,
        ),
    ]


def server_start(stage: Stage) -> Picture:
    """Start a server and read its address."""
    server = stage.server(columns=SINGLE_COLUMNS)
    return stage.picture([server])


def first_user(stage: Stage) -> Picture:
    """Start a client that asks for the nickname."""
    server = stage.server(columns=SINGLE_COLUMNS)
    anya = stage.user(server, _("Anya"), columns=SINGLE_COLUMNS)
    anya.sees(says(_("There is nobody else here yet.")))
    return stage.picture([server], [anya])


def several_users(stage: Stage) -> Picture:
    """Let three users in; each gets the list of those who came before."""
    server = stage.server()
    anya, borya, vera = stage.users(server, _("Anya"), _("Borya"), _("Vera"))
    borya.sees(says(anya.nick))
    vera.sees(says(anya.nick + ", " + borya.nick))
    return stage.picture([borya, vera])


def help_(stage: Stage) -> Picture:
    """Ask for the list of commands."""
    server = stage.server()
    anya = stage.user(server, _("Anya"), columns=SINGLE_COLUMNS)
    anya.enter("/help")
    anya.sees("/users", "/down", says(_("leave the chat")))
    return stage.picture([anya])


def choose_partner(stage: Stage) -> Picture:
    """Talk to one, then to everybody."""
    server = stage.server()
    borya, vera = stage.users(server, _("Borya"), _("Vera"))
    anya = stage.user(server, _("Anya"), columns=FULL_COLUMNS)
    secret, question = _("Are you coming to the library?"), _("Who has the lecture notes?")
    anya.enter("/users")
    anya.sees("/users", says(borya.nick + ", " + vera.nick))
    anya.rests()
    anya.enter(f"/chat {borya.nick}")
    anya.sees(
        says(_("Your lines now go to {nick} only; /all returns to everybody."), nick=borya.nick)
    )
    anya.say(secret)
    borya.sees(says(secret))
    anya.enter("/all")
    anya.sees(says(_("Your lines now go to everybody.")))
    anya.say(question)
    for other in (borya, vera):
        other.sees(says(question))
    vera.has_not_seen(secret)
    return stage.picture([anya], [borya, vera])


def private_message(stage: Stage) -> Picture:
    """Write privately both ways, then to all: Vera sees only the last."""
    server = stage.server()
    anya, borya, vera = stage.users(server, _("Anya"), _("Borya"), _("Vera"))
    question = _("Shall we meet at six?")
    answer = _("Yes, at the entrance.")
    anya.say(f"/msg {borya.nick} {question}")
    borya.sees(says(question))
    borya.say(f"/msg {anya.nick} {answer}")
    anya.sees(says(answer))
    farewell = _("Have a good day, everybody!")
    anya.say(farewell)
    borya.sees(says(farewell))
    vera.sees(says(farewell))
    vera.has_not_seen(question)
    vera.has_not_seen(answer)
    return stage.picture([anya, borya], [vera, server])


def message_to_all(stage: Stage) -> Picture:
    """Broadcast twice; nobody gets their own words back."""
    server = stage.server()
    anya, borya, vera = stage.users(server, _("Anya"), _("Borya"), _("Vera"))
    anya.say(_("Hello, everybody!"))
    for other in (borya, vera):
        other.sees(says(_("Hello, everybody!")))
    borya.say(_("Good morning, Anya!"))
    for other in (anya, vera):
        other.sees(says(_("Good morning, Anya!")))
    return stage.picture([anya, borya], [vera, server])


def half_typed(stage: Stage) -> Picture:
    """Type half a line, receive two messages, finish the line."""
    server = stage.server()
    anya, borya = stage.users(server, _("Anya"), _("Borya"), columns=SINGLE_COLUMNS)
    half, rest = _("I have read the chapter about fra"), _("ming. It is clear now.")
    borya.begin(half)
    borya.sees(says(half))
    anya.say(_("Borya, have you read it?"))
    anya.say(_("The second chapter, I mean."))
    borya.sees(says(_("The second chapter, I mean.")), says(half))
    borya.terminal.wait_until(
        lambda terminal: terminal.line_before_cursor.endswith(half), repr(half), PATIENCE
    )
    picture = [[anya.terminal.snapshot()], [borya.terminal.snapshot()]]
    borya.answer(rest)
    anya.sees(says(half + rest))
    return picture


def history(stage: Stage) -> Picture:
    """Come later and ask for what was said."""
    server = stage.server()
    anya, borya = stage.users(server, _("Anya"), _("Borya"), columns=SINGLE_COLUMNS)
    place, secret, hour = (
        _("The seminar is in room 214."),
        _("Keep me a seat, please."),
        _("It begins at ten."),
    )
    anya.say(place)
    borya.sees(says(place))
    anya.say(f"/msg {borya.nick} {secret}")
    borya.sees(says(secret))
    borya.say(hour)
    anya.sees(says(hour))
    vera = stage.user(server, _("Vera"), columns=SINGLE_COLUMNS)
    vera.enter("/history")
    vera.sees(says(place), says(hour))
    vera.has_not_seen(secret)
    return stage.picture([borya], [vera])


def nick_taken(stage: Stage) -> Picture:
    """Ask for a nickname that somebody has, then for a free one."""
    server = stage.server()
    anya = stage.user(server, _("Anya"), columns=SINGLE_COLUMNS)
    other = stage.newcomer(_("Another Anya"), columns=SINGLE_COLUMNS)
    other.start(server, f"--nick {anya.nick.lower()}")
    other.sees(says(sentences.error_sentence("nick_taken")))
    other.gives_nick(_("Annie"))
    other.is_in(server, _("Annie"))
    return stage.picture([anya], [other])


def no_such_user(stage: Stage) -> Picture:
    """Choose and write to somebody who is not there."""
    server = stage.server()
    borya = stage.user(server, _("Borya"))
    anya = stage.user(server, _("Anya"), columns=SINGLE_COLUMNS)
    absent, question = _("Grisha"), _("Where are you?")
    refusal = says(_("There is no user {nick}. /users shows who is here."), nick=absent)
    anya.enter(f"/chat {absent}")
    anya.sees(refusal)
    anya.enter(f"/msg {absent} {question}")
    anya.sees(refusal, refusal)
    anya.enter("/users")
    anya.sees("/users", says(borya.nick))
    return stage.picture([anya])


def errors(stage: Stage) -> Picture:
    """Do what cannot be done, and ask the shell for the exit status each time."""
    server = stage.server(columns=FULL_COLUMNS)
    person = stage.person(_("Terminal"), columns=FULL_COLUMNS)
    person.enter(f"python -m chat.server --port {server.port}; echo $?")
    person.sees(says(_("the port is already in use")), r"\n1\s")
    person.enter("python -m chat.client --port 70000; echo $?")
    refusal = _("a port is a number from {least} to 65535, not {text!r}")
    person.sees(says(refusal.format(least=1, text="{text}")), r"\n2\s")
    server.press_ctrl_c()
    server.sees(says(_("The server has stopped")))
    server.is_back_in_the_shell()
    person.enter(f"python -m chat.client --port {server.port}; echo $?")
    person.sees(says(_("nobody listens there")), r"\n1\s")
    return stage.picture([server], [person])


def exit_(stage: Stage) -> Picture:
    """Leave, and let somebody else take the nickname."""
    server = stage.server()
    anya, borya = stage.users(server, _("Anya"), _("Borya"))
    borya.enter("exit")
    borya.has_left(sentences.left_sentence("quit"))
    borya.asks_status(0)
    namesake = stage.user(server, borya.nick, title=_("Another Borya"))
    anya.sees(
        says(sentences.left_sentence("quit"), nick=borya.nick),
        says(_("{nick} is in the chat now"), nick=borya.nick),
    )
    namesake.rests()
    return stage.picture([anya, borya])


def client_killed(stage: Stage) -> Picture:
    """End a client from outside, without a word."""
    server = stage.server()
    anya, borya = stage.users(server, _("Anya"), _("Borya"))
    other = stage.person(_("Another terminal"))
    other.enter(f"kill -{signal.SIGKILL.name.removeprefix('SIG')} {borya.terminal.foreground}")
    borya.is_back_in_the_shell()
    borya.has_left(sentences.left_sentence("lost"))
    return stage.picture([anya, borya], [server, other])


def kick(stage: Stage) -> Picture:
    """Become the admin, remove a user."""
    server = _server_with_admin(stage)
    anya, borya = stage.users(server, _("Anya"), _("Borya"))
    _become_admin(anya)
    anya.enter(f"/kick {borya.nick}")
    borya.sees(says(sentences.end_sentence("kicked")))
    borya.has_left(sentences.left_sentence("kicked"))
    borya.asks_status(1)
    return stage.picture([anya, borya], [server])


def shutdown(stage: Stage) -> Picture:
    """Try to stop the server without the right, then with it."""
    server = _server_with_admin(stage)
    users = stage.users(server, _("Anya"), _("Borya"))
    anya, borya = users
    borya.enter("/down")
    borya.sees(says(sentences.error_sentence("not_admin")))
    _become_admin(anya)
    anya.enter("/down")
    for user in users:
        user.sees(says(sentences.end_sentence("shutdown")))
        user.is_back_in_the_shell()
    server.sees(says(_("The server was stopped by the admin")))
    server.is_back_in_the_shell()
    return stage.picture([anya, borya], [server])


def server_terminal(stage: Stage) -> Picture:
    """Have the same conversation on two servers that differ by one option."""
    quiet = stage.server(columns=SINGLE_COLUMNS, title=_("Server, sizes only"))
    talkative = stage.server("--show-text", columns=SINGLE_COLUMNS, title=_("Server, with text"))
    greeting, secret = _("Hello, everybody!"), _("Keep me a seat, please.")
    for server in (quiet, talkative):
        anya, borya = stage.users(server, _("Anya"), _("Borya"))
        anya.say(greeting)
        borya.sees(says(greeting))
        borya.say(f"/msg {anya.nick} {secret}")
        anya.sees(says(secret))
    talkative.sees(says(greeting), says(secret))
    quiet.has_not_seen(greeting)
    quiet.has_not_seen(secret)
    return stage.picture([quiet], [talkative])


def full_screen_choose(stage: Stage) -> Picture:
    """Choose with the arrow keys, and write."""
    server = stage.server()
    _borya, vera = stage.users(server, _("Borya"), _("Vera"))
    anya = stage.full_screen_user(server, _("Anya"))
    anya.press("Shift+Tab", SHIFT_TAB)
    _chooses(anya, _("Everybody"))
    anya.press("↓", DOWN)
    anya.press("↓", DOWN)
    _chooses(anya, vera.nick)
    choosing = anya.terminal.snapshot()
    anya.press("Enter", "\r")
    anya.sees(rf"\[{vera.nick}\]")
    secret = _("Where are you?")
    anya.say(secret)
    vera.sees(says(secret))
    return [[choosing], [anya.shows()]]


def full_screen_unread(stage: Stage) -> Picture:
    """Get messages in other conversations than the one in view, then look."""
    server = stage.server()
    borya, vera = stage.users(server, _("Borya"), _("Vera"))
    anya = stage.full_screen_user(server, _("Anya"))
    borya.say(f"/msg {anya.nick} {_('Keep me a seat, please.')}")
    borya.say(f"/msg {anya.nick} {_('It begins at ten.')}")
    vera.say(f"/msg {anya.nick} {_('Where are you?')}")
    vera.say(_("Good morning, Anya!"))
    unread = rf"{borya.nick} 2, {vera.nick} 1"
    anya.sees(says(_("Good morning, Anya!")), says(_("unread: {names}"), names=unread))
    before = anya.shows()
    anya.press("Alt+↓", ALT_DOWN)
    anya.sees(says(_("new")), says(_("It begins at ten.")), rf"\[{borya.nick}\]")
    return [[before], [anya.shows()]]


def full_screen_reconnecting(stage: Stage) -> Picture:
    """Lose the server, go on writing, and get it back."""
    options = "--history chat.db"
    server = stage.server(options, columns=SINGLE_COLUMNS)
    borya = stage.user(server, _("Borya"), columns=SINGLE_COLUMNS)
    anya = stage.full_screen_user(server, _("Anya"))
    server.terminal.kill()
    server.is_back_in_the_shell()
    lost = says(_("The connection is lost. Reconnecting… What you type is sent afterwards."))
    anya.sees(r"\s+".join(lost.split(r"\s+")[:2]))
    words = _("Can you hear me?")
    anya.enter(words)
    anya.sees(says(words), says(_("reconnecting, attempt {n}")))
    anya.sees(says(_("not confirmed: {n}"), n="1"))
    alone = anya.shows()
    server.enter(f"python -m chat.server --port {server.port} {options}")
    back = says(_("The connection is back. What was said meanwhile follows."))
    borya.sees(back, says(words))
    anya.sees(says(_("online")))
    anya.sees(rf"│ {borya.nick}\n")
    anya.terminal.wait_gone(re.compile(says(_("not confirmed: {n}"))), PATIENCE)
    return [[alone], [anya.shows()], *stage.picture([borya])]


# --- what several scenarios do -------------------------------------------------------------------


def _server_with_admin(stage: Stage) -> Server:
    password = stage.folder / "password.txt"
    password.write_text(ADMIN_PASSWORD + "\n", encoding="utf-8")
    return stage.server(f"--admin-password-file {password.name}", columns=FULL_COLUMNS)


def _become_admin(user: User) -> None:
    user.enter("/admin")
    user.sees(says(_("Admin password: ").strip()))
    user.enter_secret(ADMIN_PASSWORD)
    user.sees(says(_("You are the admin now: /kick NICK, /down.")))
    user.rests()


def _chooses(user: User, name: str) -> None:
    """Wait until *name* is highlighted in the list of the full screen."""

    def highlighted(terminal: Terminal) -> bool:
        lines = [row for row in terminal.snapshot().rows[:-2] if row[-1].bg != "default"]
        words = "".join(cell.text for row in lines for cell in row).rpartition("│")[2]
        return words.split()[:1] == [name]

    user.terminal.wait_until(highlighted, repr(name), PATIENCE)
