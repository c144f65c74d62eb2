"""Stock clients sign with Ed25519 keys whose private half the exchange never sees, and log sessions on with them."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(params=["community", "official"])
def rows(request, stock_exchange, run_client, admin):
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = admin(stock_exchange, "/admin/accounts", {"publicKey": public})
    assert account["keyType"] == "ED25519"
    where = stock_exchange.urls | account | {"privateKey": secret}
    found = run_client(request.param, f"{request.param}_keys.py", where)
    ledger = admin(stock_exchange, f"/admin/ledger?apiKey={account['apiKey']}")["entries"]
    return found, [entry["kind"] for entry in ledger if entry["kind"] != "account"]


def test_ed25519_keys_trade_by_rest_and_by_websocket(rows):
    found, ledger = rows
    assert {name: row for name, row in found.items() if "error" in row or row["warnings"]} == {}
    orders = sum("order" in name and "cancel" not in name for name in found)
    assert ledger == ["order", "cancel"] * orders
