"""Client libraries of other people against a served exchange, each in an environment of its own.

python-binance and the official connector both install a top-level package `binance`, so there are two environments,
made on first use from the lock files in `requirements/` and kept in the user's cache folder.
"""

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from support.served import Served

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
FLOW = {"QUIETUSDT": {"price": "100", "volatilityBps": 0, "tradesPerSecond": 0, "spreadTicks": 10}}
LIBRARIES = {
    "ccxt": ("community", "ccxt_calls.py"),
    "python-binance": ("community", "python_binance_calls.py"),
    "connector": ("official", "connector_calls.py"),
    "sdk": ("official", "sdk_calls.py"),
}


@pytest.fixture(scope="session")
def python_of(request):
    """The Python of an environment with client libraries; making one takes a while and says so."""
    made = {}
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def python(name):
        if name not in made:
            with capture.global_and_fixture_disabled():
                maker = subprocess.run(
                    [ROOT / "requirements" / "conformance-venv", name], stdout=subprocess.PIPE, text=True, check=False
                )
            assert maker.returncode == 0, f"requirements/conformance-venv {name} failed; its reason is on the terminal"
            made[name] = maker.stdout.strip()
        return made[name]

    return python


@pytest.fixture(scope="session")
def run_client(python_of):
    """Runs a script of `clients/` in its environment and gives its JSON."""

    def run(environment, script, where):
        done = subprocess.run(
            [python_of(environment), HERE / "clients" / script],
            input=json.dumps(where),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def stock_exchange(tmp_path_factory):
    """An exchange as stock clients need it: ccxt and python-binance ask for a user stream without `events=`."""
    folder = tmp_path_factory.mktemp("stock")
    flow = folder / "flow.json"
    flow.write_text(json.dumps(FLOW))
    served = Served(
        "--synthetic", "ETHUSDT", "--synthetic", "QUIETUSDT", "--flow", str(flow), "--user-events", "optional",
        cwd=folder,
    )  # fmt: skip
    yield served
    assert served.stop() == 0
    assert served.stderr == ""


class Outcome:
    """What one library made of all its calls, and what the exchange's ledger says of it."""

    def __init__(self, rows, ledger):
        self.rows, self.ledger = rows, ledger

    def value(self, call):
        assert "value" in self.rows[call], self.rows[call]
        return self.rows[call]["value"]

    def entries(self, *kinds):
        return [entry for entry in self.ledger if entry["kind"] in kinds]


@pytest.fixture(scope="session", name="admin")
def admin_fixture():
    """Calls the admin port of an exchange."""
    return admin


def admin(exchange, path, body=None):
    request = urllib.request.Request(  # noqa: S310 - the exchange's own address
        exchange.admin + path, data=None if body is None else json.dumps(body).encode()
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the exchange's own address
        return json.loads(answer.read())


@pytest.fixture(scope="session")
def outcome_of(stock_exchange, run_client):
    """Lets a library call everything it knows, once; every test of it reads the same outcome."""
    seen = {}

    def outcome(library):
        if library not in seen:
            keys = admin(stock_exchange, "/admin/accounts", {})
            rows = run_client(*LIBRARIES[library], stock_exchange.urls | keys)
            ledger = admin(stock_exchange, f"/admin/ledger?apiKey={keys['apiKey']}")["entries"]
            seen[library] = Outcome(rows, ledger)
        return seen[library]

    return outcome
