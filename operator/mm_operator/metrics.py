"""The operator's own metrics, made from the contract's registry so that no name can drift."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mm_contract.metrics import METRICS, MetricSpec, MetricType
from mm_contract.states import Phase
from mm_operator import __version__

PREFIX: Final = "mm_operator_"


class Metrics:
    """All families of the registry that begin with `mm_operator_`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._refreshers: list[Callable[[], None]] = []
        specs = [spec for name, spec in METRICS.items() if name.startswith(PREFIX)]
        self._counters = {spec.name: self._counter(spec) for spec in specs if spec.type is MetricType.COUNTER}
        self._gauges = {spec.name: self._gauge(spec) for spec in specs if spec.type is MetricType.GAUGE}
        self._histograms = {spec.name: self._histogram(spec) for spec in specs if spec.type is MetricType.HISTOGRAM}
        self.set("mm_operator_info", 1, version=__version__)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count up."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def observe(self, name: str, value: float) -> None:
        """Add to a histogram."""
        self._histograms[name].observe(value)

    def before_scrape(self, refresh: Callable[[], None]) -> None:
        """Gauges that are cheaper to compute when somebody looks."""
        self._refreshers.append(refresh)

    def show_phases(self, phases: Tally[str]) -> None:
        """MarketMakers by phase, zeros included."""
        for phase in Phase:
            self.set("mm_operator_resources", phases.get(phase.value, 0), phase=phase.value)

    def exposition(self) -> bytes:
        """The text format."""
        for refresh in self._refreshers:
            refresh()
        return generate_latest(self._registry)

    def _counter(self, spec: MetricSpec) -> Counter:
        return Counter(spec.name, spec.meaning, spec.labels, registry=self._registry)

    def _gauge(self, spec: MetricSpec) -> Gauge:
        return Gauge(spec.name, spec.meaning, spec.labels, registry=self._registry)

    def _histogram(self, spec: MetricSpec) -> Histogram:
        return Histogram(spec.name, spec.meaning, spec.labels, buckets=spec.buckets, registry=self._registry)
