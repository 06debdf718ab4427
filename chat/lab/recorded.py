"""Experiments that need Linux: done there, and elsewhere shown as they were recorded there.

What is looked at is the kernel's own: states of connections, lengths of its queues, its counters.
``notebooks/recorded.json`` keeps one result of each. The variable ``CHAT_LAB`` says otherwise:
``record`` writes the results of this run into that file, ``replay`` shows the recording everywhere.
"""

import json
import os
import platform
import sys
from collections.abc import Callable
from typing import Any

from chat.app.i18n import gettext as _
from chat.lab import show

RECORDING = show.ROOT / "notebooks" / "recorded.json"


def linux_only(name: str, experiment: Callable[[], Any]) -> Any:
    """Return the result of *experiment*: of a run now on Linux, elsewhere the one recorded.

    The result is made of what JSON has: lists, not tuples. A recorded one is announced to the
    reader. Raises KeyError when there is no recording under that *name*.
    """
    mode = os.environ.get("CHAT_LAB", "")
    if sys.platform == "linux" and mode != "replay":
        result = json.loads(json.dumps(experiment()))  # the same types as from the recording
        if mode == "record":
            _record(name, result)
        return result
    recording = _recordings()[name]
    show.prose(
        "*"
        + _("This experiment needs Linux. Shown is a result that was recorded on {system}.").format(
            system=recording["system"]
        )
        + "*"
    )
    return recording["result"]


def _recordings() -> dict[str, Any]:
    recordings: dict[str, Any] = json.loads(RECORDING.read_text(encoding="utf-8"))
    return recordings


def _record(name: str, result: object) -> None:
    recordings = _recordings() if RECORDING.exists() else {}
    version = platform.release().split("-")[0]
    recordings[name] = {"system": f"Linux {version}", "result": result}
    text = json.dumps(recordings, ensure_ascii=False, indent=1, sort_keys=True)
    RECORDING.write_text(text + "\n", encoding="utf-8")
