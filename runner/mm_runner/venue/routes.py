"""The venue's REST routes that the engine uses: method, path, weight, urgency, and the metric's `action`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mm_runner.venue.budget import Urgency


class Security(Enum):
    """What a route asks for."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Route:
    """One route. `action` is the label of `runner_rest_*`."""

    action: str
    method: str
    path: str
    weight: int = 1
    urgency: Urgency = Urgency.ESSENTIAL
    security: Security = Security.SIGNED
    timeout_seconds: float = 5.0


PLACE: Final = Route("place", "POST", "/fapi/v1/order", 0, Urgency.ORDER, timeout_seconds=3.0)
CANCEL: Final = Route("cancel", "DELETE", "/fapi/v1/order", 1, timeout_seconds=3.0)
CANCEL_BATCH: Final = Route("cancel", "DELETE", "/fapi/v1/batchOrders", 1, timeout_seconds=3.0)
QUERY: Final = Route("query", "GET", "/fapi/v1/order", 1)
OPEN_ORDERS: Final = Route("open_orders", "GET", "/fapi/v1/openOrders", 1)
POSITION_RISK: Final = Route("position", "GET", "/fapi/v3/positionRisk", 5)
ACCOUNT: Final = Route("account", "GET", "/fapi/v3/account", 5)
USER_TRADES: Final = Route("trades", "GET", "/fapi/v1/userTrades", 5)
EXCHANGE_INFO: Final = Route(
    "exchange_info", "GET", "/fapi/v1/exchangeInfo", 1, Urgency.DEFERRABLE, Security.NONE, timeout_seconds=10.0
)
COMMISSION_RATE: Final = Route("config", "GET", "/fapi/v1/commissionRate", 20, Urgency.DEFERRABLE)
LEVERAGE: Final = Route("config", "POST", "/fapi/v1/leverage", 1, Urgency.DEFERRABLE)
MARGIN_TYPE: Final = Route("config", "POST", "/fapi/v1/marginType", 1, Urgency.DEFERRABLE)
POSITION_MODE: Final = Route("config", "GET", "/fapi/v1/positionSide/dual", 30, Urgency.DEFERRABLE)
DEPTH: Final = Route("depth", "GET", "/fapi/v1/depth", 20, Urgency.DEFERRABLE, Security.NONE)
TIME: Final = Route("time", "GET", "/fapi/v1/time", 1, Urgency.ESSENTIAL, Security.NONE, timeout_seconds=2.0)
CREATE_LISTEN_KEY: Final = Route("listen_key", "POST", "/fapi/v1/listenKey", 1, security=Security.KEY)
KEEP_LISTEN_KEY: Final = Route("listen_key", "PUT", "/fapi/v1/listenKey", 1, security=Security.KEY)
COUNTDOWN: Final = Route("deadman", "POST", "/fapi/v1/countdownCancelAll", 10, timeout_seconds=2.0)
