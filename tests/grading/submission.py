"""How one chat is started and spoken to: a small TOML for each submission.

::

    name = "Чат Ивана Петрова"

    [server]
    command = ["python", "server.py", "{port}"]   # without {port}: port = 5000, as in the code
    ready = "Сервер запущен"                      # what it prints when it can be connected to

    [client]
    command = ["python", "client.py", "127.0.0.1", "{port}"]
    login = [{wait = "Ваше имя"}, "{name}"]       # what is waited for, what is typed
    ready = "Добро пожаловать"                    # the name has been accepted

What is waited for is a *sign*: words as they stand on the screen, ``{re = "…"}`` for a regular
expression, or a list of signs of which one is enough. ``{name}``, ``{to}`` and ``{text}`` in it
stand for what is played just then; ``{port}``, ``{host}`` and ``{password}`` stand everywhere for
the server's address and a password. What is done is a list of *steps*: a text is typed and followed
by Enter, ``{wait = "…"}`` waits for a sign first, ``{key = "ctrl-c"}`` presses a key.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chat.app.i18n import gettext as _

from .rubric import DataError, know, read_toml

KEYS = {"ctrl-c": "\x03", "ctrl-d": "\x04", "enter": "\r", "escape": "\x1b", "tab": "\t"}

PASSWORD = "Pass1234"
"""What every user gives where a chat wants a password."""

_STEPS = ("start", "login", "users", "all", "private", "leave", "history", "stop")
_SIGNS = ("ready", "taken", "message", "private_message", "left", "lost", "own", "stopped")
_SECTIONS: dict[str, set[str]] = {
    "server": {"command", "port", "steps", "ready", "stop"},
    "client": {
        "command",
        "login",
        "ready",
        "taken",
        "users",
        "all",
        "private",
        "leave",
        "history",
        "message",
        "private_message",
        "left",
        "lost",
        "own",
        "stopped",
        "bad_lines",
    },
    "log": {"files"},
    "report": {"files"},
    "code": {"files"},
}


@dataclass(frozen=True)
class Sign:
    """Something that a person waits for on a screen."""

    alternatives: tuple[tuple[str, bool], ...]
    """Templates, each with whether it is a regular expression."""

    def pattern(self, **fields: str) -> re.Pattern[str]:
        """Return what to search the screen for, with *fields* in place of ``{fields}``."""
        parts = [_expression(text, is_re, fields) for text, is_re in self.alternatives]
        return re.compile("|".join(f"(?:{part})" for part in parts))

    def words(self, **fields: str) -> str:
        """Return it as a teacher would say it."""
        parts = []
        for text, is_re in self.alternatives:
            shown = _filled(text, fields)
            parts.append(f"/{shown}/" if is_re else f"«{shown}»")
        return _(" or ").join(parts)


def sign(text: str) -> Sign:
    """Return the sign of *text* as it stands on the screen."""
    return Sign(((text, False),))


@dataclass(frozen=True)
class Step:
    """One thing that a person does: waits for a sign, or presses keys."""

    kind: str
    """``wait``, ``type`` (and Enter) or ``key``."""

    text: str = ""
    sign: Sign | None = None


Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Submission:
    """One chat, as its file describes it."""

    path: Path
    name: str
    folder: Path
    copy: tuple[str, ...]
    env: Mapping[str, str]
    encoding: str
    """What its programs print and read at a terminal."""

    names: tuple[str, ...]
    """What the users are called: five different names."""

    server_command: tuple[str, ...]
    client_command: tuple[str, ...]
    port: int | None
    """The port written in its code; None when the commands are told a free one."""

    steps: Mapping[str, Steps]
    signs: Mapping[str, Sign]
    bad_lines: tuple[str, ...]
    """Lines that make no sense to this chat, and must not harm who types them."""

    log_files: tuple[str, ...]
    report_files: tuple[str, ...]
    code_files: tuple[str, ...]
    skip: Mapping[str, str] = field(default_factory=dict)
    """Requirements that do not apply, by id, each with the reason."""

    columns: int = 100
    rows: int = 40

    @property
    def client_takes_port(self) -> bool:
        """Whether the clients are told the port, so that something may stand in between."""
        typed = [step.text for step in self.steps.get("login", ())]
        return any("{port}" in word for word in (*self.client_command, *typed))


def read_submission(path: Path) -> Submission:
    """Return the submission that the file at *path* describes. Raises `DataError`."""
    document = read_toml(path)
    top = {"name", "folder", "copy", "env", "names", "skip", "screen", "encoding"}
    know(document, top | set(_SECTIONS), path)
    for section, keys in _SECTIONS.items():
        know(_table(document, section, path), keys, path, f"[{section}] ")
    server, client = _table(document, "server", path), _table(document, "client", path)
    for section, table in (("server", server), ("client", client)):
        if "command" not in table:
            raise DataError(
                _("{path}: [{section}] lacks its command").format(path=path, section=section)
            )
    port = server.get("port")
    start = _steps(server.get("steps", []), path, "steps")
    uses_port = any("{port}" in word for word in (*server["command"], *(one.text for one in start)))
    if port is None and not uses_port:
        raise DataError(
            _(
                "{path}: [server] must say its port, or have {{port}} in its command or its "
                "steps where the number goes"
            ).format(path=path)
        )
    if port is not None and (isinstance(port, bool) or not isinstance(port, int)):
        raise DataError(_("{path}: {name} must be a whole number").format(path=path, name="port"))
    encoding = _text(document.get("encoding", "utf-8"), path, "encoding")
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise DataError(
            _("{path}: there is no encoding {name}").format(path=path, name=encoding)
        ) from error
    both = {**client, "stop": server.get("stop", [{"key": "ctrl-c"}])}
    both["start"] = server.get("steps", [])
    signs = {name: _sign(client[name], path, name) for name in _SIGNS if name in client}
    if "ready" in server:
        signs["server_ready"] = _sign(server["ready"], path, "ready")
    screen = _table(document, "screen", path)
    know(screen, {"columns", "rows"}, path, "[screen] ")
    return Submission(
        path=path,
        name=_text(document.get("name", path.stem), path, "name"),
        folder=(path.parent / _text(document.get("folder", "."), path, "folder")).resolve(),
        copy=_texts(document.get("copy", []), path, "copy"),
        env={
            name: _text(value, path, "env") for name, value in _table(document, "env", path).items()
        },
        encoding=encoding,
        names=_names(document.get("names", ["anna", "boris", "vera", "gleb", "dasha"]), path),
        server_command=_texts(server["command"], path, "command"),
        client_command=_texts(client["command"], path, "command"),
        port=port,
        steps={name: _steps(both[name], path, name) for name in _STEPS if name in both},
        signs=signs,
        bad_lines=_texts(client.get("bad_lines", []), path, "bad_lines"),
        log_files=_patterns(document, "log", path),
        report_files=_patterns(document, "report", path),
        code_files=_patterns(document, "code", path, default=["**/*.py"]),
        skip={
            name: _text(reason, path, "skip")
            for name, reason in _table(document, "skip", path).items()
        },
        **screen,
    )


# What stands in the file


def _patterns(
    document: Mapping[str, Any], section: str, path: Path, default: Sequence[str] = ()
) -> tuple[str, ...]:
    found = _texts(_table(document, section, path).get("files", list(default)), path, "files")
    for one in found:
        if not one or Path(one).is_absolute():
            raise DataError(
                _("{path}: [{section}] files: “{name}” is no path inside of the folder").format(
                    path=path, section=section, name=one
                )
            )
    return found


def _names(value: object, path: Path) -> tuple[str, ...]:
    names = _texts(value, path, "names")
    if len(set(names)) < 5:
        raise DataError(_("{path}: five different names are needed").format(path=path))
    return names


def _steps(value: object, path: Path, where: str) -> Steps:
    rows = value if isinstance(value, list) else [value]
    return tuple(_step(row, path, where) for row in rows)


def _step(row: object, path: Path, where: str) -> Step:
    if isinstance(row, str):
        return Step("type", row)
    if isinstance(row, dict) and list(row) == ["wait"]:
        return Step("wait", sign=_sign(row["wait"], path, where))
    if isinstance(row, dict) and list(row) == ["key"] and row["key"] in KEYS:
        return Step("key", row["key"])
    raise DataError(
        _(
            "{path}: {name}: {row} is no step; a step is a text to type, "
            '{{wait = "…"}} or {{key = "…"}}, with one of the keys {keys}'
        ).format(path=path, name=where, row=row, keys=", ".join(KEYS))
    )


def _sign(value: object, path: Path, where: str) -> Sign:
    rows = value if isinstance(value, list) else [value]
    alternatives = []
    for row in rows:
        if isinstance(row, str) and row.strip():
            alternatives.append((row, False))
        elif isinstance(row, dict) and list(row) == ["re"] and isinstance(row["re"], str):
            try:
                re.compile(_expression(row["re"], True, {}))
            except re.error as error:
                raise DataError(
                    _("{path}: {name}: {text} is no regular expression: {reason}").format(
                        path=path, name=where, text=row["re"], reason=error
                    )
                ) from error
            alternatives.append((row["re"], True))
        else:
            raise DataError(
                _('{path}: {name}: {row} is no sign: "words" or {{re = "…"}}').format(
                    path=path, name=where, row=row
                )
            )
    if not alternatives:
        raise DataError(_("{path}: {name} is empty").format(path=path, name=where))
    return Sign(tuple(alternatives))


def _expression(text: str, is_re: bool, fields: Mapping[str, str]) -> str:
    """Return a regular expression for *text*; words may have any blanks between them."""
    if is_re:
        return _filled(text, {name: re.escape(value) for name, value in fields.items()})
    return r"\s+".join(map(re.escape, _filled(text, fields).split()))


def _filled(text: str, fields: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: fields.get(found[1], found[0]), text)


def fill(text: str, fields: Mapping[str, str]) -> str:
    """Return *text* with *fields* in place of its ``{fields}``; what else is in braces stays."""
    return _filled(text, fields)


def _table(document: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise DataError(_("{path}: [{name}] must be a table").format(path=path, name=name))
    return value


def _text(value: object, path: Path, name: str) -> str:
    if not isinstance(value, str):
        raise DataError(_("{path}: {name} must be a text").format(path=path, name=name))
    return value


def _texts(value: object, path: Path, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise DataError(_("{path}: {name} must be a list of texts").format(path=path, name=name))
    return tuple(value)
