"""Chats that are wrong in one way each: the grader must find that, and nothing else.

Each is made from ``examples/good`` by a small change of its code.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .many import DESCRIPTION, grade_apart
from .rubric import RUBRIC

Test = dict[str, Any]
"""One requirement, as it is written for Gradescope."""

CONTROLS = ("broadcast",)
"""What every mutant is checked for besides what it breaks, when there is no time for everything."""

PATIENCE = 1.0
"""Seconds: these chats have no timers, so what does not come at once does not come."""

LONGEST_WAIT = 8.0

EXAMPLES = Path(__file__).with_name("examples")
GOOD = EXAMPLES / "good"


@dataclass(frozen=True)
class Mutant:
    """One wrong chat."""

    name: str
    broken: frozenset[str]
    """The requirements that it does not fulfil."""

    changes: tuple[tuple[str, str, str], ...]
    """File, what stands there, what stands there instead."""

    def write(self, folder: Path) -> Path:
        """Write the chat to *folder*, which does not exist yet; return the path of its TOML."""
        shutil.copytree(GOOD, folder)
        for name, old, new in self.changes:
            path = folder / name
            source = path.read_text(encoding="utf-8")
            assert source.count(old) == 1, (self.name, old, source.count(old))
            path.write_text(source.replace(old, new), encoding="utf-8")
        return folder / "submission.toml"


def _mutant(name: str, broken: str, *changes: tuple[str, str, str]) -> Mutant:
    return Mutant(name, frozenset(broken.split()), changes)


SERVER, CLIENT = "server.py", "client.py"

# Every send goes straight to the socket.
_DIRECT = (
    SERVER,
    """            self.outgoing.put_nowait(line)
        except queue.Full:
            self.hang_up()
""",
    """            self.sock.sendall((line + "\\n").encode())
        except OSError:
            pass
""",
)

NOTHING = _mutant("nothing is wrong", "")
"""The chat that the others are made from: it is always checked for everything."""

MUTANTS = (
    NOTHING,
    # It takes longest: the server is never at rest.
    _mutant(
        "an empty recv is taken for nothing new",
        "rests killed_removed",
        (
            SERVER,
            "                while line := lines.readline(LONGEST_LINE):\n",
            "                while True:\n"
            "                    if not (line := lines.readline(LONGEST_LINE)):\n"
            "                        continue\n",
        ),
    ),
    _mutant(
        "what is received at once is taken for one message",
        "bursts sliced",
        (
            CLIENT,
            "for line in lines:",
            'while line := lines.buffer.raw.read(65536).decode(errors="replace"):',
        ),
        (CLIENT, "lines.readline()", "lines.buffer.raw.read(65536).decode()"),
    ),
    _mutant(
        "lines are expected to come in one piece",
        "sliced",
        (SERVER, '            with self.sock.makefile("rb") as lines:', "            if True:"),
        (
            SERVER,
            """                while line := lines.readline(LONGEST_LINE):
                    text = line.decode(errors="replace").rstrip("\\r\\n")
                    if not self.obey(text):
                        break
""",
            """                while data := self.sock.recv(LONGEST_LINE):
                    texts = data.decode(errors="replace").splitlines()
                    if not all([self.obey(text) for text in texts]):
                        break
""",
        ),
    ),
    _mutant(
        "a line is read up to 1024 bytes",
        "long_messages",
        (SERVER, "LONGEST_LINE = 65536", "LONGEST_LINE = 1024"),
    ),
    _mutant(
        "the author gets the message back",
        "no_echo",
        (
            SERVER,
            "        self.tell_others(client, line)\n",
            "        self.tell_others(None, line)\n",
        ),
    ),
    _mutant(
        "a name is never free again",
        "name_freed killed_removed",
        (SERVER, "self.history = []", "self.history, self.ever = [], set()"),
        (SERVER, "or key in self.clients", "or key in self.ever"),
        (SERVER, "client.name = name\n", "client.name = name\n            self.ever.add(key)\n"),
    ),
    _mutant(
        "private messages go to everybody",
        "private_only",
        (
            SERVER,
            'reader.send(f"ЛИЧНО {client.name} {text}")',
            'self.tell_others(client, f"ЛИЧНО {client.name} {text}")',
        ),
    ),
    _mutant(
        "of a private message the first word arrives",
        "private",
        (
            SERVER,
            "self.chat.whisper(self, to, text)",
            "self.chat.whisper(self, to, text.split()[0])",
        ),
        (SERVER, 'to, _, text = rest.partition(" ")', 'to, _, text = (rest + " -").partition(" ")'),
    ),
    _mutant(
        "the lock is held while a stalled reader is written to",
        "stalled_reader",
        _DIRECT,
    ),
    _mutant(
        "without a lock, a stalled reader blocks who writes to all",
        "stalled_reader",
        _DIRECT,
        (
            SERVER,
            """        with self.lock:
            for other in self.clients.values():
                if other is not client:
                    other.send(line)
""",
            """        with self.lock:
            others = list(self.clients.values())
        for other in others:
            if other is not client:
                other.send(line)
""",
        ),
    ),
    _mutant(
        "bytes that are no UTF-8 end the server",
        "bad_bytes",
        (SERVER, 'errors="replace"', 'errors="strict"'),
        (
            SERVER,
            "        except OSError:\n            pass  #",
            "        except UnicodeError:\n            os._exit(1)\n"
            "        except OSError:\n            pass  #",
        ),
        (SERVER, "import queue\n", "import os\nimport queue\n"),
    ),
    _mutant(
        "a reset ends the server",
        "abrupt",
        (SERVER, "            pass  # соединение оборвалось", "            os._exit(1)"),
        (SERVER, "import queue\n", "import os\nimport queue\n"),
    ),
    _mutant(
        "capitals make another name",
        "name_case",
        (SERVER, "key = name.casefold()", "key = name"),
    ),
    _mutant(
        "a name may be taken twice",
        "unique_name name_case",
        (SERVER, " or key in self.clients", ""),
    ),
    _mutant(
        "the list has everybody who ever came",
        "list_is_fresh killed_removed",
        (SERVER, "self.history = []", "self.history, self.ever = [], []"),
        (
            SERVER,
            "client.name = name\n",
            "client.name = name\n            self.ever.append(name)\n",
        ),
        (
            SERVER,
            "return [other.name for other in self.clients.values() if other is not client]",
            "return [name for name in self.ever if name != client.name]",
        ),
    ),
    _mutant(
        "a newcomer is not shown who is here",
        "list_on_connect",
        (SERVER, 'client.send("ДА " + ", ".join(names))', 'client.send("ДА ")'),
    ),
    _mutant(
        "nobody is listed on request",
        "list_on_request list_is_fresh killed_removed",
        (SERVER, '", ".join(self.chat.others(self))', '""'),
    ),
    _mutant(
        "nobody is told who has left",
        "leave_announced",
        (SERVER, '        self.tell_others(client, f"УШЁЛ {client.name}")\n', ""),
    ),
    _mutant(
        "nobody is told that the server stops",
        "shutdown_announced",
        (SERVER, '            client.send("СТОП")\n', ""),
    ),
    _mutant(
        "the history tells what was private",
        "history",
        (
            SERVER,
            "        if reader is not None:\n",
            '        self.history.append(f"ОТ {client.name} {text}")\n'
            "        if reader is not None:\n",
        ),
    ),
    _mutant(
        "the history is empty",
        "history",
        (SERVER, "            self.history.append(line)\n", ""),
    ),
    _mutant(
        "nothing is written to the log",
        "log_file",
        (SERVER, '            self.log.write(f"{client.name}: {text}\\n")\n', ""),
    ),
    _mutant(
        "nobody is accepted until the last one has said something",
        "no_waiting",
        (
            SERVER,
            "                client = Client(chat, sock)\n",
            "                select.select([sock], [], [])\n"
            "                client = Client(chat, sock)\n",
        ),
        (SERVER, "import queue\n", "import queue\nimport select\n"),
    ),
    _mutant(
        "a command without its words throws its author out",
        "bad_commands",
        (SERVER, 'to, _, text = rest.partition(" ")', 'to, text = rest.split(" ", 1)'),
    ),
)


def copied(name: str, folder: Path) -> Path:
    """Return a copy in *folder* of the example *name*, as it is handed in."""
    place = folder / name
    shutil.copytree(EXAMPLES / name, place)
    (place / DESCRIPTION).unlink(missing_ok=True)
    return place


def quick_rubric(folder: Path) -> Path:
    """Write to *folder* the course's rubric with less patience; return its path."""
    text = RUBRIC.read_text(encoding="utf-8")
    for name, value in (("patience", PATIENCE), ("longest_wait", LONGEST_WAIT)):
        text, changed = re.subn(rf"^{name} = \d+", f"{name} = {value}", text, flags=re.MULTILINE)
        assert changed == 1
    path = folder / "rubric.toml"
    path.write_text(text, encoding="utf-8")
    return path


def try_all(folder: Path, *, thorough: bool, jobs: int = 4) -> Iterator[tuple[Mutant, list[Test]]]:
    """Grade every mutant, *jobs* at a time; yield it with the tests that have not all points.

    Without *thorough*, only what it breaks and `CONTROLS` are checked. Everything is written to
    *folder*.
    """
    quick_rubric(folder)
    with ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(_try, mutant, folder, thorough) for mutant in MUTANTS]
        for mutant, task in zip(MUTANTS, tasks, strict=True):
            yield mutant, task.result()


def _try(mutant: Mutant, folder: Path, thorough: bool) -> list[Test]:
    place = folder / mutant.name
    description = mutant.write(place)
    trouble = grade_apart(
        description,
        place / "grade.json",
        place / "grade.md",
        seconds=600,
        rubric=folder / "rubric.toml",
        only=[] if thorough or mutant is NOTHING else sorted({*mutant.broken, *CONTROLS}),
    )
    assert not trouble, (mutant.name, trouble)
    tests: list[Test] = json.loads((place / "grade.json").read_text(encoding="utf-8"))["tests"]
    return [test for test in tests if test["score"] < test["max_score"]]


@contextlib.contextmanager
def busy_machine() -> Iterator[None]:
    """Give every processor two programs that never rest."""
    program = [sys.executable, "-c", "while True: pass"]
    with contextlib.ExitStack() as stack:
        for _number in range(2 * (os.cpu_count() or 1)):
            burner = stack.enter_context(subprocess.Popen(program))
            stack.callback(burner.kill)
        yield
