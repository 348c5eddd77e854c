"""C: what a quorum is, and who leads a view."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidMessage, InvariantViolation
from protocol.units import BlsPublicKey, Epoch, MemberId, View, Weight
from protocol.validators import Validator, ValidatorSet, compute_quorum_weight
from tests.values import make_digest


def make_set(*weights: int) -> ValidatorSet:
    return ValidatorSet(
        epoch=Epoch(0),
        seed=make_digest("seed"),
        validators=tuple(
            Validator(member=MemberId(bytes([index]) * 32), weight=Weight(weight), bls_key=BlsPublicKey(bytes(96)))
            for index, weight in enumerate(weights)
        ),
    )


@pytest.mark.parametrize(("total", "quorum"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (9, 7), (10, 7)])
def test_a_quorum_is_strictly_above_two_thirds(total: int, quorum: int) -> None:
    assert compute_quorum_weight(Weight(total)) == quorum


@given(st.integers(min_value=1, max_value=2**70))
def test_a_quorum_is_the_least_weight_above_two_thirds(total: int) -> None:
    quorum = compute_quorum_weight(Weight(total))
    assert 3 * quorum > 2 * total >= 3 * (quorum - 1)


@given(st.integers(min_value=1, max_value=2**70))
def test_two_quorums_share_more_than_a_third(total: int) -> None:
    """C7 rests on it: whoever is in both is convicted if the quorums contradict each other."""
    assert 3 * (2 * compute_quorum_weight(Weight(total)) - total) > total


def test_exactly_two_thirds_of_the_weight_is_no_quorum() -> None:
    validators = make_set(30, 20, 20, 20)
    members = [validator.member for validator in validators.validators]
    assert not validators.is_quorum(members[1:])
    assert validators.is_quorum(members[:3])


def test_heads_do_not_count_weight_does() -> None:
    validators = make_set(100, 1, 1, 1)
    assert validators.is_quorum([validators.validators[0].member])
    assert not validators.is_quorum([validator.member for validator in validators.validators[1:]])


def test_a_stranger_has_no_weight_and_no_index() -> None:
    validators, stranger = make_set(1, 1, 1), MemberId(b"\xff" * 32)
    assert not validators.has_member(stranger)
    with pytest.raises(InvalidMessage, match="no validator of epoch 0"):
        validators.get_index(stranger)
    with pytest.raises(InvalidMessage, match="no validator of epoch 0"):
        validators.compute_weight([stranger])


def test_a_leader_is_a_function_of_seed_and_view_alone() -> None:
    """C1: no rotation state, so everybody knows every leader at any time."""
    validators = make_set(3, 2, 1, 1)
    leaders = [validators.compute_leader(View(view)) for view in range(1, 50)]
    assert leaders == [make_set(3, 2, 1, 1).compute_leader(View(view)) for view in range(1, 50)]
    other_seed = replace(validators, seed=make_digest("other seed"))
    assert leaders != [other_seed.compute_leader(View(view)) for view in range(1, 50)]


def test_leaders_are_drawn_by_weight() -> None:
    """C1: out of 4000 views a share of 1/2, 3/10 and 1/5, each within four standard deviations."""
    validators = make_set(50, 30, 20)
    counts = Counter(validators.compute_leader(View(view)) for view in range(4_000))
    for validator, expected in zip(validators.validators, (2_000, 1_200, 800), strict=True):
        assert abs(counts[validator.member] - expected) < 130


def test_leaders_are_pinned() -> None:
    """C1: whoever draws other leaders is on another chain."""
    validators = make_set(3, 2, 1, 1)
    leaders = [validators.get_index(validators.compute_leader(View(view))) for view in range(1, 13)]
    assert leaders == [1, 1, 0, 3, 0, 0, 1, 2, 2, 2, 1, 3]


@pytest.mark.parametrize("weights", [(), (1, 0), (1, -1)])
def test_a_set_that_can_reach_no_quorum_is_our_own_mistake(weights: tuple[int, ...]) -> None:
    with pytest.raises(InvariantViolation):
        make_set(*weights)


def test_an_unsorted_or_doubled_set_is_our_own_mistake() -> None:
    validators = make_set(1, 1).validators
    for order in (validators[::-1], (validators[0], validators[0])):
        with pytest.raises(InvariantViolation, match="not sorted"):
            ValidatorSet(epoch=Epoch(0), seed=make_digest("seed"), validators=order)
