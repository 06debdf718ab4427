"""What two moments have in common: a line of a screen becomes the sign of what happens there.

A sign is believed when it was seen twice, with other names and texts. What changes from one time
to the next is no part of it: numbers, dates, times, addresses, other people's names.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import SequenceMatcher

from .submission import Sign

VARIES = "\0"
"""In a template: something that is otherwise the next time."""

Value = str | dict[str, str]
"""A sign as it stands in a submission's file."""

_MONTHS = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|янв(?:ар[ья])?|фев(?:р(?:ал[ья])?)?|мар(?:та?)?"
    r"|апр(?:ел[ья])?|ма[йя]|июн[ья]?|июл[ья]?|авг(?:уста?)?|сен(?:т(?:ябр[ья])?)?|окт(?:ябр[ья])?"
    r"|ноя(?:б(?:р[ья])?)?|дек(?:абр[ья])?"
)
_DAYS = (
    r"(?:mon|tues?|wed(?:nes)?|thur?s?|fri|sat(?:ur)?|sun)(?:day)?|пн|вт|ср|чт|пт|сб|вс"
    r"|понедельник|вторник|сред[ау]|четверг|пятниц[ау]|суббот[ау]|воскресенье"
)
_NUMBER = r"(?:0x[0-9a-f]+|(?:\d+[TZ:./,+\-]*)*\d+Z?)"
_VARIES = re.compile(
    rf"(?<![\w]){_NUMBER}(?:\s?[ap]m\b)?|(?<=[^\W\d_]){_NUMBER}|\b(?:{_MONTHS}|{_DAYS})\b\.?",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\{\w+\}|\x00|[^\W_]+|\s+|.")
_TROUBLE = re.compile(r"Traceback|^\s*File \"|\w*(Error|Exception)\b|\[Errno|usage:", re.IGNORECASE)


def template(line: str, fields: Mapping[str, str], others: Iterable[str] = ()) -> str:
    """Return *line* with ``{fields}`` for their values, and a mark for what varies."""
    for name, value in sorted(fields.items(), key=lambda pair: -len(pair[1])):
        line = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", f"{{{name}}}", line)
    varying = [*others, socket.gethostname(), os.environ.get("USER", "") or "student", "student"]
    for value in varying:
        line = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", VARIES, line)
    line = re.sub(r"/tmp/\S+", VARIES, line)  # where submissions run
    # The fields themselves are no numbers, whatever they stand for.
    parts = re.split(r"(\{\w+\})", line.strip())
    return "".join(
        part if number % 2 else _VARIES.sub(VARIES, part) for number, part in enumerate(parts)
    )


def common(
    first: Sequence[str],
    second: Sequence[str],
    *,
    need: Collection[str] = (),
    prompt: str = "",
) -> list[Value]:
    """Return what the templates *first* and *second* have in common, as signs, the best first.

    Each has the fields *need*. Without them it must have words of its own. What belongs to the
    *prompt*, which may stand before and after on the same row, is left out.
    """
    found: dict[str, tuple[tuple[bool, int], Value]] = {}
    for one in first:
        for other in second:
            if _TROUBLE.search(one):
                continue
            for value in _pair(one, other, need, prompt.strip()):
                key = str(value)
                order = ("{name}" in key, len(key))
                found.setdefault(key, (order, value))
    return [
        value for _order, value in sorted(found.values(), key=lambda pair: pair[0], reverse=True)
    ]


def _pair(one: str, other: str, need: Collection[str], prompt: str) -> list[Value]:
    a, b = _TOKEN.findall(one), _TOKEN.findall(other)
    # What varies is equal to nothing, not to itself either.
    left = [token if token != VARIES else object() for token in a]
    right = [token if token != VARIES else object() for token in b]
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    values: list[Value] = []
    for block in blocks:
        run = _trimmed("".join(a[block.a : block.a + block.size]), need, prompt)
        words = re.sub(r"\{\w+\}", "", run)
        # A bare name is everywhere; a message may be nothing but the name and the text.
        says = "{text}" in need or re.search(r"[^\W\d_]{2}", words)
        if says and all(field in run for field in need):
            values.append(run)
    if not values and len(need) > 1:
        spans = [_span(tokens, need) for tokens in (a, b)]
        if spans[0] and spans[0] == spans[1]:
            values.append({"re": spans[0]})
    return values


def _span(tokens: Sequence[str], need: Collection[str]) -> str:
    """Return a regular expression from the first to the last of *need* in *tokens*."""
    places = [tokens.index(field) for field in need if field in tokens]
    if len(places) < len(need):
        return ""
    part = tokens[min(places) : max(places) + 1]
    text = "".join(
        token if token in need else ".+?" if token == VARIES else re.escape(token) for token in part
    )
    return re.sub(r"(\.\+\?(\\\s|\W)*?)+(?=\.\+\?)", "", text).replace("\\ ", " ")


def _trimmed(run: str, need: Collection[str], prompt: str) -> str:
    run = run.strip()
    if "{text}" in run:
        run = run[: run.index("{text}") + len("{text}")]
    if prompt:
        run = run.removeprefix(prompt).removesuffix(prompt)
    # What opens or closes without its other half belonged to something that varies.
    run = re.sub(r"^[\])}>,.:;|/\s–—-]+|[\[({<|/\s–—-]+$", "", run)
    return run.strip()


def as_sign(value: Value) -> Sign:
    """Return the sign that *value* stands for."""
    return Sign(((value["re"], True),) if isinstance(value, dict) else ((value, False),))


def holds(value: Value, text: str, fields: Mapping[str, str]) -> bool:
    """Tell whether the sign stands in *text*, with *fields*."""
    return as_sign(value).pattern(**fields).search(text) is not None
