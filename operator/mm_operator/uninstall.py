"""What must be gone before the operator may go (the chart's pre-delete hook)."""

from __future__ import annotations

from mm_contract.names import FIELD_MANAGER
from mm_operator.kube.api import ApiError, KubernetesApi, configuration
from mm_operator.kube.kinds import MARKET_MAKER
from mm_operator.views import key_of


async def remaining(namespaces: tuple[str, ...]) -> list[str]:
    """MarketMakers that still exist; none where the CRD itself is gone.

    Raises:
        ApiError: the API server cannot say.
    """
    api = KubernetesApi(await configuration(), field_manager=FIELD_MANAGER)
    try:
        found = [await api.list(MARKET_MAKER, namespace) for namespace in namespaces or (None,)]
    except ApiError as error:
        if error.is_missing:
            return []
        raise
    finally:
        await api.close()
    return sorted(str(key_of(each)) for listing in found for each in listing.items)
