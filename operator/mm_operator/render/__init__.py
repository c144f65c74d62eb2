"""Child objects of a MarketMaker as pure functions of its spec: manifests in, nothing out.

Each module renders one group of children; `children` puts those together that are kept by server-side apply.
"""

from mm_operator.render.access import service_account
from mm_operator.render.children import Context, children, claim_access
from mm_operator.render.claims import claim_state, lease
from mm_operator.render.pod import pod, restart_hash
from mm_operator.render.token import token_secret

__all__ = [
    "Context",
    "children",
    "claim_access",
    "claim_state",
    "lease",
    "pod",
    "restart_hash",
    "service_account",
    "token_secret",
]
