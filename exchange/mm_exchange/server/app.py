"""Puts one exchange on three ports and keeps its tasks; ends cleanly on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import signal
import socket
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mm_exchange.clock import WallClock
from mm_exchange.flow.parameters import FlowParameters, read_flow
from mm_exchange.flow.synthetic import SyntheticFlow, rules_of
from mm_exchange.flow.tape import Scan, scan
from mm_exchange.latency import Latency
from mm_exchange.ledger_file import LedgerFile
from mm_exchange.limits import LimitValues
from mm_exchange.matching import MatchingModel
from mm_exchange.server.accounts import load_accounts
from mm_exchange.server.admin import AdminServer
from mm_exchange.server.delays import delayed_rest
from mm_exchange.server.exchange import Exchange, Quirks
from mm_exchange.server.feed import play_tape, run_synthetic
from mm_exchange.server.keepalive import SocketRules
from mm_exchange.server.rest import RestServer
from mm_exchange.server.sockets import SocketServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SHUTDOWN_S = 0.5
_TICK_S = 0.01
_SYMBOL = re.compile(r"[A-Z0-9_]{3,20}")


@dataclasses.dataclass(frozen=True)
class ServeOptions:
    """What `mm-exchange serve` was asked for."""

    host: str = "127.0.0.1"
    port: int = 8081
    tapes: tuple[Path, ...] = ()
    synthetic: tuple[str, ...] = ()
    flow: Path | None = None
    seed: int = 0
    speed: float = 1.0
    loop: bool = False
    accounts: Path | None = None
    ledger: Path | None = None
    quirks: Quirks = dataclasses.field(default_factory=Quirks)
    sockets: SocketRules = dataclasses.field(default_factory=SocketRules)
    limits: LimitValues = dataclasses.field(default_factory=LimitValues)
    matching: MatchingModel = dataclasses.field(default_factory=MatchingModel)
    latency: Latency = dataclasses.field(default_factory=Latency)


def build(options: ServeOptions) -> tuple[Exchange, list[Any]]:
    """The exchange with its symbols listed and accounts opened, and its feeds not yet started.

    Raises:
        ValueError: with a sentence, for whatever cannot be served.
    """
    exchange = Exchange(
        WallClock(), seed=options.seed, limits=options.limits, quirks=options.quirks, matching=options.matching
    )
    exchange.latency = options.latency
    feeds: list[Any] = []
    for scans in _by_symbols(options.tapes):
        for rules in scans[0].rules.values():
            exchange.venue.add_symbol(rules)
        feeds.append(partial(play_tape, exchange, scans, speed=options.speed, loop=options.loop))
    parameters = read_flow(options.flow)
    feeds += [_synthetic_feed(exchange, symbol, parameters, options=options) for symbol in options.synthetic]
    if options.accounts is not None:
        load_accounts(exchange, options.accounts)
    return exchange, feeds


def _synthetic_feed(
    exchange: Exchange, symbol: str, parameters: dict[str, FlowParameters], *, options: ServeOptions
) -> Any:
    if not _SYMBOL.fullmatch(symbol):
        raise ValueError(f"--synthetic {symbol}: a symbol is 3 to 20 of A-Z and 0-9, such as ETHUSDT")
    chosen = parameters.get(symbol) or parameters.get("default") or FlowParameters()
    rng = Random(f"{options.seed}-{symbol}")  # noqa: S311 - a seeded market, not a secret
    flow = SyntheticFlow(rules_of(symbol, chosen), chosen, rng=rng)
    exchange.venue.add_symbol(flow.rules)
    exchange.synthetic[symbol] = flow
    for event in flow.begin(exchange.now_ms()):
        exchange.on_market(event)

    async def feed(ready: asyncio.Event) -> None:
        ready.set()
        await run_synthetic(exchange, flow, speed=options.speed)

    return feed


def _by_symbols(tapes: tuple[Path, ...]) -> list[list[Scan]]:
    """Tapes of the same symbols are played one after another, others beside each other."""
    groups: dict[tuple[str, ...], list[Scan]] = {}
    for path in tapes:
        scanned = scan(path)
        groups.setdefault(tuple(sorted(scanned.rules)), []).append(scanned)
    return list(groups.values())


async def serve(options: ServeOptions, announce: Callable[[dict[str, str]], None]) -> None:
    """Serve until SIGTERM or SIGINT. `announce` gets the listening line once everything answers."""
    exchange, feeds = build(options)
    ledger = exchange.venue.ledger
    ledger.spill_to(LedgerFile(options.ledger))
    try:
        await _serve(options, exchange, feeds, announce=announce)
    finally:
        ledger.close()


async def _serve(
    options: ServeOptions, exchange: Exchange, feeds: list[Any], *, announce: Callable[[dict[str, str]], None]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sockets = SocketServer(exchange, options.sockets)
    exchange.sink = sockets
    ready = [asyncio.Event() for _ in feeds]
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        tasks = [group.create_task(feed(event)) for feed, event in zip(feeds, ready, strict=True)]
        tasks.append(group.create_task(_clock(exchange, sockets)))
        try:
            for event in ready:
                await event.wait()
            announce(_line(options.host, await _listen(options, exchange, sockets, stack=stack)))
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()


async def _clock(exchange: Exchange, sockets: SocketServer) -> None:
    """Everything that happens by time; the venue checks its countdowns about every 10 ms."""
    while True:
        await asyncio.sleep(_TICK_S)
        exchange.tick()
        sockets.strike()


async def _listen(
    options: ServeOptions, exchange: Exchange, sockets: SocketServer, *, stack: contextlib.AsyncExitStack
) -> tuple[int, int, int]:
    wanted = tuple(options.port + number if options.port else 0 for number in range(3))
    handle = delayed_rest(RestServer(exchange).handle, exchange.latency)
    rest = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=_SHUTDOWN_S)
    admin = web.AppRunner(AdminServer(exchange, sockets).app(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
    rest_port = await _site(rest, options.host, port=wanted[0], stack=stack)
    server = await sockets.start(options.host, wanted[1])
    stack.push_async_callback(_close_sockets, server)
    admin_port = await _site(admin, options.host, port=wanted[2], stack=stack)
    return rest_port, _port_of(server.sockets), admin_port


async def _site(runner: Any, host: str, *, port: int, stack: contextlib.AsyncExitStack) -> int:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port).start()
    return int(runner.addresses[0][1])


async def _close_sockets(server: Any) -> None:
    """Say goodbye, but not for longer than a moment: a client that does not answer must not hold the exit."""
    server.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(server.wait_closed(), _SHUTDOWN_S)


def _port_of(sockets: Any) -> int:
    listening: socket.socket = next(iter(sockets))
    return int(listening.getsockname()[1])


def _line(host: str, ports: tuple[int, int, int]) -> dict[str, str]:
    # Nobody can connect to "any address"; what is printed can be used as it is.
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    rest, sockets, admin = ports
    return {
        "event": "listening",
        "rest": f"http://{shown}:{rest}",
        "ws": f"ws://{shown}:{sockets}",
        "wsApi": f"ws://{shown}:{sockets}/ws-fapi/v1",
        "admin": f"http://{shown}:{admin}",
    }
