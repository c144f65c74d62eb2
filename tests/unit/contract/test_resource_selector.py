"""A TradingHalt's selector chooses as Kubernetes' own selectors do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mm_contract.resource import LabelSelector, SelectorOperator, SelectorRequirement

LABELS = st.dictionaries(st.sampled_from(["desk", "tier"]), st.sampled_from(["a", "b", ""]))


def requirement(operator: str, *values: str) -> LabelSelector:
    return LabelSelector(
        match_expressions=(SelectorRequirement(key="desk", operator=SelectorOperator(operator), values=values),)
    )


@given(LABELS)
def test_the_empty_selector_matches_everything(labels):
    assert LabelSelector().matches(labels)


@given(LABELS)
def test_an_operator_and_its_opposite_never_agree(labels):
    assert requirement("In", "a", "b").matches(labels) != requirement("NotIn", "a", "b").matches(labels)
    assert requirement("Exists").matches(labels) != requirement("DoesNotExist").matches(labels)


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        (LabelSelector(match_labels={"desk": "a"}), {"desk": "a", "tier": "x"}, True),
        (LabelSelector(match_labels={"desk": "a"}), {"desk": "b"}, False),
        (LabelSelector(match_labels={"desk": ""}), {}, False),
        (requirement("In", "a"), {"desk": "a"}, True),
        (requirement("In", "a"), {}, False),
        (requirement("NotIn", "a"), {}, True),
        (requirement("NotIn", "a"), {"desk": "a"}, False),
        (requirement("Exists"), {"desk": ""}, True),
        (requirement("DoesNotExist"), {"tier": "a"}, True),
    ],
)
def test_a_selector_matches_as_in_kubernetes(selector, labels, matches):
    assert selector.matches(labels) is matches


def test_all_requirements_must_be_met():
    both = LabelSelector(match_labels={"tier": "x"}, match_expressions=requirement("Exists").match_expressions)
    assert both.matches({"tier": "x", "desk": "a"})
    assert not both.matches({"tier": "x"})
    assert not both.matches({"desk": "a"})


@pytest.mark.parametrize(
    ("operator", "values"), [("In", ()), ("NotIn", ()), ("Exists", ("a",)), ("DoesNotExist", ("a",))]
)
def test_values_must_fit_the_operator(operator, values):
    with pytest.raises(ValidationError, match="In and NotIn need values"):
        requirement(operator, *values)
