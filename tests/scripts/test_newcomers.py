"""What people do who use the chat for the first time, and what they are told then."""

import ast
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chat.app import sentences
from chat.core.server import ChatServer
from tests.scripts.programs import CLIENT, ROOT, SERVER, run
from tests.scripts.test_client_script import complaint_of, options
from tests.wire import Wire

Serve = Callable[..., ChatServer]
Dial = Callable[..., Wire]


def test_python_m_chat_says_which_programs_there_are() -> None:
    status, output, complaint = run("-m", "chat")
    assert (status, output) == (2, "")
    assert "python3 -m chat.server" in complaint
    assert "python3 -m chat.client" in complaint


@pytest.mark.parametrize("program", ["chat.client", "chat.server", "chat"])
def test_an_older_python_is_told_so_in_a_sentence(program: str) -> None:
    """As 3.10 would do it: without what `typing`, `datetime` and `tomllib` have got since."""
    code = f"""
import datetime, runpy, sys, typing
sys.version_info = (3, 10, 12, "final", 0)
del typing.Self, datetime.UTC
sys.modules["tomllib"] = None
sys.argv = [{program!r}]
runpy.run_module({program!r}, run_name="__main__")
"""
    status, output, complaint = run("-S", "-c", code)
    assert (status, output) == (1, "")
    assert complaint == "Чату нужен Python 3.11 или новее, а это 3.10.12.\n"


@pytest.mark.parametrize("name", ["client", "server"])
def test_an_older_python_is_told_so_by_the_script_too(name: str) -> None:
    code = f"""
import runpy, sys, typing
sys.version_info = (3, 10, 12, "final", 0)
del typing.Self
sys.argv = ["chat/{name}.py"]
sys.path.insert(0, "chat")
runpy.run_path("chat/{name}.py", run_name="__main__")
"""
    _status, _output, complaint = run("-S", "-c", code)
    assert complaint == "Чату нужен Python 3.11 или новее, а это 3.10.12.\n"


def test_what_an_older_python_must_read_can_be_read_by_it() -> None:
    for name in ("__init__.py", "app/__init__.py", "app/i18n.py", "client.py", "server.py"):
        ast.parse((ROOT / "chat" / name).read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("redirection", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", [(*CLIENT, "--nick", "Бот", "--port", "1"), ("-m", "chat")])
def test_closed_streams_are_no_reason_for_a_traceback(
    command: tuple[str, ...], redirection: str
) -> None:
    line = f'exec "$@" {redirection}'
    done = subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, *command],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        check=False,
        timeout=30,
    )
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr


def test_a_client_without_input_leaves_at_once(server: ChatServer) -> None:
    line = 'exec "$@" <&-'
    done = subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, *CLIENT, *options(server)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_port_in_use_names_the_option(server: ChatServer) -> None:
    status, _output, complaint = run("-m", "chat.server", "--port", str(server.address[1]))
    assert status == 1
    assert "порт уже занят. Другой порт задаёт --port" in complaint


def test_nobody_listening_names_the_command(serve: Serve) -> None:
    server = serve()
    server.stop()
    assert "Его запускает python3 -m chat.server" in complaint_of(*options(server), status=1)


def test_a_folder_of_the_log_that_is_missing(server: ChatServer, tmp_path: Path) -> None:
    path = str(tmp_path / "none" / "chat.log")
    complaint = complaint_of(*options(server), "--log", path, status=1)
    assert complaint == f"Не удаётся писать журнал {path}: такой папки нет. Сначала создайте её.\n"


def test_an_address_of_another_machine() -> None:
    status, _output, complaint = run(*SERVER, "--host", "192.0.2.1")  # RFC 5737: documentation
    assert status == 1
    assert "у этой машины нет такого адреса. Другой адрес задаёт --host." in complaint


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EHOSTUNREACH, errno.EROFS])
def test_errors_of_the_system_are_said_in_russian(number: int) -> None:
    error = OSError(number, os.strerror(number))
    assert sentences.why(error) != os.strerror(number)
    for said in (os.strerror(number), str(error)):  # a record has the whole error
        assert sentences.phrase(said) == sentences.why(error)


def test_an_error_that_nobody_has_translated_keeps_its_words() -> None:
    assert (
        sentences.why(OSError(errno.EXDEV, "Invalid cross-device link"))
        == "Invalid cross-device link"
    )


def test_commands_about_oneself_and_numbers_that_are_none(server: ChatServer, dial: Dial) -> None:
    anya = dial(server, "Аня")
    lines = ["/msg бот эй", "/kick Бот", "/chat БОТ", "/history 0", "/HELP", "я" * 2001, "EXIT"]
    status, output, complaint = run(*CLIENT, *options(server), input="\n".join(lines).encode())
    assert (status, complaint) == (0, "")
    assert output.count("Это вы сами.") == 3
    assert "Сколько сообщений? /history ЧИСЛО" in output
    assert "/users" in output
    assert "Слишком длинное сообщение: знаков 2001" in output
    anya.expect("joined")
    anya.expect("left")  # and nothing else
