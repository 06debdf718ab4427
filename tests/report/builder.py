"""The builder, run in processes that are forked from one in which its libraries are loaded.

Loading them takes a build's time once more, and the tests build some thirty reports.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from report.__main__ import main

ROOT = Path(__file__).resolve().parents[2]

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["report.build", "report.edition", __name__])


def build(arguments: list[str], seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m report`` with these *arguments*; return how it ended and what it said.

    Raises subprocess.TimeoutExpired after so many *seconds*.
    """
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        process = _PROCESSES.Process(target=_build_here, args=(arguments, *map(str, said)))
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, seconds)
        assert process.exitcode is not None
        out, err = (path.read_text("utf-8") for path in said)
        status = process.exitcode
        process.close()
    return subprocess.CompletedProcess(arguments, status, out, err)


def _build_here(arguments: list[str], stdout: str, stderr: str) -> None:
    for name, descriptor in ((stdout, 1), (stderr, 2)):
        file = os.open(name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(ROOT)
    os.environ["LANGUAGE"] = "ru"
    sys.exit(main(arguments))
