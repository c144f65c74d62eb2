"""What becomes of an offered spec."""

from __future__ import annotations

import pytest

from mm_contract.resource import MarketMaker, load_manifest
from mm_contract.states import DesiredState
from mm_runner.control.spec_source import Offer, SpecGate
from mm_runner.core.messages import SpecChanged, SpecRefused


@pytest.fixture
def maker(maker_text: str) -> MarketMaker:
    return load_manifest(maker_text)


def edited(text: str, old: str, new: str) -> MarketMaker:
    assert old in text
    return load_manifest(text.replace(old, new))


def test_a_hot_change_is_accepted_with_its_generation(maker: MarketMaker, maker_text: str) -> None:
    gate = SpecGate(maker, 1, replaced_from_outside=False)
    event = gate.offer(Offer(2, maker=edited(maker_text, "minSpreadBps: 4.0", "minSpreadBps: 9.0")))
    assert isinstance(event, SpecChanged)
    assert event.generation == 2
    assert event.spec.quoting.min_spread_bps == 9.0


def test_the_same_spec_again_says_nothing(maker: MarketMaker) -> None:
    gate = SpecGate(maker, 1, replaced_from_outside=False)
    assert gate.offer(Offer(1, maker=maker)) is None


def test_an_invalid_spec_is_refused_and_going_back_is_applied(maker: MarketMaker) -> None:
    gate = SpecGate(maker, 1, replaced_from_outside=False)
    refused = gate.offer(Offer(2, problems=("spec.quoting.levels: is 99; change it to 20 or less",)))
    assert isinstance(refused, SpecRefused)
    assert (refused.generation, refused.reason) == (2, "InvalidSpec")
    back = gate.offer(Offer(3, maker=maker))
    assert isinstance(back, SpecChanged)
    assert back.generation == 3


def test_an_immutable_change_is_refused_with_what_to_do(maker: MarketMaker, maker_text: str) -> None:
    gate = SpecGate(maker, 1, replaced_from_outside=True)
    event = gate.offer(Offer(2, maker=edited(maker_text, "account: desk-a", "account: desk-b")))
    assert isinstance(event, SpecRefused)
    assert event.reason == "ImmutableField"
    assert "spec.exchange.account" in event.message


def test_outside_a_pod_a_restart_change_is_refused_with_what_to_do(maker: MarketMaker, maker_text: str) -> None:
    gate = SpecGate(maker, 1, replaced_from_outside=False)
    event = gate.offer(Offer(2, maker=edited(maker_text, "account: desk-a", "account: desk-a\n    leverage: 7")))
    assert isinstance(event, SpecRefused)
    assert event.reason == "RestartRequired"
    assert "spec.exchange.leverage" in event.message
    assert "start it anew" in event.message


def test_in_a_pod_the_hot_part_of_a_restart_change_acts_at_once_and_the_generation_waits_for_the_new_pod(
    maker: MarketMaker, maker_text: str
) -> None:
    gate = SpecGate(maker, 4, replaced_from_outside=True)
    both = maker_text.replace("Running", "Halted").replace("account: desk-a", "account: desk-a\n    leverage: 7")
    event = gate.offer(Offer(5, maker=load_manifest(both)))
    assert isinstance(event, SpecChanged)
    assert event.generation == 4
    assert event.spec.desired_state is DesiredState.HALTED
    assert event.spec.exchange.leverage == 5
