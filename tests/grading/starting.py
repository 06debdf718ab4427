"""Finds the commands that start a submission's server and client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chat.app.i18n import gettext as _

from . import clues
from .findings import PORT, Step, Window, steps_shown
from .play import MOST_PROMPTS, NAMES, NotFoundError, Play


def start_server(play: Play, command: Sequence[str] | None) -> None:
    """Start the server by *command*, or the first that makes it listen. Raises `NotFoundError`."""
    findings, sandbox = play.findings, play.sandbox
    first = ""
    for candidate in _candidates(play, "server", command):
        play.server = window = Window("", play.start(candidate, _("server"), ""))
        steps: list[Step] = []
        for _number in range(MOST_PROMPTS):
            play.wait(window, lambda: bool(sandbox.listening_ports()))
            if sandbox.listening_ports() or not window.terminal.is_alive:
                break
            if not window.terminal.line_before_cursor.strip():
                break
            steps += play.answer(window, "server")
        if ports := sandbox.listening_ports():
            play.calm()
            findings.port = PORT if PORT in ports else min(ports)
            findings.server_command = list(candidate)
            if PORT not in ports:
                steps = [one if one != "{port}" else str(findings.port) for one in steps]
                findings.server_command = _without_port(candidate)
            findings.note("server", " ".join(findings.server_command))
            if steps:
                findings.steps["steps"] = steps
            return
        findings.server_command = findings.server_command or list(candidate)
        if other := sandbox.other_sockets():
            sentence = _("The server has opened {socket} and listens on no TCP port.")
            findings.server_command = list(candidate)
            raise NotFoundError(sentence.format(socket=other))
        first = first or _failed(play, candidate, window)
        window.terminal.close()
    sentence = _("No server was found that listens. Name it with --server.")
    raise NotFoundError(f"{sentence}\n{first}".strip())


def first_client(play: Play, command: Sequence[str] | None) -> Window:
    """Let the first user in by *command*, or the first that connects. Raises `NotFoundError`."""
    findings = play.findings
    first = ""
    for candidate in _candidates(play, "client", command):
        findings.client_command = list(candidate)
        window = play.enter(NAMES[0])
        login = findings.steps["login"]
        asked = "{name}" in candidate and "{name}" in login
        if window.terminal.is_alive and play.sandbox.connections(findings.port) and not asked:
            findings.note("client", " ".join(candidate))
            findings.note("login", steps_shown(login) or _("(nothing is asked)"))
            return window
        first = first or _failed(play, candidate, window)
        play.forget(window)
        del findings.steps["login"]
    findings.client_command = []
    sentence = _("No client was found that connects. Name it with --client.")
    raise NotFoundError(f"{sentence}\n{first}".strip())


def _candidates(play: Play, role: str, command: Sequence[str] | None) -> Iterator[Sequence[str]]:
    """Yield *command* alone, or what may start the *role*, and then what the teacher says."""
    if command:
        yield command
        return
    likely = list(clues.commands(play.folder, role))
    if role == "client" and play.findings.port != PORT:
        # Who need not be told the port most likely knows it.
        likely.sort(key=lambda one: ("{port}" in one, "{name}" in one))
    yield from likely
    what = _("server") if role == "server" else _("client")
    question = _("What command starts the {what}?").format(what=what)
    while answer := play.findings.teacher.ask(question):
        yield answer.split()


def _failed(play: Play, command: Sequence[str], window: Window) -> str:
    """Say, and return, what *command* showed last."""
    if not window.terminal.is_alive:
        window.terminal.wait_until_exit()  # what it wrote last may still be to be read
    line = f"✗ {' '.join(command)}: {window.last_row}"
    play.findings.teacher.say(f"  {line}")
    return line


def _without_port(command: Sequence[str]) -> list[str]:
    """Return *command* without the port, and the option for it, that it takes no notice of."""
    kept: list[str] = []
    for word in command:
        if word == "{port}":
            if kept and kept[-1].startswith("-"):
                kept.pop()
            continue
        kept.append(word)
    return kept
