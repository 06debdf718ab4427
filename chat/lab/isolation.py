"""The same run wherever it is started: without the settings of whoever starts it.

An extension in ``~/.ipython``, a ``matplotlibrc``, a width in ``COLUMNS`` would change what an
experiment prints and how long it takes; a home folder that cannot be read would end it.
"""

import os
import signal
from collections.abc import MutableMapping
from pathlib import Path

_PERSONAL = (
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PAGER"),
    *("MATPLOTLIBRC", "MPLBACKEND", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH"),
    *("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
    *("PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS"),
)


def isolate(folder: Path, environ: MutableMapping[str, str] = os.environ) -> None:
    """Let this process, and those that it will start, find no settings but those in *folder*.

    Must be called before IPython, Jupyter or matplotlib is imported, by the main thread. Ctrl-C
    interrupts again where a shell has started this in the background and made it deaf to that:
    the programs that are started here inherit it, and experiments interrupt them.
    """
    for name in list(environ):
        if name in _PERSONAL or (name.startswith("CHAT_") and name != "CHAT_LAB"):
            del environ[name]
    environ["HOME"] = str(folder)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        environ[name] = str(folder / "jupyter")
    environ["MPLCONFIGDIR"] = str(folder / "matplotlib")  # its list of fonts is kept there too
    for name in ("jupyter", "matplotlib"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
