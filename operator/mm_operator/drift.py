"""Whether a live child still is what was rendered, without sending anything.

Everything that we render must be there; what the API server or somebody else added beside it is none of our business. Lists count as a whole,
as server-side apply would take them over. A hash of the rendered child, kept as an annotation, shows a field that we no longer render.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from mm_contract.names import GROUP
from mm_operator.kube.api import Manifest

ANNOTATION_HASH: Final = f"{GROUP}/rendered-hash"


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with the hash of itself."""
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    metadata = manifest["metadata"]
    annotations = dict(metadata.get("annotations") or {}) | {ANNOTATION_HASH: digest}
    return manifest | {"metadata": metadata | {"annotations": annotations}}


def matches(live: Mapping[str, Any] | None, wanted: Manifest) -> bool:
    """Whether nothing has to be sent."""
    return live is not None and _covers(live, wanted)


def _covers(live: Any, wanted: Any) -> bool:
    match wanted:
        case Mapping():
            return isinstance(live, Mapping) and all(_covers(live.get(name), value) for name, value in wanted.items())
        case list():
            return (
                isinstance(live, list)
                and len(live) == len(wanted)
                and all(_covers(one, other) for one, other in zip(live, wanted, strict=True))
            )
        case _:
            return bool(live == wanted)
