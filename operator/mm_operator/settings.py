"""What the operator's flags say, as one value that everything else is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from mm_contract.names import STATUS_PORT
from mm_contract.status_token import key_id

PROMTAIL_IMAGE: Final = "grafana/promtail:3.5.1"
ALLOY_IMAGE: Final = "grafana/alloy:v1.10.0"


class SettingsError(ValueError):
    """A flag or a mounted file cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class StatusKey:
    """A key from which the bearer tokens of the status streams are made; the bytes never leave the process."""

    key: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Safe to show."""
        return key_id(self.key)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a deployment decides."""

    runner_image: str
    status_keys: tuple[StatusKey, ...]
    """The first makes the tokens of new pods; the others are still accepted while rotating."""
    claims_namespace: str = ""
    """Where Leases and claim states live; empty: beside each resource (weaker: two namespaces may then hold one claim)."""
    watch_namespaces: tuple[str, ...] = ()
    """Empty: the whole cluster."""
    allowed_images: tuple[str, ...] = ()
    promtail_image: str = PROMTAIL_IMAGE
    alloy_image: str = ALLOY_IMAGE
    simulated_rest: str = ""
    simulated_ws: str = ""
    metrics_port: int = 9100
    health_port: int = 8080
    host: str = "0.0.0.0"
    status_port: int = STATUS_PORT
    resync_seconds: float = 300.0
    concurrency: int = 32
    """Reconciles that may talk to the API server at the same time."""

    def claims_namespace_of(self, namespace: str) -> str:
        """Where the claim of a resource of this namespace lives."""
        return self.claims_namespace or namespace

    def watches(self, namespace: str) -> bool:
        """Whether a resource of this namespace is ours."""
        return not self.watch_namespaces or namespace in self.watch_namespaces

    def allows_image(self, image: str) -> bool:
        """Whether `spec.pod.image` may be run (shell patterns; the operator's own default always may)."""
        return image == self.runner_image or any(fnmatchcase(image, pattern) for pattern in self.allowed_images)


def read_status_keys(paths: tuple[Path, ...], *, directory: Path | None = None) -> tuple[StatusKey, ...]:
    """Read the key files: those named, or `key` and `previousKey` of a mounted folder.

    Raises:
        SettingsError: none is there, or one is too short to be a key.
    """
    if directory is not None:
        paths = (directory / "key", *(path for path in [directory / "previousKey"] if path.exists()))
    if not paths:
        raise SettingsError("no status token key: give --status-key-dir or --status-token-key-file")
    return tuple(StatusKey(_read_key(path)) for path in paths)


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(
            f"status token key {path} cannot be read: {error.strerror}; mount the Secret there"
        ) from error
    if len(key) < 16:
        raise SettingsError(f"status token key {path} has {len(key)} bytes; use at least 16 random ones")
    return key
