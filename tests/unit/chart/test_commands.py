"""The commands that the chart starts take the flags that it gives them."""

from __future__ import annotations

import click
import pytest

from mm_exchange.cli import main as exchange
from mm_operator.cli import main as operator
from support.chart import CI_VALUES, Manifest, only, pod_specs


def started(manifests: list[Manifest], command: str) -> list[list[str]]:
    """Arguments of every container that runs the command."""
    containers = [container for spec in pod_specs(manifests).values() for container in spec["containers"]]
    return [container["args"] for container in containers if container["command"] == [command]]


def parsed(group: click.Group, arguments: list[str]) -> dict[str, object]:
    """What the command line makes of the arguments; click raises where it does not know one."""
    name, *rest = arguments
    return group.commands[name].make_context(name, rest).params


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_the_operator_understands_its_flags(render, values):
    commands = started(render(values=values), "mm-operator")
    assert {arguments[0] for arguments in commands} == {"run", "guard-uninstall"}
    for arguments in commands:
        assert parsed(operator, arguments)


def test_every_value_of_the_operator_reaches_the_setting_it_is_meant_for(render):
    manifests = render(
        "watchNamespaces={a,b}",
        "operator.allowedImages={registry.example.com/runner:*}",
        "operator.promtailImage=promtail:1",
        "operator.alloyImage=alloy:1",
        "operator.logLevel=debug",
        "simulatedExchange.enabled=true",
    )
    arguments = next(arguments for arguments in started(manifests, "mm-operator") if arguments[0] == "run")
    settings = parsed(operator, arguments)
    assert settings["watch_namespaces"] == ("a", "b")
    assert settings["allowed_images"] == ("registry.example.com/runner:*",)
    assert (settings["promtail_image"], settings["alloy_image"]) == ("promtail:1", "alloy:1")
    assert settings["log_level"] == "debug"
    assert settings["claims_namespace"] == "mm-system"
    assert settings["simulated_rest"] == "http://market-maker-exchange.mm-system.svc:8081"
    assert settings["simulated_ws"] == "ws://market-maker-exchange.mm-system.svc:8082"


@pytest.mark.parametrize(
    "values", [v for v in CI_VALUES if v.stem in {"demo-values", "simulated-values"}], ids=lambda path: path.stem
)
def test_the_exchange_understands_its_flags(render, values, tmp_path):
    accounts = tmp_path / "accounts.json"
    accounts.write_text("[]")
    manifests = render(values=values)
    (arguments,) = started(manifests, "mm-exchange")
    settings = parsed(exchange, [a.replace("/etc/market-maker/accounts.json", str(accounts)) for a in arguments])
    assert settings["accounts"] == accounts
    assert settings["port"] == 8081
    ports = only(manifests, "Service", "market-maker-exchange")["spec"]["ports"]
    assert [port["port"] for port in ports] == [8081, 8082, 8083]  # REST N, sockets N+1, admin N+2
