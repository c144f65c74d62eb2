"""The claim: who may write orders for one symbol on one account, and how an order shows whose it is.

Pure rules, used by the engine (ids, deadlines), the operator (Lease and ConfigMap names) and the tests' oracle (to tell whose order it is).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

CLAIM_KEY_LENGTH: Final = 16
CLAIM_PREFIX_LENGTH: Final = 10
MAX_CLIENT_ORDER_ID_LENGTH: Final = 36  # venue rule: ^[\.A-Z\:/a-z0-9_-]{1,36}$
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_ORDER_ID: Final = re.compile(rf"^mm([0-9a-f]{{{CLAIM_PREFIX_LENGTH}}})-([0-9a-z]{{1,8}})-([0-9a-z]{{1,12}})$")


@dataclass(frozen=True, slots=True)
class Claim:
    """One writer's territory: hash(venue, environment, account, symbol) (design, invariant 4)."""

    venue: str
    environment: str
    account: str
    symbol: str

    @property
    def key(self) -> str:
        """16 hex characters; the parts are joined with a byte that none of them can hold."""
        text = f"{self.venue}\x1f{self.environment}\x1f{self.account}\x1f{self.symbol}"
        return hashlib.sha256(text.encode()).hexdigest()[:CLAIM_KEY_LENGTH]

    @property
    def object_name(self) -> str:
        """Name of the Lease and of the claim-state ConfigMap, both in the claims namespace."""
        return f"mm-{self.key}"

    @property
    def order_prefix(self) -> str:
        """What every client order id of this claim begins with, whatever the epoch."""
        return f"mm{self.key[:CLAIM_PREFIX_LENGTH]}-"


@dataclass(frozen=True, slots=True)
class ClientOrderId:
    """`mm` + claim hash + epoch + sequence (design, invariant 5), at most 24 of the venue's 36 characters."""

    claim_prefix: str
    epoch: int
    sequence: int

    def __str__(self) -> str:
        """The id as the venue sees it; epoch and sequence in base 36."""
        return f"{self.claim_prefix}{_base36(self.epoch)}-{_base36(self.sequence)}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an id that one of our engines made; None for anybody else's order."""
        match = _ORDER_ID.match(text)
        if match is None:
            return None
        return cls(f"mm{match[1]}-", int(match[2], 36), int(match[3], 36))

    def belongs_to(self, claim: Claim) -> bool:
        """Whether an engine of this claim, of whatever epoch, made the order."""
        return self.claim_prefix == claim.order_prefix


def next_epoch(*, lease_transitions: int, claim_state_epoch: int, status_epoch: int, order_epoch: int) -> int:
    """1 + the highest epoch that any witness has seen, so that it never repeats or falls (design, invariant 5).

    Args:
        lease_transitions: `spec.leaseTransitions` of the claim's Lease as just acquired.
        claim_state_epoch: the epoch in the claim-state ConfigMap (0 where there is none yet).
        status_epoch: `status.engine.epoch` of the resource.
        order_epoch: the highest epoch among own open and recent orders on the exchange.
    """
    return 1 + max(lease_transitions, claim_state_epoch, status_epoch, order_epoch)


def send_deadline_seconds(lease_seconds: float) -> float:
    """How long after the *send* of the last acknowledged renewal an order may still leave: two thirds of the Lease."""
    return lease_seconds * 2 / 3


def renew_period_seconds(lease_seconds: float) -> float:
    """A Lease is renewed every third of its time (design, invariant 4)."""
    return lease_seconds / 3


def _base36(number: int) -> str:
    if number < 0:
        raise ValueError(f"epoch and sequence are never negative, got {number}")
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
        if number == 0:
            return digits
