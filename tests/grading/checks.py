"""What each requirement plays at the terminals.

A check gets a stage on which nothing runs yet. It returns when the requirement is fulfilled, or
an `Outcome` for a part of the points; it raises `stage.Missed` with what went wrong. What a check
may be told in the rubric are its keyword arguments.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from chat.app.i18n import gettext as _

from .stage import MESSAGE, CannotTell, Missed, Player, Stage, squeezed
from .submission import Sign, Step, sign

INVALID_UTF8 = b"\xff\xfe\xc3\n"
_LOOKS = 5  # in a row, at which a program that has nothing to do is found asleep


@dataclass(frozen=True)
class Outcome:
    """A requirement that is fulfilled in part."""

    share: float
    """From 0 to 1."""

    reason: str


# Starting


def starts(stage: Stage, *, clients: int = 3) -> None:
    """The server starts and accepts several clients."""
    users = stage.open(clients)
    if "ready" not in stage.submission.signs and clients > 1:  # then this shows that they are in
        if "all" not in stage.submission.steps:
            raise stage.missed(
                users[0],
                _("a sign of being in the chat; {file} names none, and no way to talk").format(
                    file=stage.submission.path.name
                ),
            )
        text = stage.broadcasts(users[0])
        for user in users[1:]:
            user.sees(sign(text))


def threads(stage: Stage, *, clients: int = 3) -> None:
    """The server has a thread, or a process, more for each client."""
    server = stage.start_server()
    before = stage.sandbox.threads_of(stage.server_pid)
    stage.enter(*range(clients))
    server.waits(
        lambda: stage.sandbox.threads_of(stage.server_pid) >= before + clients,
        _(
            "at least {n} threads in the server after {clients} clients came, {before} before"
        ).format(n=before + clients, clients=clients, before=before),
    )


def no_waiting(stage: Stage, *, silent: int = 2) -> None:
    """Who connects and says nothing keeps nobody waiting, and nobody waits for a turn."""
    stage.start_server()
    meddler = stage.meddler()
    for _number in range(silent):
        meddler.ask("silence")
    stage.note(_("nobody"), _("(connects and says nothing)"))
    anna, boris = stage.enter(0, 1)
    for _number in range(3):  # boris listens and says nothing, and then the other way round
        stage.hears(boris, anna, stage.broadcasts(anna))
    for _number in range(3):
        stage.hears(anna, boris, stage.broadcasts(boris))


# Names


def registration(stage: Stage) -> None:
    """The client asks for a name, and the others see it with what its user says."""
    anna, boris = stage.open(2)
    stage.hears(boris, anna, stage.broadcasts(anna))
    stage.hears(anna, boris, stage.broadcasts(boris))


def unique_name(stage: Stage) -> None:
    """A name that somebody has is refused, and its owner stays in the chat."""
    anna, boris = stage.open(2)
    _refused(stage, anna.name)
    stage.hears(boris, anna, stage.broadcasts(anna))


def name_case(stage: Stage) -> None:
    """A name that differs in nothing but capitals is refused too."""
    anna, _boris = stage.open(2)
    _refused(stage, anna.name.swapcase())


def _refused(stage: Stage, name: str) -> None:
    """Let somebody try to enter as *name*, which must be refused. Raises `Missed`."""
    impostor = stage.launch(2, title=_("the second {name}").format(name=name), name=name)
    mark = impostor.does(stage.submission.steps.get("login", ()))
    ready, taken = (
        None if one is None else one.pattern(**impostor.fields({}))
        for one in (stage.submission.signs.get("ready"), stage.submission.signs.get("taken"))
    )
    if taken is not None:
        expected = stage.sign("taken").words(**impostor.fields({}))
        impostor.waits(
            lambda: any(one and one.search(impostor.text(mark)) for one in (taken, ready)),
            expected,
            "taken",
        )
        if taken.search(impostor.text(mark)) is None:
            raise stage.missed(impostor, expected, "taken")
        return
    # Then there is nothing to see but that the chat does not open.
    expected = _("not to be let into the chat under a name that is taken")
    try:
        if ready is None:
            impostor.sees(sign(stage.broadcasts(stage.users[1])))
        else:
            impostor.waits(lambda: ready.search(impostor.text(mark)) is not None, expected)
    except Missed:
        return
    raise stage.missed(impostor, expected)


def name_freed(stage: Stage) -> None:
    """The name of somebody who has left can be taken again."""
    anna, boris, vera = stage.open(3)
    stage.leaves(boris)
    _gone(stage, anna, boris)
    again = stage.launch(1, title=_("{name} again").format(name=boris.name))
    stage.log_in(again)
    stage.hears(vera, again, stage.broadcasts(again))


# The list of users


def list_on_connect(stage: Stage) -> None:
    """A newcomer is shown who is here, without asking."""
    anna, boris, vera = stage.open(3)
    for other in (anna, boris):
        vera.sees(sign(other.name))


def list_on_request(stage: Stage) -> None:
    """The list of users comes on request and names all others."""
    anna, boris, vera = stage.open(3)
    for asker, others in ((anna, (boris, vera)), (vera, (anna, boris))):
        mark = asker.does(stage.steps("users"))
        for other in others:
            asker.sees(sign(other.name), mark)


def list_is_fresh(stage: Stage) -> None:
    """The list has who came later, and no more who has left."""
    anna, boris, vera = stage.open(3)
    stage.settle()
    stage.leaves(boris)
    _gone(stage, anna, boris)
    [gleb] = stage.enter(3)
    mark = anna.does(stage.steps("users"))
    for other in (vera, gleb):
        anna.sees(sign(other.name), mark)
    _listed_no_more(stage, anna, boris)


def _listed_no_more(stage: Stage, asker: Player, gone: Player) -> None:
    """Let *asker* ask for the list, until *gone* is not in it. Raises `Missed`."""
    others = [user for user in stage.users if user is not asker]

    def is_gone() -> bool:
        mark = asker.does(stage.steps("users"))
        for other in others:
            asker.sees(sign(other.name), mark)
        ask = stage.broadcasts(others[0])  # what comes after it comes after the whole list
        found = asker.sees(sign(ask), mark)
        return gone.name not in found.string[: found.start()]

    expected = _("a list of users without {name}").format(name=gone.name)
    for _attempt in range(3):  # the server may not have noticed yet
        if is_gone():
            return
    raise stage.missed(asker, expected)


def _gone(stage: Stage, watcher: Player, gone: Player, kind: str = "left") -> None:
    """Wait until the server has noticed that *gone* has left, or been *lost*, as far as it shows.

    Where the others are told, they have been told; that they are is another requirement.
    """
    told = stage.submission.signs.get(kind) or stage.submission.signs.get("left")
    if told is not None:
        with contextlib.suppress(Missed):
            watcher.sees(told, name=gone.name)
    stage.calm()


# Messages


def broadcast(stage: Stage) -> None:
    """What one says to everybody, all others read."""
    users = stage.open(3)
    for speaker in users:
        text = stage.broadcasts(speaker)
        for listener in users:
            if listener is not speaker:
                listener.sees(sign(text))


def private(stage: Stage) -> None:
    """A private message comes to the one whom it is for, whole, and says from whom."""
    anna, boris, vera = stage.open(3)
    for author, reader in ((anna, boris), (boris, anna), (vera, boris)):
        text = f"{stage.new_text()} for you"
        author.does(stage.steps("private"), to=reader.name, text=text)
        shown = stage.sign("private_message", stage.sign("message", MESSAGE))
        reader.sees(shown, sign="private_message", name=author.name, text=text)


def private_only(stage: Stage) -> None:
    """Nobody else reads a private message."""
    anna, boris, vera = stage.open(3)
    secrets = []
    for author, reader in ((anna, boris), (boris, anna)):
        secrets.append(stage.new_text())
        author.does(stage.steps("private"), to=reader.name, text=secrets[-1])
        with contextlib.suppress(Missed):  # that is another requirement
            reader.sees(sign(secrets[-1]))
    stage.settle()
    for secret in secrets:
        vera.must_not_show(
            secret, 0, _("no private message of {a} and {b}").format(a=anna.name, b=boris.name)
        )


def no_echo(stage: Stage) -> None:
    """The server does not send a message back to its author."""
    anna, boris = stage.open(2)
    text = stage.broadcasts(anna)
    stage.hears(boris, anna, text)
    stage.settle()
    screen = anna.text()
    own = stage.submission.signs.get("own")
    if own is not None:  # what the client itself says about it
        screen = own.pattern(name=anna.name, text=text).sub("", screen, count=1)
    if screen.count(text) > 1:
        raise stage.missed(anna, _("“{text}” only as it was typed, once").format(text=text))


# Leaving


def leave_announced(stage: Stage) -> None:
    """Who leaves by command is announced to the others."""
    anna, boris, vera = stage.open(3)
    stage.settle()
    marks = {watcher: watcher.mark for watcher in (anna, vera)}
    stage.steps("leave")
    stage.leaves(boris)
    for watcher, mark in marks.items():
        watcher.sees(stage.sign("left"), mark, sign="left", name=boris.name)


def killed_removed(stage: Stage) -> None:
    """A client that is killed is removed: from the list, and its name is free."""
    anna, boris, vera = stage.open(3)
    stage.settle()
    stage.users.remove(boris)
    boris.kill()
    boris.ends()
    _gone(stage, anna, boris, "lost")
    _listed_no_more(stage, anna, boris)
    again = stage.launch(1, title=_("{name} again").format(name=boris.name))
    stage.log_in(again)
    stage.hears(vera, again, stage.broadcasts(again))


def shutdown_announced(stage: Stage, *, clients: int = 2) -> None:
    """Users are told when the server is shut down, and it ends."""
    if stage.external_port is not None:
        raise CannotTell(_("The server that runs outside is not shut down."))
    users = stage.open(clients)
    stage.settle()
    marks = [user.mark for user in users]
    stage.stop_server()
    for user, mark in zip(users, marks, strict=True):
        user.sees(stage.sign("stopped"), mark, sign="stopped")
    stage.server.ends()


# Trouble


def bad_commands(stage: Stage) -> None:
    """Lines that make no sense harm nobody, not even who types them."""
    anna, boris = stage.open(2)
    lines = stage.submission.bad_lines or ("", "   ", "/", "/msg", "/nosuchcommand x")
    for line in lines:
        anna.types(line)
        stage.calm()
    stage.hears(boris, anna, stage.broadcasts(anna))
    stage.hears(anna, boris, stage.broadcasts(boris))


def bad_bytes(stage: Stage) -> None:
    """Bytes that are no text of this chat do not bring the server down."""
    anna, boris = stage.open(2)
    stage.meddler().ask("garbage")
    stage.note(_("nobody"), _("(connects and sends bytes that are no text)"))
    _goes_on(stage, anna, boris)
    if not stage.submission.client_takes_port:
        return
    meddler = stage.meddler()
    [gleb] = stage.enter(3, port=int(meddler.ask("relay")))
    stage.users.remove(gleb)
    meddler.ask(f"inject {INVALID_UTF8.hex()}")
    stage.note(gleb.title, f"(bytes {INVALID_UTF8.hex(' ')})")
    _goes_on(stage, anna, boris, newcomer=4)


def abrupt(stage: Stage) -> None:
    """Connections that end suddenly do the others no harm."""
    anna, boris = stage.open(2)
    stage.meddler().ask("abrupt")
    stage.note(_("nobody"), _("(connects many times and hangs up)"))
    _goes_on(stage, anna, boris)


def _goes_on(stage: Stage, anna: Player, boris: Player, newcomer: int = 2) -> None:
    """Check that those who are here still talk, and that one more can come. Raises `Missed`."""
    stage.calm()
    stage.hears(boris, anna, stage.broadcasts(anna))
    stage.hears(anna, boris, stage.broadcasts(boris))
    [vera] = stage.enter(newcomer)
    stage.hears(vera, anna, stage.broadcasts(anna))


def rests(stage: Stage) -> None:
    """A server with nothing to do does nothing, also after users have left."""
    anna, boris, vera = stage.open(3)
    stage.settle()
    stage.leaves(boris)
    _gone(stage, anna, boris)
    vera.kill()
    vera.ends()
    pid = stage.server_pid
    asleep = 0

    def is_asleep() -> bool:
        nonlocal asleep
        asleep = 0 if stage.sandbox.is_running(pid) else asleep + 1
        return asleep >= _LOOKS

    stage.server.waits(is_asleep, _("a server that waits without using the processor"))


def stalled_reader(stage: Stage, *, lines: int = 30, characters: int = 1500) -> Outcome | None:
    """A client that does not read keeps the others from nothing."""
    if not stage.sandbox.small_buffers:
        raise CannotTell(_("The system does not let us make the buffers of sockets small."))
    anna, boris, vera, gleb = stage.open(4)
    stage.settle()
    boris.stop()
    stage.users.remove(boris)
    texts = [stage.new_text() for _number in range(lines)]
    try:
        for text in texts:
            stage.broadcasts(anna, text.ljust(characters, "x"))
            vera.sees(sign(text))
        stage.hears(gleb, vera, stage.broadcasts(vera))
    except Missed as missed:
        secret = stage.new_text()
        vera.does(stage.steps("private"), to=gleb.name, text=secret)
        gleb.sees(sign(secret))
        return Outcome(
            0.5, _("Messages to everybody stop; private ones go on.") + "\n" + str(missed)
        )
    return None


# Framing


def long_messages(stage: Stage, *, sizes: Sequence[int] = (300, 1100, 1900)) -> None:
    """Long messages, in letters of two bytes, arrive whole."""
    anna, boris = stage.open(2)
    for size in sizes:
        text = _long_text(size)
        mark = boris.mark
        stage.broadcasts(anna, text)
        wanted = squeezed(text)
        boris.waits(
            lambda wanted=wanted, mark=mark: wanted in squeezed(boris.text(mark)),  # type: ignore[misc]
            _("all {n} characters of the message “{text}…”").format(n=size, text=text[:20]),
        )


def _long_text(size: int) -> str:
    """Return *size* characters, of which no part occurs twice."""
    return " ".join(f"слово{number}ё" for number in range(size))[:size]


def bursts(stage: Stage, *, lines: int = 20) -> None:
    """Messages sent in quick succession stay apart, however the bytes come."""
    anna, boris, vera = stage.open(3)
    stage.settle()
    texts = _say_all(stage, anna, lines)
    for listener in (boris, vera):
        _apart(stage, listener, anna, texts)

    boris.stop()  # what comes meanwhile, his client finds all at once
    texts = _say_all(stage, anna, lines)
    for text in texts:
        vera.sees(sign(text))
    boris.go_on()
    _apart(stage, boris, anna, texts)

    if stage.external_port is not None:
        return
    stage.server.stop()  # and now the server
    texts = _say_all(stage, anna, lines)
    size = sum(map(len, texts))
    try:
        anna.waits(lambda: stage.bytes_waiting() >= size, _("that the client sends it all"))
    except Missed:  # it waits for answers: then there is nothing to find at once
        pass
    finally:
        stage.server.go_on()
    for listener in (boris, vera):
        _apart(stage, listener, anna, texts)


def _say_all(stage: Stage, speaker: Player, lines: int) -> list[str]:
    texts = [stage.new_text() for _number in range(lines)]
    for text in texts:
        stage.broadcasts(speaker, text)
    return texts


def _apart(stage: Stage, listener: Player, speaker: Player, texts: Sequence[str]) -> None:
    """Check that *texts* stand as messages of their own, in order, once each. Raises `Missed`."""
    message = stage.sign("message", MESSAGE)
    patterns = [message.pattern(name=speaker.name, text=text) for text in texts]

    def are_apart() -> bool:
        if not all(pattern.search(listener.text()) for pattern in patterns):
            return False
        lines = listener.text().split("\n")
        places = [[number for number, line in enumerate(lines) if text in line] for text in texts]
        found = [place[0] for place in places if len(place) == 1]
        return len(found) == len(texts) and found == sorted(set(found))

    listener.waits(
        are_apart,
        _("{n} messages in order, each on its line: {first} … {last}").format(
            n=len(texts), first=texts[0], last=texts[-1]
        ),
    )


def sliced(stage: Stage) -> None:
    """A message arrives whole though the network brings it a byte at a time."""
    if not stage.submission.client_takes_port:
        raise CannotTell(_("The client cannot be told a port, so nothing can stand in between."))
    stage.start_server()
    [anna] = stage.enter(0)
    meddler = stage.meddler()
    [boris] = stage.enter(1, port=int(meddler.ask("relay")))
    stage.settle()
    meddler.ask("slice")
    for speaker, listener in ((boris, anna), (anna, boris)):
        text = f"{stage.new_text()} съешь ещё этих булочек"
        stage.broadcasts(speaker, text)
        shown = stage.sign("message", MESSAGE)
        listener.sees(shown, name=speaker.name, text=text)
        stage.hears(listener, speaker, stage.broadcasts(speaker))


# What is kept


def history(stage: Stage) -> None:
    """A newcomer can read what was said to everybody before, and nothing that was private."""
    anna, boris = stage.open(2)
    texts = [stage.broadcasts(anna), stage.broadcasts(boris)]
    stage.hears(boris, anna, texts[0])
    stage.hears(anna, boris, texts[1])
    secret = stage.new_text()
    if "private" in stage.submission.steps:
        anna.does(stage.steps("private"), to=boris.name, text=secret)
        stage.calm()
    stage.settle()
    [vera] = stage.enter(2)
    vera.does(stage.steps("history"))
    for text in texts:
        vera.sees(sign(text))
    stage.settle()
    vera.must_not_show(secret, 0, _("a history without the private message"))


def log_file(stage: Stage) -> None:
    """What was said is written to a log file."""
    if stage.external_port is not None:
        raise CannotTell(_("The files of a server that runs outside are not looked at."))
    patterns = stage.submission.log_files
    if not patterns:
        raise Missed(
            _("{file} names no log file under [log].").format(file=stage.submission.path.name)
        )
    anna, boris = stage.open(2)
    text = stage.broadcasts(anna)
    stage.hears(boris, anna, text)
    stage.server.waits(
        lambda: any(
            text in _read(path) for one in patterns for path in stage.sandbox.folder.rglob(one)
        ),
        _("“{text}” in a file {files}").format(text=text, files=", ".join(patterns)),
    )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


# Anything else


def dialogue(stage: Stage, *, lines: Sequence[dict[str, Any]]) -> None:
    """A scene written in the rubric.

    Each line names a user by number, from 1, and what they do or see: ``{user = 1, says = "…"}``
    to all; ``{user = 1, says = "…", to = 2}``; ``{user = 1, types = "…"}``;
    ``{user = 2, sees = "…"}`` or ``sees_re``; ``{user = 3, sees_not = "…"}``. In a text, ``{1}``
    is the first user's name.
    """
    count = max(max(line.get("user", 1), line.get("to", 1)) for line in lines)
    users = stage.open(count)
    names = {str(number): user.name for number, user in enumerate(users, 1)}

    def said(text: str) -> str:
        return re.sub(r"\{(\d)\}", lambda found: names.get(found[1], found[0]), text)

    for line in lines:
        user = users[line.get("user", 1) - 1]
        if "says" in line and "to" in line:
            to = users[line["to"] - 1].name
            user.does(stage.steps("private"), to=to, text=said(line["says"]))
        elif "says" in line:
            stage.broadcasts(user, said(line["says"]))
        elif "types" in line:
            user.does((Step("type", said(line["types"])),))
        elif "sees" in line:
            user.sees(sign(said(line["sees"])))
        elif "sees_re" in line:
            user.sees(Sign(((said(line["sees_re"]), True),)))
        elif "sees_not" in line:
            stage.settle()
            unwanted = said(line["sees_not"])
            user.must_not_show(unwanted, 0, _("nothing of “{text}”").format(text=unwanted))


Check = Callable[..., Outcome | None]

CHECKS: dict[str, Check] = {
    name: check
    for name, check in list(globals().items())
    if isinstance(check, FunctionType) and check.__module__ == __name__ and name[0] != "_"
}
"""Every check above, by its name."""
