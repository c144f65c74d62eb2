"""The log sidecar: Promtail's configuration, and the container that ships the engine's log to Loki."""

from __future__ import annotations

from typing import Any, Final, assert_never

from mm_contract import names
from mm_contract.resource import LogSidecar, MarketMakerSpec
from mm_operator.kube.api import Manifest
from mm_operator.kube.kinds import CONFIG_MAP
from mm_operator.render.identity import child_metadata
from mm_operator.settings import Settings
from mm_operator.views import ResourceView

CONFIG_KEY: Final = "promtail.yaml"
CONFIG_DIRECTORY: Final = "/etc/promtail"
CONFIG_VOLUME: Final = "log-config"
POSITIONS_VOLUME: Final = "log-positions"
POSITIONS_DIRECTORY: Final = "/var/lib/promtail"
LOG_VOLUME: Final = "logs"
SIDECAR: Final = "log-sidecar"

# The same text as the chart's files/promtail.yaml (a test compares them): job, path and pipeline are the seed's to the letter.
PROMTAIL_CONFIG: Final = """\
# Promtail reads the runner's log file and pushes it to Loki. The pipeline below `scrape_configs` is the seed's, word for word;
# which resource a line comes from is added as external labels. Started with -config.expand-env=true.
server:
  disable: true
positions:
  filename: /var/lib/promtail/positions.yaml
clients:
  - url: ${LOKI_URL}
    external_labels:
      namespace: ${MM_NAMESPACE}
      marketmaker: ${MM_NAME}
      pod: ${MM_POD_NAME}
scrape_configs:
  - job_name: runner
    static_configs:
      - targets: [localhost]
        labels:
          job: runner
          __path__: /var/log/market-maker/runner.log
    pipeline_stages:
      - json:
          expressions:
            event: event
            ts: ts
            symbol: symbol
            state: state
            listenKey: listenKey
            _schema_error: _schema_error
            spread: spread
      - labels:
          event:
          symbol:
          state:
      - timestamp:
          source: ts
          format: RFC3339Nano
"""


def log_config(resource: ResourceView) -> Manifest:
    """The ConfigMap of the sidecar."""
    return {
        "apiVersion": "v1",
        "kind": CONFIG_MAP.kind,
        "metadata": child_metadata(resource),
        "data": {CONFIG_KEY: PROMTAIL_CONFIG},
    }


def sidecar(spec: MarketMakerSpec, settings: Settings, *, name: str, security: dict[str, Any]) -> dict[str, Any] | None:
    """A native sidecar (an init container that is restarted always): it ends after the engine and so ships its last lines."""
    config = f"{CONFIG_DIRECTORY}/{CONFIG_KEY}"
    match spec.telemetry.log_sidecar:
        case LogSidecar.NONE:
            return None
        case LogSidecar.PROMTAIL:
            image = settings.promtail_image
            arguments = [f"-config.file={config}", "-config.expand-env=true"]
        case LogSidecar.ALLOY:
            image = settings.alloy_image
            # Promtail is at its end of life; Alloy reads the same file.
            arguments = [
                "run",
                "--config.format=promtail",
                "--config.extra-args=-config.expand-env=true",
                f"--storage.path={POSITIONS_DIRECTORY}",
                "--disable-reporting",
                config,
            ]
        case unknown:
            assert_never(unknown)
    return {
        "name": SIDECAR,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "args": arguments,
        "env": [
            {"name": "LOKI_URL", "value": spec.telemetry.loki_url},
            {"name": names.ENV_RESOURCE_NAME, "value": name},
            {"name": names.ENV_NAMESPACE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": names.ENV_POD_NAME, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": security,
        "volumeMounts": [
            {"name": LOG_VOLUME, "mountPath": names.LOG_DIRECTORY, "readOnly": True},
            {"name": CONFIG_VOLUME, "mountPath": CONFIG_DIRECTORY, "readOnly": True},
            {"name": POSITIONS_VOLUME, "mountPath": POSITIONS_DIRECTORY},
        ],
    }


def sidecar_volumes(spec: MarketMakerSpec, *, config_name: str) -> list[dict[str, Any]]:
    """What the sidecar mounts beside the log."""
    if spec.telemetry.log_sidecar is LogSidecar.NONE:
        return []
    return [
        {"name": CONFIG_VOLUME, "configMap": {"name": config_name}},
        {"name": POSITIONS_VOLUME, "emptyDir": {"sizeLimit": "16Mi"}},
    ]
