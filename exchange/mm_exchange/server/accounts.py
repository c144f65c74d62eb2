"""Opening accounts: by the admin API, and from the file that `--accounts` names (a mounted Secret)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import msgspec

from mm_exchange.accounts import Fees
from mm_exchange.scales import MONEY, Scale, to_decimal
from mm_exchange.signing import KeyType, key_type

if TYPE_CHECKING:
    from pathlib import Path

    from mm_exchange.server.exchange import Exchange

_MAX_KEY = 128


class FeeSpec(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Commission rates of one account, as `commissionRate` shows them: "0.0002" is 0.02 %. A rebate is negative."""

    maker: str
    taker: str


class AccountSpec(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An account as it is asked for; keys are made up when absent. `public_key` is PEM, Ed25519 or RSA."""

    api_key: str | None = None
    api_secret: str | None = None
    public_key: str | None = None
    ed25519_public_key: str | None = msgspec.field(name="ed25519PublicKey", default=None)
    fees: FeeSpec | None = None
    balances: dict[str, str] = msgspec.field(default_factory=lambda: {"USDT": "10000"})


def open_account(exchange: Exchange, spec: AccountSpec) -> dict[str, Any]:
    """Open it; what the client needs to use it.

    Raises:
        ValueError: a bad balance or key, or the key exists.
    """
    api_key = spec.api_key or secrets.token_hex(32)
    if not api_key.isascii() or not api_key.isprintable() or len(api_key) > _MAX_KEY:
        raise ValueError(f"apiKey must be at most {_MAX_KEY} printable ASCII characters")
    secret, told = _secret(spec)
    balances = {asset: MONEY.exact(to_decimal(text)) for asset, text in spec.balances.items()}
    if any(amount < 0 for amount in balances.values()):
        raise ValueError("balances must not be negative")
    account = exchange.venue.add_account(
        api_key, secret, balances=balances, now_ns=exchange.now_ns(), fees=_fees(spec.fees)
    )
    shown = {asset: MONEY.text(amount) for asset, amount in account.wallets.items()}
    return {"apiKey": api_key, **told, "balances": shown}


def _fees(spec: FeeSpec | None) -> Fees | None:
    if spec is None:
        return None
    try:
        return Fees(Scale(6).exact(to_decimal(spec.maker)), Scale(6).exact(to_decimal(spec.taker)))
    except ValueError as error:
        raise ValueError(f"fees: {error}; rates have at most six decimals") from error


def _secret(spec: AccountSpec) -> tuple[str, dict[str, str]]:
    """What the account signs with, and what its client is told of it. A private key never leaves the client."""
    pem = spec.public_key or spec.ed25519_public_key
    if pem is None:
        secret = spec.api_secret or secrets.token_hex(32)
        if key_type(secret.encode()) is not KeyType.HMAC:
            raise ValueError("apiSecret is a public key: send it as publicKey")
        return secret, {"apiSecret": secret}
    if spec.api_secret is not None:
        raise ValueError("send apiSecret or publicKey, not both: an account signs in one way")
    kind = key_type(pem.encode())
    if kind is KeyType.HMAC or (spec.ed25519_public_key is not None and kind is not KeyType.ED25519):
        raise ValueError("publicKey must be PEM, beginning with -----BEGIN PUBLIC KEY-----, of an Ed25519 or RSA key")
    return pem, {"keyType": kind.value}


def load_accounts(exchange: Exchange, path: Path) -> int:
    """Open every account of a file; how many.

    Raises:
        ValueError: the file is no JSON list of accounts, or one of them cannot be opened.
    """
    try:
        specs = msgspec.json.decode(path.read_bytes(), type=list[AccountSpec])
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"--accounts {path}: {error}") from error
    for spec in specs:
        open_account(exchange, spec)
    return len(specs)
