"""Budgets against strangers, so that no client can use up shared resources.

Everything that costs the server something has a budget, which is refilled at a steady rate (a token
bucket). A client that has used up its budget waits, which delays only that client, and 5 seconds at
most, so that someone who shares an address with a crowd gets in as well; messages above the limit
are refused. A user who enters gets a burst out of the budget of the address, and what is left of it
goes back there, so reconnecting gains no more than that budget has. These are the budgets:

=================  ==============================  ==========  ==========  ===============
what               who shares it                   a second    at once     when it is over
=================  ==============================  ==========  ==========  ===============
connections        an address                      100         2000        closed at once
entering, leaving  an address                      20          1000        waits
messages           a user (``--rate``)             rate        burst       ``too_fast``
messages           all newcomers of an address     10 × rate   10 × burst  smaller burst
bytes              a user                          128 KiB     256 KiB     waits
requests           a user                          50          200         waits
refusals           a user                          10          20          waits
``too_fast``       a user                          50          1           waits
wrong passwords    an address                      0.2         5           waits a second
=================  ==============================  ==========  ==========  ===============

Many people can share an address (behind an address translator, in a classroom). So the budgets of
an address are meant for fifty people, not for one; each user in the chat has a budget of their own;
and the right password is accepted however many wrong ones others have sent from the same address.
With a rate, a message that is sent again counts as a request.
An IPv6 address counts as its /64 network, which is what one customer gets (RFC 6177, section 2).

Seam: `chat.core.server.Gate`.
"""

import ipaddress
import threading
from functools import lru_cache

from chat.core.protocol import Limits, ProtocolError
from chat.core.server import Address, Budget, Gate
from chat.core.timing import TokenBucket

CONNECTIONS = (100, 2000)
ENTRIES = (20, 1000)
BYTES = (128 * 1024, 256 * 1024)
BYTES_AT_ONCE = 16 * 1024
REQUESTS, HISTORY = (50, 200), 5  # a question for history counts as so many
REFUSALS = (10, 20)
TOO_FAST_PAUSE = 0.02
GUESS_RATE, GUESS_BURST = 0.2, 5
NEIGHBOURS = 10
"""Newcomers from one address that get a full budget of messages."""

GUESS_PAUSE = 1.0
"""Seconds that a password waits after too many wrong ones from the same address."""

ADDRESSES = 10_000
"""Addresses whose budgets are kept; the least recently seen are forgotten."""


class _Neighbours:
    """The budgets that all clients from one address share."""

    __slots__ = ("connections", "entries", "guesses", "messages")

    def __init__(self, limits: Limits) -> None:
        self.connections = TokenBucket(*CONNECTIONS)
        self.entries = TokenBucket(*ENTRIES)
        self.messages = TokenBucket(NEIGHBOURS * limits.rate, NEIGHBOURS * limits.burst)
        self.guesses = TokenBucket(GUESS_RATE, GUESS_BURST)


class Budgets(Gate):
    """The budgets of all addresses and clients."""

    def __init__(self, limits: Limits) -> None:
        """Give each user `Limits.rate` and `Limits.burst`."""
        self._limits = limits
        self._lock = threading.Lock()  # guards the buckets that are shared
        self._neighbours = lru_cache(ADDRESSES)(lambda _network: _Neighbours(limits))

    def admit(self, address: Address) -> "ClientBudget | None":
        """Return the budget of a client from *address*; None for too many connections."""
        neighbours = self._neighbours(_network(address[0]))
        with self._lock:
            if not neighbours.connections.take():
                return None
        return ClientBudget(self._limits, neighbours, self._lock)


class ClientBudget(Budget):
    """The budget of one client. Its own thread uses it."""

    def __init__(self, limits: Limits, neighbours: _Neighbours, lock: threading.Lock) -> None:
        """Start with a full budget, apart from what is shared with the *neighbours*."""
        self._limits = limits
        self._neighbours = neighbours
        self._lock = lock  # guards the neighbours' buckets
        self._messages: TokenBucket | None = None  # made when the client has entered
        self._bytes = TokenBucket(*BYTES) if limits.rate else TokenBucket(0, 0)
        self._unpaid = 0  # bytes counted but not yet taken from the bucket
        self._requests = TokenBucket(*REQUESTS)
        self._refusals = TokenBucket(*REFUSALS)
        self._too_fast = 0

    def take(self, kind: str, size: int) -> float:
        """Charge for a frame of *size* bytes with a request of *kind*."""
        wait = 0.0
        self._unpaid += size
        if self._unpaid > BYTES_AT_ONCE:
            wait, self._unpaid = self._bytes.draw(self._unpaid), 0
        if kind == "message":
            self._take_message()
            return wait
        return max(wait, self._draw(kind))

    def _draw(self, kind: str) -> float:
        """Charge for anything but a message; return the seconds to wait."""
        if kind == "repeated" and not self._limits.rate:
            return 0  # all that was in transit comes at once after a loss
        if kind not in ("register", "admin", "wrong_password"):
            return self._requests.draw(HISTORY if kind == "history" else 1)
        with self._lock:
            if kind == "register":
                return self._neighbours.entries.draw(1)
            if kind == "admin":
                return 0 if self._neighbours.guesses.tokens >= 1 else GUESS_PAUSE
            if not self._neighbours.guesses.take():
                raise ProtocolError("too_fast")
            return 0

    def _take_message(self) -> None:
        if self._messages is None:
            self._messages = self._first_burst()
        if not self._messages.take():
            self._too_fast += 1
            raise ProtocolError("too_fast")
        if self._too_fast and self._messages.full:
            self._too_fast = 0

    def _first_burst(self) -> TokenBucket:
        """Return a bucket filled out of the neighbours' one, which reconnecting can only empty."""
        limits = self._limits
        with self._lock:
            left = self._neighbours.messages.take_up_to(limits.burst)
        return TokenBucket(limits.rate, limits.burst, limits.burst - left)

    def refuse(self, code: str) -> float | None:
        """Charge for a refusal; a client that is too fast waits a short, fixed time."""
        if code != "too_fast":
            return self._refusals.draw(1)
        return None if self._too_fast > self._limits.refusals else TOO_FAST_PAUSE

    def close(self) -> None:
        """Return what is left to the budget of the address."""
        if self._messages is not None:
            with self._lock:
                self._neighbours.messages.give(self._messages.tokens)


def _network(host: str) -> str:
    """Return the network that counts as one address."""
    host = host.removeprefix("::ffff:")  # IPv4, accepted by a socket of IPv6
    try:
        return str(ipaddress.IPv6Network((host.partition("%")[0], 64), strict=False))
    except ValueError:  # IPv4
        return host
