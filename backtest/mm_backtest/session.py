"""What surrounds the engine live and is quiet in a backtest: spec, halts, Lease, claim state, instrument, streams, each told by the same events.

The Lease is always renewed, the claim state is durable at once, no halt exists, the account is fresh. Spec fields that only reality can give are passed
over: `IGNORED`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from mm_backtest.counter import Counter
from mm_backtest.driver import HostClock
from mm_backtest.errors import BacktestError
from mm_backtest.latency import Latency
from mm_backtest.schedule import Schedule
from mm_contract.claim import Claim, renew_period_seconds, send_deadline_seconds
from mm_contract.claim_state import ClaimState
from mm_contract.resource import MarketMaker, MarketMakerSpec, SpecError, load_manifest
from mm_contract.states import ListenKeyState
from mm_exchange.payloads import mark_payload
from mm_runner.core import messages as m
from mm_runner.core.settings import refusal
from mm_runner.venue import answers, routes
from mm_runner.venue.wire import MarketDecoder

IGNORED: Final = (
    "exchange.environment",
    "exchange.credentials",
    "exchange.endpoints",
    "exchange.weightShare",
    "failover.leaseSeconds (renewed without fail)",
    "shutdown.onDelete",
    "telemetry",
    "pod",
)
"""Fields of the spec that a backtest reads past."""
_SECOND: Final = 1_000_000_000
_EPOCH: Final = 1
_MARK_NS: Final = _SECOND
_RULES_NS: Final = 900 * _SECOND
_MARGIN_TYPES: Final = {"Isolated": b"ISOLATED", "Cross": b"CROSSED"}


def read_spec(path: Path) -> MarketMaker:
    """A MarketMaker from a file.

    Raises:
        BacktestError: it cannot be read, is refused by the contract, or by this engine.
    """
    try:
        maker = load_manifest(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BacktestError(f"the spec {path} cannot be read: {error}; give a MarketMaker in YAML") from error
    except SpecError as error:
        raise BacktestError(f"the spec {path} is refused: {'; '.join(error.problems)}") from error
    check_spec(maker.spec, where=str(path))
    return maker


def check_spec(spec: MarketMakerSpec, *, where: str) -> None:
    """Raises BacktestError where the engine would refuse a spec that the contract accepts."""
    sentence = refusal(spec, symbol=spec.symbol)
    if sentence is not None:
        raise BacktestError(f"the engine refuses {where}: {sentence}")


def claim_of(spec: MarketMakerSpec) -> Claim:
    """The claim that a live engine of this spec would hold, so that its order ids are the same."""
    exchange = spec.exchange
    return Claim(exchange.venue.value, exchange.environment.value, exchange.account, spec.symbol)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Everything a session needs of the others."""

    counter: Counter
    schedule: Schedule
    latency: Latency
    clock: HostClock
    deliver: Callable[[m.Event, int], None]


class Session:
    """Brings the engine up and keeps it supplied.

    Args:
        spec: what it runs.
        parts: whom it talks to.
    """

    def __init__(self, spec: MarketMakerSpec, parts: Quiet) -> None:
        self._spec = spec
        self._parts = parts
        self._decoder = MarketDecoder(spec.symbol)
        self._interval_ns = round(renew_period_seconds(spec.failover.lease_seconds) * _SECOND)
        self._lease_ns = round(send_deadline_seconds(spec.failover.lease_seconds) * _SECOND)

    def load_instrument(self, time_ns: int) -> m.InstrumentLoaded:
        """`exchangeInfo` and `commissionRate`, as the live rules keeper reads them."""
        counter = self._parts.counter
        symbol = self._spec.symbol
        rules = answers.read_rules(counter.need(routes.EXCHANGE_INFO, now_ns=time_ns), symbol)
        body = counter.need(routes.COMMISSION_RATE, f"symbol={symbol}".encode(), now_ns=time_ns)
        fees = answers.decode(body, answers.CommissionRate)
        return m.InstrumentLoaded(
            instrument=rules.instrument, maker_fee=fees.makerCommissionRate, taker_fee=fees.takerCommissionRate
        )

    def configure_account(self, time_ns: int) -> None:
        """Margin type and leverage, before the first order."""
        exchange, counter = self._spec.exchange, self._parts.counter
        symbol = f"symbol={self._spec.symbol}".encode()
        margin_type = _MARGIN_TYPES[exchange.margin_type.value]
        counter.need(routes.MARGIN_TYPE, b"%b&marginType=%b" % (symbol, margin_type), now_ns=time_ns)
        counter.need(routes.LEVERAGE, b"%b&leverage=%d" % (symbol, exchange.leverage), now_ns=time_ns)

    def begin(self, loaded: m.InstrumentLoaded, time_ns: int) -> None:
        """The order of a live start (`mm_runner.control.life`): spec, halts, claim state, Lease; then the venue."""
        deliver, at = self._parts.deliver, self._parts.schedule.at
        deliver(m.SpecChanged(spec=self._spec, generation=1), time_ns)
        deliver(m.HaltsChanged(), time_ns)
        deliver(m.LocalHalt(active=False), time_ns)
        deliver(m.ClaimStateLoaded(state=ClaimState()), time_ns)
        self._renew(time_ns)
        deliver(loaded, time_ns)
        connected = time_ns + self._parts.latency.entry() + self._parts.latency.answer()
        at(connected, self._connect)
        at(connected + _MARK_NS, self._mark)
        at(time_ns + _RULES_NS, self._read_rules)

    def execute(self, actions: Sequence[m.Action], time_ns: int) -> None:
        """The shell's part of the engine's actions: the claim state is durable at once."""
        for action in actions:
            if isinstance(action, m.PersistClaimState):
                self._parts.schedule.at(time_ns, self._parts.deliver, m.ClaimStatePersisted(token=action.token))

    def _renew(self, time_ns: int) -> None:
        deadline = self._parts.clock.boot_ns(time_ns) + self._lease_ns
        self._parts.deliver(m.LeaseState(held=True, send_deadline_boot_ns=deadline, epoch=_EPOCH), time_ns)
        self._parts.schedule.at(time_ns + self._interval_ns, self._renew)

    def _connect(self, time_ns: int) -> None:
        deliver = self._parts.deliver
        for stream in (m.Stream.PUBLIC, m.Stream.MARKET, m.Stream.USER):
            deliver(m.StreamUp(stream=stream), time_ns)
        deliver(m.ListenKey(state=ListenKeyState.ACTIVE), time_ns)

    def _mark(self, time_ns: int) -> None:
        frame = mark_payload(self._parts.counter.listing, time_ns // 1_000_000)
        event = self._decoder.decode(orjson.dumps(frame))
        if event is not None:
            self._parts.schedule.at(time_ns + self._parts.latency.feed(), self._parts.deliver, event)
        self._parts.schedule.at(time_ns + _MARK_NS, self._mark)

    def _read_rules(self, time_ns: int) -> None:
        loaded = self.load_instrument(time_ns)
        self._parts.deliver(loaded, time_ns)
        self._parts.schedule.at(time_ns + _RULES_NS, self._read_rules)
