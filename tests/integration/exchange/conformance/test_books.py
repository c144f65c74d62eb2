"""A book that other code builds from the served streams is the book that REST serves, level for level."""

import json
import urllib.request

import pytest

from support.served import Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=["synthetic", "tape"])
def market(request, tmp_path_factory):
    """Where a market is served: a made-up one, and the recorded tape where there is one."""
    folder = tmp_path_factory.mktemp("books")
    source = ("--synthetic", "ETHUSDT") if request.param == "synthetic" else ("--tape", request.getfixturevalue("tape"))
    served = Served(*(str(part) for part in source), cwd=folder)
    with urllib.request.urlopen(f"{served.admin}/admin/health", timeout=5) as answer:  # noqa: S310 - our own
        symbol = json.loads(answer.read())["symbols"][0]
    account = urllib.request.Request(f"{served.admin}/admin/accounts", data=b"{}")  # noqa: S310 - our own
    with urllib.request.urlopen(account, timeout=5) as answer:  # noqa: S310 - our own
        keys = json.loads(answer.read())
    yield served.urls | keys | {"symbol": symbol}
    assert served.stop() == 0


@pytest.mark.parametrize(("environment", "script"), [("community", "ccxt_book.py"), ("official", "connector_book.py")])
def test_a_book_built_by_other_code_equals_the_served_one(market, run_client, environment, script):
    result = run_client(environment, script, market)
    assert result["differ"] == []
    assert result["met"] >= 20, result
