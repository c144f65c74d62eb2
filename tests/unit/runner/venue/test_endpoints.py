"""Stream URLs have the form of their environment; a missing one is named with what to set."""

from __future__ import annotations

import pytest

from mm_contract.resource import EndpointsSpec
from mm_runner.venue.endpoints import EndpointError, resolve

NONE = EndpointsSpec()


def test_production_carries_each_stream_on_its_route_and_the_key_as_a_parameter():
    ends = resolve("production", NONE, {})
    assert ends.public_url(["ethusdt@depth@100ms", "ethusdt@bookTicker"]) == (
        "wss://fstream.binance.com/public/ws/ethusdt@depth@100ms/ethusdt@bookTicker"
    )
    assert ends.market_url(["ethusdt@aggTrade"]) == "wss://fstream.binance.com/market/ws/ethusdt@aggTrade"
    private = ends.private_url("KEY")
    assert private.startswith("wss://fstream.binance.com/private/ws?listenKey=KEY&events=")
    assert "ORDER_TRADE_UPDATE" in private
    assert "listenKeyExpired" in private


def test_the_testnet_keeps_the_old_form():
    ends = resolve("testnet", NONE, {})
    assert ends.private_url("KEY").endswith("/ws/KEY")
    assert "/public" not in ends.public_stream


def test_simulated_takes_the_charts_service_and_the_spec_overrides_it():
    env = {"MM_SIMULATED_REST": "http://exchange:8081/", "MM_SIMULATED_WS": "ws://exchange:8082"}
    ends = resolve("simulated", EndpointsSpec(market_stream="ws://elsewhere/market/"), env)
    assert ends.rest == "http://exchange:8081"
    assert ends.public_stream == "ws://exchange:8082/public"
    assert ends.market_stream == "ws://elsewhere/market"
    assert ends.ws_api == "ws://exchange:8082/ws-fapi/v1"


def test_a_simulated_exchange_that_nobody_named_is_an_error_that_says_what_to_set():
    with pytest.raises(EndpointError, match=r"rest, public_stream, market_stream, private_stream.*MM_SIMULATED_REST"):
        resolve("simulated", NONE, {})


def test_an_unknown_environment_is_refused():
    with pytest.raises(EndpointError, match="unknown environment 'moon'"):
        resolve("moon", NONE, {})
