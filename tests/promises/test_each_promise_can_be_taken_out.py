"""Without any one file of chat/promises there is still a chat, and it keeps the other promises.

A copy of the tree is made for each; the file goes, and in the programs what is marked with it.
"""

import ast
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scripts.programs import ROOT, Program
from tests.wire import PATIENCE

PROMISES = sorted(
    path.stem for path in (ROOT / "chat/promises").glob("*.py") if path.stem != "__init__"
)
PROGRAMS = ("chat/server.py", "chat/client.py")

KEPT = ("test_talking.py", "test_leaving.py")
"""Of tests/requirements: what a chat has to do with every promise and without."""

IMPORT_AND_HELP = """
import importlib, pathlib
for path in sorted(pathlib.Path("chat").rglob("*.py")):
    if not {"lab", "__main__.py", "tui.py"} & {*path.parts}:
        module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        assert pathlib.Path(importlib.import_module(module).__file__) == path.resolve()
for program in ("server", "client"):
    try:
        importlib.import_module("chat." + program).main(["--help"])
    except SystemExit as end:
        assert not end.code
"""


def strip(source: str, promise: str) -> str:
    """Return *source* without what is marked with *promise*.

    That is each line with the mark, and where a statement begins on it, all of the statement.
    """
    lines = source.splitlines(keepends=True)
    marked = {
        number
        for number, line in enumerate(lines, 1)
        if line.rstrip().endswith(f"# promise: {promise}")
    }
    gone = set(marked)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.lineno in marked:
            assert node.end_lineno is not None
            gone.update(range(node.lineno, node.end_lineno + 1))
    return "".join(line for number, line in enumerate(lines, 1) if number not in gone)


def take_out(promise: str, folder: Path) -> None:
    """Copy the tree to *folder*, without *promise*."""
    rubbish = shutil.ignore_patterns("__pycache__", "grading", "lab")
    shutil.copytree(ROOT / "chat", folder / "chat", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=rubbish)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / f"chat/promises/{promise}.py").unlink()
    for program in PROGRAMS:
        path = folder / program
        path.write_text(strip(path.read_text(encoding="utf-8"), promise), encoding="utf-8")


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_marked_where_it_is_put_in(promise: str) -> None:
    for program in PROGRAMS:
        source = (ROOT / program).read_text(encoding="utf-8")
        stripped = strip(source, promise)
        ast.parse(stripped)
        assert f"promises.{promise}" not in stripped
        assert f"# promise: {promise}" not in stripped
    assert any(
        f"# promise: {promise}" in (ROOT / program).read_text(encoding="utf-8")
        for program in PROGRAMS
    )


def test_nothing_is_marked_with_what_is_no_promise() -> None:
    for program in PROGRAMS:
        for line in (ROOT / program).read_text(encoding="utf-8").splitlines():
            _code, mark, promise = line.partition("# promise: ")
            assert not mark or promise in PROMISES, line


@pytest.mark.parametrize("promise", PROMISES)
def test_without_it_there_is_a_chat(promise: str, tmp_path: Path) -> None:
    take_out(promise, tmp_path)
    requirements = [f"tests/requirements/{name}" for name in KEPT]
    not_promised = f'not promise(name="{promise}")'
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", "-m", not_promised)
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # none of them is needed, and each takes time
    commands = [
        ["-c", IMPORT_AND_HELP],
        ["-m", "pytest", *quiet, *requirements],
    ]
    with ExitStack() as stack:
        programs = [
            stack.enter_context(Program(*command, cwd=tmp_path, env=alone)) for command in commands
        ]
        talk(tmp_path)
        for program in programs:
            status, output, complaint = program.end()
            assert (status, complaint) == (0, ""), output


def talk(folder: Path) -> None:
    """Have two clients of the copy in *folder* talk over its server."""
    with Program("-m", "chat.server", "--port", "0", cwd=folder) as server:
        host, port = server.address()
        address = ("--host", host, "--port", str(port), "--plain")
        with ExitStack() as stack:
            clients = []
            for nick in ("Аня", "Боря"):
                client = Program("-m", "chat.client", *address, "--nick", nick, cwd=folder)
                clients.append(stack.enter_context(client))
                server.wait_for(nick)
            anya, borya = clients
            anya.type("привет\n")
            borya.wait_for("привет")
            borya.type("/msg Аня шёпот\n")
            anya.wait_for("шёпот")
            for client in clients:
                client.type("exit\n")
                assert client.end()[0] == 0


def test_what_is_taken_out_is_not_accepted_in_silence(tmp_path: Path) -> None:
    """An option of a promise that is not there is refused; it is not ignored."""
    take_out("tls", tmp_path)
    arguments = ["-m", "chat.server", "--tls-cert", "x", "--tls-key", "y"]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
