"""How conditional orders change state: one place that tells the account and the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_exchange.algo_orders import Algo, AlgoStatus, AlgoUpdate

if TYPE_CHECKING:
    from mm_exchange.floor import Floor
    from mm_exchange.orders import Order

_OPEN = frozenset({AlgoStatus.NEW, AlgoStatus.TRIGGERING})


def turn(floor: Floor, algo: Algo, status: AlgoStatus, *, now_ns: int, by: str | None = None) -> None:
    """Move a conditional order to a state, tell its account, and write it down."""
    algo.status = status
    algo.updated_ms = now_ns // 1_000_000
    request = algo.request
    if status not in _OPEN:
        floor.listings[request.symbol].algos.pop(algo.algo_id, None)
    floor.outbox.append(AlgoUpdate(algo.api_key, algo.updated_ms, request.symbol, algo, status))
    detail = {
        "algoId": algo.algo_id, "triggerPrice": algo.rules.prices.text(request.trigger_price),
        "workingType": request.working_type.value,
    }  # fmt: skip
    if algo.reason:
        detail["reason"] = algo.reason
    floor.ledger.add(
        "algo", now_ns, symbol=request.symbol, api_key=algo.api_key, client_order_id=request.client_algo_id,
        order_id=None if algo.order is None else algo.order.order_id, side=request.side.value,
        type=request.type.value, quantity=algo.rules.quantities.text(request.quantity), status=status.value, by=by,
        detail=detail,
    )  # fmt: skip


def finish(floor: Floor, order: Order, *, now_ns: int) -> None:
    """An order that a conditional one became has ended: so has the conditional one."""
    algo = floor.trading[order.api_key].triggered.pop(order.order_id, None)
    if algo is not None:
        turn(floor, algo, AlgoStatus.FINISHED, now_ns=now_ns)
