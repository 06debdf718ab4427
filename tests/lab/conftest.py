"""The fonts of the figures are opened before any test counts what is left open."""

import io

import pytest
from matplotlib.figure import Figure

from chat.lab import figures


@pytest.fixture(scope="session", autouse=True)
def fonts() -> None:
    """Have matplotlib open each font that it may need: it keeps them open with the process."""
    with figures.style():
        fig = Figure()
        for look in ({}, {"weight": "bold"}, {"family": figures.MONO}):
            fig.text(0.5, 0.5, "⏎", **look)
        for suffix in ("svg", "png"):
            fig.savefig(io.BytesIO(), format=suffix)
    figures.width_of("⏎", 8)
    figures.width_of("⏎", 8, bold=True)
    figures.describe(b"a")  # asks the fonts what characters they have
