"""F4: updates as fixed-point integers, and candidates that are the same bits everywhere."""

import hashlib
import math
import struct
from fractions import Fraction
from statistics import median
from typing import TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocol.aggregation.fixed_point import (
    MEMBER_COUNT_MAX,
    FixedPoint,
    NotFiniteError,
    aggregate,
    compute_magnitude,
    compute_scale_exponent,
    encode_update,
)
from protocol.errors import InvariantViolation
from protocol.learning.artifact_format import SCALE_EXPONENT_MAX, SCALE_EXPONENT_MIN
from protocol.parameters import AggregationRule

PARAMETER_COUNT = 5
RULES = st.sampled_from(AggregationRule)
WEIGHTS = st.floats(width=32, allow_nan=False, allow_infinity=False)
BASES = st.lists(WEIGHTS, min_size=PARAMETER_COUNT, max_size=PARAMETER_COUNT)
UNITS = st.integers(-(2**15), 2**15 - 1)
MEMBERS = st.lists(
    st.tuples(
        st.lists(UNITS, min_size=PARAMETER_COUNT, max_size=PARAMETER_COUNT),
        st.integers(SCALE_EXPONENT_MIN, SCALE_EXPONENT_MAX),
    ),
    min_size=1,
    max_size=6,
)

DrawnMember: TypeAlias = tuple[list[int], int]
"""A member's integers and its scale exponent."""


def make_base(values: list[float]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def make_members(drawn: list[DrawnMember]) -> list[FixedPoint]:
    return [FixedPoint(update=np.array(units, dtype=np.int16), scale_exponent=exponent) for units, exponent in drawn]


def compute_exact_change(rule: AggregationRule, units: list[tuple[int, int]]) -> Fraction:
    """Return the rule's result for one weight, from each member's integer and exponent, without rounding."""
    changes = [Fraction(integer) * Fraction(2) ** exponent for integer, exponent in units]
    return sum(changes, Fraction(0)) / len(changes) if rule is AggregationRule.MEAN else Fraction(median(changes))


def compute_reference_bits(rule: AggregationRule, base: float, units: list[tuple[int, int]]) -> bytes:
    """Return one weight's bytes by Python's own big integers and IEEE floats, as the module's docstring says."""
    lowest = min(exponent for _, exponent in units)
    aligned = sorted(integer << (exponent - lowest) for integer, exponent in units)
    middle = len(aligned) // 2
    if rule is AggregationRule.MEAN:
        numerator, divisor = sum(aligned), len(aligned)
    elif len(aligned) % 2 == 1:
        numerator, divisor = aligned[middle], 1
    else:
        numerator, divisor = aligned[middle - 1] + aligned[middle], 2
    weight = base + float(numerator) * 2.0**lowest / float(divisor)
    return struct.pack("<f", 0.0 if abs(weight) < 2.0**-126 else weight)


@given(rule=RULES, base=BASES, drawn=MEMBERS)
def test_candidate_equals_big_integer_reference_bit_by_bit(
    rule: AggregationRule, base: list[float], drawn: list[DrawnMember]
) -> None:
    candidate = aggregate(rule, make_base(base), make_members(drawn))
    expected = [
        compute_reference_bits(rule, weight, [(units[index], exponent) for units, exponent in drawn])
        for index, weight in enumerate(base)
    ]
    assert candidate.astype("<f4").tobytes() == b"".join(expected)


@given(rule=RULES, base=BASES, drawn=MEMBERS)
def test_candidate_is_within_one_rounding_of_the_exact_result(
    rule: AggregationRule, base: list[float], drawn: list[DrawnMember]
) -> None:
    candidate = aggregate(rule, make_base(base), make_members(drawn))
    for index, weight in enumerate(base):
        exact = Fraction(weight) + compute_exact_change(rule, [(units[index], e) for units, e in drawn])
        spacing = Fraction(2) ** (math.frexp(float(candidate[index]))[1] - 24)
        # Half a unit of float32 for the last rounding, and a sliver for those in float64 before it; below 2**-126 the
        # candidate is zero.
        assert abs(Fraction(float(candidate[index])) - exact) <= max(spacing * Fraction(513, 1024), Fraction(2) ** -125)


@given(rule=RULES, base=BASES, drawn=MEMBERS, data=st.data())
def test_order_of_members_does_not_matter(
    rule: AggregationRule, base: list[float], drawn: list[DrawnMember], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(drawn))
    one = aggregate(rule, make_base(base), make_members(drawn))
    other = aggregate(rule, make_base(base), make_members(shuffled))
    assert one.tobytes() == other.tobytes()


@given(rule=RULES, base=BASES, drawn=MEMBERS, cut=st.integers(1, PARAMETER_COUNT - 1))
def test_slicing_does_not_matter(rule: AggregationRule, base: list[float], drawn: list[DrawnMember], cut: int) -> None:
    whole = aggregate(rule, make_base(base), make_members(drawn))
    parts = [
        aggregate(rule, make_base(base[part]), make_members([(units[part], exponent) for units, exponent in drawn]))
        for part in (slice(0, cut), slice(cut, None))
    ]
    assert whole.tobytes() == np.concatenate(parts).tobytes()


@given(base=BASES, drawn=MEMBERS)
def test_torch_computes_the_same_bits(base: list[float], drawn: list[DrawnMember]) -> None:
    candidate = aggregate(AggregationRule.MEAN, make_base(base), make_members(drawn))
    lowest = min(exponent for _, exponent in drawn)
    numerator = sum(torch.tensor(units, dtype=torch.int64) * 2 ** (exponent - lowest) for units, exponent in drawn)
    assert isinstance(numerator, torch.Tensor)
    weights = torch.from_numpy(make_base(base)).double() + numerator.double() * 2.0**lowest / float(len(drawn))
    weights = torch.where(weights.abs() < 2.0**-126, torch.zeros_like(weights), weights)
    assert candidate.tobytes() == weights.float().numpy().tobytes()


def test_candidate_of_fixed_inputs_never_changes() -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    base = np.ldexp(generator.integers(-(2**24), 2**24, size=10_000).astype(np.float32), -25)
    members = [
        FixedPoint(
            update=generator.integers(-32_767, 32_768, size=10_000).astype(np.int16),
            scale_exponent=int(generator.integers(-24, -16)),
        )
        for _ in range(4)
    ]
    digests = [hashlib.sha256(aggregate(rule, base, members).tobytes()).hexdigest()[:16] for rule in AggregationRule]
    assert digests == ["2f6c0105db7f75d1", "376b2cfa02e31f65"]


def test_largest_update_of_largest_base_stays_finite() -> None:
    largest = np.finfo(np.float32).max
    update = FixedPoint(update=np.array([32_767, -(2**15)], dtype=np.int16), scale_exponent=SCALE_EXPONENT_MAX)
    candidate = aggregate(AggregationRule.MEAN, np.array([largest, -largest], dtype=np.float32), [update])
    assert candidate.tolist() == [float(largest), -float(largest)]


def test_as_many_members_as_allowed_do_not_overflow() -> None:
    low = FixedPoint(update=np.array([1], dtype=np.int16), scale_exponent=SCALE_EXPONENT_MIN)
    high = FixedPoint(update=np.array([-(2**15)], dtype=np.int16), scale_exponent=SCALE_EXPONENT_MAX)
    members = [low, *[high] * (MEMBER_COUNT_MAX - 1)]
    candidate = aggregate(AggregationRule.MEAN, np.zeros(1, dtype=np.float32), members)
    assert candidate[0] == np.float32(-128.0 * (MEMBER_COUNT_MAX - 1) / MEMBER_COUNT_MAX)


def test_one_member_more_than_allowed_is_our_own_mistake() -> None:
    member = FixedPoint(update=np.zeros(1, dtype=np.int16), scale_exponent=-20)
    with pytest.raises(InvariantViolation, match="256 updates"):
        aggregate(AggregationRule.MEAN, np.zeros(1, dtype=np.float32), [member] * (MEMBER_COUNT_MAX + 1))


def test_no_updates_are_our_own_mistake() -> None:
    with pytest.raises(InvariantViolation, match="0 updates"):
        aggregate(AggregationRule.MEAN, np.zeros(1, dtype=np.float32), [])


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_base_that_is_not_finite_is_refused(poison: float) -> None:
    member = FixedPoint(update=np.zeros(2, dtype=np.int16), scale_exponent=-20)
    with pytest.raises(NotFiniteError):
        aggregate(AggregationRule.MEDIAN, np.array([0.0, poison], dtype=np.float32), [member])


def test_subnormal_weights_become_positive_zero() -> None:
    member = FixedPoint(update=np.zeros(3, dtype=np.int16), scale_exponent=-20)
    base = np.array([1e-40, -1e-40, 2.0**-126], dtype=np.float32)
    candidate = aggregate(AggregationRule.MEAN, base, [member])
    assert candidate.tobytes() == np.array([0.0, 0.0, 2.0**-126], dtype=np.float32).tobytes()


@given(
    base=BASES, changes=st.lists(st.floats(-100.0, 100.0, width=32), min_size=PARAMETER_COUNT, max_size=PARAMETER_COUNT)
)
def test_encoding_errs_by_at_most_half_a_unit(base: list[float], changes: list[float]) -> None:
    start = np.clip(make_base(base), -1e3, 1e3)
    trained = start + np.array(changes, dtype=np.float32)
    exponent = compute_scale_exponent(compute_magnitude(start, trained))
    update = encode_update(start, trained, scale_exponent=exponent)
    error = np.ldexp(update.astype(np.float64), exponent) - (trained.astype(np.float64) - start.astype(np.float64))
    assert np.abs(error).max() <= 2.0 ** (exponent - 1)


@given(magnitude=st.floats(0.0, 1e9))
def test_scale_exponent_is_the_smallest_that_fits(magnitude: float) -> None:
    exponent = compute_scale_exponent(magnitude)
    assert SCALE_EXPONENT_MIN <= exponent <= SCALE_EXPONENT_MAX
    fits = Fraction(magnitude) <= 32_767 * Fraction(2) ** exponent
    assert fits or exponent == SCALE_EXPONENT_MAX
    assert exponent == SCALE_EXPONENT_MIN or Fraction(magnitude) > 32_767 * Fraction(2) ** (exponent - 1)


def test_change_beyond_the_scale_is_clipped() -> None:
    base = np.zeros(2, dtype=np.float32)
    trained = np.array([1e6, -1e6], dtype=np.float32)
    exponent = compute_scale_exponent(compute_magnitude(base, trained))
    assert exponent == SCALE_EXPONENT_MAX
    assert encode_update(base, trained, scale_exponent=exponent).tolist() == [32_767, -32_767]


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_training_that_diverged_cannot_be_encoded(poison: float) -> None:
    with pytest.raises(NotFiniteError, match="learning rate"):
        compute_magnitude(np.zeros(2, dtype=np.float32), np.array([0.0, poison], dtype=np.float32))
