"""`spec.exchange`: where the engine trades, as whom, and how hard it may lean on the venue."""

from __future__ import annotations

from typing import Annotated, Final

from mm_contract.resource._choices import Environment, ForeignOrders, MarginType, OrderEntry, Venue
from mm_contract.resource._fields import Block, Format, between, block, hot, immutable, restart

ACCOUNT: Final = Format(
    pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    message="must be lower-case letters, digits and dashes, at most 63; change it to a name such as desk-a",
    max_length=63,
)
SECRET_NAME: Final = Format(
    pattern=r"^mm-[a-z0-9]([-a-z0-9.]{0,248}[a-z0-9])?$",
    message="must begin with mm- and be a valid Secret name, so that a resource cannot reach other Secrets of the namespace;"
    " rename the Secret and change it to a name such as mm-desk-a",
    max_length=253,
)
HTTP_URL: Final = Format(
    pattern=r"^(https?://[^\s]+)?$",
    message="must be empty or a URL; change it to one that begins with http:// or https://",
    max_length=512,
)
WS_URL: Final = Format(
    pattern=r"^(wss?://[^\s]+)?$",
    message="must be empty or a URL; change it to one that begins with ws:// or wss://",
    max_length=512,
)


class CredentialsSpec(Block):
    """Where the API keys are."""

    secret_name: Annotated[
        str,
        restart(
            "Secret in the same namespace with the keys apiKey and apiSecret. Its name begins with mm-;"
            " its contents may rotate at any time without a restart."
        ),
        SECRET_NAME,
    ]


class EndpointsSpec(Block):
    """Base URLs of the venue; empty means the environment's own."""

    rest: Annotated[str, restart("REST base URL."), HTTP_URL] = ""
    public_stream: Annotated[str, restart("WebSocket base URL of depth, bookTicker and trade."), WS_URL] = ""
    market_stream: Annotated[str, restart("WebSocket base URL of aggTrade and markPrice."), WS_URL] = ""
    private_stream: Annotated[str, restart("WebSocket base URL of user data."), WS_URL] = ""
    ws_api: Annotated[str, restart("WebSocket base URL of order entry."), WS_URL] = ""


class ExchangeSpec(Block):
    """Where the engine trades and as whom."""

    venue: Annotated[Venue, immutable("Venue.")] = Venue.BINANCE_USDM
    environment: Annotated[Environment, immutable("Which of the venue's worlds; production trades real money.")] = (
        Environment.SIMULATED
    )
    account: Annotated[str, immutable("A name of yours for the account behind the key; part of the claim."), ACCOUNT]
    credentials: Annotated[CredentialsSpec, block("API keys.")]
    endpoints: Annotated[
        EndpointsSpec,
        block(
            "Base URLs. production and testnet have built-in ones; simulated uses the chart's exchange Service in a pod"
            " and requires them outside."
        ),
    ] = EndpointsSpec()
    order_entry: Annotated[OrderEntry, restart("The way orders take to the venue.")] = OrderEntry.REST
    leverage: Annotated[int, restart("Leverage, set and verified at the start."), between(1, 125)] = 5
    margin_type: Annotated[MarginType, restart("Margin type, set and verified at the start.")] = MarginType.ISOLATED
    recv_window_ms: Annotated[
        int,
        hot("Milliseconds after its timestamp for which the venue may still accept a request."),
        between(500, 2000),
    ] = 2000
    foreign_orders: Annotated[
        ForeignOrders, hot("What to do where the symbol has orders on this account that are not the engine's.")
    ] = ForeignOrders.REFUSE
    weight_share: Annotated[
        float, hot("Part of the egress IP's request-weight budget that engines may use."), between(0.01, 1.0)
    ] = 0.9
