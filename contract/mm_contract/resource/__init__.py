"""The resource: pydantic models of MarketMaker and TradingHalt, their rules, and how a change of the spec acts.

The single source of the CRDs (`mm_contract.crd`), the field reference and the examples. Operator and engine read resources only through here.
"""

from mm_contract.resource._changes import SpecChange, changes, field_class
from mm_contract.resource._choices import (
    Environment,
    ForeignOrders,
    HaltPolicy,
    LogLevel,
    LogSidecar,
    MarginType,
    OnDelete,
    OnHalt,
    OrderEntry,
    Venue,
)
from mm_contract.resource._exchange import CredentialsSpec, EndpointsSpec, ExchangeSpec
from mm_contract.resource._fields import FieldClass, format_amount
from mm_contract.resource._manifest import load_manifest
from mm_contract.resource._market_maker import MarketMaker, ObjectMeta, TradingHalt, TradingHaltSpec, to_manifest
from mm_contract.resource._operations import FailoverSpec, ShutdownSpec, TelemetrySpec
from mm_contract.resource._parse import SpecError, parse_market_maker, parse_trading_halt
from mm_contract.resource._pod import EnvVar, PodSpec, ResourcesSpec
from mm_contract.resource._quoting import QuotingSpec, StaticLegSpec
from mm_contract.resource._risk import AdaptiveSpec, DrawdownBand, ErrorStormSpec, RiskSpec, ShockSpec
from mm_contract.resource._rules import RULES, TRANSITION_RULES, Rule, TransitionRule
from mm_contract.resource._selector import LabelSelector, SelectorOperator, SelectorRequirement
from mm_contract.resource._spec import MarketMakerSpec
from mm_contract.resource._status import (
    Condition,
    ConditionStatus,
    EffectiveStatus,
    EngineStatus,
    ListenKeyStatus,
    MarketDataStatus,
    MarketMakerStatus,
    RiskStatus,
)
from mm_contract.resource._strategy import AsmmSpec, AvellanedaStoikovSpec, GlftSpec, GridSpec, StrategySpec

__all__ = [
    "RULES",
    "TRANSITION_RULES",
    "AdaptiveSpec",
    "AsmmSpec",
    "AvellanedaStoikovSpec",
    "Condition",
    "ConditionStatus",
    "CredentialsSpec",
    "DrawdownBand",
    "EffectiveStatus",
    "EndpointsSpec",
    "EngineStatus",
    "EnvVar",
    "Environment",
    "ErrorStormSpec",
    "ExchangeSpec",
    "FailoverSpec",
    "FieldClass",
    "ForeignOrders",
    "GlftSpec",
    "GridSpec",
    "HaltPolicy",
    "LabelSelector",
    "ListenKeyStatus",
    "LogLevel",
    "LogSidecar",
    "MarginType",
    "MarketDataStatus",
    "MarketMaker",
    "MarketMakerSpec",
    "MarketMakerStatus",
    "ObjectMeta",
    "OnDelete",
    "OnHalt",
    "OrderEntry",
    "PodSpec",
    "QuotingSpec",
    "ResourcesSpec",
    "RiskSpec",
    "RiskStatus",
    "Rule",
    "SelectorOperator",
    "SelectorRequirement",
    "ShockSpec",
    "ShutdownSpec",
    "SpecChange",
    "SpecError",
    "StaticLegSpec",
    "StrategySpec",
    "TelemetrySpec",
    "TradingHalt",
    "TradingHaltSpec",
    "TransitionRule",
    "Venue",
    "changes",
    "field_class",
    "format_amount",
    "load_manifest",
    "parse_market_maker",
    "parse_trading_halt",
    "to_manifest",
]
