"""The candidate's weights, the same bits on every machine: what a recipe makes of a base and integers (F4, F5).

The members' integers are aligned to one scale, joined to one numerator and divisor by integer arithmetic, and each
weight is computed by one elementwise IEEE 754 expression in float64,

    candidate = float32(float64(base) + float64(numerator) * 2**exponent / divisor)

evaluated from the left, every operation rounding to nearest, ties to even, and the last one rounding to float32. No
floating-point number is ever summed over members, so no order, slice or instruction set can show.

- *No overflow of integers.* Aligned to the finest scale they are at most 2**55, so 255 of them add up to less than
  2**63. Weighted ones would not fit: there the weights' sum is at most 2**32, and the scale is at most 15 powers of two
  finer than the coarsest, so that the sum of all is at most 2**62. What is finer still is rounded to it, each member's
  share by itself, half up: half a unit per member before the division, less than 2**-40 in all after it.
- *No overflow of floats.* An update moves a weight by at most 32_768 * 2**-8 = 128, less than half a unit in the last
  place of the largest float32, so a candidate of a finite base is finite.
- *No subnormal numbers.* A weight smaller in magnitude than 2**-126 becomes +0. Some libraries make the processor flush
  such numbers to zero and others do not; with this rule nobody sees the difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocol.aggregation.fixed_point import FixedPoint, NotFiniteError
from protocol.aggregation.recipes import Recipe, TrimmedMean, WeightedMean
from protocol.errors import InvariantViolation
from protocol.learning.artifact_format import SCALE_EXPONENT_MAX, SCALE_EXPONENT_MIN
from protocol.parameters import UPDATE_COUNT_MAX

SMALLEST_NORMAL: Final = 2.0**-126
"""The smallest positive float32 that is not subnormal."""

WEIGHTED_SHIFT_MAX: Final = 15
"""Weights of 32 bits in all, integers of 15 and this shift make 62 bits."""

_FEW_MEMBERS = 20
"""Up to here comparing whole rows is faster than sorting each column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Combined:
    """The members' integers joined: ``numerator * 2**exponent / divisor`` for each weight."""

    numerator: NDArray[np.int64]
    """int64 [parameters]."""
    exponent: int
    divisor: int
    """At least 1."""


def compute_candidate(recipe: Recipe, base: NDArray[np.float32], members: Sequence[FixedPoint]) -> NDArray[np.float32]:
    """Return the candidate's weights for some parameters of one tensor.

    Args:
        recipe: What to do, the same for the whole model.
        base: float32 [parameters], finite.
        members: One for each of the recipe's members, in its order, each with as many parameters as the base.

    Returns:
        float32 [parameters], finite, without subnormal numbers.

    Raises:
        NotFiniteError: The base holds NaN or infinity.
        InvariantViolation: Other members than the recipe's, too many, or lengths or exponents that the artifact checks
            should have refused.
    """
    if not np.isfinite(base).all():
        raise NotFiniteError("NaN or infinity in the base model: it is damaged, fetch it again")
    _check_members(recipe, base.shape[0], members)
    combined = _combine(recipe, members)
    change = combined.numerator.astype(np.float64) * np.float64(2.0**combined.exponent) / np.float64(combined.divisor)
    weights = base.astype(np.float64) + change
    weights[np.abs(weights) < SMALLEST_NORMAL] = 0.0
    return weights.astype(np.float32)


def _check_members(recipe: Recipe, parameter_count: int, members: Sequence[FixedPoint]) -> None:
    if not 1 <= len(members) <= UPDATE_COUNT_MAX or len(members) != len(recipe.members):
        raise InvariantViolation(
            f"{len(members)} updates for a recipe of {len(recipe.members)}, 1 to {UPDATE_COUNT_MAX} are supported"
        )
    for member in members:
        if not SCALE_EXPONENT_MIN <= member.scale_exponent <= SCALE_EXPONENT_MAX:
            raise InvariantViolation(f"scale exponent {member.scale_exponent} is out of range")
        if member.update.shape != (parameter_count,):
            raise InvariantViolation(f"an update of shape {member.update.shape} for {parameter_count} parameters")


def _combine(recipe: Recipe, members: Sequence[FixedPoint]) -> _Combined:
    if isinstance(recipe, WeightedMean):
        return _combine_weighted(recipe, members)
    exponent, aligned = _align(members)
    if isinstance(recipe, TrimmedMean):
        numerator, divisor = _sum_trimmed(aligned, recipe.trim_count), len(members) - 2 * recipe.trim_count
    else:
        numerator, divisor = _sum_near_median(_sort_members(aligned), recipe.keep_count), recipe.keep_count
    return _Combined(numerator=numerator, exponent=exponent, divisor=divisor)


def _align(members: Sequence[FixedPoint]) -> tuple[int, NDArray[np.int64]]:
    """Return the members' smallest exponent, and their integers in its unit: int64 [members, parameters]."""
    exponent = min(member.scale_exponent for member in members)
    aligned = np.empty((len(members), members[0].update.shape[0]), dtype=np.int64)
    for row, member in zip(aligned, members, strict=True):
        np.multiply(member.update, np.int64(2 ** (member.scale_exponent - exponent)), out=row)
    return exponent, aligned


def _sum_trimmed(aligned: NDArray[np.int64], trim_count: int) -> NDArray[np.int64]:
    rows = list(aligned) if trim_count == 0 else _sort_members(aligned)
    return _sum_rows(rows[trim_count : len(rows) - trim_count])


def _sum_rows(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    total = rows[0].copy()
    for row in rows[1:]:
        total += row
    return total


def _sum_near_median(ordered: list[NDArray[np.int64]], keep_count: int) -> NDArray[np.int64]:
    """Return the sums of the integers closest to the median: neighbours in ascending order.

    The window of ranks moves up as long as what comes in is closer to the median than what goes out. Distances are
    doubled, so that the median of an even number is an integer.
    """
    doubled_median = ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]
    window = _sum_rows(ordered[:keep_count])
    for goes, comes in zip(ordered, ordered[keep_count:], strict=False):
        is_closer = 2 * comes - doubled_median < doubled_median - 2 * goes
        window += np.where(is_closer, comes - goes, 0)
    return window


def _combine_weighted(recipe: WeightedMean, members: Sequence[FixedPoint]) -> _Combined:
    exponents = [member.scale_exponent for member in members]
    exponent = max(min(exponents), max(exponents) - WEIGHTED_SHIFT_MAX)
    numerator = np.zeros(members[0].update.shape[0], dtype=np.int64)
    for weight, member in zip(recipe.weights, members, strict=True):
        shift = member.scale_exponent - exponent
        if shift >= 0:
            numerator += member.update * np.int64(weight << shift)
        else:
            numerator += (member.update * np.int64(weight) + np.int64(1 << (-shift - 1))) >> np.int64(-shift)
    return _Combined(numerator=numerator, exponent=exponent, divisor=recipe.divisor)


def _sort_members(aligned: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the members' integers in ascending order, weight by weight: int64 [parameters] for each rank.

    The input is used up.

    Odd-even transposition (N. Haberman, 1972): every step compares whole rows at once, which for as few rows as a round
    has updates, in slices that fit the processor's cache, is several times faster than numpy's sort along this axis.
    """
    if aligned.shape[0] > _FEW_MEMBERS:
        return list(np.sort(aligned, axis=0))
    rows = list(aligned)
    spare = np.empty_like(rows[0])
    for step in range(len(rows)):
        for lower in range(step % 2, len(rows) - 1, 2):
            np.minimum(rows[lower], rows[lower + 1], out=spare)
            np.maximum(rows[lower], rows[lower + 1], out=rows[lower + 1])
            rows[lower], spare = spare, rows[lower]
    return rows
