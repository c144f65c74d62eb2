"""Filters that change while the exchange runs: the `filters-changed` fault on a symbol's rules. Sans-I/O.

A symbol's scales stay what they are, so that books and positions keep their units: a tick or step is a multiple of
the smallest price or quantity the symbol can print. Orders that rest keep resting; new ones and amendments are checked
against the new filters. When the fault ends the old filters return. Both changes are told.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mm_exchange.fault_kinds import FILTERS
from mm_exchange.faults import Subject
from mm_exchange.scales import MONEY, Scale, to_decimal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mm_exchange.faults import Fault, FaultPlan, FaultSpec
    from mm_exchange.floor import Listing
    from mm_exchange.rules import SymbolRules

_KIND = frozenset({"filters-changed"})


def changed(rules: SymbolRules, params: Mapping[str, Any]) -> SymbolRules:
    """Rules with the filters that `params` name; without any, a tick ten times as large.

    Raises:
        ValueError: with a sentence, for a value that the symbol's scales cannot hold.
    """
    if not FILTERS & set(params):
        return dataclasses.replace(rules, tick=rules.tick * 10, min_price=rules.tick * 10)
    tick = _units(rules.prices, params, "tickSize", old=rules.tick)
    step = _units(rules.quantities, params, "stepSize", old=rules.step)
    return dataclasses.replace(
        rules,
        tick=tick,
        step=step,
        min_price=max(rules.min_price, tick),
        min_quantity=max(step, _units(rules.quantities, params, "minQty", old=rules.min_quantity)),
        max_quantity=_units(rules.quantities, params, "maxQty", old=rules.max_quantity),
        min_notional=_units(MONEY, params, "minNotional", old=rules.min_notional),
    )


def _units(scale: Scale, params: Mapping[str, Any], name: str, *, old: int) -> int:
    if name not in params:
        return old
    try:
        return scale.exact(to_decimal(params[name]))
    except ValueError as error:
        raise ValueError(
            f"params.{name} {params[name]} must be a multiple of {scale.text(1)}: a symbol's decimals stay"
        ) from error


def contract_info(rules: SymbolRules, now_ms: int) -> dict[str, Any]:
    """The contractInfo event: it says that a contract changed and its brackets, not its filters, as on the venue."""
    brackets = [
        {"bs": number, "bnf": row.floor, "bnc": row.cap, "mmr": float(row.ratio), "cf": float(row.cum), "mi": 1,
         "ma": row.leverage}
        for number, row in enumerate(rules.brackets, 1)
    ]  # fmt: skip
    return {
        "e": "contractInfo", "E": now_ms, "s": rules.symbol, "ps": rules.symbol, "ct": "PERPETUAL",
        "dt": 4_133_404_800_000, "ot": 1_569_398_400_000, "cs": "TRADING", "bks": brackets,
    }  # fmt: skip


class Filters:
    """The rules in force: the listed ones, changed by the faults that are active."""

    def __init__(self, listings: Mapping[str, Listing], faults: FaultPlan) -> None:
        self._listings = listings
        self._faults = faults
        self._listed: dict[str, SymbolRules] = {}
        self._struck: dict[int, set[str]] = {}

    def check(self, spec: FaultSpec) -> None:
        """Can this fault change what it is meant to?

        Raises:
            ValueError: with a sentence.
        """
        if spec.kind not in _KIND:
            return
        if spec.symbol is not None and spec.symbol not in self._listings:
            raise ValueError(f"symbol {spec.symbol!r} is not listed; listed are {', '.join(self._listings)}")
        for symbol in [spec.symbol] if spec.symbol is not None else list(self._listings):
            changed(self._listings[symbol].rules, spec.params)

    def update(self, now_ns: int) -> list[str]:
        """Let faults begin and end; the symbols whose rules are others now."""
        for fault in self._faults.on_present(_KIND, now_ns=now_ns):
            self._begin(fault, now_ns)
        if not self._struck:
            return []
        active = self._faults.active("filters-changed", now_ns)
        self._struck = {fault.fault_id: self._struck.get(fault.fault_id, set()) for fault in active}
        moved: list[str] = []
        for symbol, listed in self._listed.items():
            wanted = listed
            for fault in active:
                if symbol in self._struck[fault.fault_id]:
                    wanted = changed(wanted, fault.spec.params)
            listing = self._listings[symbol]
            if listing.rules != wanted:
                listing.rules = listing.market.rules = wanted
                moved.append(symbol)
        return moved

    def _begin(self, fault: Fault, now_ns: int) -> None:
        symbols = list(self._listings)
        subjects = [Subject(fault.spec.target, symbol) for symbol in symbols]
        hit = self._faults.hit_present(fault, subjects, now_ns=now_ns)
        self._struck[fault.fault_id] = {symbols[index] for index in hit}
        for symbol in self._struck[fault.fault_id]:
            self._listed.setdefault(symbol, self._listings[symbol].rules)
