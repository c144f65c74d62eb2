"""Apply, look, change, halt, resume, delete: what a person does to a MarketMaker, judged by the exchange's ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from support.cluster import NAMESPACE, SYSTEM, Desk, Exchange, Kubectl, kill_container, manifest, wait_for

MakeDesk = Callable[..., Desk]


def best_width_bps(orders: list[dict[str, str]]) -> float:
    bids = [float(o["price"]) for o in orders if o["side"] == "BUY"]
    asks = [float(o["price"]) for o in orders if o["side"] == "SELL"]
    return (min(asks) - max(bids)) / (min(asks) + max(bids)) * 2e4 if bids and asks else 0.0


def test_an_applied_resource_quotes_both_sides_and_shows_itself(desk: Desk) -> None:
    status = desk.status()
    assert status["phase"] == "Quoting"
    assert status["effective"] == {"state": "Running", "ruledBy": "spec"}
    assert status["risk"]["state"] == "normal"
    assert status["listenKey"]["state"] == "Active"
    assert status["observedGeneration"] == status["appliedGeneration"] == desk.resource()["metadata"]["generation"]
    assert status["engine"]["connected"] is True
    desk.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", f"mm/{desk.name}", "--timeout=10s")
    assert all(order["timeInForce"] == "GTX" for order in desk.resting())


def test_the_table_of_kubectl_get_has_the_promised_columns(desk: Desk) -> None:
    lines = desk.kubectl("-n", NAMESPACE, "get", "mm", desk.name).stdout.splitlines()
    assert lines[0].split() == ["NAME", "SYMBOL", "DESIRED", "PHASE", "RISK", "LISTENKEY", "POSITION", "PNL", "AGE"]
    assert lines[1].split()[1:6] == [desk.symbol, "Running", "Quoting", "normal", "Active"]


def test_a_fill_reaches_position_and_status(desk: Desk) -> None:
    wait_for(lambda: any(e["kind"] == "fill" for e in desk.ledger()), seconds=120, what="a fill in the ledger")

    def agrees() -> bool:
        return float(desk.status().get("position", "nan")) == desk.position()

    # Figures are coalesced: only a position that stands still can be compared with them.
    desk.assert_pulled(desk.patch({"desiredState": "Halted"}))
    wait_for(agrees, seconds=60, every=1, what="status.position equals the exchange's position")
    desk.patch({"desiredState": "Running"})
    desk.await_quoting(seconds=20)


def test_a_patched_halt_pulls_everything_and_a_resume_quotes_again(desk: Desk) -> None:
    accepted = desk.patch({"desiredState": "Halted"})
    desk.assert_pulled(accepted)
    wait_for(lambda: desk.status().get("phase") == "Halted", seconds=10, what="phase Halted")
    assert desk.condition("Ready")["status"] == "True", "a wanted halt is Ready"
    desk.patch({"desiredState": "Running"})
    desk.await_quoting(seconds=20)


def test_flat_works_the_position_off_rests_nothing_and_is_then_ready(desk: Desk) -> None:
    desk.patch({"desiredState": "Flat"})
    wait_for(lambda: desk.position() == 0 and not desk.resting(), seconds=30, what="no position and no order (ledger)")
    wait_for(lambda: desk.condition("Ready").get("reason") == "Flat", seconds=10, what="Ready because it is flat")
    assert desk.condition("Ready")["status"] == "True"
    desk.patch({"desiredState": "Running"})
    desk.await_quoting(seconds=20)


def test_a_patched_halt_works_while_the_operator_is_down(desk: Desk, operator_down: None) -> None:
    accepted = desk.patch({"desiredState": "Halted"})
    desk.assert_pulled(accepted)
    desk.patch({"desiredState": "Running"})
    wait_for(desk.quotes_both_sides, seconds=20, what="quotes again without the operator")


def test_a_trading_halt_stops_the_engine_and_its_removal_resumes_it(desk: Desk, kubectl: Kubectl) -> None:
    desk.await_quoting()
    halt = {
        "apiVersion": "marketmaker.io/v1alpha1",
        "kind": "TradingHalt",
        "metadata": {"name": "stop-the-desk", "namespace": NAMESPACE},
        "spec": {"selector": {}, "state": "Halted", "reason": "e2e"},
    }
    kubectl.apply(halt)
    try:
        desk.assert_pulled(time.time())
        wait_for(
            lambda: desk.status()["effective"] == {"state": "Halted", "ruledBy": "TradingHalt/stop-the-desk"},
            seconds=10,
            what="the status names the halt",
        )
    finally:
        kubectl("-n", NAMESPACE, "delete", "tradinghalt", "stop-the-desk")
    desk.await_quoting(seconds=20)


def test_a_wider_spread_is_seen_in_the_next_quotes_of_the_same_pod(desk: Desk) -> None:
    pod = desk.pod()
    assert pod is not None
    desk.patch({"quoting": {"minSpreadBps": 20.0}})
    wait_for(lambda: best_width_bps(desk.resting()) >= 19.5, seconds=10, what="quotes at least 20 bps wide")
    generation = desk.resource()["metadata"]["generation"]
    wait_for(
        lambda: desk.status()["appliedGeneration"] == generation, seconds=10, what="the engine reports the generation"
    )
    assert desk.pod()["metadata"]["uid"] == pod["metadata"]["uid"]
    desk.patch({"quoting": {"minSpreadBps": 4.0}})
    wait_for(lambda: 0 < best_width_bps(desk.resting()) < 19, seconds=10, what="narrow quotes again")


def test_a_change_that_the_engine_refuses_keeps_the_last_good_spec(desk: Desk) -> None:
    applied = desk.status()["appliedGeneration"]
    desk.patch({"strategy": {"grid": None, "glft": {}}})
    wait_for(lambda: desk.condition("SpecApplied").get("status") == "False", seconds=15, what="SpecApplied=False")
    assert desk.condition("Stalled")["status"] == "True"
    assert "grid" in desk.condition("SpecApplied")["message"], "the sentence says what would run"
    assert desk.status()["appliedGeneration"] == applied
    assert desk.quotes_both_sides(), "the last good spec goes on"
    desk.patch({"strategy": {"glft": None, "grid": {}}})
    wait_for(lambda: desk.condition("SpecApplied").get("status") == "True", seconds=15, what="SpecApplied=True again")


def test_an_invalid_manifest_is_refused_with_a_sentence(kubectl: Kubectl, new_desk: MakeDesk) -> None:
    desk = new_desk("invalid", apply=False)
    body = manifest(desk.name, f"mm-{desk.name}", desk.symbol)
    body["spec"]["quoting"] |= {"minSpreadBps": 80.0, "maxSpreadBps": 60.0}
    refused = kubectl.apply(body, ok=False)
    assert refused.returncode != 0
    assert "minSpreadBps" in refused.stderr
    assert "maxSpreadBps" in refused.stderr


def test_an_operator_restart_interrupts_nothing(desk: Desk, kubectl: Kubectl) -> None:
    desk.await_quoting()
    pod = desk.pod()
    assert pod is not None
    kubectl("-n", SYSTEM, "delete", "pods", "-l", "app.kubernetes.io/component=operator", "--wait=true")
    gone_at = time.monotonic()
    resting = 0
    while time.monotonic() < gone_at + 5:
        resting += desk.quotes_both_sides()
        time.sleep(0.5)
    assert resting >= 5, "the engine went on quoting"
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/market-maker-operator", "--timeout=60s")
    wait_for(
        lambda: desk.condition("EngineConnected").get("status") == "True",
        seconds=30,
        what="the new operator follows the engine",
    )
    assert desk.pod()["metadata"]["uid"] == pod["metadata"]["uid"]


def test_a_deleted_pod_cancels_on_sigterm_and_a_new_one_quotes(desk: Desk, kubectl: Kubectl) -> None:
    desk.await_quoting()
    pod = desk.pod()
    assert pod is not None
    old_epoch = desk.status()["engine"]["epoch"]
    kubectl("-n", NAMESPACE, "delete", "pod", pod["metadata"]["name"], "--wait=false")
    wait_for(lambda: not desk.resting(), seconds=10, every=0.02, what="SIGTERM leaves nothing resting")
    desk.await_quoting(seconds=90)
    assert desk.status()["engine"]["epoch"] > old_epoch


def test_a_killed_engine_leaves_nothing_after_the_dead_man_time(desk: Desk) -> None:
    desk.await_quoting()
    pod = desk.pod()
    assert pod is not None
    kill_container(pod)
    killed = time.time()
    old = {order["clientOrderId"] for order in desk.resting()}
    dead_man = desk.resource()["spec"]["failover"]["deadManSeconds"]
    wait_for(
        lambda: not old & {order["clientOrderId"] for order in desk.resting()},
        seconds=dead_man + 1,
        what="orders of the killed engine are gone within deadManSeconds + 1",
    )
    lease = desk.resource()["spec"]["failover"]["leaseSeconds"]
    wait_for(desk.quotes_both_sides, seconds=killed + lease + 15 + dead_man - time.time(), what="quoting again")
    desk.await_quoting()


def test_a_deleted_resource_leaves_nothing_resting_and_no_children(new_desk: MakeDesk, kubectl: Kubectl) -> None:
    desk = new_desk("deleted")
    desk.await_quoting(seconds=90)
    claim_orders = len(desk.orders_since(0))
    assert claim_orders > 0
    kubectl("-n", NAMESPACE, "delete", "mm", desk.name, "--wait=true", "--timeout=90s")
    assert desk.resting() == [], "zero own orders before the finalizer goes"
    mark = desk.mark()
    wait_for(
        lambda: not kubectl.json("-n", NAMESPACE, "get", "pods", "-l", f"marketmaker.io/name={desk.name}")["items"],
        seconds=60,
        what="the pod is collected",
    )
    assert desk.orders_since(mark) == []


def test_two_resources_on_one_claim_make_one_engine(desk: Desk, kubectl: Kubectl, exchange: Exchange) -> None:
    twin = manifest(f"{desk.name}-twin", f"mm-{desk.name}", desk.symbol)
    twin["spec"]["exchange"]["account"] = desk.name
    kubectl.apply(twin)
    try:

        def refused() -> bool:
            body = json.loads(kubectl("-n", NAMESPACE, "get", "mm", twin["metadata"]["name"], "-o", "json").stdout)
            conditions = {c["type"]: c for c in (body.get("status") or {}).get("conditions", [])}
            return (
                conditions.get("Exclusive", {}).get("status") == "False"
                and desk.name in conditions["Exclusive"]["message"]
            )

        wait_for(refused, seconds=20, what="the younger resource shows Exclusive=False with the holder's name")
        pods = kubectl.json("-n", NAMESPACE, "get", "pods", "-l", f"marketmaker.io/name={twin['metadata']['name']}")[
            "items"
        ]
        assert pods == []
    finally:
        kubectl("-n", NAMESPACE, "delete", "mm", twin["metadata"]["name"], "--wait=true", "--timeout=60s")
