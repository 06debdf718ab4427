"""Tries out how one chat is started and spoken to.

The server and clients of a submission are started, and typed to them is what its code and its
screens suggest and what chats commonly understand; what came of it is seen on the others' screens.
A finding counts when it held twice, with other names and texts, and did not hold when it must not:
a private message is not seen by a third, a refused name is not let in. What could not be proved is
asked, when there is somebody to ask, and stays a question.
"""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Sequence
from typing import Self

from chat.app.i18n import gettext as _
from chat.lab.terminal import ScreenTimeout

from .findings import Step, Window
from .play import NAMES, Play, lines, lines_with
from .python import own_files
from .search import Search
from .signs import Value, common, holds
from .starting import first_client, start_server
from .submission import KEYS


class StrangeLettersError(Exception):
    """What the programs print is no text in this encoding."""


class Trial:
    """One submission, tried out, in the order of its methods. A context manager, for one thread.

    What it finds is in the findings of its play.
    """

    def __init__(self, play: Play) -> None:
        """Try what is in *play*, which has not begun."""
        self._play = play
        self._findings = play.findings
        self._search = Search(play)
        self._let_in: list[Window] = []  # the first who entered: how that looked
        self._arrivals = ""  # what the first saw when others entered
        self._refused: list[str] = []  # what was shown to who wanted a name that was taken

    def __enter__(self) -> Self:
        """Make a place for the programs."""
        self._play.__enter__()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all programs."""
        self._play.__exit__()

    def run(
        self,
        server: Sequence[str] | None = None,
        client: Sequence[str] | None = None,
        *,
        any_letters: bool = False,
    ) -> None:
        """Try everything, with the commands *server* and *client* if they are known.

        Raises `play.NotFoundError` when server or client do not even start, and
        `StrangeLettersError` unless *any_letters* will do.
        """
        for note in (*self._play.python.notes, *self._play.python.lacking):
            self._findings.teacher.say(f"  {note}")
        start_server(self._play, server)
        anna = first_client(self._play, client)
        if not any_letters and self._letters_are_strange(anna):
            raise StrangeLettersError
        self._let_in = [anna, *map(self._play.enter, NAMES[1:3])]
        self._arrivals = anna.text
        self._search.ask_for_help()
        self._find_all()
        self._find_private()
        self._find_own()
        self._find_taken()
        self.find_ready()
        self._find_users()
        self._find_history()
        self._find_leave()
        self._find_log()
        self._find_stopped()

    def _letters_are_strange(self, client: Window) -> bool:
        """Tell whether a screen shows what is no Russian or English text."""
        strange = r"[а-яё][А-ЯЁ]|[^\x00-\x7fа-яА-ЯёЁ«»—–…№“”•]"
        if self._findings.encoding == "utf-8":
            strange = "\ufffd"
        return any(re.search(strange, window.text) for window in (self._play.server, client))

    def _find_all(self) -> None:
        told: list[list[str]] = []

        def works(steps: Sequence[Step]) -> bool:
            told.clear()
            anna, boris, vera = self._play.people()
            for speaker, hearers in ((anna, (boris, vera)), (boris, (anna, vera))):
                text = self._play.new_text()
                marks = [hearer.mark for hearer in hearers]
                self._play.does(speaker, steps, text=text)
                if not all(
                    text in hearer.text[mark:] for hearer, mark in zip(hearers, marks, strict=True)
                ):
                    return False
                told.append(lines_with(hearers[0], text, {"name": speaker.name, "text": text}))
            return True

        why = _("what two said so, the others saw")
        question = _(
            "What is typed to write to everybody? {text} is the text; | stands between lines."
        )
        first = [["{text}"]]
        if self._search.find("all", NAMES[0], works, why=why, question=question, first=first):
            why = _("so two messages of different people looked")
            self._message("message", told, why, _("How does a message look?"))

    def _find_private(self) -> None:
        told: list[list[str]] = []

        def works(steps: Sequence[Step]) -> bool:
            told.clear()
            anna, boris, vera = self._play.people()
            for speaker, reader, other in ((anna, boris, vera), (vera, anna, boris)):
                text = self._play.new_text()
                mark = reader.mark
                self._play.does(speaker, steps, text=text, to=reader.name)
                if text not in reader.text[mark:] or text in other.text:
                    return False
                told.append(lines_with(reader, text, {"name": speaker.name, "text": text}))
            return True

        why = _("the one saw it, the third did not")
        question = _(
            "What is typed to write to one? {to} is the name, {text} the text; "
            "| stands between lines."
        )
        if self._search.find("private", NAMES[0], works, why=why, question=question):
            why = _("so two private messages looked")
            self._message("private_message", told, why, _("How does a private message look?"))

    def _message(self, key: str, told: list[list[str]], why: str, question: str) -> None:
        """Find the sign *key* in the lines in which two messages came."""
        idle = self._let_in[1].idle
        self._findings.sign(
            key, common(*told, need=("{name}", "{text}"), prompt=idle), why, question
        )

    def _find_own(self) -> None:
        """Find what the client itself shows of what its user said: also while the server stands."""
        told: list[list[str]] = []
        server = self._play.server.terminal
        for speaker in self._play.people()[:2] if "all" in self._findings.steps else ():
            mark = speaker.mark
            server.kill(signal.SIGSTOP)
            text = self._play.new_text()
            self._play.does(speaker, self._findings.steps["all"], text=text)
            rows = [row for row in speaker.text[mark:].splitlines() if text in row]
            server.kill(signal.SIGCONT)
            told.append(lines("\n".join(rows[1:]), {"name": speaker.name, "text": text}))
            self._play.calm()
        if len(told) == 2 and all(told):
            values = common(*told, need=("{text}",), prompt=self._let_in[0].idle)
            self._findings.sign(
                "own", values, _("two clients showed it while the server stood still"), ""
            )

    def _find_taken(self) -> None:
        """See what is said to somebody who wants a name that another has."""
        told = []
        let_in = False
        for name, hearer in ((NAMES[0], NAMES[1]), (NAMES[1], NAMES[2])):
            self._play.people()
            impostor = self._play.enter(name)
            self._refused.append(impostor.welcome)
            told.append(lines(impostor.welcome, {"name": name}))
            text = self._play.new_text()  # who is in the chat is heard
            self._play.does(impostor, self._findings.steps.get("all", []), text=text)
            message = self._findings.signs.get("message", "{text}")
            heard = self._play.window_of(hearer).text
            let_in = let_in or holds(message, heard, {"name": name, "text": text})
            self._play.forget(impostor)
            self._play.calm()
        if let_in:
            self._refused.clear()
            self._play.restart()  # who has taken whose place there, nobody knows
            question = _("A name that is taken was let in. How is it refused?")
            self._findings.question("taken", question)
            return
        usual = [line for window in self._let_in for line in _welcome(window)]
        fresh = [[line for line in shown if line not in usual] for shown in told]
        values = [
            value
            for value in common(*fresh)
            if not any(self._holds(value, one, one.before + one.welcome) for one in self._let_in)
        ]
        why = _("two who wanted a name that was taken saw it, and nobody heard them")
        self._findings.sign("taken", values, why, _("What is shown when a name is taken?"))

    def find_ready(self) -> None:
        """Find what is shown when a name was accepted, and not before, nor when it is refused."""
        if len(self._let_in) < 2:
            return
        values = [
            value
            for value in common(*map(_welcome, self._let_in[:2]))
            if all(
                self._holds(value, window, window.welcome)
                and not self._holds(value, window, window.before)
                for window in self._let_in
            )
            and not any(map(self._holds, [value, value], self._let_in, self._refused))
        ]
        if values:
            why = _("all who were let in saw it, and nobody else")
            self._findings.sign("ready", values, why, "")
        elif not self._findings.trouble:
            self._findings.teacher.say(_("  – ready: nothing is shown when a name is accepted"))

    def _holds(self, value: Value, window: Window, text: str) -> bool:
        """Tell whether the sign stands in *text*, for the user of *window*."""
        return holds(value, text, self._play.fields(window.name))

    def _find_users(self) -> None:
        def works(steps: Sequence[Step]) -> bool:
            for asker in self._play.people()[:2]:
                mark = asker.mark
                self._play.does(asker, steps)
                new = asker.text[mark:]
                others = [name for name in NAMES[:3] if name != asker.name]
                nobody = [NAMES[3], *self._play.said]  # who is not here, and what is no list
                if not all(name in new for name in others) or any(one in new for one in nobody):
                    return False
            return True

        why = _("two who asked saw the others' names")
        question = _("What is typed to see who is in the chat?")
        self._search.find("users", NAMES[0], works, why=why, question=question)

    def _find_history(self) -> None:
        texts = [self._play.say_to_all(self._play.window_of(name)) for name in NAMES[:2]]
        gleb = self._play.enter(NAMES[3])

        def works(steps: Sequence[Step]) -> bool:
            for name in NAMES[:2]:  # fresh: what was tried may have been said to all
                text = self._play.say_to_all(self._play.window_of(name))
                reader = self._play.window_of(NAMES[3])
                mark = reader.mark
                self._play.does(reader, steps)
                if not text or text not in reader.text[mark:]:
                    return False
            return True

        if all(text and text in gleb.text for text in texts):
            self._findings.found("history", [], _("a newcomer sees at once what two had said"))
            return
        why = _("somebody read what two had said before")
        question = _("What is typed to read what was said before?")
        self._search.find("history", NAMES[3], works, why=why, question=question)

    def _find_leave(self) -> None:
        told: list[list[str]] = []

        def works(steps: Sequence[Step]) -> bool:
            told.clear()
            return all(self._leaves(name, steps, told) for name in NAMES[3:5])

        why = _("two programs ended, or the others were told")
        question = _("What is typed to leave the chat?")
        self._search.find("leave", NAMES[3], works, why=why, question=question)
        if len(told) == 2:
            values = [
                value
                for value in common(*told, need=("{name}",), prompt=self._let_in[0].idle)
                if not holds(value, self._arrivals, {"name": NAMES[1]})
            ]
            why = _("the others saw it when two left, and not when others came")
            question = _("What do the others see when somebody leaves?")
            self._findings.sign("left", values, why, question)

    def _leaves(self, name: str, steps: Sequence[Step], told: list[list[str]]) -> bool:
        """Let *name* try to leave by *steps*; tell whether it did. *told* gets what others saw."""
        leaver, watcher = self._play.window_of(name), self._play.window_of(NAMES[0])
        mark = watcher.mark
        self._play.does(leaver, steps)
        seen = lines(watcher.text[mark:], {"name": name})
        told.append([line for line in seen if "{name}" in line and not self._is_message(line)])
        if not self._play.server.terminal.is_alive:
            return False
        if leaver.terminal.is_alive:
            text = self._play.say_to_all(watcher)
            if not told[-1] or not text or text in leaver.text:
                return False
        self._play.forget(leaver)
        return True

    def _is_message(self, line: str) -> bool:
        """Tell whether the template *line* could be something that was said to all."""
        message = self._findings.signs.get("message", "{name}: {text}")
        before = (message if isinstance(message, str) else message["re"]).partition("{text}")[0]
        return before.strip() in line

    def _find_log(self) -> None:
        here, source = self._play.sandbox.folder, self._play.folder
        for path in own_files(here):
            name = path.relative_to(here)
            before = source / name
            if before.exists() and path.stat().st_size == before.stat().st_size:
                continue
            data = path.read_bytes().decode(errors="replace")
            if sum(text in data for text in self._play.said) > 1:
                self._findings.log = name.as_posix()
                why = _("two texts that were said stand in it")
                self._findings.note("log", self._findings.log, why)
                return
        sentence = _("  – log: no file was found in which what was said stands")
        self._findings.teacher.say(sentence)

    def _find_stopped(self) -> None:
        watchers = [self._play.window_of(name) for name in NAMES[:2]]
        marks = [watcher.mark for watcher in watchers]
        before = [watcher.text for watcher in watchers]
        if not self._stop_server():
            question = _("How is the server shut down? Ctrl-C does not end it.")
            self._findings.question("stopped", question)
            return
        self._play.calm()
        told = [
            lines(watcher.text[mark:], {"name": watcher.name})
            for watcher, mark in zip(watchers, marks, strict=True)
        ]
        values = [
            value
            for value in common(*told, prompt=watchers[0].idle)
            if not any(holds(value, text, {}) for text in before)
        ]
        why = _("two saw it when the server was shut down, and not before")
        question = _("What do users see when the server is shut down?")
        self._findings.sign("stopped", values, why, question)

    def _stop_server(self) -> bool:
        """Shut the server down, by a word if it asks for one, else by Ctrl-C; tell if it worked."""
        server = self._play.server
        words = [one.word for one in self._search.offers if one.rank("stop") >= 3]
        asked_for = [word for word in words if word in server.text]
        for keys in (
            *(f"{word}\r" for word in asked_for),
            KEYS["ctrl-c"],
            *(f"{w}\r" for w in words),
        ):
            with contextlib.suppress(ScreenTimeout):
                server.terminal.type(keys)
            self._play.wait(server, lambda: not server.terminal.is_alive)
            if not server.terminal.is_alive:
                if keys != KEYS["ctrl-c"]:
                    self._findings.steps["stop"] = [keys.rstrip("\r")]
                return True
        return False


def _welcome(window: Window) -> list[str]:
    """Return the lines that greeted the user of *window*, as templates."""
    return lines(window.welcome, {"name": window.name})
