"""Searches for what is typed to do something: the chat's own words first, then the usual ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from chat.app.i18n import gettext as _

from . import clues
from .clues import Offer
from .findings import STEP, Step, Window
from .play import NAMES, Play, prompt_sign
from .submission import fill

_MOST_TRIES = 40

USUAL = {
    "all": "/all /say /msg all всем",
    "private": "/msg /w /pm /private @ /to /whisper /dm /m /лс",
    "users": "/users /list /who /online /names users list who кто список",
    "history": "/history /hist /log /last history история было",
    "leave": "/exit /quit /leave /bye /q exit quit bye выход пока",
}
"""What is tried when nothing that the chat itself names has worked."""

FORMS = {
    "all": ("{word} {{text}}",),
    "private": (
        "{word} {{to}} {{text}}",
        "{word}{{to}} {{text}}",
        "{word}{{to}}: {{text}}",
        "{word} {{to}}: {{text}}",
        "{{to}} {word} {{text}}",
        "{{to}}{word} {{text}}",
    ),
}
"""How a word of a command goes together with what it is told."""


class Search:
    """Tries at the windows of one play what may be typed."""

    def __init__(self, play: Play) -> None:
        """Begin with the words that the code of the submission knows."""
        self._play = play
        self._findings = play.findings
        self.offers: list[Offer] = clues.words_in(play.folder)

    def ask_for_help(self) -> None:
        """Let the chat itself name its commands, on its screens and when it is asked for help."""
        play = self._play
        vera = play.window_of(NAMES[2])
        # What stood there while one logged in may stand there still, but for items of a menu.
        before = [one for one in clues.offers(vera.before) if not one.word.isdigit()]
        named = [*clues.offers(vera.welcome), *before]
        asking = [one.word for one in [*self.offers, *named] if one.rank("help") >= 3]
        for word in dict.fromkeys([*asking, "/help"]):
            vera = play.window_of(NAMES[2])
            mark = vera.mark
            play.types(vera, word)
            named += clues.offers(vera.text[mark:])
            play.back(vera)
        words = {one.word for one in named}
        self.offers = [*named, *(one for one in self.offers if one.word not in words)]

    def find(
        self,
        key: str,
        name: str,
        works: Callable[[Sequence[Step]], bool],
        *,
        why: str,
        question: str,
        first: Sequence[Sequence[Step]] = (),
    ) -> bool:
        """Let *name* try what may do what *key* says, the likely first, until something *works*.

        What works is taken down, and *why* that is believed; when nothing does, the teacher is
        asked the *question*. Returns whether it is known.
        """
        for steps in self._candidates(key, name, question, first):
            self._play.back(self._play.window_of(name))
            if works(steps):
                self._show(name)
                self._findings.found(key, steps, why)
                return True
        self._findings.question(key, question)
        return False

    def _candidates(
        self, key: str, name: str, question: str, first: Sequence[Sequence[Step]]
    ) -> Iterator[Sequence[Step]]:
        tried: list[Sequence[Step]] = []
        for steps in (*first, *self._likely(key)):
            if len(tried) >= _MOST_TRIES or self._play.sandbox.time_left() <= 0:
                break
            if steps in tried:
                continue
            tried.append(steps)
            yield steps
            # A prompt that came of it may ask for the rest.
            asked = self._asked_for(self._play.window_of(name), steps, key)
            if asked and asked not in tried:
                tried.append(asked)
                yield asked
        self._show(name)
        while answer := self._findings.teacher.ask(question):
            yield [part.strip() for part in answer.split(STEP)]
            self._findings.teacher.say(_("  That did not work."))
            self._show(name)

    def _show(self, name: str) -> None:
        """Show the window of *name*, if there is one, beside another's."""
        windows = self._play.windows
        others = [window for other, window in windows.items() if other != name]
        shown = [*filter(None, [windows.get(name)]), *others, self._play.server]
        self._findings.teacher.show(shown[0], shown[1] if len(shown) > 1 else shown[0])

    def _likely(self, key: str) -> Iterator[Sequence[Step]]:
        """Yield what the chat names for *key*, then what is usual, last what may end a program."""
        taken = [steps[0] for steps in self._findings.steps.values() if len(steps) == 1]
        free = [one for one in self.offers if one.word not in taken]
        ranked = sorted((one for one in free if one.rank(key)), key=lambda one: -one.rank(key))
        leaving = [one for one in ranked if one.rank("leave") >= 3 and key != "leave"]
        rest = [one for one in free if not one.rank(key) and not one.rank("leave")]
        named = [one.word for one in ranked if one not in leaving]
        last = [one.word for one in leaving]
        for words in (named, [one.word for one in rest], USUAL[key].split(), last):
            # One form for all of them, then the next: there are more words than tries. Alone it is
            # an item of a menu, or it may ask for the rest.
            first, *others = FORMS.get(key, ("{word}",))
            for form in dict.fromkeys((first, "{word}", *others)):
                for word in words:
                    item = word.isdigit() or (key, word) == ("all", "@")
                    if form == "{word}" or not item:
                        yield [form.format(word=word)]
        if key == "private":
            yield ["{to}: {text}"]

    def _asked_for(self, window: Window, steps: Sequence[Step], key: str) -> list[Step]:
        """Go on where *steps* have led to prompts; return all steps, none without prompts."""
        if len(steps) != 1 or "{" in str(steps[0]):
            return []
        found: list[Step] = list(steps)
        for _number in range(3):
            prompt = window.terminal.line_before_cursor.strip()
            if not window.terminal.is_alive or not prompt or prompt == window.idle:
                break
            what = clues.wanted(prompt)
            if what == "{name}" and key == "private":
                what = "{to}"
            if what not in ("{to}", "{text}"):
                break
            if what == "{to}" and key == "all":
                what = clues.for_all(prompt)
            found += [{"wait": prompt_sign(prompt, window.name)}, what]
            self._play.types(window, fill(what, {"to": NAMES[1], "text": "-"}))
        return found if len(found) > 1 else []
