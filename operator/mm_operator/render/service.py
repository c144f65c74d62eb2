"""The headless Service of an engine: what a ServiceMonitor selects, and a name for its pod."""

from __future__ import annotations

from mm_contract import names
from mm_operator.kube.api import Manifest
from mm_operator.kube.kinds import SERVICE
from mm_operator.render.identity import child_metadata, selector_labels
from mm_operator.views import ResourceView


def service(resource: ResourceView) -> Manifest:
    """Headless; an engine that is not ready is scraped too, for that is when its metrics are wanted."""
    return {
        "apiVersion": "v1",
        "kind": SERVICE.kind,
        "metadata": child_metadata(resource),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector_labels(resource),
            "ports": [
                {"name": name, "port": port, "targetPort": name, "protocol": "TCP"}
                for name, port in (
                    (names.METRICS_PORT_NAME, names.METRICS_PORT),
                    (names.STATUS_PORT_NAME, names.STATUS_PORT),
                )
            ],
        },
    }
