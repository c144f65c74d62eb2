"""Every Kubernetes name, label, port and path on which operator, engine and chart must agree.

Kept apart from behaviour so that a renamed label is one line here and nowhere else.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "marketmaker.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
MARKET_MAKER_KIND: Final = "MarketMaker"
MARKET_MAKER_PLURAL: Final = "marketmakers"
TRADING_HALT_KIND: Final = "TradingHalt"
TRADING_HALT_PLURAL: Final = "tradinghalts"

MAX_NAME_LENGTH: Final = 40
"""`metadata.name` of a MarketMaker: leaves room for `-<uid5>-<attempt>` within a pod's hostname of 63."""

FINALIZER: Final = f"{GROUP}/orders"
"""Guards deletion until zero own orders are proven; only the planner removes it."""
ABANDON_ANNOTATION: Final = f"{GROUP}/abandon-orders"
"""Set to the resource's uid it is the documented way out when the exchange is down: the finalizer goes without proof."""
FIELD_MANAGER: Final = "mm-operator"
STATUS_FIELD_MANAGER: Final = "mm-operator-status"

LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_RESOURCE: Final = f"{GROUP}/name"
LABEL_UID: Final = f"{GROUP}/uid"
LABEL_CLAIM: Final = f"{GROUP}/claim"
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
ANNOTATION_RESTART_HASH: Final = f"{GROUP}/restart-hash"
"""On a pod: the hash of the restart-class fields that it was rendered from."""

APP_NAME: Final = "market-maker"
COMPONENT_RUNNER: Final = "runner"
COMPONENT_OPERATOR: Final = "operator"
COMPONENT_EXCHANGE: Final = "exchange"
MANAGED_BY: Final = "mm-operator"

METRICS_PORT: Final = 9100
STATUS_PORT: Final = 8080
METRICS_PATH: Final = "/metrics"
HEALTH_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"
STATUS_PATH: Final = "/v1/status"
METRICS_PORT_NAME: Final = "metrics"
STATUS_PORT_NAME: Final = "status"

RUNNER_CONTAINER: Final = "runner"
LOG_DIRECTORY: Final = "/var/log/market-maker"
LOG_FILE: Final = f"{LOG_DIRECTORY}/runner.log"
STATE_DIRECTORY: Final = "/var/lib/market-maker"
"""Writable folder of the runner in a pod (emptyDir): the local halt latch lies here."""
CREDENTIALS_DIRECTORY: Final = "/var/run/market-maker/credentials"
TOKEN_DIRECTORY: Final = "/var/run/market-maker/status-token"  # noqa: S105 - a path, not a password
TOKEN_KEY: Final = "token"  # noqa: S105 - the key within the Secret
API_KEY_FILE: Final = "apiKey"
API_SECRET_FILE: Final = "apiSecret"  # noqa: S105 - a file name
TERMINATION_LOG: Final = "/dev/termination-log"

# Environment of a runner's container, set by the operator (POD_* by the downward API).
ENV_POD_NAME: Final = "MM_POD_NAME"
ENV_POD_UID: Final = "MM_POD_UID"
ENV_NODE_NAME: Final = "MM_NODE_NAME"
ENV_NAMESPACE: Final = "MM_NAMESPACE"
ENV_RESOURCE_NAME: Final = "MM_NAME"
ENV_RESOURCE_UID: Final = "MM_UID"
ENV_CLAIMS_NAMESPACE: Final = "MM_CLAIMS_NAMESPACE"
ENV_ATTEMPT: Final = "MM_ATTEMPT"
ENV_CREDENTIALS_DIR: Final = "MM_CREDENTIALS_DIR"
ENV_STATUS_TOKEN_DIR: Final = "MM_STATUS_TOKEN_DIR"  # noqa: S105 - a variable's name
ENV_STATE_DIR: Final = "MM_STATE_DIR"
ENV_LOG_FILE: Final = "MM_LOG_FILE"
ENV_SIMULATED_REST: Final = "MM_SIMULATED_REST"
ENV_SIMULATED_WS: Final = "MM_SIMULATED_WS"
"""Where `environment: simulated` with empty endpoints finds the chart's exchange Service (base URLs)."""


def pod_name(name: str, uid: str, attempt: int) -> str:
    """`<name>-<uid5>-<attempt>`: the API server answers a second create with 409, even to a stale operator."""
    return f"{name}-{uid[:5]}-{attempt}"


def child_name(name: str) -> str:
    """Name of the ServiceAccount, Role, RoleBinding, headless Service and ConfigMap of a MarketMaker."""
    return f"mm-{name}"


def token_secret_name(name: str, uid: str, key_id: str) -> str:
    """Name of the create-only Secret with the status stream's bearer token, one per key id."""
    return f"mm-{name}-{uid[:5]}-token-{key_id}"
