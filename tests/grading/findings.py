"""What has been found out about a chat, and the teacher who is told and asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chat.lab.terminal import Terminal

from . import clues
from .signs import Value

PORT = 9100
STEP = "|"
"""In a teacher's answer: between what is typed one after another, each followed by Enter."""

Step = str | dict[str, Any]


@dataclass
class Window:
    """Somebody at a terminal."""

    name: str
    terminal: Terminal
    before: str = ""
    """What the screen had shown before the last line of the login was typed."""

    welcome: str = ""
    """What it showed then, until nobody was busy."""

    idle: str = ""
    """What stands before the cursor when the chat waits for something to be typed."""

    @property
    def text(self) -> str:
        """What the screen has shown."""
        return self.terminal.transcript

    @property
    def mark(self) -> int:
        """Where in `text` the cursor's row begins."""
        return self.terminal.transcript_row_begin

    @property
    def last_row(self) -> str:
        """The last row of `text` in which anything stands."""
        return next((row for row in reversed(self.text.split("\n")) if row.strip()), "")

    @property
    def prompt(self) -> str:
        """What there is to answer: what stands before the cursor, or else a question above it."""
        line = self.terminal.line_before_cursor.strip()
        rows = [row.strip() for row in self.terminal.screen_text.split("\n") if row.strip()]
        return line or next((row for row in rows[-1:] if clues.asks(row)), "")


@dataclass(frozen=True)
class Teacher:
    """Who is talked to while a chat is tried."""

    ask: Callable[[str], str] = lambda _question: ""
    """Puts a question; returns the answer, empty to go on without one."""

    say: Callable[[str], None] = lambda _sentence: None
    show: Callable[[Window, Window], None] = lambda _left, _right: None
    """Shows two windows side by side."""


@dataclass
class Findings:
    """How one chat is started and spoken to, as far as it is known: what its file will say."""

    teacher: Teacher
    encoding: str = "utf-8"
    server_command: list[str] = field(default_factory=list)
    client_command: list[str] = field(default_factory=list)
    port: int = PORT
    steps: dict[str, list[Step]] = field(default_factory=dict)
    """What is to be typed, by the key in the file."""

    signs: dict[str, Value] = field(default_factory=dict)
    """What is shown, by the key in the file."""

    questions: dict[str, str] = field(default_factory=dict)
    """What a teacher must say, by the key in the file."""

    log: str | None = None
    trouble: str = ""
    """Why not all could be tried."""

    def found(self, key: str, steps: Sequence[Step], why: str) -> None:
        """Take down that *steps* do what *key* says, and say *why* that is believed."""
        self.steps[key] = list(steps)
        self.note(key, steps_shown(steps) if steps else "[]", why)

    def sign(self, key: str, values: Sequence[Value], why: str, question: str) -> None:
        """Take down the first of *values* as the sign *key*; without any, the *question*."""
        if values:
            self.signs[key] = values[0]
            self.note(key, values[0] if isinstance(values[0], str) else values[0]["re"], why)
        elif question:
            self.question(key, question)

    def question(self, key: str, question: str) -> None:
        """Take down what a teacher must say."""
        self.questions[key] = question
        self.note(key, "", question)

    def note(self, key: str, value: str, why: str = "") -> None:
        """Say that *key* is *value*, or that it is not known."""
        reason = f"  ({why})" if why else ""
        self.teacher.say(f"  {'✓' if value else '?'} {key}: {value}{reason}")


def steps_shown(steps: Sequence[Step]) -> str:
    """Return *steps* as a teacher writes them."""
    return f" {STEP} ".join(
        step if isinstance(step, str) else f"({next(iter(step.values()))})" for step in steps
    )
