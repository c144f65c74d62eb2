"""Where the venue is: base URLs and URL forms, by environment.

The form of a stream URL is a property of the environment, not of the code: production retired the unrouted paths (subscriptions succeed and then
deliver nothing), while the testnet may keep them longer (venue-facts; venue documents of 2026-04-23).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mm_contract import names

USER_EVENTS: Final = (
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_UPDATE",
    "ACCOUNT_CONFIG_UPDATE",
    "MARGIN_CALL",
    "listenKeyExpired",
)
"""What the private stream is asked for; without `events=` production delivers no payload."""


class EndpointSettings(Protocol):
    """`spec.exchange.endpoints`: empty strings mean the environment's own."""

    @property
    def rest(self) -> str: ...  # noqa: D102 - see mm.yaml
    @property
    def public_stream(self) -> str: ...  # noqa: D102
    @property
    def market_stream(self) -> str: ...  # noqa: D102
    @property
    def private_stream(self) -> str: ...  # noqa: D102
    @property
    def ws_api(self) -> str: ...  # noqa: D102


class EndpointError(ValueError):
    """The environment has no built-in URL and the spec names none."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base URLs without a trailing slash; stream bases carry their route (`…/public`) where the environment is routed."""

    rest: str
    public_stream: str
    market_stream: str
    private_stream: str
    ws_api: str
    key_in_query: bool = True
    """False: the listenKey is a path segment (the old form). On production that form is accepted and stays silent."""

    def public_url(self, streams: Sequence[str]) -> str:
        """Raw-mode URL of depth, bookTicker and trade streams."""
        return f"{self.public_stream}/ws/{'/'.join(streams)}"

    def market_url(self, streams: Sequence[str]) -> str:
        """Raw-mode URL of aggTrade and markPrice streams; asked for on the public base they stay silent."""
        return f"{self.market_stream}/ws/{'/'.join(streams)}"

    def private_url(self, listen_key: str) -> str:
        """URL of the user stream. It holds a credential: never log it (invariant 8)."""
        if not self.key_in_query:
            return f"{self.private_stream}/ws/{listen_key}"
        return f"{self.private_stream}/ws?listenKey={listen_key}&events={'/'.join(USER_EVENTS)}"


PRODUCTION: Final = Endpoints(
    rest="https://fapi.binance.com",
    public_stream="wss://fstream.binance.com/public",
    market_stream="wss://fstream.binance.com/market",
    private_stream="wss://fstream.binance.com/private",
    ws_api="wss://ws-fapi.binance.com/ws-fapi/v1",
)
TESTNET: Final = Endpoints(
    rest="https://testnet.binancefuture.com",
    public_stream="wss://fstream.binancefuture.com",
    market_stream="wss://fstream.binancefuture.com",
    private_stream="wss://fstream.binancefuture.com",
    ws_api="wss://testnet.binancefuture.com/ws-fapi/v1",
    key_in_query=False,
)


def resolve(environment: str, settings: EndpointSettings, env: Mapping[str, str]) -> Endpoints:
    """The URLs to use: the spec's where it names one, else the environment's own.

    Args:
        environment: `production`, `testnet` or `simulated`.
        settings: `spec.exchange.endpoints`.
        env: the process's environment; `MM_SIMULATED_REST` and `MM_SIMULATED_WS` name the chart's exchange Service.

    Raises:
        EndpointError: a URL is neither named nor built in, or the environment is unknown.
    """
    own = _built_in(environment, env)
    chosen = Endpoints(
        rest=_bare(settings.rest or own.rest),
        public_stream=_bare(settings.public_stream or own.public_stream),
        market_stream=_bare(settings.market_stream or own.market_stream),
        private_stream=_bare(settings.private_stream or own.private_stream),
        ws_api=_bare(settings.ws_api or own.ws_api),
        key_in_query=own.key_in_query,
    )
    missing = [
        name for name in ("rest", "public_stream", "market_stream", "private_stream") if not getattr(chosen, name)
    ]
    if missing:
        raise EndpointError(
            f"environment {environment} has no built-in URL for {', '.join(missing)}: "
            f"set spec.exchange.endpoints, or {names.ENV_SIMULATED_REST} and {names.ENV_SIMULATED_WS}"
        )
    return chosen


def _built_in(environment: str, env: Mapping[str, str]) -> Endpoints:
    if environment == "production":
        return PRODUCTION
    if environment == "testnet":
        return TESTNET
    if environment != "simulated":
        raise EndpointError(f"unknown environment {environment!r}: use production, testnet or simulated")
    base = _bare(env.get(names.ENV_SIMULATED_WS, ""))
    routed = {route: f"{base}/{route}" if base else "" for route in ("public", "market", "private")}
    return Endpoints(
        rest=_bare(env.get(names.ENV_SIMULATED_REST, "")),
        public_stream=routed["public"],
        market_stream=routed["market"],
        private_stream=routed["private"],
        ws_api=f"{base}/ws-fapi/v1" if base else "",
    )


def _bare(url: str) -> str:
    return url.rstrip("/")
