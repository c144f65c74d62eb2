"""`mm-exchange fault …` as a person types it: everything the admin port takes, sentences where it cannot be, exit codes."""

import json

import pytest
from click.testing import CliRunner

from mm_exchange.cli import main
from mm_exchange.fault_kinds import KINDS


@pytest.fixture
def command(exchange):
    """Runs a command against the served exchange, and clears up behind it."""

    def run(*arguments):
        return CliRunner().invoke(main, ["fault", "--admin", exchange.admin, *arguments])

    yield run
    run("clear")


def test_every_option_reaches_the_exchange(command):
    added = command(
        "add", "delay", "rest", "--symbol", "ETHUSDT", "--probability", "0.5", "--count", "3", "--after-seconds", "60",
        "--seconds", "2.5", "--param", "ms=200", "--param", "path=/fapi/v1/order", "--param", "skip=4",
    )  # fmt: skip
    assert added.exit_code == 0
    fault = json.loads(added.stdout)
    assert fault | {"id": 0} == {
        "id": 0, "state": "pending", "hits": 0, "kind": "delay", "target": "rest", "symbol": "ETHUSDT",
        "probability": 0.5, "count": 3, "afterSeconds": 60.0, "seconds": 2.5,
        "params": {"ms": 200, "path": "/fapi/v1/order", "skip": 4},
    }  # fmt: skip
    assert [row["id"] for row in json.loads(command("list").stdout)["faults"]] == [fault["id"]]
    assert json.loads(command("clear", "--id", str(fault["id"])).stdout) == {"removed": 1}


def test_one_command_strikes_every_target(command):
    added = command("add", "maintenance", "all", "--after-seconds", "60")
    assert [json.loads(line)["target"] for line in added.stdout.splitlines()] == [
        "rest", "market-stream", "user-stream", "ws-api",
    ]  # fmt: skip


def test_amounts_stay_text_and_numbers_become_numbers(command):
    added = command("add", "filters-changed", "rest", "--symbol", "QUIETUSDT", "--param", "minNotional=100",
                    "--after-seconds", "60", "--param", "every=1")  # fmt: skip
    assert json.loads(added.stdout)["params"] == {"minNotional": "100", "every": 1}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("add", "gap", "rest"), 1, "cannot act on target 'rest'; it acts on market-stream, user-stream"),
        (("add", "gap", "market-stream", "rest"), 1, "cannot act on target 'rest'"),
        (("add", "filters-changed", "rest", "--symbol", "NOUSDT"), 1, "not listed; listed are ETHUSDT"),
        (("clear", "--id", "999999"), 1, "there is no fault 999999"),
        (("add", "explode", "rest"), 2, "'explode' is not one of"),
        (("add", "delay"), 2, "Missing argument"),
        (("add", "delay", "rest", "--param", "ms"), 2, "must be NAME=VALUE"),
        (("add", "delay", "rest", "--param", "code=1"), 2, "means nothing to delay; it knows"),
        (("add", "delay", "rest", "--probability", "2"), 2, "is not in the range"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(command, arguments, code, words):
    result = command(*arguments)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert json.loads(command("list").stdout) == {"faults": []}


def test_without_an_exchange_the_command_says_what_to_do():
    result = CliRunner().invoke(main, ["fault", "--admin", "http://127.0.0.1:9", "list"])
    assert (result.exit_code, "is `mm-exchange serve` running?" in result.stderr) == (1, True)
    assert CliRunner().invoke(main, ["fault", "--admin", "ftp://x", "list"]).exit_code == 2


def test_kinds_are_explained_without_an_exchange():
    result = CliRunner().invoke(main, ["fault", "kinds"])
    assert result.exit_code == 0
    assert all(f"{kind}: {table.sentence}" in result.stdout for kind, table in KINDS.items())
    assert "params:  apiKey, every, jitterMs" in CliRunner().invoke(main, ["fault", "kinds", "delay"]).stdout


def test_the_help_of_serve_has_every_option_in_a_section():
    text = CliRunner().invoke(main, ["serve", "--help"]).stdout
    serve = main.commands["serve"]
    assert all(option.opts[0] in text for option in serve.params)
    assert all(title in text for title in ("Ports:", "Market:", "Examples:"))
