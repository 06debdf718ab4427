"""The programs without what Windows lacks: modules, signals and calls of Unix are taken away."""

from pathlib import Path

from tests.scripts.programs import CLIENT, SERVER, Program, run

# Python imports this by itself before anything else.
TAKEN_AWAY = """
import os, select, signal, socket, sys
for name in ("readline", "termios", "tty", "pty", "fcntl", "pwd", "grp", "resource", "syslog"):
    sys.modules[name] = None
for name in ("poll", "epoll", "kqueue"):
    vars(select).pop(name, None)
for name in [name for name in vars(signal) if name.startswith("SIG")]:
    if name not in ("SIGINT", "SIGTERM", "SIGABRT", "SIGSEGV", "SIGFPE", "SIGILL", "SIG_DFL",
                    "SIG_IGN"):
        vars(signal).pop(name)
for name in ("pthread_sigmask", "sigwait", "alarm", "setitimer", "siginterrupt", "pause"):
    vars(signal).pop(name, None)
for name in ("AF_UNIX", "SO_REUSEPORT", "TCP_USER_TIMEOUT", "MSG_DONTWAIT", "MSG_NOSIGNAL",
             "SCM_RIGHTS"):
    vars(socket).pop(name, None)
for name in ("fork", "forkpty", "getuid", "geteuid", "uname", "sysconf", "fchmod", "mkfifo"):
    vars(os).pop(name, None)
# socketpair(2) knows no AF_INET; on Windows Python makes a pair of TCP sockets itself.
def _pair(family=socket.AF_INET, type=socket.SOCK_STREAM, proto=0):
    with socket.socket(family, type, proto) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        near = socket.socket(family, type, proto)
        near.connect(listener.getsockname())
        far, _address = listener.accept()
    return near, far
socket.socketpair = _pair
"""


def without_unix(folder: Path) -> dict[str, str]:
    """Return the environment of a Python that has only what there is on Windows."""
    (folder / "sitecustomize.py").write_text(TAKEN_AWAY, "utf-8")
    return {"PYTHONPATH": str(folder), "LANGUAGE": "en"}


def test_two_people_talk(tmp_path: Path) -> None:
    env = without_unix(tmp_path)
    with Program(*SERVER, "--history", str(tmp_path / "chat.db"), env=env) as server:
        host, port = server.address()
        talk = (*CLIENT, "--host", host, "--port", str(port), "--plain", "--nick")
        with Program(*talk, "Anna", env=env) as anna, Program(*talk, "Boris", env=env) as boris:
            anna.wait_for("Boris")
            anna.type("hello\n")
            boris.wait_for("hello")
            boris.type("/msg Anna only you\n")
            anna.wait_for("only you")
            for person in (anna, boris):
                person.type("exit\n")
                status, _output, complaint = person.end()
                assert (status, complaint) == (0, "")


def test_it_really_is_taken_away(tmp_path: Path) -> None:
    code = (
        "import signal, socket, select; print(hasattr(signal, 'SIGHUP'), hasattr(select, 'poll'))"
    )
    _status, output, _complaint = run("-c", code, env=without_unix(tmp_path))
    assert output.split() == ["False", "False"]
    status, _output, complaint = run("-c", "import termios", env=without_unix(tmp_path))
    assert status == 1
    assert "termios" in complaint
