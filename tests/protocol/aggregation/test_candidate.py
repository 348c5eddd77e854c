"""F4: candidates that are the same bits everywhere, whatever the recipe."""

import math
import struct
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.aggregation.candidate import compute_candidate
from protocol.aggregation.fixed_point import FixedPoint, NotFiniteError
from protocol.aggregation.recipes import (
    WEIGHT_WHOLE,
    NearMedianMean,
    Recipe,
    TrimmedMean,
    WeightedMean,
    make_mean,
    make_median,
)
from protocol.errors import InvariantViolation
from protocol.learning.artifact_format import SCALE_EXPONENT_MAX, SCALE_EXPONENT_MIN
from protocol.parameters import UPDATE_COUNT_MAX

PARAMETER_COUNT = 5
WEIGHTS = st.floats(width=32, allow_nan=False, allow_infinity=False)
BASES = st.lists(WEIGHTS, min_size=PARAMETER_COUNT, max_size=PARAMETER_COUNT).map(lambda v: np.array(v, np.float32))
# Few distinct values besides all others, so that integers tie.
UNITS = st.integers(-(2**15), 2**15 - 1) | st.sampled_from((-(2**15), -1, 0, 1, 2, 2**15 - 1))
MEMBERS = st.lists(
    st.builds(
        lambda units, exponent: FixedPoint(update=np.array(units, dtype=np.int16), scale_exponent=exponent),
        st.lists(UNITS, min_size=PARAMETER_COUNT, max_size=PARAMETER_COUNT),
        st.integers(SCALE_EXPONENT_MIN, SCALE_EXPONENT_MAX) | st.just(-20),
    ),
    min_size=1,
    max_size=8,
)
ONE_MEMBER = make_mean((0,))


@st.composite
def draw_recipes(draw: st.DrawFn, member_count: int) -> Recipe:
    members = tuple(range(member_count))
    match draw(st.sampled_from((TrimmedMean, NearMedianMean, WeightedMean))):
        case kind if kind is TrimmedMean:
            return TrimmedMean(members=members, trim_count=draw(st.integers(0, (member_count - 1) // 2)))
        case kind if kind is NearMedianMean:
            return NearMedianMean(members=members, keep_count=draw(st.integers(1, member_count)))
        case _:
            weights = tuple(draw(st.integers(0, WEIGHT_WHOLE)) for _ in members)
            divisor = draw(st.integers(max(1, sum(weights)), member_count * WEIGHT_WHOLE))
            return WeightedMean(members=members, weights=weights, divisor=divisor)


def combine_integers(recipe: Recipe, integers: Sequence[int], exponents: Sequence[int]) -> tuple[int, int, int]:
    """Return numerator, exponent and divisor by Python's own integers, as the module's docstring says."""
    exponent = min(exponents)
    if isinstance(recipe, WeightedMean):
        exponent = max(exponent, max(exponents) - 15)
        shares = [
            math.floor(Fraction(weight * integer) * Fraction(2) ** (own - exponent) + Fraction(1, 2))
            for weight, integer, own in zip(recipe.weights, integers, exponents, strict=True)
        ]
        return sum(shares), exponent, recipe.divisor
    ordered = sorted(integer << (own - exponent) for integer, own in zip(integers, exponents, strict=True))
    if isinstance(recipe, TrimmedMean):
        kept = ordered[recipe.trim_count : len(ordered) - recipe.trim_count]
    else:
        doubled_median = ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]
        kept = sorted(ordered, key=lambda integer: (abs(2 * integer - doubled_median), integer))[: recipe.keep_count]
    return sum(kept), exponent, len(kept)


@given(base=BASES, members=MEMBERS, data=st.data())
def test_candidate_equals_big_integer_reference_bit_by_bit(
    base: np.ndarray, members: list[FixedPoint], data: st.DataObject
) -> None:
    recipe = data.draw(draw_recipes(len(members)))
    candidate = compute_candidate(recipe, base, members)
    expected = b""
    for index, weight in enumerate(base.tolist()):
        integers = [int(member.update[index]) for member in members]
        combined = combine_integers(recipe, integers, [member.scale_exponent for member in members])
        numerator, exponent, divisor = combined
        result = weight + float(numerator) * 2.0**exponent / float(divisor)
        expected += struct.pack("<f", 0.0 if abs(result) < 2.0**-126 else result)
    assert candidate.astype("<f4").tobytes() == expected


@given(base=BASES, members=MEMBERS, data=st.data())
def test_candidate_is_within_one_rounding_of_the_exact_result(
    base: np.ndarray, members: list[FixedPoint], data: st.DataObject
) -> None:
    weights = tuple(data.draw(st.integers(1, WEIGHT_WHOLE)) for _ in members)
    indices = tuple(range(len(members)))
    recipe = WeightedMean(members=indices, weights=weights, divisor=max(sum(weights), WEIGHT_WHOLE))
    candidate = compute_candidate(recipe, base, members)
    for index, weight in enumerate(base.tolist()):
        changes = [Fraction(int(member.update[index])) * Fraction(2) ** member.scale_exponent for member in members]
        weighted = sum((w * change for w, change in zip(weights, changes, strict=True)), Fraction(0))
        exact = Fraction(weight) + weighted / recipe.divisor
        spacing = Fraction(2) ** (math.frexp(float(candidate[index]))[1] - 24)
        # Half a unit of float32 for the last rounding, and a sliver for those before it; shares that were rounded to
        # the coarser scale add less than 2**-40.
        bound = max(spacing * Fraction(513, 1024), Fraction(2) ** -125) + Fraction(2) ** -40
        assert abs(Fraction(float(candidate[index])) - exact) <= bound


@given(base=BASES, members=MEMBERS, data=st.data())
def test_order_of_members_does_not_matter(base: np.ndarray, members: list[FixedPoint], data: st.DataObject) -> None:
    recipe = data.draw(draw_recipes(len(members)))
    order = data.draw(st.permutations(range(len(members))))
    shuffled = recipe
    if isinstance(recipe, WeightedMean):
        weights = tuple(recipe.weights[index] for index in order)
        shuffled = WeightedMean(members=recipe.members, weights=weights, divisor=recipe.divisor)
    one = compute_candidate(recipe, base, members)
    other = compute_candidate(shuffled, base, [members[index] for index in order])
    assert one.tobytes() == other.tobytes()


@given(base=BASES, members=MEMBERS, cut=st.integers(1, PARAMETER_COUNT - 1), data=st.data())
def test_slicing_does_not_matter(base: np.ndarray, members: list[FixedPoint], cut: int, data: st.DataObject) -> None:
    recipe = data.draw(draw_recipes(len(members)))
    whole = compute_candidate(recipe, base, members)
    parts = [
        compute_candidate(
            recipe,
            base[part],
            [FixedPoint(update=member.update[part], scale_exponent=member.scale_exponent) for member in members],
        )
        for part in (slice(0, cut), slice(cut, None))
    ]
    assert whole.tobytes() == np.concatenate(parts).tobytes()


@given(base=BASES, members=MEMBERS)
def test_inputs_are_left_alone(base: np.ndarray, members: list[FixedPoint]) -> None:
    before = [base.tobytes(), *(member.update.tobytes() for member in members)]
    for recipe in (make_mean(tuple(range(len(members)))), make_median(tuple(range(len(members))))):
        compute_candidate(recipe, base, members)
    assert [base.tobytes(), *(member.update.tobytes() for member in members)] == before


def make_small_members(integers: Sequence[int], exponents: Sequence[int]) -> list[FixedPoint]:
    return [
        FixedPoint(update=np.array([integer], dtype=np.int16), scale_exponent=exponent)
        for integer, exponent in zip(integers, exponents, strict=True)
    ]


@pytest.mark.parametrize(
    ("integers", "keep_count", "expected"),
    [((2, 0, -2, 0), 3, -2), ((2, -2, 1), 2, 3), ((5, 1, 3), 2, 4), ((4, 1, 1, 1, -2, 4), 5, 5), ((7, 9), 1, 7)],
)
def test_of_two_equally_close_to_the_median_the_lower_is_kept(
    integers: tuple[int, ...], keep_count: int, expected: int
) -> None:
    recipe = NearMedianMean(members=tuple(range(len(integers))), keep_count=keep_count)
    members = make_small_members(integers, (-8,) * len(integers))
    candidate = compute_candidate(recipe, np.zeros(1, dtype=np.float32), members)
    assert candidate[0] == np.float32(expected / keep_count / 256)


@pytest.mark.parametrize(("integer", "expected"), [(1, 0), (2, 1), (3, 1), (-1, 0), (-2, 0), (-3, -1)])
def test_shares_finer_than_the_scale_are_rounded_half_up(integer: int, expected: int) -> None:
    """F4: a scale of 17 powers of two below the coarsest is rounded to 15 below it."""
    recipe = WeightedMean(members=(0, 1), weights=(1, 0), divisor=1)
    candidate = compute_candidate(recipe, np.zeros(1, dtype=np.float32), make_small_members((integer, 0), (-37, -20)))
    assert candidate[0] == np.float32(expected * 2.0**-35)


@pytest.mark.parametrize("member_count", [19, 20, 21, 22])
def test_many_members_are_sorted_as_few_are(member_count: int) -> None:
    integers = [(7_919 * index) % 1_009 - 500 for index in range(member_count)]
    members = make_small_members(integers, (-8,) * member_count)
    candidate = compute_candidate(make_median(tuple(range(member_count))), np.zeros(1, dtype=np.float32), members)
    assert candidate[0] == np.float32(np.median(integers) / 256)


def test_largest_update_of_largest_base_stays_finite() -> None:
    largest = np.finfo(np.float32).max
    update = FixedPoint(update=np.array([32_767, -(2**15)], dtype=np.int16), scale_exponent=SCALE_EXPONENT_MAX)
    candidate = compute_candidate(ONE_MEMBER, np.array([largest, -largest], dtype=np.float32), [update])
    assert candidate.tolist() == [float(largest), -float(largest)]


INDICES = tuple(range(UPDATE_COUNT_MAX))


@pytest.mark.parametrize(
    "recipe",
    [
        make_mean(INDICES),
        NearMedianMean(members=INDICES, keep_count=UPDATE_COUNT_MAX),
        WeightedMean(
            members=INDICES, weights=(WEIGHT_WHOLE,) * UPDATE_COUNT_MAX, divisor=UPDATE_COUNT_MAX * WEIGHT_WHOLE
        ),
    ],
)
def test_as_many_members_as_allowed_do_not_overflow(recipe: Recipe) -> None:
    low = FixedPoint(update=np.array([1], dtype=np.int16), scale_exponent=SCALE_EXPONENT_MIN)
    high = FixedPoint(update=np.array([-(2**15)], dtype=np.int16), scale_exponent=SCALE_EXPONENT_MAX)
    members = [low, *[high] * (UPDATE_COUNT_MAX - 1)]
    candidate = compute_candidate(recipe, np.zeros(1, dtype=np.float32), members)
    assert candidate[0] == np.float32(-128.0 * (UPDATE_COUNT_MAX - 1) / UPDATE_COUNT_MAX)


def test_weights_that_all_fall_on_one_member_do_not_overflow() -> None:
    low = FixedPoint(update=np.array([1], dtype=np.int16), scale_exponent=SCALE_EXPONENT_MIN)
    high = FixedPoint(update=np.array([-(2**15)], dtype=np.int16), scale_exponent=SCALE_EXPONENT_MAX)
    whole = UPDATE_COUNT_MAX * WEIGHT_WHOLE
    recipe = WeightedMean(members=(0, 1), weights=(0, whole), divisor=whole)
    assert compute_candidate(recipe, np.zeros(1, dtype=np.float32), [low, high])[0] == np.float32(-128.0)


def test_one_member_more_than_allowed_is_our_own_mistake() -> None:
    member = FixedPoint(update=np.zeros(1, dtype=np.int16), scale_exponent=-20)
    recipe = make_mean(tuple(range(UPDATE_COUNT_MAX + 1)))
    with pytest.raises(InvariantViolation, match="256 updates"):
        compute_candidate(recipe, np.zeros(1, dtype=np.float32), [member] * (UPDATE_COUNT_MAX + 1))


def test_no_updates_are_our_own_mistake() -> None:
    with pytest.raises(InvariantViolation, match="0 updates"):
        compute_candidate(make_mean(()), np.zeros(1, dtype=np.float32), [])


def test_other_updates_than_the_recipes_are_our_own_mistake() -> None:
    member = FixedPoint(update=np.zeros(1, dtype=np.int16), scale_exponent=-20)
    with pytest.raises(InvariantViolation, match="2 updates for a recipe of 1"):
        compute_candidate(ONE_MEMBER, np.zeros(1, dtype=np.float32), [member, member])


@pytest.mark.parametrize(
    ("member", "error"),
    [
        (FixedPoint(update=np.zeros(2, dtype=np.int16), scale_exponent=-20), "shape"),
        (FixedPoint(update=np.zeros(1, dtype=np.int16), scale_exponent=SCALE_EXPONENT_MIN - 1), "out of range"),
        (FixedPoint(update=np.zeros(1, dtype=np.int16), scale_exponent=SCALE_EXPONENT_MAX + 1), "out of range"),
    ],
)
def test_what_the_artifact_checks_refuse_is_our_own_mistake(member: FixedPoint, error: str) -> None:
    with pytest.raises(InvariantViolation, match=error):
        compute_candidate(ONE_MEMBER, np.zeros(1, dtype=np.float32), [member])


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_base_that_is_not_finite_is_refused(poison: float) -> None:
    member = FixedPoint(update=np.zeros(2, dtype=np.int16), scale_exponent=-20)
    with pytest.raises(NotFiniteError):
        compute_candidate(ONE_MEMBER, np.array([0.0, poison], dtype=np.float32), [member])


def test_subnormal_weights_become_positive_zero() -> None:
    member = FixedPoint(update=np.zeros(3, dtype=np.int16), scale_exponent=-20)
    base = np.array([1e-40, -1e-40, 2.0**-126], dtype=np.float32)
    candidate = compute_candidate(ONE_MEMBER, base, [member])
    assert candidate.tobytes() == np.array([0.0, 0.0, 2.0**-126], dtype=np.float32).tobytes()
