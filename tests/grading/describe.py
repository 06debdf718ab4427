"""Tries out how a chat is spoken to, and writes its file: ``python -m tests.grading.describe``.

It starts the server and clients of a submission, types what chats commonly understand, and sees
on the others' screens what came of it. What it does not find it asks, when there is somebody to
ask, and tries again. The file then says what was found, and what a teacher has to fill in.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from chat.app import options as cli
from chat.app.i18n import gettext as _
from chat.lab.terminal import ScreenTimeout, Terminal

from .many import DESCRIPTION
from .sandbox import Sandbox, SandboxLimits, SubmissionFilesError
from .submission import fill

PORT = 9100
NAMES = ("anna", "boris", "vera", "gleb")
PATIENCE = 3.0  # seconds for anything to happen
COLUMNS, ROWS = 100, 40

_SERVES = re.compile(r"\.listen\(|create_server\(|TCPServer\(|start_server\(")
_CONNECTS = re.compile(r"\.connect\(|create_connection\(|open_connection\(")

ARGUMENTS = ((), ("{port}",), ("127.0.0.1", "{port}"), ("--port", "{port}"))
"""What may follow a program's name; in one file for both, ``server`` or ``client`` before it."""

STEP = " | "
"""Between what is typed one after another, each followed by Enter: a menu's choices."""

ALL = ("{text}", "/all {text}", "/say {text}", "/msg {text}", "all {text}", "всем {text}")
PRIVATE = (
    "/msg {to} {text}",
    "/w {to} {text}",
    "/pm {to} {text}",
    "/private {to} {text}",
    "@{to} {text}",
    "@{to}: {text}",
    "/to {to} {text}",
    "/whisper {to} {text}",
    "/dm {to} {text}",
    "/m {to} {text}",
    "/лс {to} {text}",
    "{to}: {text}",
)
USERS = ("/users", "/list", "/who", "/online", "/names", "users", "list", "who", "кто", "список")
HISTORY = ("/history", "/hist", "/log", "/last", "history", "история", "было")
LEAVE = ("/exit", "/quit", "/leave", "/bye", "/q", "exit", "quit", "bye", "выход", "пока")
REPORTS = ("**/*.docx", "**/*.md", "**/*.pdf", "**/*.odt", "**/*.ipynb", "**/*.html")

Ask = Callable[[str], str]
"""Puts a question to the teacher; returns the answer, empty to go on without one."""


class NotFoundError(Exception):
    """The submission cannot be tried; the text is a sentence."""


class Trial:
    """One submission, tried out. A context manager; it belongs to one thread."""

    def __init__(self, folder: Path, ask: Ask, say: Callable[[str], None]) -> None:
        """Try the submission in *folder*; *ask* the teacher what is not found, *say* the rest."""
        self._folder = folder
        self._ask = ask
        self._say = say
        self._sandbox = Sandbox(folder, limits=SandboxLimits(seconds=3600))
        self._said: list[str] = []
        self.found: dict[str, str] = {}
        """What was found, by the key in the file, as it stands there."""

        self.port = PORT
        self.server_command: list[str] = []
        self.client_command: list[str] = []

    def __enter__(self) -> Trial:
        """Make a place for the programs."""
        self._sandbox.__enter__()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all programs."""
        self._sandbox.__exit__()

    def run(self, server: Sequence[str] | None, client: Sequence[str] | None) -> None:
        """Try everything, with the commands *server* and *client* if they are known.

        Raises `NotFoundError` when server or client do not even start.
        """
        self._sandbox.renew()
        self._start_server(server)
        anna = self._start_client(client)
        self._note("prompt", anna.line_before_cursor.strip() or _last_line(anna.screen_text))
        welcome = self._log_in(anna, NAMES[0])
        boris, vera = (self._start(self.client_command, name) for name in NAMES[1:3])
        self._calm(boris)
        self._note("ready", _in_common(welcome, self._log_in(boris, NAMES[1])))
        self._calm(vera)
        self._log_in(vera, NAMES[2])
        users = [anna, boris, vera]
        self._find_all(users)
        commands = self._commands(anna)
        self._find_private(users, commands)
        self._find_users(anna, commands)
        gleb = self._enter(NAMES[3])
        self._find_history(gleb, commands)
        self._find_leave(gleb, anna, commands)
        self._find_log()
        self._find_taken()
        self._find_stopped(vera)

    # Starting

    def _start_server(self, command: Sequence[str] | None) -> None:
        for candidate in self._candidates(command, _SERVES, "server"):
            before = self._sandbox.listening_ports()
            terminal = self._start(candidate, _("server"))
            with contextlib.suppress(ScreenTimeout):
                terminal.wait_until(
                    lambda _terminal, before=before: bool(  # type: ignore[misc]
                        self._sandbox.listening_ports() - before
                    ),
                    "",
                    PATIENCE,
                )
            ports = self._sandbox.listening_ports() - before
            if not ports:
                self._failed(candidate, terminal)
                continue
            self._calm(terminal)
            self._server = terminal
            self.port = PORT if PORT in ports else min(ports)
            self.server_command = (
                list(candidate)
                if PORT in ports
                else [candidate[0]] + [word for word in candidate[1:] if "{port}" not in word]
            )
            self._note("server_ready", _last_line(terminal.screen_text, {"port": str(self.port)}))
            return
        raise NotFoundError(_("No server was found that listens. Name it with --server."))

    def _start_client(self, command: Sequence[str] | None) -> Terminal:
        for candidate in self._candidates(command, _CONNECTS, "client"):
            terminal = self._start(candidate, NAMES[0])
            self._calm(terminal)
            if terminal.is_alive and terminal.screen_text.strip():
                self.client_command = list(candidate)
                return terminal
            self._failed(candidate, terminal)
        raise NotFoundError(_("No client was found that starts. Name it with --client."))

    def _candidates(
        self, command: Sequence[str] | None, looks: re.Pattern[str], role: str
    ) -> Iterator[Sequence[str]]:
        if command:
            yield command
            return
        files = [
            path.relative_to(self._folder).as_posix()
            for path in sorted(self._folder.rglob("*.py"))
            if looks.search(path.read_bytes().decode(errors="replace"))
        ]
        files.sort(key=lambda name: ("server" in name.lower()) != (looks is _SERVES))
        for name in files:
            for arguments in ARGUMENTS:
                yield ["python", name, *arguments]
            for arguments in ARGUMENTS:
                yield ["python", name, role, *arguments]
        what = _("server") if role == "server" else _("client")
        if answer := self._ask(_("What command starts the {what}?").format(what=what)):
            yield answer.split()

    def _start(self, command: Sequence[str], title: str) -> Terminal:
        fields = {"port": str(self.port), "name": title}
        argv = [fill(word, fields) for word in command]
        if argv[0] in ("python", "python3"):
            argv[0] = sys.executable
        return self._sandbox.terminal(argv, title, COLUMNS, ROWS)

    def _failed(self, command: Sequence[str], terminal: Terminal) -> None:
        rows = [row for row in terminal.screen_text.split("\n") if row.strip()]
        self._say(f"  ✗ {' '.join(command)}: {rows[-1] if rows else ''}")
        terminal.close()

    # Names

    def _log_in(self, terminal: Terminal, name: str) -> list[str]:
        """Enter as *name*; return the lines of the answer as signs, those with the name first."""
        new = self._types(terminal, name).split("\n")
        prompt = self.found.get("prompt", "\0")
        named = [line for line in new if name in line and line.strip() != name]
        lines = [line for line in named if not line.startswith(prompt)] + new[1:]
        return list(dict.fromkeys(_sign(line, {"name": name}) for line in lines if line.strip()))

    def _find_taken(self) -> None:
        """See what is said to somebody who wants the name of Anna too."""
        impostor = self._start(self.client_command, NAMES[0])
        self._calm(impostor)
        new = self._types(impostor, NAMES[0])
        lines = [line for line in new.split("\n")[1:] if line.strip()]
        ready = fill(self.found.get("ready", ""), {"name": NAMES[0]})
        refused = bool(lines) and (not ready or ready not in new)
        self._note("taken", _sign(lines[0], {"name": NAMES[0]}) if refused else "")
        impostor.close()
        self._calm(self._server)

    def _enter(self, name: str) -> Terminal:
        terminal = self._start(self.client_command, name)
        self._calm(terminal)
        self._types(terminal, name)
        return terminal

    # Talking

    def _find_all(self, users: list[Terminal]) -> None:
        anna, *others = users

        def works(candidate: str) -> bool:
            text = self._text()
            self._types(anna, fill(candidate, {"text": text}))
            if not all(text in other.text for other in others):
                return False
            self._note("message", _line_with(others[0], text, {"name": NAMES[0], "text": text}))
            return True

        question = _(
            "What is typed to write to everybody? {text} is the text; | stands between lines."
        )
        self._find("all", ALL, question, works)

    def _find_private(self, users: list[Terminal], commands: list[str]) -> None:
        anna, boris, vera = users

        def works(candidate: str) -> bool:
            text = self._text()
            self._types(anna, fill(candidate, {"to": NAMES[1], "text": text}))
            if text not in boris.text or text in vera.text:
                return False
            fields = {"name": NAMES[0], "text": text}
            self._note("private_message", _line_with(boris, text, fields))
            return True

        candidates = [*PRIVATE, *(f"{command} {{to}} {{text}}" for command in commands)]
        question = _(
            "What is typed to write to one? {to} is the name, {text} the text; "
            "| stands between lines."
        )
        self._find("private", candidates, question, works)

    def _find_users(self, anna: Terminal, commands: list[str]) -> None:
        def works(candidate: str) -> bool:
            new = self._types(anna, candidate)
            return all(name in new for name in NAMES[1:3])

        question = _("What is typed to see who is in the chat?")
        self._find("users", [*USERS, *commands], question, works)

    def _find_history(self, gleb: Terminal, commands: list[str]) -> None:
        def works(candidate: str) -> bool:
            return self._said[0] in self._types(gleb, candidate)

        if self._said and self._said[0] in gleb.text:
            self.found["history"] = ""
            return
        question = _("What is typed to read what was said before?")
        self._find("history", [*HISTORY, *commands], question, works)

    def _find_leave(self, gleb: Terminal, anna: Terminal, commands: list[str]) -> None:
        def works(candidate: str) -> bool:
            if not gleb.is_alive:
                return False
            begin = anna.cursor_row_begin
            self._types(gleb, candidate)
            new = [line for line in anna.text[begin:].split("\n") if NAMES[3] in line]
            told = [line for line in new if candidate not in line]
            if told:
                self._note("left", _sign(told[0], {"name": NAMES[3]}))
            return bool(told) or not gleb.is_alive

        question = _("What is typed to leave the chat?")
        leaving = [one for one in commands if one not in self.found.values()]
        self._find("leave", [*LEAVE, *leaving], question, works)

    def _find_log(self) -> None:
        for path in sorted(self._sandbox.folder.rglob("*")):
            name = path.relative_to(self._sandbox.folder).as_posix()
            known = (self._folder / name).exists()
            if (
                path.is_file()
                and not known
                and any(text in path.read_bytes().decode(errors="replace") for text in self._said)
            ):
                self._note("log", name)
                return

    def _find_stopped(self, anna: Terminal) -> None:
        begin = anna.cursor_row_begin
        with contextlib.suppress(ScreenTimeout):
            self._server.interrupt()
        self._calm(anna)
        lines = [line for line in anna.text[begin:].split("\n") if line.strip(" >")]
        self._note("stopped", lines[0].strip() if lines else "")

    # Tools

    def _find(
        self, key: str, candidates: Sequence[str], question: str, works: Callable[[str], bool]
    ) -> None:
        """Note under *key* the first of *candidates* that *works*, or an answer that does."""
        for candidate in dict.fromkeys(candidates):
            if works(candidate):
                self._note(key, candidate)
                return
        while answer := self._ask(question):
            if works(STEP.join(part.strip() for part in answer.split("|"))):
                self._note(key, STEP.join(part.strip() for part in answer.split("|")))
                return
            self._say(_("  That did not work."))
        self._note(key, "")

    def _note(self, key: str, value: str) -> None:
        if value:
            self.found[key] = value
        self._say(f"  {'✓' if value else '?'} {key}: {value}")

    def _text(self) -> str:
        self._said.append(f"text{len(self._said) + 101}")
        return self._said[-1]

    def _types(self, terminal: Terminal, line: str) -> str:
        """Type *line*, its steps one after another; return what the screen shows afterwards.

        That is from the row on where it was typed, when nobody is busy any more.
        """
        begin = terminal.cursor_row_begin
        for part in line.split(STEP):
            with contextlib.suppress(ScreenTimeout):
                terminal.enter(part)
            self._calm(terminal)
        return terminal.text[begin:]

    def _calm(self, terminal: Terminal) -> None:
        self._sandbox.begin_calm()
        with contextlib.suppress(ScreenTimeout):
            terminal.wait_until(lambda _terminal: self._sandbox.is_calm(), "", PATIENCE)

    def _commands(self, anna: Terminal) -> list[str]:
        """Return the commands that the chat itself names on the screen or when asked for help."""
        text = anna.text + self._types(anna, "/help")
        found = re.findall(r"(?<![\w/.:])/[A-Za-zА-Яа-яё]+", text)
        return [one for one in dict.fromkeys(found) if one != "/help"]


def _last_line(text: str, fields: dict[str, str] | None = None) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    return _sign(lines[-1], fields or {}) if lines else ""


def _in_common(first: Sequence[str], second: Sequence[str]) -> str:
    """Return what two people were both told, the *first* before the *second*, as a sign.

    A line that both were told, or else how the lines of both begin: one who comes later may be
    told of those who are there.
    """
    for sign in first:
        if sign in second:
            return sign
    pairs = [[one, other] for one in first for other in second]
    beginnings = [os.path.commonprefix(pair).strip() for pair in pairs]  # noqa: RUF071 # no paths
    return max(beginnings, key=len, default="") or next(iter(first), "")


def _line_with(terminal: Terminal, text: str, fields: dict[str, str]) -> str:
    line = next(line for line in terminal.text.split("\n") if text in line)
    return _sign(line, fields)


def _sign(line: str, fields: dict[str, str]) -> str:
    """Return *line* as a sign: with the names of *fields* in place of what was played."""
    line = re.sub(r"^\W*\d{1,2}:\d{2}(:\d{2})?\W*\s", "", line.strip())  # a time of day
    for name, value in fields.items():
        line = line.replace(value, f"{{{name}}}")
    if "{name}" in line and "{text}" not in line:
        # What follows the name's clause may be a list of others: enough is enough.
        head, _name, tail = line.partition("{name}")
        line = f"{head}{{name}}{re.split(r'[.!:;,]', tail, maxsplit=1)[0]}"
    return line.strip()


# The file


def toml(folder: Path, trial: Trial) -> str:
    """Return the text of the file for what *trial* has found."""
    found = trial.found
    fixed = trial.port != PORT
    lines = [f"name = {_quoted(folder.resolve().name)}", "", "[server]"]
    lines.append(f"command = {_list(trial.server_command)}")
    if fixed:
        lines.append(f"port = {trial.port}")
    lines += _optional(found, "server_ready", key="ready")
    lines += ["", "[client]", f"command = {_list(trial.client_command)}"]
    prompt = found.get("prompt")
    wait = f"{{wait = {_quoted(prompt)}}}, " if prompt else ""
    lines.append(f'login = [{wait}"{{name}}"]')
    for key in ("ready", "taken", "users", "all", "private", "leave"):
        lines += _optional(found, key)
    if found.get("history") == "":
        lines.append("history = []")
    else:
        lines += _optional(found, "history")
    for key in ("message", "private_message", "left", "stopped"):
        lines += _optional(found, key)
    lines += ["", "[log]", f"files = [{_quoted(found['log'])}]" if "log" in found else "files = []"]
    reports = [
        path.relative_to(folder).as_posix()
        for pattern in REPORTS
        for path in sorted(folder.glob(pattern))
        if "readme" not in path.name.lower()
    ]
    lines += ["", "[report]", f"files = {_list(reports[:1])}"]
    lines += ["", "[code]", 'files = ["**/*.py"]', "", "[skip]"]
    lines.append("# history = " + _quoted(_("It was not asked for.")))
    return "\n".join(lines) + "\n"


def _optional(found: dict[str, str], name: str, key: str | None = None) -> list[str]:
    key = key or name
    if name in found:
        value = found[name]
        return [f"{key} = {_list(value.split(STEP)) if STEP in value else _quoted(value)}"]
    return [f'# {key} = "…"  # ' + _("was not found")]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a basic string of TOML is one of JSON


def _list(words: Sequence[str]) -> str:
    return "[" + ", ".join(map(_quoted, words)) + "]"


# The script


def main(arguments: list[str] | None = None) -> int:
    """Try a submission out and write its file; return 0 when that was possible."""
    cli.choose_language(arguments)
    parser = _parser()
    options = parser.parse_args(arguments)
    target = options.folder / DESCRIPTION
    if not options.folder.is_dir():
        return cli.fail(_("There is no folder {path}.").format(path=options.folder))
    if target.exists() and not options.force:
        return cli.fail(_("{path} is there already; --force replaces it.").format(path=target))
    try:
        with Trial(options.folder, _question, print) as trial:
            trial.run(_words(options.server), _words(options.client))
    except (NotFoundError, SubmissionFilesError) as error:
        return cli.fail(str(error))
    target.write_text(toml(options.folder, trial), encoding="utf-8")
    print(_("Written: {path}. Look it through, then grade:").format(path=target))
    print(f'  make grade ARGS="--submission {target}"')
    return 0


def _question(question: str) -> str:
    """Ask at the terminal; where nobody sits at one, there is no answer."""
    if not sys.stdin.isatty():
        return ""
    try:
        return input(f"{question} ").strip()
    except EOFError:
        return ""


def _words(command: str | None) -> list[str] | None:
    return command.split() if command else None


def _parser() -> argparse.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="tests.grading.describe",
        description=_(
            "Tries out how a chat is started and spoken to, and writes its submission.toml."
        ),
    )
    parser.add_argument(
        "folder", type=Path, metavar=_("FOLDER"), help=_("the folder of the submission")
    )
    parser.add_argument(
        "--server",
        metavar=_("COMMAND"),
        help=_("what starts the server, with {port} where a port may be given"),
    )
    parser.add_argument(
        "--client",
        metavar=_("COMMAND"),
        help=_("what starts a client, with {port} where a port may be given"),
    )
    parser.add_argument(
        "--force", action="store_true", help=_("replace the submission.toml that is there")
    )
    cli.add_language(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
