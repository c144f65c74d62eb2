"""The simulated exchange of demos: off by default; its accounts and the credentials that engines mount are the same keys."""

from __future__ import annotations

import base64
import json

import pytest

from support.chart import CI_VALUES, Manifest, named, only

SIMULATED = next(path for path in CI_VALUES if path.stem == "simulated-values")


def decoded(secret: Manifest) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


@pytest.fixture(scope="module")
def secrets(render):
    manifests = named(render(values=SIMULATED), "Secret")
    return {(m["metadata"]["namespace"], m["metadata"]["name"]): decoded(m) for m in manifests}


def test_it_is_off_unless_asked_for(render):
    manifests = render()
    assert named(manifests, "Deployment", "market-maker-exchange") == []
    assert named(manifests, "Namespace") == []
    assert [m["metadata"]["name"] for m in named(manifests, "Secret")] == ["market-maker-status-key"]


def test_every_account_has_a_secret_with_the_keys_that_the_exchange_knows(secrets):
    accounts = json.loads(secrets["mm-system", "market-maker-exchange-accounts"]["accounts.json"])
    mounted = [secrets["trading", "mm-desk-a"], secrets["trading", "mm-desk-b"], secrets["lab", "mm-desk-a"]]
    assert [{key: account[key] for key in ("apiKey", "apiSecret")} for account in accounts] == mounted
    assert [account["balances"] for account in accounts] == [{"USDT": "5000"}, {"USDT": "10000"}, {"USDT": "10000"}]


def test_no_two_keys_are_alike(secrets):
    keys = [value for (_, name), content in secrets.items() if name.startswith("mm-") for value in content.values()]
    assert len(keys) == len(set(keys)) == 6
    assert all(len(key) == 64 for key in keys)


def test_the_default_account_is_the_examples(render):
    names_of = {
        (m["metadata"]["namespace"], m["metadata"]["name"])
        for m in named(render("simulatedExchange.enabled=true"), "Secret")
    }
    assert ("trading", "mm-desk-a") in names_of


def test_the_accounts_namespace_is_made_restricted_and_kept_unless_others_make_it(render):
    namespace = only(render("simulatedExchange.enabled=true"), "Namespace")
    assert namespace["metadata"]["name"] == "trading"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert namespace["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    left = render("simulatedExchange.enabled=true", "simulatedExchange.createNamespaces=false")
    assert named(left, "Namespace") == []


def test_the_market_is_as_the_values_say(render):
    container = only(render(values=SIMULATED), "Deployment", "market-maker-exchange")["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert container["command"] == ["mm-exchange"]
    assert container["args"] == [
        "serve",
        "--host=0.0.0.0",
        "--port=8081",
        "--accounts=/etc/market-maker/accounts.json",
        "--synthetic=ETHUSDT",
        "--synthetic=BTCUSDT",
        "--seed=7",
        "--speed=2",
    ]


def test_a_new_account_restarts_the_exchange_and_nothing_else_does(render):
    def checksum(*settings: str) -> str:
        deployment = only(render("simulatedExchange.enabled=true", *settings), "Deployment", "market-maker-exchange")
        return deployment["spec"]["template"]["metadata"]["annotations"]["checksum/accounts"]

    more = "simulatedExchange.accounts[0].namespace=trading,simulatedExchange.accounts[0].secretName=mm-desk-b"
    assert checksum() == checksum("simulatedExchange.createNamespaces=false")
    assert checksum() != checksum(more)
