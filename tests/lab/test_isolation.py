"""A run is the same wherever it is started: `chat.lab.isolation`."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Executes a notebook as the builder does, and says what its kernel found.
PROGRAM = """
import sys
from pathlib import Path
from chat.lab.isolation import isolate
folder = Path(sys.argv[1])
isolate(folder / "own")
import nbformat
from nbformat import v4
from report import execute
cell = v4.new_code_cell('''
import json, os, signal, matplotlib, IPython
from chat.app import options
print(json.dumps({
    "ignored": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
    "size": matplotlib.rcParams["figure.dpi"] == 777,
    "startup": "spoilt" in globals(),
    "columns": os.environ.get("COLUMNS"),
    "settings": str(options.config_path().expanduser()),
    "child": __import__("subprocess").run(
        [__import__("sys").executable, "-c",
         "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"],
        capture_output=True, text=True).stdout.strip(),
}))
''')
nbformat.write(v4.new_notebook(cells=[cell]), folder / "book.ipynb")
print(execute.run(folder / "book.ipynb", lambda *_: None).cells[0].outputs[0].text)
"""


def found(folder: Path, **variables: str) -> dict[str, object]:
    """Run the program in an environment of *variables* with Ctrl-C ignored; return its finds."""
    folder.mkdir(exist_ok=True)
    shell = f"trap '' INT; exec '{sys.executable}' -c \"$1\" \"$2\""
    done = subprocess.run(
        ["sh", "-c", shell, "sh", PROGRAM, folder],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def expected(folder: Path) -> dict[str, object]:
    """Return what the program finds where nobody has any settings."""
    return {
        "ignored": False,
        "size": False,
        "startup": False,
        "columns": None,
        "settings": str(folder / "own" / ".config" / "tcp-chat" / "config.toml"),
        "child": "False",
    }


def test_the_users_settings_are_not_found(tmp_path: Path) -> None:
    home = tmp_path / "home"
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("spoilt = True\n")
    for place in (home / ".config" / "matplotlib", home / ".ipython"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "matplotlibrc").write_text("figure.dpi: 777\n")
    variables = {
        "HOME": str(home),
        "MATPLOTLIBRC": str(home / ".ipython" / "matplotlibrc"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "COLUMNS": "40",
        "NO_COLOR": "1",
        "CHAT_CONFIG": str(home / "settings.toml"),
    }
    assert found(tmp_path / "run", **variables) == expected(tmp_path / "run")


def test_a_home_that_is_not_there_is_not_missed(tmp_path: Path) -> None:
    folder = tmp_path / "папка с пробелом"
    assert found(folder, HOME="/proc/nowhere", LC_ALL="C") == expected(folder)
