"""F5: what each rule makes of a round's updates, few ones and malicious ones included."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.candidate_bits import DEFAULTS, Case, TensorInput, compute_with_numpy
from protocol.aggregation.fixed_point import FixedPoint
from protocol.aggregation.recipes import NearMedianMean, Recipe, TrimmedMean, make_mean, make_median
from protocol.aggregation.rules import RULES_OF_WHOLE_UPDATES, compute_malicious_count, make_recipe
from protocol.errors import InvariantViolation
from protocol.parameters import UPDATE_COUNT_MAX, AggregationRule
from protocol.units import Bps

PARAMETER_COUNT = 24
ROBUST_RULES = [rule for rule in AggregationRule if rule not in {AggregationRule.MEAN, AggregationRule.CLIPPED_MEAN}]
RULES_WITHOUT_TIES = [rule for rule in AggregationRule if rule is not AggregationRule.BULYAN]
"""Bulyan's last choices are between the two that are closest to each other; random updates have no other ties."""
RULES_OF_A_SHARE = (
    AggregationRule.TRIMMED_MEAN,
    AggregationRule.KRUM,
    AggregationRule.MULTI_KRUM,
    AggregationRule.BULYAN,
)


def make_updates(rows: NDArray[np.int64], exponents: list[int]) -> tuple[FixedPoint, ...]:
    return tuple(
        [
            FixedPoint(update=row.astype(np.int16), scale_exponent=exponent)
            for row, exponent in zip(rows, exponents, strict=True)
        ]
    )


def draw_updates(seed: int, count: int) -> tuple[FixedPoint, ...]:
    """Return updates with something in common, and scales of their own."""
    generator = np.random.Generator(np.random.PCG64(seed))
    common = generator.integers(-9_000, 9_000, size=PARAMETER_COUNT)
    rows = common + generator.integers(-6_000, 6_000, size=(count, PARAMETER_COUNT))
    return make_updates(rows, [int(exponent) for exponent in generator.integers(-22, -19, size=count)])


def compute_change(
    rule: AggregationRule, members: tuple[FixedPoint, ...], *, malicious_assumed_bps: int = 3_000
) -> NDArray[np.float32]:
    """Return how the rule moves a base of zeros."""
    choice = replace(DEFAULTS, malicious_assumed_bps=Bps(malicious_assumed_bps))
    base = np.zeros(members[0].update.shape, dtype=np.float32)
    return compute_with_numpy(Case(choice=choice, tensors=(TensorInput(base=base, members=members),)), rule)[0]


def make_vectors(members: tuple[FixedPoint, ...]) -> NDArray[np.float64]:
    return np.array([np.ldexp(member.update.astype(np.float64), member.scale_exponent) for member in members])


def make_recipe_of(rule: AggregationRule, count: int, *, malicious_assumed_bps: int = 3_000) -> Recipe:
    products = tuple(tuple(1 if i == j else 0 for j in range(count)) for i in range(count))
    choice = replace(DEFAULTS, rule=rule, malicious_assumed_bps=Bps(malicious_assumed_bps))
    return make_recipe(choice, update_count=count, products=products if rule in RULES_OF_WHOLE_UPDATES else None)


@given(rule=st.sampled_from(AggregationRule), seed=st.integers(0, 10**6), exponent=st.integers(-48, -8))
def test_one_update_alone_is_itself(rule: AggregationRule, seed: int, exponent: int) -> None:
    """F8 judges each update alone, by whatever rule."""
    member = replace(draw_updates(seed, 1)[0], scale_exponent=exponent)
    assert compute_change(rule, (member,)).tolist() == make_vectors((member,))[0].astype(np.float32).tolist()


@given(rule=st.sampled_from(RULES_WITHOUT_TIES), count=st.integers(1, 14), seed=st.integers(0, 10**6), data=st.data())
def test_order_of_updates_decides_nothing_but_ties(
    rule: AggregationRule, count: int, seed: int, data: st.DataObject
) -> None:
    members = draw_updates(seed, count)
    order = data.draw(st.permutations(range(count)))
    shuffled = tuple(members[index] for index in order)
    assert compute_change(rule, members).tobytes() == compute_change(rule, shuffled).tobytes()


@pytest.mark.parametrize("rule", AggregationRule)
@pytest.mark.parametrize("malicious_count", [1, 3])
def test_a_far_minority_moves_the_robust_rules_no_further_than_the_honest_differ(
    rule: AggregationRule, malicious_count: int
) -> None:
    count = {1: 7, 3: 15}[malicious_count]
    honest = draw_updates(5, count - malicious_count)
    mean = make_vectors(honest).mean(axis=0)
    spread = max(np.linalg.norm(a - b) for a in make_vectors(honest) for b in make_vectors(honest))
    far = np.full((malicious_count, PARAMETER_COUNT), -(2**15))
    for exponent in (-20, -14, -8):
        attackers = make_updates(far - np.arange(malicious_count)[:, None] * -7, [exponent] * malicious_count)
        change = compute_change(rule, attackers + honest, malicious_assumed_bps=2_000)
        distance = np.linalg.norm(change - mean)
        if rule is AggregationRule.MEAN:
            assert exponent == -20 or distance > 10 * spread
        elif rule is AggregationRule.CLIPPED_MEAN:
            assert distance <= 2 * np.linalg.norm(make_vectors(honest), axis=1).max()
        else:
            assert distance <= spread


@given(seed=st.integers(0, 10**6), count=st.integers(5, 12), exponent=st.integers(-20, -8))
@pytest.mark.parametrize("rule", ROBUST_RULES)
def test_how_far_one_attacker_goes_hardly_matters(rule: AggregationRule, seed: int, count: int, exponent: int) -> None:
    honest = draw_updates(seed, count)
    vectors = make_vectors(honest)
    spread = max(np.linalg.norm(a - b) for a in vectors for b in vectors)
    attacker = make_updates(np.full((1, PARAMETER_COUNT), 2**15 - 1), [exponent])
    change = compute_change(rule, attacker + honest)
    assert np.linalg.norm(change - vectors.mean(axis=0)) <= 2 * spread


def test_trimmed_mean_leaves_out_the_assumed_share_at_both_ends() -> None:
    rows = np.array([[900], [4], [1], [2], [3], [-900], [6], [5], [7], [8]])
    change = compute_change(AggregationRule.TRIMMED_MEAN, make_updates(rows, [-8] * 10))
    assert change[0] == np.float32((3 + 4 + 5 + 6) / 4 / 256)


def test_krum_takes_one_update_as_it_is() -> None:
    members = draw_updates(3, 9)
    change = compute_change(AggregationRule.KRUM, members)
    assert change.tolist() in make_vectors(members).astype(np.float32).tolist()


def test_multi_krum_is_the_mean_of_those_that_it_selects() -> None:
    honest = draw_updates(4, 7)
    attackers = make_updates(np.full((3, PARAMETER_COUNT), 30_000) - np.arange(3)[:, None], [-10] * 3)
    change = compute_change(AggregationRule.MULTI_KRUM, attackers[:1] + honest + attackers[1:])
    assert change.tobytes() == compute_change(AggregationRule.MEAN, honest).tobytes()


def test_a_tie_of_krum_goes_to_the_first_in_canonical_order() -> None:
    rows = np.array([[500, 0], [1, 0], [-1, 0], [-500, 0]])
    members = make_updates(rows, [-20] * 4)
    for order, expected in (((0, 1, 2, 3), 1), ((3, 2, 1, 0), -1)):
        shuffled = tuple(members[index] for index in order)
        change = compute_change(AggregationRule.KRUM, shuffled, malicious_assumed_bps=0)
        assert change[0] == np.float32(expected * 2.0**-20)


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        (AggregationRule.TRIMMED_MEAN, {1: None, 2: None, 3: 1, 4: 1, 7: 3, 10: 3, 11: 4}),
        (AggregationRule.KRUM, {1: None, 4: None, 5: 1, 6: 1, 7: 2, 8: 2, 9: 3, 10: 3, 11: 4}),
        (AggregationRule.MULTI_KRUM, {4: None, 5: 1, 10: 3}),
        (AggregationRule.BULYAN, {6: None, 7: 1, 10: 1, 11: 2, 15: 3, 21: 4, 255: 63}),
    ],
)
def test_too_few_updates_for_the_assumed_share_lower_it_and_fewer_still_leave_the_median(
    rule: AggregationRule, counts: dict[int, int | None]
) -> None:
    choice = replace(DEFAULTS, rule=rule)
    assert {count: compute_malicious_count(choice, count) for count in counts} == counts
    for count, malicious_count in counts.items():
        assert (make_recipe_of(rule, count) == make_median(tuple(range(count)))) == (
            malicious_count is None or (rule is AggregationRule.TRIMMED_MEAN and count in {3, 4, 7})
        )


def test_where_nobody_is_assumed_malicious_three_updates_are_enough() -> None:
    nobody = {rule: make_recipe_of(rule, 3, malicious_assumed_bps=0) for rule in RULES_OF_A_SHARE}
    assert nobody[AggregationRule.TRIMMED_MEAN] == nobody[AggregationRule.MULTI_KRUM] == make_mean((0, 1, 2))
    assert nobody[AggregationRule.KRUM] == make_mean((0,))
    assert nobody[AggregationRule.BULYAN] == NearMedianMean(members=(0, 1, 2), keep_count=3)
    two = {make_recipe_of(rule, 2, malicious_assumed_bps=0) for rule in RULES_OF_A_SHARE[1:]}
    assert two == {make_median((0, 1))}


def test_recipes_have_the_sizes_of_the_papers() -> None:
    assert make_recipe_of(AggregationRule.TRIMMED_MEAN, 10) == TrimmedMean(members=tuple(range(10)), trim_count=3)
    assert len(make_recipe_of(AggregationRule.KRUM, 10).members) == 1
    assert len(make_recipe_of(AggregationRule.MULTI_KRUM, 10).members) == 7
    bulyan = make_recipe_of(AggregationRule.BULYAN, 15)
    assert isinstance(bulyan, NearMedianMean)
    assert (len(bulyan.members), bulyan.keep_count) == (9, 3)


@pytest.mark.parametrize("rule", AggregationRule)
@pytest.mark.parametrize("count", [0, UPDATE_COUNT_MAX + 1])
def test_numbers_of_updates_that_no_round_has_are_our_own_mistake(rule: AggregationRule, count: int) -> None:
    with pytest.raises(InvariantViolation, match=f"^{count} updates"):
        make_recipe_of(rule, count)


@pytest.mark.parametrize("rule", sorted(RULES_OF_WHOLE_UPDATES))
def test_missing_inner_products_are_our_own_mistake(rule: AggregationRule) -> None:
    with pytest.raises(InvariantViolation, match="inner products"):
        make_recipe(replace(DEFAULTS, rule=rule), update_count=7, products=None)
    with pytest.raises(InvariantViolation, match="inner products"):
        make_recipe(replace(DEFAULTS, rule=rule), update_count=7, products=((1,),))
