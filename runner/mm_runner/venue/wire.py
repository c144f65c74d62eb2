"""Frames of the venue's streams, raw or wrapped in `{"stream","data"}`, as events of the core.

Typed decoding reads quoted numbers straight into floats (3.4 times faster than json; trading-anchors 4.1). Whatever cannot be read raises
`MalformedError` with a kind to count it by; nothing here ever guesses a price.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final

import msgspec

from mm_runner.core.instrument import Instrument
from mm_runner.core.messages import AccountReport, BookTicker, DepthDiff, MarkPrice, OrderReport, Side, Trade
from mm_runner.venue import frames
from mm_runner.venue.answers import lots_of, status_of, ticks_of

MarketEvent = DepthDiff | BookTicker | Trade | MarkPrice

_WRAPPED: Final = b'{"stream"'
_IGNORED_USER_EVENTS: Final = frozenset(
    {
        "TRADE_LITE",
        "MARGIN_CALL",
        "STRATEGY_UPDATE",
        "GRID_UPDATE",
        "CONDITIONAL_ORDER_TRIGGER_REJECT",
        "ALGO_UPDATE",
    }
)


class MalformedError(ValueError):
    """A frame that cannot be used. `kind` is the label it is counted by."""

    def __init__(self, kind: str, text: str = "") -> None:
        super().__init__(text or kind)
        self.kind = kind


_market: msgspec.json.Decoder[Any] = msgspec.json.Decoder(frames.MarketFrame, strict=False)
_wrapped_market: msgspec.json.Decoder[Any] = msgspec.json.Decoder(frames.WrappedMarket, strict=False)
_user: msgspec.json.Decoder[Any] = msgspec.json.Decoder(frames.UserFrame, strict=False)
_wrapped_user: msgspec.json.Decoder[Any] = msgspec.json.Decoder(frames.WrappedUser, strict=False)


# -- decoding ----------------------------------------------------------------------------------------------------------


class ListenKeyExpired(msgspec.Struct, frozen=True, gc=False):
    """The venue ended the user stream's key."""


class LeverageChanged(msgspec.Struct, frozen=True, gc=False):
    """Somebody changed our symbol's leverage."""

    leverage: int


UserEvent = OrderReport | AccountReport | ListenKeyExpired | LeverageChanged


class MarketDecoder:
    """Frames of `/public` and `/market` for one symbol.

    After `decode`, `sequence` is the frame's own running number (u, or the trade's id), by which a copy from a second connection is known; 0 for none.
    """

    __slots__ = ("_symbol", "sequence")

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self.sequence = 0

    def decode(self, payload: bytes) -> MarketEvent | None:
        """One frame; None for a reply to a subscription.

        Raises:
            MalformedError: not JSON, an unknown event, a missing field, another symbol, or a value that no market can have.
        """
        try:
            frame = _wrapped_market.decode(payload).data if payload.startswith(_WRAPPED) else _market.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _explain(payload, error, frozenset())
            return None
        if frame.symbol != self._symbol:
            raise MalformedError("foreign_symbol", f"a frame of {frame.symbol[:20]!r}")
        return self._event(frame)

    def _event(self, frame: frames.MarketFrame) -> MarketEvent:
        match frame:
            case frames.DepthUpdate():
                self.sequence = frame.last
                return DepthDiff(
                    first_update_id=frame.first,
                    last_update_id=frame.last,
                    previous_update_id=frame.previous,
                    bids=frame.bids,
                    asks=frame.asks,
                    event_ms=frame.event_ms,
                )
            case frames.BookTicker():
                return self._ticker(frame)
            case frames.AggTrade() | frames.Trade():
                self.sequence = frame.trade_id
                _check(frame.price, frame.quantity)
                return Trade(
                    price=frame.price,
                    quantity=frame.quantity,
                    buyer_is_maker=frame.buyer_is_maker,
                    event_ms=frame.event_ms,
                )
            case frames.MarkPriceUpdate():
                self.sequence = frame.event_ms
                _check(frame.mark)
                return MarkPrice(
                    mark=frame.mark,
                    funding_rate=_rate(frame.funding_rate),
                    next_funding_ms=frame.next_funding_ms,
                    event_ms=frame.event_ms,
                )

    def _ticker(self, frame: frames.BookTicker) -> BookTicker:
        self.sequence = frame.update_id
        _check(frame.bid, frame.ask)
        if frame.bid_quantity < 0 or frame.ask_quantity < 0 or frame.bid > frame.ask:
            raise MalformedError("absurd_value", "a crossed or negative bookTicker")
        return BookTicker(
            update_id=frame.update_id,
            bid=frame.bid,
            bid_quantity=frame.bid_quantity,
            ask=frame.ask,
            ask_quantity=frame.ask_quantity,
            event_ms=frame.event_ms,
        )


class UserDecoder:
    """Frames of the user stream for one instrument; it carries the whole account, so other symbols are passed over in silence."""

    def __init__(self, instrument: Callable[[], Instrument]) -> None:
        self._instrument = instrument

    def decode(self, payload: bytes) -> UserEvent | None:
        """One frame; None for what does not concern this engine.

        Raises:
            MalformedError: not JSON, an unknown event, or a missing field.
        """
        try:
            frame = _wrapped_user.decode(payload).data if payload.startswith(_WRAPPED) else _user.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _explain(payload, error, _IGNORED_USER_EVENTS)
            return None
        match frame:
            case frames.OrderTradeUpdate():
                return self._order(frame)
            case frames.AccountUpdate():
                return self._account(frame)
            case frames.AccountConfigUpdate():
                change = frame.leverage
                ours = change is not None and change.symbol == self._instrument().symbol
                return LeverageChanged(change.leverage) if change is not None and ours else None
            case frames.ListenKeyExpired():
                return ListenKeyExpired()
        return None

    def _order(self, frame: frames.OrderTradeUpdate) -> OrderReport | None:
        instrument, order = self._instrument(), frame.order
        if order.symbol != instrument.symbol:
            return None
        if order.side not in ("BUY", "SELL"):
            raise MalformedError("bad_field", f"an order's side {order.side[:20]!r}")
        return OrderReport(
            client_order_id=order.client_order_id,
            order_id=order.order_id,
            side=Side(order.side),
            status=status_of(order.status),
            price=ticks_of(instrument, order.price),
            quantity=lots_of(instrument, order.quantity),
            executed=lots_of(instrument, order.executed),
            reduce_only=order.reduce_only,
            execution_type=order.execution_type,
            last_lots=lots_of(instrument, order.last_quantity),
            last_price=ticks_of(instrument, order.last_price),
            trade_id=order.trade_id,
            commission=order.commission,
            commission_asset=order.commission_asset or "",
            realized_pnl=order.realized_pnl,
            maker=order.maker,
            event_ms=frame.event_ms,
            transaction_ms=frame.transaction_ms,
        )

    def _account(self, frame: frames.AccountUpdate) -> AccountReport:
        instrument, account = self._instrument(), frame.account
        position = next(
            (one for one in account.positions if one.symbol == instrument.symbol and one.side == "BOTH"), None
        )
        wallet = next((one.wallet for one in account.balances if one.asset == instrument.quote_asset), None)
        return AccountReport(
            reason=account.reason,
            position=None if position is None else lots_of(instrument, position.amount),
            entry_price=None if position is None else position.entry_price,
            wallet_balance=wallet,
            event_ms=frame.event_ms,
            transaction_ms=frame.transaction_ms,
        )


def _check(*values: float) -> None:
    for value in values:
        if not 0 < value < inf:  # false for NaN too
            raise MalformedError("absurd_value", f"a price or quantity of {value}")


def _rate(text: str | float) -> float:
    """A funding rate; one that is missing or that no venue would charge counts as 0."""
    try:
        rate = float(text)
    except ValueError:
        return 0.0
    return rate if -1 < rate < 1 else 0.0


def _explain(payload: bytes, error: Exception, ignored: frozenset[str]) -> None:
    """The slow path for a frame that did not decode: a subscription's reply, an event we do not need, or garbage.

    Raises:
        MalformedError: garbage, by kind.
    """
    try:
        whole = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedError("not_json", f"{len(payload)} bytes that are not JSON") from None
    body = whole.get("data", whole) if isinstance(whole, dict) else None
    if not isinstance(body, dict):
        raise MalformedError("not_an_event", "JSON that is no event") from None
    event = body.get("e")
    if event is None and "id" in body and ("result" in body or "error" in body):
        return
    if not isinstance(event, str):
        raise MalformedError("unknown_event", "an event without a name") from None
    if event in ignored:
        return
    if event in _KNOWN_EVENTS:
        raise MalformedError("bad_field", f"{event}: {str(error)[:120]}") from None
    raise MalformedError("unknown_event", f"event {event[:40]!r}") from None


_KNOWN_EVENTS: Final = frozenset(
    {
        "depthUpdate",
        "bookTicker",
        "aggTrade",
        "trade",
        "markPriceUpdate",
        "ORDER_TRADE_UPDATE",
        "ACCOUNT_UPDATE",
        "ACCOUNT_CONFIG_UPDATE",
        "listenKeyExpired",
    }
)
