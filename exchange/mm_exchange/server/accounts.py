"""Opening accounts: by the admin API, and from the file that `--accounts` names (a mounted Secret)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import msgspec

from mm_exchange.scales import MONEY, to_decimal

if TYPE_CHECKING:
    from pathlib import Path

    from mm_exchange.server.exchange import Exchange

_MAX_KEY = 128


class AccountSpec(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An account as it is asked for; keys are made up when absent."""

    api_key: str | None = None
    api_secret: str | None = None
    balances: dict[str, str] = msgspec.field(default_factory=lambda: {"USDT": "10000"})


def open_account(exchange: Exchange, spec: AccountSpec) -> dict[str, Any]:
    """Open it; what the client needs to use it.

    Raises:
        ValueError: a bad balance or key, or the key exists.
    """
    api_key = spec.api_key or secrets.token_hex(32)
    api_secret = spec.api_secret or secrets.token_hex(32)
    if not api_key.isascii() or not api_key.isprintable() or len(api_key) > _MAX_KEY:
        raise ValueError(f"apiKey must be at most {_MAX_KEY} printable ASCII characters")
    balances = {asset: MONEY.exact(to_decimal(text)) for asset, text in spec.balances.items()}
    if any(amount < 0 for amount in balances.values()):
        raise ValueError("balances must not be negative")
    account = exchange.venue.add_account(api_key, api_secret, balances=balances, now_ns=exchange.now_ns())
    shown = {asset: MONEY.text(amount) for asset, amount in account.wallets.items()}
    return {"apiKey": api_key, "apiSecret": api_secret, "balances": shown}


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
