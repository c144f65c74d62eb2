"""Carries out on real sockets what `strikes` decided: each socket's way out, WebSocket API frames, handshakes."""

from __future__ import annotations

import asyncio
import http
from typing import TYPE_CHECKING, Any

import orjson

from mm_exchange.faults import Subject
from mm_exchange.server.faulty import reason, rejection
from mm_exchange.strikes import WS_API_KINDS, strike_frame, strike_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Response

    from mm_exchange.faults import Fault
    from mm_exchange.server.exchange import Exchange

_HANDSHAKE_KINDS = frozenset({"http-status", "maintenance"})


class FaultyLine:
    """One socket's way out while faults are planned. Keeps the order of frames, as TCP does, unless told to swap.

    `dead` is set by `dead-url`: nothing that it is given is written any more.
    """

    def __init__(self, exchange: Exchange, write: Callable[[bytes], None]) -> None:
        self.dead = False
        self._exchange = exchange
        self._write = write
        self._held: tuple[bytes, ...] = ()
        self._release: asyncio.TimerHandle | None = None
        self._clear_s = 0.0
        self._timers: set[asyncio.TimerHandle] = set()

    @property
    def idle(self) -> bool:
        """Nothing is late or held: frames may be written past it."""
        return not (self.dead or self._timers or self._held)

    def send(self, payload: bytes, subject: Subject) -> None:
        """Write a frame, unless faults want it otherwise."""
        if self.dead:
            return
        strike = strike_frame(
            self._exchange.faults, subject, payload, now_ns=self._exchange.now_ns(), may_swap=not self._held
        )
        if not strike.payloads:
            return
        if strike.overtaken_s is not None:
            self.hold(strike.payloads, strike.overtaken_s)
        else:
            self.pass_on(strike.payloads, strike.delay_s)

    def hold(self, payloads: tuple[bytes, ...], seconds: float) -> None:
        """Keep frames back until the next has passed, or for so long at most."""
        self._held = payloads
        self._release = asyncio.get_running_loop().call_later(seconds, self._let_go)

    def pass_on(self, payloads: tuple[bytes, ...], delay_s: float = 0.0) -> None:
        """Write frames, late, and behind them whatever was held; never before an earlier frame that is late."""
        held, self._held = self._held, ()
        if self._release is not None:
            self._release.cancel()
            self._release = None
        loop = asyncio.get_running_loop()
        self._clear_s = max(loop.time() + delay_s, self._clear_s)
        for payload in payloads + held:
            if not delay_s and not self._timers:
                self._write(payload)
            else:
                self._later(payload, loop)

    def _later(self, payload: bytes, loop: asyncio.AbstractEventLoop) -> None:
        def write() -> None:
            self._timers.discard(timer)
            self._write(payload)

        # A nanosecond each keeps the order of those that are due together.
        self._clear_s += 1e-6
        timer = loop.call_at(self._clear_s, write)
        self._timers.add(timer)

    def _let_go(self) -> None:
        self._release = None
        self.pass_on(())

    def close(self) -> None:
        """Forget what was still to be written."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._release is not None:
            self._release.cancel()


class FaultyWsApi:
    """WebSocket API frames while faults are planned. `run` executes one frame and gives its reply."""

    def __init__(self, exchange: Exchange, run: Callable[[str | bytes, str], dict[str, Any]]) -> None:
        self._exchange = exchange
        self._run = run

    async def answer(self, message: str | bytes, address: str, *, line: FaultyLine) -> None:
        """One frame, with whatever strikes it; the reply leaves by `line`."""
        if line.dead:
            return
        frame = _frame(message)
        strike = strike_request(
            self._exchange.faults, _subject(frame), WS_API_KINDS, now_ns=self._exchange.now_ns(), may_swap=line.idle
        )
        if strike is None:
            line.pass_on((orjson.dumps(self._run(message, address)),))
            return
        if strike.delay_s:
            await asyncio.sleep(strike.delay_s)
        reply = self._refused(frame, strike.ending) if strike.ending else self._skewed(message, address, strike.skew_ms)
        if reply is None or strike.lost is not None:
            return
        payload = orjson.dumps(reply)
        payloads = (payload[: len(payload) // 2] if strike.cut else payload,) * strike.copies
        if strike.overtaken_s is not None:
            line.hold(payloads, strike.overtaken_s)
        else:
            line.pass_on(payloads)

    def _skewed(self, message: str | bytes, address: str, skew_ms: int) -> dict[str, Any]:
        api = self._exchange.api
        api.skew_ms = skew_ms
        try:
            return self._run(message, address)
        finally:
            api.skew_ms = 0

    def _refused(self, frame: dict[str, Any], fault: Fault) -> dict[str, Any] | None:
        """The answer that a fault gives in place of the venue; None where it gives none."""
        if fault.spec.kind not in ("reject", "http-status", "maintenance"):
            return None
        error = rejection(fault)
        return {"id": frame.get("id"), "status": error.status, "error": {"code": error.code, "msg": error.msg}}


def _frame(message: str | bytes) -> dict[str, Any]:
    try:
        frame = orjson.loads(message)
    except orjson.JSONDecodeError:
        return {}
    return frame if isinstance(frame, dict) else {}


def _subject(frame: dict[str, Any]) -> Subject:
    params = frame.get("params")
    params = params if isinstance(params, dict) else {}
    return Subject(
        "ws-api", _text(params.get("symbol")), _text(params.get("apiKey")), method=_text(frame.get("method"))
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def refused_handshake(exchange: Exchange, connection: ServerConnection, subject: Subject) -> Response | None:
    """The answer to a handshake that a fault forbids."""
    fault = exchange.faults.strike(subject, _HANDSHAKE_KINDS, now_ns=exchange.now_ns())
    if fault is None:
        return None
    error = rejection(fault)
    known = error.status in http.HTTPStatus.__members__.values()
    status = http.HTTPStatus(error.status) if known else http.HTTPStatus.SERVICE_UNAVAILABLE
    response = connection.respond(status, f"{reason(error.status)}\n")
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response
