"""The computer that measurements were made on: a number without it says little."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chat.app.i18n import gettext as _
from chat.app.i18n import ngettext


def describe() -> dict[str, Any]:
    """Return this computer and its Python, in the form in which recordings keep them.

    Keys: ``system``, ``processor``, ``processors`` (how many, None where unknown), ``python``,
    ``date`` (today in UTC, ISO 8601).
    """
    return {
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "processor": _processor(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def sentence(machine: Mapping[str, Any] | None = None) -> str:
    """Return where numbers were measured: on this computer, or on a recorded *machine*."""
    known = machine or describe()
    count = int(known["processors"] or 1)
    return _(
        "The numbers were measured on one computer: {processor}, {cpus}, {system}, Python {python}."
    ).format(**known, cpus=ngettext("{n} CPU", "{n} CPUs", count).format(n=count))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    # As Intel writes the names: “Intel(R) Xeon(R) Processor”.
    return names[0].replace("(R)", "").replace("(TM)", "") if names else platform.machine()
