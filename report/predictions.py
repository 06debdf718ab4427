"""Predictions in a notebook: a question, its choices, and the answer with its reason.

In a notebook they are ordinary Markdown, which JupyterLab shows without extensions::

    **Предскажите.** Сколько портов занято на стороне сервера?

    - (а) один;
    - (б) по одному на клиента.

    <details><summary>Ответ</summary>

    **(а)** Порт – часть имени соединения, а не провод.

    </details>

The page makes a small question of it; on paper the answer stands at the end of the section.
"""

import dataclasses
import re
from collections.abc import Iterator

from chat.app.i18n import gettext as _

from . import ReportError

_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_OPENING = re.compile(r"<details\b[^>]*>\s*(?:<summary>.*?</summary>)?\s*$", re.IGNORECASE)
_SUMMARY = re.compile(r"\A\s*<summary>.*?</summary>", re.IGNORECASE)
_CLOSING = re.compile(r"\s*</details>\s*$", re.IGNORECASE)
_CHOICE = re.compile(r"[-*] \((?P<letter>\w)\)\s+(?P<text>.+)")
_ANSWER = re.compile(r"\*\*\((?P<letter>\w)\)[.:]?\*\*[.:]?\s*(?P<why>.+)", re.DOTALL)


class PredictionError(ReportError):
    """A prediction is not written as it has to be; the message says what is missing."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A question to be answered before reading on; all texts are Markdown."""

    question: str
    choices: dict[str, str]
    """The text of each choice under its letter, in the order of the notebook."""
    answer: str
    """The letter of the right choice."""
    why: str


def split(source: str) -> Iterator[str | Prediction]:
    """Cut *source* into prose and predictions. Raises PredictionError."""
    lines = source.splitlines()
    start = 0
    for first, last in _details(lines):
        choices_from, choices = _paragraph_before(lines, start, first)
        question_from, question = _paragraph_before(lines, start, choices_from)
        body = "\n".join(lines[first + 1 : last])
        prediction = _prediction(question, choices, _SUMMARY.sub("", body, count=1).strip())
        if prose := "\n".join(lines[start:question_from]).strip("\n"):
            yield prose
        yield prediction
        start = last + 1
    if prose := "\n".join(lines[start:]).strip("\n"):
        yield prose


def _details(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last line of every ``<details>`` that is not inside code."""
    fence, first = "", None
    for index, line in enumerate(lines):
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]
        elif first is None and _OPENING.match(line):
            first = index
        elif first is not None and _CLOSING.match(line):
            yield first, index
            first = None
    if first is not None:
        raise PredictionError(_("<details> without </details>: {line}").format(line=lines[first]))


def _paragraph_before(lines: list[str], start: int, end: int) -> tuple[int, list[str]]:
    """Return the paragraph that ends above line *end*, and the number of its first line."""
    while end > start and not lines[end - 1].strip():
        end -= 1
    first = end
    while first > start and lines[first - 1].strip():
        first -= 1
    return first, lines[first:end]


def _prediction(question: list[str], listed: list[str], answer: str) -> Prediction:
    choices: dict[str, str] = {}
    letter = ""
    for line in listed:
        if found := _CHOICE.match(line):
            letter = found["letter"]
            if letter in choices:
                raise PredictionError(
                    _("There are two choices ({letter}): “{line}”.").format(
                        letter=letter, line=line
                    )
                )
            choices[letter] = found["text"]
        elif letter and line.startswith(" "):
            choices[letter] += "\n" + line.strip()
        else:
            choices = {}
            break
    if len(choices) < 2 or not question:
        raise PredictionError(
            _(
                "Above <details> there must be a question and then a list of choices,"
                " “- (a) …”, “- (b) …”, not “{text}”."
            ).format(text="\n".join([*question, *listed]))
        )
    found = _ANSWER.match(answer)
    if not found or found["letter"] not in choices:
        raise PredictionError(
            _(
                "An answer begins with one of its choices, “**({letter})**”, not with “{text}”."
            ).format(letter=")** **(".join(choices), text=answer[:60])
        )
    return Prediction("\n".join(question), choices, found["letter"], found["why"].strip())
