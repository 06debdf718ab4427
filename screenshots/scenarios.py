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

from chat import cli, conversation
from chat.i18n import gettext as _
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

    title: str
    situation: str
    look_at: str
    play: Callable[[Stage], Picture]


def all_scenarios() -> list[Scenario]:
    """Return all scenarios in the order of the gallery, their texts in the current language."""
    return [
        Scenario(
            "server-start",
            _("The server has started"),
            _("The server is started on a free port and waits for clients."),
            _("The first line ends in the address to connect to."),
            server_start,
        ),
        Scenario(
            "first-user",
            _("The first user"),
            _("Anna starts the client without a nickname and is asked for one."),
            _("The client says that she is in, that she is alone, and how to get help."),
            first_user,
        ),
        Scenario(
            "several-users",
            _("Several users, and the list that each of them gets"),
            _("Anna, Boris and Vera connect one after another."),
            _("Each newcomer gets the list of those who are here; the others see who has come."),
            several_users,
        ),
        Scenario(
            "help",
            _("The commands of the chat"),
            _("Anna types /help."),
            _("One line a command: what to type and what it does."),
            help_,
        ),
        Scenario(
            "choose-partner",
            _("Choosing whom to talk to"),
            _("Anna asks who is here, chooses Boris with /chat, then returns to everybody."),
            _("The prompt in brackets names the one who gets the next line."),
            choose_partner,
        ),
        Scenario(
            "private-message",
            _("A private message: two people see it, the third does not"),
            _("Anna and Boris exchange private messages; Vera is in the same chat."),
            _(
                "Both private messages are on two screens. Vera's screen shows only the message "
                "to everybody that was sent after them."
            ),
            private_message,
        ),
        Scenario(
            "message-to-all",
            _("A message to everybody"),
            _("Anna writes to everybody, and Boris answers to everybody."),
            _("All others get each message; its author does not get it back."),
            message_to_all,
        ),
        Scenario(
            "half-typed",
            _("A message arrives while a line is being typed"),
            _("Boris has typed half a line when two messages arrive."),
            _("They stand above his line, and what he has typed is whole."),
            half_typed,
        ),
        Scenario(
            "history",
            _("What was said before"),
            _("Vera comes later and asks for the history."),
            _("She gets what was said to everybody, and not the private message."),
            history,
        ),
        Scenario(
            "nick-taken",
            _("The nickname is taken"),
            _("Somebody else wants to be Anna, in small letters."),
            _("The server refuses, and the client asks for another nickname at once."),
            nick_taken,
        ),
        Scenario(
            "no-such-user",
            _("Nobody of that name"),
            _("Anna writes to Greg, who is not in the chat."),
            _("The client says so and how to learn who is here. Nothing was sent."),
            no_such_user,
        ),
        Scenario(
            "errors",
            _("What cannot be done is said in one sentence"),
            _("A port in use, a port that is none, a server that is not there any more."),
            _("One sentence each, no traceback; the exit status is not 0."),
            errors,
        ),
        Scenario(
            "exit",
            _("Leaving, and the nickname is free again"),
            _("Boris types exit; somebody else takes his nickname."),
            _("His program ends with status 0, the others are told, the nickname is free."),
            exit_,
        ),
        Scenario(
            "client-killed",
            _("A client is killed"),
            _("The process of Boris's client is ended by the signal KILL: it can say nothing."),
            _("The server notices by the connection alone and tells the others."),
            client_killed,
        ),
        Scenario(
            "kick",
            _("The admin removes a user"),
            _("Anna becomes the admin and removes Boris."),
            _("Boris reads why; his client ends with status 1, unlike after exit."),
            kick,
        ),
        Scenario(
            "shutdown",
            _("The admin stops the server"),
            _("Boris may not do it, Anna shows the password and may."),
            _("Everybody is told, all clients end by themselves."),
            shutdown,
        ),
        Scenario(
            "server-terminal",
            _("The server's terminal without and with the text of messages"),
            _("The same conversation on two servers: the second was started with --show-text."),
            _("Without the option the server shows who, to whom and how much, and not what."),
            server_terminal,
        ),
        Scenario(
            "full-screen-choose",
            _("The full screen: choosing whom to talk to"),
            _("Anna goes to the list with Shift+Tab, to Vera with the arrow keys, presses Enter."),
            _("First Vera is highlighted in the list; then her name stands in the prompt."),
            full_screen_choose,
        ),
        Scenario(
            "full-screen-private",
            _("The full screen: a private conversation has a page of its own"),
            _("Anna and Boris talk privately; then Vera asks for the history."),
            _("Both see the same conversation; Vera's history holds the public message alone."),
            full_screen_private,
        ),
        Scenario(
            "full-screen-unread",
            _("The full screen: what has not been read is counted"),
            _("Boris and Vera write to Anna while she looks at the common conversation."),
            _("The list and the status line count them; then a mark stands above what is new."),
            full_screen_unread,
        ),
        Scenario(
            "full-screen-reconnecting",
            _("The full screen: the connection is lost, and comes back"),
            _("The server is killed; Anna goes on writing; the server is started again."),
            _("The message waits unconfirmed, and when she is back it reaches Boris, once."),
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
    anna = stage.newcomer(_("Anna"), columns=SINGLE_COLUMNS)
    anna.start(server)
    anna.sees(says(_("Your nickname: ").strip()))
    anna.answer(_("Anna"))
    anna.is_in(server, _("Anna"))
    anna.sees(says(_("There is nobody else here yet.")))
    return stage.picture([server], [anna])


def several_users(stage: Stage) -> Picture:
    """Let three users in; each gets the list of those who came before."""
    server = stage.server()
    anna, boris, vera = stage.users(server, _("Anna"), _("Boris"), _("Vera"))
    boris.sees(says(_("Anna")))
    vera.sees(says(_("Anna") + ", " + _("Boris")))
    return stage.picture([anna, boris], [vera, server])


def help_(stage: Stage) -> Picture:
    """Ask for the list of commands."""
    server = stage.server()
    anna = stage.user(server, _("Anna"), columns=SINGLE_COLUMNS)
    anna.enter("/help")
    anna.sees("/users", "/down", says(_("leave the chat")))
    return stage.picture([anna])


def choose_partner(stage: Stage) -> Picture:
    """Talk to one, then to everybody."""
    server = stage.server()
    boris, vera = stage.users(server, _("Boris"), _("Vera"))
    anna = stage.user(server, _("Anna"), columns=FULL_COLUMNS)
    secret, question = _("Are you coming to the library?"), _("Who has the lecture notes?")
    anna.enter("/users")
    anna.sees("/users", says(boris.nick + ", " + vera.nick))
    anna.rests()
    anna.enter(f"/chat {boris.nick}")
    anna.sees(
        says(_("Your lines now go to {nick} only; /all returns to everybody."), nick=boris.nick)
    )
    anna.say(secret)
    boris.sees(says(secret))
    anna.enter("/all")
    anna.sees(says(_("Your lines now go to everybody.")))
    anna.say(question)
    for other in (boris, vera):
        other.sees(says(question))
    vera.has_not_seen(secret)
    return stage.picture([anna], [boris, vera])


def private_message(stage: Stage) -> Picture:
    """Write privately both ways, then to all: Vera sees only the last."""
    server = stage.server()
    anna, boris, vera = stage.users(server, _("Anna"), _("Boris"), _("Vera"))
    question = _("Shall we meet at six?")
    answer = _("Yes, at the entrance.")
    anna.say(f"/msg {boris.nick} {question}")
    boris.sees(says(question))
    boris.say(f"/msg {anna.nick} {answer}")
    anna.sees(says(answer))
    farewell = _("Have a good day, everybody!")
    anna.say(farewell)
    boris.sees(says(farewell))
    vera.sees(says(farewell))
    vera.has_not_seen(question)
    vera.has_not_seen(answer)
    return stage.picture([anna, boris], [vera, server])


def message_to_all(stage: Stage) -> Picture:
    """Broadcast twice; nobody gets their own words back."""
    server = stage.server()
    anna, boris, vera = stage.users(server, _("Anna"), _("Boris"), _("Vera"))
    anna.say(_("Hello, everybody!"))
    for other in (boris, vera):
        other.sees(says(_("Hello, everybody!")))
    boris.say(_("Good morning, Anna!"))
    for other in (anna, vera):
        other.sees(says(_("Good morning, Anna!")))
    return stage.picture([anna, boris], [vera, server])


def half_typed(stage: Stage) -> Picture:
    """Type half a line, receive two messages, finish the line."""
    server = stage.server()
    anna, boris = stage.users(server, _("Anna"), _("Boris"), columns=SINGLE_COLUMNS)
    half, rest = _("I have read the chapter about fra"), _("ming. It is clear now.")
    boris.begin(half)
    boris.sees(says(half))
    anna.say(_("Boris, have you read it?"))
    anna.say(_("The second chapter, I mean."))
    boris.sees(says(_("The second chapter, I mean.")), says(half))
    boris.terminal.wait_until(
        lambda terminal: terminal.line_before_cursor.endswith(half), repr(half), PATIENCE
    )
    picture = [[anna.terminal.snapshot()], [boris.terminal.snapshot()]]
    boris.answer(rest)
    anna.sees(says(half + rest))
    return picture


def history(stage: Stage) -> Picture:
    """Come later and ask for what was said."""
    server = stage.server()
    anna, boris = stage.users(server, _("Anna"), _("Boris"), columns=SINGLE_COLUMNS)
    place, secret, hour = (
        _("The seminar is in room 214."),
        _("Keep me a seat, please."),
        _("It begins at ten."),
    )
    anna.say(place)
    boris.sees(says(place))
    anna.say(f"/msg {boris.nick} {secret}")
    boris.sees(says(secret))
    boris.say(hour)
    anna.sees(says(hour))
    vera = stage.user(server, _("Vera"), columns=SINGLE_COLUMNS)
    vera.enter("/history")
    vera.sees(says(place), says(hour))
    vera.has_not_seen(secret)
    return stage.picture([boris], [vera])


def nick_taken(stage: Stage) -> Picture:
    """Ask for a nickname that somebody has, then for a free one."""
    server = stage.server()
    anna = stage.user(server, _("Anna"), columns=SINGLE_COLUMNS)
    other = stage.newcomer(_("Another Anna"), columns=SINGLE_COLUMNS)
    other.start(server, f"--nick {anna.nick.lower()}")
    other.sees(says(conversation.error_sentence("nick_taken")), says(_("Your nickname: ").strip()))
    other.answer(_("Annie"))
    other.is_in(server, _("Annie"))
    return stage.picture([anna], [other])


def no_such_user(stage: Stage) -> Picture:
    """Choose and write to somebody who is not there."""
    server = stage.server()
    boris = stage.user(server, _("Boris"))
    anna = stage.user(server, _("Anna"), columns=SINGLE_COLUMNS)
    absent, question = _("Greg"), _("Where are you?")
    refusal = says(_("There is no user {nick}. /users shows who is here."), nick=absent)
    anna.enter(f"/chat {absent}")
    anna.sees(refusal)
    anna.enter(f"/msg {absent} {question}")
    anna.sees(refusal, refusal)
    anna.enter("/users")
    anna.sees("/users", says(boris.nick))
    return stage.picture([anna])


def errors(stage: Stage) -> Picture:
    """Do what cannot be done, and ask the shell for the exit status each time."""
    server = stage.server(columns=FULL_COLUMNS)
    person = stage.person(_("Terminal"), columns=FULL_COLUMNS)
    person.enter(f"python -m chat.server --port {server.port}; echo $?")
    person.sees(says(_("the port is already in use")), r"\n1\s")
    person.enter("python -m chat.client --port 70000; echo $?")
    person.sees(says(_("a port is a number from 0 to 65535, not {text!r}")), r"\n2\s")
    server.press_ctrl_c()
    server.sees(says(_("The server has stopped")))
    server.is_back_in_the_shell()
    person.enter(f"python -m chat.client --port {server.port}; echo $?")
    person.sees(says(_("nobody listens there")), r"\n1\s")
    return stage.picture([server], [person])


def exit_(stage: Stage) -> Picture:
    """Leave, and let somebody else take the nickname."""
    server = stage.server()
    anna, boris = stage.users(server, _("Anna"), _("Boris"))
    boris.enter("exit")
    boris.has_left(cli.left_sentence("quit"))
    boris.asks_status(0)
    namesake = stage.newcomer(_("Another Boris"))
    namesake.start(server, f"--nick {boris.nick}")
    namesake.is_in(server, boris.nick)
    anna.sees(
        says(cli.left_sentence("quit"), nick=boris.nick),
        says(_("{nick} is in the chat now"), nick=boris.nick),
    )
    return stage.picture([anna, boris], [server, namesake])


def client_killed(stage: Stage) -> Picture:
    """End a client from outside, without a word."""
    server = stage.server()
    anna, boris = stage.users(server, _("Anna"), _("Boris"))
    other = stage.person(_("Another terminal"))
    other.enter(f"kill -{signal.SIGKILL.name.removeprefix('SIG')} {boris.terminal.foreground}")
    boris.is_back_in_the_shell()
    boris.has_left(cli.left_sentence("lost"))
    return stage.picture([anna, boris], [server, other])


def kick(stage: Stage) -> Picture:
    """Become the admin, remove a user."""
    server = _server_with_admin(stage)
    anna, boris = stage.users(server, _("Anna"), _("Boris"))
    _become_admin(anna)
    anna.enter(f"/kick {boris.nick}")
    boris.sees(says(conversation.end_sentence("kicked")))
    boris.has_left(cli.left_sentence("kicked"))
    boris.asks_status(1)
    return stage.picture([anna, boris], [server])


def shutdown(stage: Stage) -> Picture:
    """Try to stop the server without the right, then with it."""
    server = _server_with_admin(stage)
    users = stage.users(server, _("Anna"), _("Boris"), _("Vera"), _("Greg"))
    anna, boris, vera, greg = users
    boris.enter("/down")
    boris.sees(says(conversation.error_sentence("not_admin")))
    _become_admin(anna)
    anna.enter("/down")
    for user in users:
        user.sees(says(conversation.end_sentence("shutdown")))
        user.is_back_in_the_shell()
    server.sees(says(_("The server was stopped by the admin")))
    server.is_back_in_the_shell()
    return stage.picture([anna, boris], [vera, greg], [server])


def server_terminal(stage: Stage) -> Picture:
    """Have the same conversation on two servers that differ by one option."""
    quiet = stage.server(columns=SINGLE_COLUMNS, title=_("Server, sizes only"))
    talkative = stage.server("--show-text", columns=SINGLE_COLUMNS, title=_("Server, with text"))
    greeting, secret = _("Hello, everybody!"), _("Keep me a seat, please.")
    for server in (quiet, talkative):
        anna, boris = stage.users(server, _("Anna"), _("Boris"))
        anna.say(greeting)
        boris.sees(says(greeting))
        boris.say(f"/msg {anna.nick} {secret}")
        anna.sees(says(secret))
    talkative.sees(says(greeting), says(secret))
    quiet.has_not_seen(greeting)
    quiet.has_not_seen(secret)
    return stage.picture([quiet], [talkative])


def full_screen_choose(stage: Stage) -> Picture:
    """Choose with the arrow keys, and write."""
    server = stage.server()
    _boris, vera = stage.users(server, _("Boris"), _("Vera"))
    anna = stage.full_screen_user(server, _("Anna"))
    anna.press("Shift+Tab", SHIFT_TAB)
    _chooses(anna, _("Everybody"))
    anna.press("↓", DOWN)
    anna.press("↓", DOWN)
    _chooses(anna, vera.nick)
    choosing = anna.terminal.snapshot()
    anna.press("Enter", "\r")
    anna.sees(rf"\[{vera.nick}\]")
    secret = _("Where are you?")
    anna.say(secret)
    vera.sees(says(secret))
    return [[choosing], [anna.shows()]]


def full_screen_private(stage: Stage) -> Picture:
    """Talk privately in both directions; nobody else gets it, not even as history."""
    server = stage.server()
    vera = stage.user(server, _("Vera"), columns=SINGLE_COLUMNS)
    anna, boris = (stage.full_screen_user(server, nick) for nick in (_("Anna"), _("Boris")))
    greeting = _("Hello, everybody!")
    anna.say(greeting)
    for other in (boris, vera):
        other.sees(says(greeting))
    question, answer = _("Shall we meet at six?"), _("Yes, at the entrance.")
    anna.enter(f"/chat {boris.nick}")
    anna.sees(rf"\[{boris.nick}\]")
    anna.say(question)
    boris.sees(says(_("unread: {names}"), names=rf"{anna.nick} 1"))
    boris.press("Alt+↓", ALT_DOWN)
    boris.sees(rf"\[{anna.nick}\]")
    boris.say(answer)
    anna.sees(says(question), says(answer))
    boris.sees(says(question), says(answer))
    vera.enter("/history")
    vera.sees("/history", says(greeting))
    for words in (question, answer):
        vera.has_not_seen(words)
    return [[anna.shows()], [boris.shows()], *stage.picture([vera])]


def full_screen_unread(stage: Stage) -> Picture:
    """Get messages in other conversations than the one in view, then look."""
    server = stage.server()
    boris, vera = stage.users(server, _("Boris"), _("Vera"))
    anna = stage.full_screen_user(server, _("Anna"))
    boris.say(f"/msg {anna.nick} {_('Keep me a seat, please.')}")
    boris.say(f"/msg {anna.nick} {_('It begins at ten.')}")
    vera.say(f"/msg {anna.nick} {_('Where are you?')}")
    vera.say(_("Good morning, Anna!"))
    unread = rf"{boris.nick} 2, {vera.nick} 1"
    anna.sees(says(_("Good morning, Anna!")), says(_("unread: {names}"), names=unread))
    before = anna.shows()
    anna.press("Alt+↓", ALT_DOWN)
    anna.sees(says(_("new")), says(_("It begins at ten.")), rf"\[{boris.nick}\]")
    return [[before], [anna.shows()]]


def full_screen_reconnecting(stage: Stage) -> Picture:
    """Lose the server, go on writing, and get it back."""
    options = "--history chat.db"
    server = stage.server(options, columns=SINGLE_COLUMNS)
    boris = stage.user(server, _("Boris"), columns=SINGLE_COLUMNS)
    anna = stage.full_screen_user(server, _("Anna"))
    server.terminal.kill()
    server.is_back_in_the_shell()
    lost = says(_("The connection is lost. Reconnecting… What you type is sent afterwards."))
    anna.sees(r"\s+".join(lost.split(r"\s+")[:2]))
    words = _("Can you hear me?")
    anna.enter(words)
    anna.sees(says(words), says(_("reconnecting, attempt {n}")))
    anna.sees(says(_("not confirmed: {n}"), n="1"))
    alone = anna.shows()
    server.enter(f"python -m chat.server --port {server.port} {options}")
    back = says(_("The connection is back. What was said meanwhile follows."))
    boris.sees(back, says(words))
    anna.sees(says(_("online")))
    anna.sees(rf"│ {boris.nick}\n")
    anna.terminal.wait_gone(re.compile(says(_("not confirmed: {n}"))), PATIENCE)
    return [[alone], [anna.shows()], *stage.picture([boris])]


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
