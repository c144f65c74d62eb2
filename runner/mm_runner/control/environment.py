"""What the process was started with: flags and environment, read once, here and nowhere else."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mm_contract import names
from mm_runner.control.spec_resource import ResourceIdentity

ENV_TERMINATION_LOG: Final = "MM_TERMINATION_LOG"
ENV_METRICS_PORT: Final = "MM_METRICS_PORT"
ENV_STATUS_PORT: Final = "MM_STATUS_PORT"
_LOOPBACK: Final = "127.0.0.1"
_EVERYWHERE: Final = "0.0.0.0"


class SurroundingsError(ValueError):
    """Flags and environment do not say where the engine's spec or keys are; the text says what to add."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where metrics and status are served; 0 takes a free port."""

    host: str
    metrics: int = names.METRICS_PORT
    status: int = names.STATUS_PORT


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where this engine lives.

    `spec_file` is None in a pod, where `identity` names the resource instead. `token_directory` is None where the status stream
    has no token and therefore listens on loopback only.
    """

    spec_file: Path | None
    identity: ResourceIdentity
    claims_namespace: str
    holder: str
    pod_name: str
    pod_uid: str
    node_name: str
    attempt: int
    state_directory: Path
    credentials_directory: Path
    token_directory: Path | None
    termination_log: Path | None
    ports: Ports
    journal: Path | None = None
    """Where every input of the engine is written; None: nowhere."""
    journal_max_bytes: int = 0


def surroundings(  # noqa: PLR0913 - one argument per flag, by name
    env: Mapping[str, str],
    *,
    spec_file: Path | None,
    host: str | None = None,
    metrics_port: int | None = None,
    status_port: int | None = None,
    journal: Path | None = None,
    journal_max_bytes: int = 0,
) -> Surroundings:
    """Read the environment.

    Raises:
        SurroundingsError: neither a file nor a resource is named.
    """
    in_pod = spec_file is None
    identity = ResourceIdentity(
        env.get(names.ENV_NAMESPACE, ""), env.get(names.ENV_RESOURCE_NAME, ""), env.get(names.ENV_RESOURCE_UID, "")
    )
    if in_pod and not (identity.namespace and identity.name):
        raise SurroundingsError(
            f"nothing says what to run: give --spec FILE, or in a pod {names.ENV_NAMESPACE} and {names.ENV_RESOURCE_NAME}"
        )
    pod_uid = env.get(names.ENV_POD_UID, "")
    tokens = env.get(names.ENV_STATUS_TOKEN_DIR, "")
    last_word = env.get(ENV_TERMINATION_LOG, names.TERMINATION_LOG if in_pod else "")
    ports = Ports(
        host=host or (_EVERYWHERE if in_pod else _LOOPBACK),
        metrics=_port(metrics_port, env.get(ENV_METRICS_PORT), default=names.METRICS_PORT),
        status=_port(status_port, env.get(ENV_STATUS_PORT), default=names.STATUS_PORT),
    )
    return Surroundings(
        spec_file=spec_file,
        identity=identity,
        claims_namespace=env.get(names.ENV_CLAIMS_NAMESPACE, "") or identity.namespace,
        # Invariant 4: pod uid and a random per process, so that a restarted container never takes itself for its predecessor.
        holder=f"{pod_uid or socket.gethostname()}/{secrets.token_hex(4)}",
        pod_name=env.get(names.ENV_POD_NAME, ""),
        pod_uid=pod_uid,
        node_name=env.get(names.ENV_NODE_NAME, ""),
        attempt=int(env.get(names.ENV_ATTEMPT, "0") or 0),
        state_directory=state_directory(env),
        credentials_directory=credentials_directory(env, in_pod=in_pod),
        token_directory=Path(tokens) if tokens else None,
        termination_log=Path(last_word) if last_word else None,
        ports=ports,
        journal=journal,
        journal_max_bytes=journal_max_bytes,
    )


def state_directory(env: Mapping[str, str]) -> Path:
    """`MM_STATE_DIR`; outside a pod the user's state folder, since the pod's path needs root there."""
    chosen = env.get(names.ENV_STATE_DIR, "")
    if chosen:
        return Path(chosen)
    base = env.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / names.APP_NAME


def credentials_directory(env: Mapping[str, str], *, in_pod: bool) -> Path:
    """`MM_CREDENTIALS_DIR`; in a pod the mounted Secret.

    Raises:
        SurroundingsError: outside a pod the variable is not set.
    """
    chosen = env.get(names.ENV_CREDENTIALS_DIR, "")
    if chosen:
        return Path(chosen)
    if in_pod:
        return Path(names.CREDENTIALS_DIRECTORY)
    raise SurroundingsError(
        f"{names.ENV_CREDENTIALS_DIR} is not set: point it to a folder with the files {names.API_KEY_FILE} and {names.API_SECRET_FILE}"
    )


def _port(flag: int | None, variable: str | None, *, default: int) -> int:
    if flag is not None:
        return flag
    return int(variable) if variable else default
