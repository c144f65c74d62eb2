"""A namespace of its own on the real API server, and a direct line to it for the many small questions."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

import pytest

Json = dict[str, Any]


@pytest.fixture(scope="session")
def namespace(apiserver) -> str:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    apiserver.kubectl("create", "namespace", name)
    return name


@pytest.fixture(scope="session")
def refusal(apiserver, namespace) -> Callable[[Json], str | None]:
    """Ask the API server about a MarketMaker without keeping it; None where it is accepted, else the refusal."""
    config = json.loads(apiserver.kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    token = config["users"][0]["user"]["token"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    url = (
        f"{cluster['server']}/apis/marketmaker.io/v1alpha1/namespaces/{namespace}/marketmakers"
        "?dryRun=All&fieldValidation=Strict"
    )

    def ask(document: Json) -> str | None:
        request = urllib.request.Request(  # noqa: S310 - https on loopback
            url, json.dumps(document).encode(), {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        )
        try:
            with opener.open(request, timeout=20):
                return None
        except urllib.error.HTTPError as error:
            with error:
                answer = json.load(error)
            if error.code not in {400, 422}:
                pytest.fail(f"not a refusal of the manifest: {answer}")
            return answer["message"]

    return ask
