"""`spec.failover`, `spec.shutdown` and `spec.telemetry`: what keeps the engine the only one, ends it, and shows it."""

from __future__ import annotations

from typing import Annotated

from mm_contract.resource._choices import LogLevel, LogSidecar, OnDelete
from mm_contract.resource._exchange import HTTP_URL
from mm_contract.resource._fields import Block, between, hot, restart


class FailoverSpec(Block):
    """What keeps the engine the only writer of its claim."""

    lease_seconds: Annotated[
        int,
        restart(
            "Seconds that the claim's Lease lasts; renewed every third of it; no order after two thirds without a renewal."
        ),
        between(10, 120),
    ] = 15
    dead_man_switch: Annotated[
        bool,
        restart(
            "Whether the venue cancels for us when the engine falls silent."
            " It acts on every order of the symbol on this account, a person's too."
        ),
    ] = True
    dead_man_seconds: Annotated[
        int,
        restart("Seconds of silence after which the venue cancels; refreshed every third of it, weight 10 each."),
        between(5, 120),
    ] = 10


class ShutdownSpec(Block):
    """What happens at the end."""

    on_delete: Annotated[
        OnDelete, hot("What deletion of the resource does; every other stop only cancels the engine's orders.")
    ] = OnDelete.CANCEL_ORDERS
    grace_seconds: Annotated[
        int, restart("Seconds that the pod has to cancel its orders and prove it."), between(5, 600)
    ] = 30


class TelemetrySpec(Block):
    """What the engine tells of itself."""

    log_level: Annotated[LogLevel, hot("Lines below this level are not written.")] = LogLevel.INFO
    log_sidecar: Annotated[LogSidecar, restart("Container beside the engine that ships its log to Loki.")] = (
        LogSidecar.NONE
    )
    loki_url: Annotated[str, restart("Push URL of Loki; required where logSidecar is not none."), HTTP_URL] = ""
    status_interval_seconds: Annotated[
        int,
        hot("Seconds between two writes of figures to the status; transitions are written at once."),
        between(15, 3600),
    ] = 15
