"""Keys whose private half stays with the client: signatures over REST, and sessions of the WebSocket API."""

import base64
import json
import time
from urllib.parse import quote

import pytest
import websockets
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ORDER = {"symbol": "QUIETUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "97"}


class KeyHolder:
    """An account that was opened with a public key only; its trader signs with the private half."""

    def __init__(self, trader, private):
        self.trader, self.private = trader, private
        # Base64 has characters that mean something else in a query.
        trader.sign = lambda payload: quote(self.sign(payload), safe="")

    def sign(self, payload):
        extra = () if isinstance(self.private, Ed25519PrivateKey) else (PKCS1v15(), SHA256())
        return base64.b64encode(self.private.sign(payload.encode(), *extra)).decode()

    def signed(self, **params):
        params = {"apiKey": self.trader.key, "timestamp": int(time.time() * 1000)} | params
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        return params | {"signature": self.sign(payload)}


async def holder(open_account, private, name):
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return KeyHolder(await open_account(**{name: pem}), private)


@pytest.fixture
async def ed25519(open_account):
    return await holder(open_account, Ed25519PrivateKey.generate(), "publicKey")


@pytest.fixture
async def rsa(open_account):
    return await holder(open_account, generate_private_key(public_exponent=65537, key_size=2048), "publicKey")


async def test_signatures_of_private_keys_are_verified(ed25519, rsa):
    for client in (ed25519, rsa):
        placed = await client.trader.call("POST", "/fapi/v1/order", **ORDER)
        assert placed["status"] == "NEW"
        name = {"symbol": "QUIETUSDT", "orderId": placed["orderId"]}
        assert (await client.trader.call("DELETE", "/fapi/v1/order", **name))["status"] == "CANCELED"
        good, client.private = client.private, Ed25519PrivateKey.generate()
        assert (await client.trader.call("POST", "/fapi/v1/order", **ORDER))["code"] == -1022
        client.private = good


async def test_an_account_is_opened_with_a_good_public_key_or_a_secret_but_not_both(trader):
    pem = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    status, opened = await trader.admin("POST", "/admin/accounts", {"ed25519PublicKey": pem.decode()})
    assert (status, opened["keyType"]) == (201, "ED25519")
    assert "apiSecret" not in opened
    for body in (
        {"publicKey": "not a key"},
        {"publicKey": pem.decode(), "apiSecret": "x"},
        {"publicKey": pem.decode().replace("M", "N")},
        {"apiSecret": pem.decode()},
    ):
        status, refused = await trader.admin("POST", "/admin/accounts", body)
        assert status == 400, body
        assert "ublic" in refused["error"]


@pytest.fixture
async def ask(ed25519, receive):
    """Asks on one connection."""
    async with websockets.connect(ed25519.trader.exchange.wsApi) as socket:

        async def asked(method, params=None):
            await socket.send(json.dumps({"id": 1, "method": method} | ({"params": params} if params else {})))
            return await receive(socket)

        yield asked


async def test_after_a_logon_neither_key_nor_signature_is_needed(ed25519, ask):
    before = (await ask("session.status"))["result"]
    assert (before["apiKey"], before["authorizedSince"], before["returnRateLimits"]) == (None, None, True)
    unsigned = ORDER | {"timestamp": int(time.time() * 1000)}
    assert (await ask("order.place", unsigned))["error"]["code"] == -2014
    logged_on = (await ask("session.logon", ed25519.signed()))["result"]
    assert logged_on["apiKey"] == ed25519.trader.key
    assert logged_on["connectedSince"] <= logged_on["authorizedSince"] <= logged_on["serverTime"]
    placed = await ask("order.place", unsigned)
    assert placed["result"]["status"] == "NEW"
    assert [row["count"] for row in placed["rateLimits"] if row["rateLimitType"] == "ORDERS"] == [1, 1]
    assert (await ask("v2/account.balance", {"timestamp": int(time.time() * 1000)}))["result"][0]["asset"] == "USDT"
    # The time is still checked, and a signature that is sent must still be good.
    assert (await ask("order.place", ORDER | {"timestamp": 1}))["error"]["code"] == -1021
    assert (await ask("order.place", ORDER))["error"]["code"] == -1102
    assert (await ask("order.place", ed25519.signed(**ORDER) | {"signature": "AAAA"}))["error"]["code"] == -1022
    assert (await ask("session.logout"))["result"]["apiKey"] is None
    assert (await ask("order.place", unsigned))["error"]["code"] == -2014


async def test_only_ed25519_keys_log_on(trader, rsa, ask):
    assert (await ask("session.logon", rsa.signed()))["error"]["code"] == -4056
    params = {"apiKey": trader.key, "timestamp": int(time.time() * 1000)}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    refused = await ask("session.logon", params | {"signature": trader.sign(payload)})
    assert refused["error"]["code"] == -4056
    assert (await ask("session.status"))["result"]["apiKey"] is None


async def test_a_bad_logon_leaves_the_session_as_it_was(ed25519, ask):
    await ask("session.logon", ed25519.signed())
    assert (await ask("session.logon", ed25519.signed() | {"signature": "AAAA"}))["error"]["code"] == -1022
    assert (await ask("session.status"))["result"]["apiKey"] == ed25519.trader.key


async def test_replies_tell_of_limits_unless_they_need_not(ed25519, receive, ask):
    assert "rateLimits" not in await ask("time", {"returnRateLimits": False})
    assert "rateLimits" in await ask("time")
    async with websockets.connect(ed25519.trader.exchange.wsApi + "?returnRateLimits=false") as socket:
        await socket.send(json.dumps({"id": "x", "method": "time"}))
        assert set(await receive(socket)) == {"id", "status", "result"}
        await socket.send("[]")
        assert (await receive(socket))["error"]["code"] == -1135


async def test_each_connection_costs_weight(trader, receive):
    async def used(socket):
        await socket.send(json.dumps({"id": 1, "method": "ping"}))
        rows = (await receive(socket))["rateLimits"]
        return next(row["count"] for row in rows if row["rateLimitType"] == "REQUEST_WEIGHT")

    async with websockets.connect(trader.exchange.wsApi) as first:
        before = await used(first)
        async with websockets.connect(trader.exchange.wsApi):
            assert await used(first) >= before + 6
