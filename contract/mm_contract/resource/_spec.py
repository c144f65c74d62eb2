"""`spec` of a MarketMaker: all blocks together, checked against the rules that span them."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from mm_contract.resource._exchange import ExchangeSpec
from mm_contract.resource._fields import Block, Format, block, hot, immutable
from mm_contract.resource._operations import FailoverSpec, ShutdownSpec, TelemetrySpec
from mm_contract.resource._pod import PodSpec
from mm_contract.resource._quoting import QuotingSpec
from mm_contract.resource._risk import RiskSpec
from mm_contract.resource._rules import SPEC_RULES, broken
from mm_contract.resource._strategy import StrategySpec
from mm_contract.states import DesiredState

SYMBOL: Final = Format(
    pattern=r"^[A-Z0-9]{2,32}(_[0-9]{6})?$",
    message="must be a symbol as the venue spells it, upper-case letters and digits; change it to one such as ETHUSDT",
    max_length=39,
)


class MarketMakerSpec(Block):
    """What one engine is to do: one symbol, one pod, one failure domain."""

    symbol: Annotated[str, immutable("Symbol as the venue spells it; part of the claim."), SYMBOL]
    desired_state: Annotated[
        DesiredState,
        hot(
            "Running quotes. ReduceOnly only shrinks the position. Flat closes it. Halted cancels every order and holds the position."
        ),
    ] = DesiredState.RUNNING
    dry_run: Annotated[bool, hot("The whole engine works, but no order leaves it.")] = False
    exchange: Annotated[ExchangeSpec, block("Where the engine trades, as whom, and how hard it leans on the venue.")]
    quoting: Annotated[QuotingSpec, block("How wide, how deep, how much and how often the engine quotes.")] = (
        QuotingSpec()
    )
    strategy: Annotated[StrategySpec, block("Exactly one strategy block; an empty one takes its defaults.")]
    risk: Annotated[RiskSpec, block("Limits, and what happens at them.")] = RiskSpec()
    failover: Annotated[FailoverSpec, block("What keeps the engine the only writer of its claim.")] = FailoverSpec()
    shutdown: Annotated[ShutdownSpec, block("What happens at the end.")] = ShutdownSpec()
    telemetry: Annotated[TelemetrySpec, block("What the engine tells of itself.")] = TelemetrySpec()
    pod: Annotated[PodSpec, block("What a cluster's owner may say of the pod.")] = PodSpec()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        spec: MarketMakerSpec = self
        failures = broken(SPEC_RULES, spec)
        if failures:
            raise PydanticCustomError("rules", "{text}", {"text": "\n".join(rule.sentence for rule in failures)})
        return self
