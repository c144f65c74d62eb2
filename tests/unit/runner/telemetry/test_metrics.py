"""The exposition: the registry's names and nothing else, in a format that Prometheus reads, cheap enough for the loop."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from mm_contract.metrics import METRICS, REST_ACTIONS, SEED_METRICS, STREAMS
from mm_runner.telemetry.metrics import Metrics, number


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("ETHUSDT")


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_every_seed_metric_is_there_from_the_start_with_the_symbol(metrics):
    found = {name for name, labels in samples(metrics) if ("symbol", "ETHUSDT") in labels}
    assert found >= SEED_METRICS


def test_only_registered_names_are_exposed_with_their_type(metrics):
    for line in metrics.render().decode().splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split(" ")
            assert METRICS[name].type == kind


def test_requests_and_errors_carry_identical_label_sets_at_zero(metrics):
    found = samples(metrics)
    for name in ("runner_rest_requests_total", "runner_rest_errors_total"):
        labels = {dict(key[1])["action"] for key in found if key[0] == name}
        assert labels == set(REST_ACTIONS)
        assert all(value == 0 for key, value in found.items() if key[0] == name)
    for name in ("runner_ws_connects_total", "runner_ws_failures_total"):
        assert {dict(key[1])["stream"] for key in found if key[0] == name} == set(STREAMS)


def test_what_is_set_is_what_is_scraped(metrics):
    metrics.cell("runner_mid_price").value = 2680.105
    metrics.cell("runner_orders_placed_total").value += 3
    metrics.set("runner_open_orders", 2, side="BUY")
    latency = metrics.histogram("runner_rest_latency_seconds", action="place")
    for value in (0.0005, 0.003, 0.003, 99.0):
        latency.observe(value)
    found = samples(metrics)
    symbol = ("symbol", "ETHUSDT")
    assert found["runner_mid_price", (symbol,)] == 2680.105
    assert found["runner_orders_placed_total", (symbol,)] == 3
    assert found["runner_open_orders", (("side", "BUY"), symbol)] == 2
    place = ("action", "place")
    assert found["runner_rest_latency_seconds_bucket", (place, ("le", "0.001"), symbol)] == 1
    assert found["runner_rest_latency_seconds_bucket", (place, ("le", "0.005"), symbol)] == 3
    assert found["runner_rest_latency_seconds_bucket", (place, ("le", "+Inf"), symbol)] == 4
    assert found["runner_rest_latency_seconds_count", (place, symbol)] == 4
    assert math.isclose(found["runner_rest_latency_seconds_sum", (place, symbol)], 99.0065)


def test_each_scrape_shows_what_moved_since_the_last(metrics):
    latency = metrics.histogram("runner_order_latency_seconds")
    position = metrics.cell("runner_position")
    seen = []
    for value in (0.5, 0.5, -0.25, 0.0):
        position.value = value
        latency.observe(0.01)
        found = samples(metrics)
        symbol = ("symbol", "ETHUSDT")
        seen.append((found["runner_position", (symbol,)], found["runner_order_latency_seconds_count", (symbol,)]))
    assert seen == [(0.5, 1), (0.5, 2), (-0.25, 3), (0.0, 4)]


def test_a_prometheus_client_registry_sees_the_same_values(metrics):
    metrics.cell("runner_position").value = -0.02
    metrics.cell("runner_rest_errors_total", action="depth").value += 1
    metrics.histogram("runner_order_latency_seconds").observe(0.002)
    registry = CollectorRegistry()
    registry.register(metrics)
    assert registry.get_sample_value("runner_position", {"symbol": "ETHUSDT"}) == -0.02
    assert registry.get_sample_value("runner_rest_errors_total", {"symbol": "ETHUSDT", "action": "depth"}) == 1
    assert registry.get_sample_value("runner_order_latency_seconds_bucket", {"symbol": "ETHUSDT", "le": "0.0025"}) == 1


def test_a_name_or_label_that_is_not_registered_is_a_defect(metrics):
    with pytest.raises(KeyError):
        metrics.cell("runner_made_up")
    with pytest.raises(KeyError, match="has the labels"):
        metrics.cell("runner_position", side="BUY")
    with pytest.raises(KeyError, match="histogram"):
        metrics.cell("runner_order_latency_seconds")
    with pytest.raises(KeyError, match="no histogram"):
        metrics.histogram("runner_position")
    with pytest.raises(KeyError):
        metrics.cell("mm_operator_leader")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, b"3"),
        (3.0, b"3"),
        (0.1, b"0.1"),
        (math.inf, b"+Inf"),
        (-math.inf, b"-Inf"),
        (math.nan, b"NaN"),
        (1e-7, b"1e-07"),
    ],
)
def test_numbers_are_spelled_as_the_format_wants(value, text):
    assert number(value) == text


def test_label_values_are_escaped():
    metrics = Metrics('E"T\\H\n')
    metrics.cell("runner_position").value = 1
    assert samples(metrics)["runner_position", (("symbol", 'E"T\\H\n'),)] == 1
