"""Every rule that spans several fields, written once and used twice: as CEL in the CRD and as a predicate in the parser.

A rule's `message` is what a person reads from `kubectl apply` and from `mm-runner check` alike. A test puts the same manifests to both and
compares the verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from mm_contract.names import GROUP, MAX_NAME_LENGTH
from mm_contract.resource._choices import HaltPolicy, LogSidecar

if TYPE_CHECKING:
    from mm_contract.resource._spec import MarketMakerSpec

Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class Rule(Generic[Subject]):
    """One rule: where it sits in the schema, how the API server checks it, what it says, and how we check it."""

    path: str
    """Place of the rule in the schema, such as `spec`; `""` is the resource itself."""
    field: str
    """The field that is blamed, relative to `path`."""
    cel: str
    message: str
    holds: Callable[[Subject], bool]

    @property
    def sentence(self) -> str:
        """The message with the full path of the blamed field in front."""
        return f"{'.'.join(part for part in (self.path, self.field) if part)}: {self.message}"


@dataclass(frozen=True, slots=True)
class TransitionRule:
    """A rule about a change, which only the API server can check: it alone knows the object before."""

    path: str
    cel: str
    message: str


def broken(rules: Iterable[Rule[Subject]], subject: Subject) -> tuple[Rule[Subject], ...]:
    """The rules that do not hold."""
    return tuple(rule for rule in rules if not rule.holds(subject))


def _exactly_one_strategy(spec: MarketMakerSpec) -> bool:
    strategy = spec.strategy
    return [strategy.grid, strategy.asmm, strategy.avellaneda_stoikov, strategy.glft].count(None) == 3


def _grid_pins_before_it_grinds(spec: MarketMakerSpec) -> bool:
    grid = spec.strategy.grid
    return grid is None or grid.pinning_threshold < grid.grinding_threshold


def _grid_grinds_before_reduce_only(spec: MarketMakerSpec) -> bool:
    grid = spec.strategy.grid
    return grid is None or grid.grinding_threshold < spec.risk.reduce_only_enter


def _bands_rise(spec: MarketMakerSpec) -> bool:
    return all(lower.drawdown < upper.drawdown for lower, upper in pairwise(spec.risk.drawdown_bands))


def _lease_outlasts_orders(spec: MarketMakerSpec) -> bool:
    # Invariant 4, in milliseconds and times three, so that both sides stay integers:
    # leaseSeconds * 2/3 + recvWindow + 1 s < leaseSeconds.
    lease = spec.failover.lease_seconds
    return lease * 2000 + spec.exchange.recv_window_ms * 3 + 3000 < lease * 3000


def _env_is_not_ours(spec: MarketMakerSpec) -> bool:
    return not any(variable.name.startswith("MM_") for variable in spec.pod.env)


def _env_is_unique(spec: MarketMakerSpec) -> bool:
    names = [variable.name for variable in spec.pod.env]
    return len(names) == len(set(names))


_RESERVED_LABELS: Final = (f"{GROUP}/", "app.kubernetes.io/")
_BASE_SIZE = "self.quoting.baseSize"
_MAX_POSITION = "self.risk.maxPosition"
_TARGET = "self.risk.targetPosition"

SPEC_RULES: Final[tuple[Rule[MarketMakerSpec], ...]] = (
    Rule(
        path="spec",
        field="strategy",
        cel="[has(self.strategy.grid), has(self.strategy.asmm), has(self.strategy.avellanedaStoikov), has(self.strategy.glft)]"
        ".filter(present, present).size() == 1",
        message="exactly one of grid, asmm, avellanedaStoikov and glft must be set; keep one block and remove the others"
        " (grid: {} takes the defaults)",
        holds=_exactly_one_strategy,
    ),
    Rule(
        path="spec",
        field="quoting.minSpreadBps",
        cel="self.quoting.minSpreadBps <= self.quoting.maxSpreadBps",
        message="minSpreadBps must not be above maxSpreadBps; lower minSpreadBps or raise maxSpreadBps",
        holds=lambda spec: spec.quoting.min_spread_bps <= spec.quoting.max_spread_bps,
    ),
    Rule(
        path="spec",
        field="quoting.minIntervalMs",
        cel="self.quoting.minIntervalMs <= self.quoting.intervalMs",
        message="minIntervalMs must not be above intervalMs; lower minIntervalMs or raise intervalMs",
        holds=lambda spec: spec.quoting.min_interval_ms <= spec.quoting.interval_ms,
    ),
    Rule(
        path="spec",
        field="quoting.baseSize",
        cel=f"!isQuantity({_BASE_SIZE}) || !isQuantity({_MAX_POSITION})"
        f" || quantity({_BASE_SIZE}).compareTo(quantity({_MAX_POSITION})) <= 0",
        message="baseSize must not be above risk.maxPosition, else no quote could ever be placed; lower baseSize or raise maxPosition",
        holds=lambda spec: spec.quoting.base_size <= spec.risk.max_position,
    ),
    Rule(
        path="spec",
        field="risk.targetPosition",
        cel=f"!isQuantity({_TARGET}) || !isQuantity({_MAX_POSITION})"
        f" || (quantity({_TARGET}).compareTo(quantity({_MAX_POSITION})) <= 0"
        f" && quantity({_TARGET}).add(quantity({_MAX_POSITION})).compareTo(quantity('0')) >= 0)",
        message="targetPosition must lie within maxPosition on either side; bring it nearer to zero or raise maxPosition",
        holds=lambda spec: abs(spec.risk.target_position) <= spec.risk.max_position,
    ),
    Rule(
        path="spec",
        field="risk.reduceOnlyExit",
        cel="self.risk.reduceOnlyExit < self.risk.reduceOnlyEnter",
        message="reduceOnlyExit must be below reduceOnlyEnter, else the state would flicker; lower reduceOnlyExit or raise reduceOnlyEnter",
        holds=lambda spec: spec.risk.reduce_only_exit < spec.risk.reduce_only_enter,
    ),
    Rule(
        path="spec",
        field="strategy.grid.pinningThreshold",
        cel="!has(self.strategy.grid) || self.strategy.grid.pinningThreshold < self.strategy.grid.grindingThreshold",
        message="pinningThreshold must be below grindingThreshold; lower pinningThreshold or raise grindingThreshold",
        holds=_grid_pins_before_it_grinds,
    ),
    Rule(
        path="spec",
        field="strategy.grid.grindingThreshold",
        cel="!has(self.strategy.grid) || self.strategy.grid.grindingThreshold < self.risk.reduceOnlyEnter",
        message="grindingThreshold must be below risk.reduceOnlyEnter, else grinding would never begin;"
        " lower grindingThreshold or raise reduceOnlyEnter",
        holds=_grid_grinds_before_reduce_only,
    ),
    Rule(
        path="spec",
        field="risk.drawdownBands",
        cel="self.risk.drawdownBands.map(band, band.drawdown).isSorted() && self.risk.drawdownBands"
        ".all(band, self.risk.drawdownBands.exists_one(other, other.drawdown == band.drawdown))",
        message="drawdownBands must rise: each drawdown above the one before; sort the bands and remove doubles",
        holds=_bands_rise,
    ),
    Rule(
        path="spec",
        field="risk.haltSeconds",
        cel=f"self.risk.haltPolicy != '{HaltPolicy.TIMED}' || self.risk.haltSeconds > 0",
        message="haltSeconds must be more than 0 where haltPolicy is Timed; raise haltSeconds or set haltPolicy to Latched",
        holds=lambda spec: spec.risk.halt_policy is not HaltPolicy.TIMED or spec.risk.halt_seconds > 0,
    ),
    Rule(
        path="spec",
        field="risk.adaptive.minFactor",
        cel="self.risk.adaptive.minFactor <= self.risk.adaptive.maxFactor",
        message="minFactor must not be above maxFactor; lower minFactor or raise maxFactor",
        holds=lambda spec: spec.risk.adaptive.min_factor <= spec.risk.adaptive.max_factor,
    ),
    Rule(
        path="spec",
        field="failover.leaseSeconds",
        cel="self.failover.leaseSeconds * 2000 + self.exchange.recvWindowMs * 3 + 3000 < self.failover.leaseSeconds * 3000",
        message="two thirds of leaseSeconds + recvWindowMs + 1 s must be less than leaseSeconds, else an order could land after the"
        " Lease ran out; raise leaseSeconds or lower exchange.recvWindowMs",
        holds=_lease_outlasts_orders,
    ),
    Rule(
        path="spec",
        field="telemetry.lokiUrl",
        cel=f"self.telemetry.logSidecar == '{LogSidecar.NONE}' || self.telemetry.lokiUrl != ''",
        message="lokiUrl is required where logSidecar is not none; set it to Loki's push URL or set logSidecar to none",
        holds=lambda spec: spec.telemetry.log_sidecar is LogSidecar.NONE or spec.telemetry.loki_url != "",
    ),
    Rule(
        path="spec",
        field="pod.env",
        cel="!self.pod.env.exists(variable, variable.name.startsWith('MM_'))",
        message="names that begin with MM_ belong to the operator; choose another name",
        holds=_env_is_not_ours,
    ),
    Rule(
        path="spec",
        field="pod.env",
        cel="self.pod.env.all(variable, self.pod.env.exists_one(other, other.name == variable.name))",
        message="each name may occur once; remove the doubles",
        holds=_env_is_unique,
    ),
    Rule(
        path="spec",
        field="pod.labels",
        cel="!self.pod.labels.exists(key, "
        + " || ".join(f"key.startsWith('{prefix}')" for prefix in _RESERVED_LABELS)
        + ")",
        message=f"labels that begin with {GROUP}/ or app.kubernetes.io/ belong to the operator; choose another key",
        holds=lambda spec: not any(key.startswith(_RESERVED_LABELS) for key in spec.pod.labels),
    ),
    Rule(
        path="spec",
        field="pod.annotations",
        cel=f"!self.pod.annotations.exists(key, key.startsWith('{GROUP}/'))",
        message=f"annotations that begin with {GROUP}/ belong to the operator; choose another key",
        holds=lambda spec: not any(key.startswith(f"{GROUP}/") for key in spec.pod.annotations),
    ),
)

NAME_RULES: Final[tuple[Rule[str], ...]] = (
    Rule(
        path="",
        field="metadata.name",
        cel=f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
        message=f"the name must have at most {MAX_NAME_LENGTH} characters, for pods are named after it; choose a shorter one",
        holds=lambda name: len(name) <= MAX_NAME_LENGTH,
    ),
    Rule(
        path="",
        field="metadata.name",
        cel="!self.metadata.name.contains('.')",
        message="the name must not contain a dot, for the headless Service is named after it; use dashes",
        holds=lambda name: "." not in name,
    ),
)

RULES: Final[tuple[Rule[Any], ...]] = (*NAME_RULES, *SPEC_RULES)
"""All rules of a MarketMaker that parser and API server share."""

TRANSITION_RULES: Final = tuple(
    TransitionRule(
        path="",
        cel=f"!has(oldSelf.status) || !has(oldSelf.status.engine) || !has(oldSelf.status.engine.{field})"
        f" || (has(self.status) && has(self.status.engine) && has(self.status.engine.{field})"
        f" && self.status.engine.{field} >= oldSelf.status.engine.{field})",
        message=f"status.engine.{field} never falls: a writer with an older view was refused; read the resource again",
    )
    # Invariant 5 (epoch) and design §6 (attempt): a stale second operator is refused by the API server itself.
    for field in ("attempt", "epoch")
)
