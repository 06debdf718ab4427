"""What we want to reach, and whether the results say that we have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chat.app.i18n import gettext as _
from chat.lab.figures import number

from .plan import WINDOW
from .servers import titles

Results = dict[str, Any]


class Measured:
    """The results of a run, looked up by what was measured."""

    def __init__(self, results: Results) -> None:
        """Look things up in *results*, as they stand in ``results.json``."""
        self.cases = results["cases"]

    def find(
        self, name: str, peer: str, clients: int | None = None, window: int | None = None
    ) -> Results | None:
        """Return the summary of a case, None when it was not measured."""
        for case in self.cases:
            if (
                (case["name"], case["peer"]) == (name, peer)
                and clients in (None, case["clients"])
                and window in (None, case["window"])
            ):
                found: Results = case
                return found
        return None

    def median(
        self,
        number: str,
        name: str,
        peer: str,
        clients: int | None = None,
        window: int | None = None,
    ) -> float | None:
        """Return the median of a *number* of a case, None when it was not measured."""
        case = self.find(name, peer, clients, window)
        return None if case is None else float(case["median"][number])


@dataclass(frozen=True)
class Goal:
    """One line of the table."""

    what: str
    wanted: float
    reached: float | None
    """None when it could not be measured here."""

    at_least: bool = True
    unit: str = "×"

    @property
    def is_met(self) -> bool | None:
        """Whether it is; None when it could not be measured."""
        if self.reached is None:
            return None
        return self.reached >= self.wanted if self.at_least else self.reached <= self.wanted

    def words(self) -> tuple[str, str]:
        """Return what was wanted and what was reached, so exactly that it shows which is more.

        Raises `ValueError` when it could not be measured.
        """
        if self.reached is None:
            raise ValueError(self.what)
        wanted, digits = number(self.wanted), 3
        while (reached := number(float(self.reached), digits)) == wanted and not self.is_met:
            digits += 1
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {wanted} {self.unit}".strip(), f"{reached} {self.unit}".strip()


def goals(results: Results) -> list[Goal]:
    """Return all goals, with what the *results* say of them."""
    measured = Measured(results)
    return [*_against_others(measured), *_latency(measured), *_the_rest(measured)]


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or below is None else above / below


def _against_others(measured: Measured) -> list[Goal]:
    wanted = (
        ("naive", 10, WINDOW, 8.0),
        ("naive", 100, WINDOW, 30.0),
        ("naive", 500, WINDOW, 40.0),
        ("naive", 100, 16, 6.0),
        ("naive", 100, 1, 1.0),
        ("coalescing", 10, WINDOW, 1.0),
        ("coalescing", 100, WINDOW, 1.0),
        ("ngircd", 10, WINDOW, 1.0),
        ("ngircd", 100, WINDOW, 4.0),
        ("ngircd", 500, WINDOW, 5.0),
        ("inspircd", 10, WINDOW, 0.8),
        ("inspircd", 100, WINDOW, 2.5),
        ("inspircd", 500, WINDOW, 4.0),
        ("relay", 100, WINDOW, 0.5),
        ("relay", 500, WINDOW, 0.5),
    )
    found = []
    for peer, clients, window, least in wanted:
        rates = [
            measured.median("rate", "throughput", one, clients, window) for one in ("chat", peer)
        ]
        what = _("deliveries against “{peer}”, N={clients}, W={window}").format(
            peer=titles()[peer], clients=clients, window=window
        )
        found.append(Goal(what, least, _ratio(*rates)))
    return found


def _latency(measured: Measured) -> list[Goal]:
    found = []
    for clients in (100, 500):
        for share, peer in (("p50", "naive"), ("p99", "naive"), ("p99", "ngircd")):
            ours, theirs = (
                measured.median(share, "latency", one, clients) for one in ("chat", peer)
            )
            what = _("{share} of latency against “{peer}”, N={clients}").format(
                share=share, peer=titles()[peer], clients=clients
            )
            found.append(Goal(what, 1.0, _ratio(ours, theirs), at_least=False))
    return found


def _the_rest(measured: Measured) -> list[Goal]:
    def kilobytes(peer: str) -> float | None:
        size = measured.median("bytes_per_connection", "memory", peer)
        return None if size is None else size / 1000

    entered = measured.median("entered", "storm", "chat")
    stalled = [measured.median("rate", name, "chat") for name in ("stalled", "not stalled")]
    durable = (
        measured.median("rate", "durable", "chat-durable"),
        measured.median("rate", "throughput", "chat", 100, WINDOW),
    )
    return [
        Goal(_("memory per connection"), 25, kilobytes("chat"), at_least=False, unit=_("KB")),
        Goal(_("a thousand at once: those who got in"), 1000, entered, unit=""),
        Goal(
            _("a thousand at once: registrations per second"),
            2000,
            measured.median("rate", "storm", "chat"),
            unit="",
        ),
        Goal(_("one of a hundred does not read: the rate of the others"), 0.95, _ratio(*stalled)),
        Goal(_("with a history on disk: the rate"), 0.7, _ratio(*durable)),
    ]
