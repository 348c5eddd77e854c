"""Fixed-point updates: floats become integers once, and a candidate is the same bits on every machine (F4).

A member writes its update, trained minus base, as int16 times a power of two per tensor. To aggregate, the members'
integers are aligned to their smallest scale, joined by an integer rule, and each weight is computed by one elementwise
IEEE 754 expression in float64,

    candidate = float32(float64(base) + float64(numerator) * 2**exponent / divisor)

evaluated from the left, every operation rounding to nearest, ties to even, and the last one rounding to float32. No
floating-point number is ever summed over members, so no order, block size or instruction set can show.

- *No overflow.* An update moves a weight by at most 32_768 * 2**-8 = 128, less than half a unit in the last place of
  the largest float32, so a candidate of a finite base is finite.
- *No subnormal numbers.* A weight smaller in magnitude than 2**-126 becomes +0. Some libraries make the processor flush
  such numbers to zero and others do not; with this rule nobody sees the difference.

Whoever calls cuts tensors into slices, so that memory does not grow with the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocol.aggregation.rules import RULES
from protocol.errors import InvariantViolation
from protocol.learning.artifact_format import SCALE_EXPONENT_MAX, SCALE_EXPONENT_MIN
from protocol.parameters import AggregationRule

UPDATE_MAGNITUDE_MAX: Final = 2**15 - 1
"""The largest integer that an encoder writes; a decoder takes -2**15 as well."""

MEMBER_COUNT_MAX: Final = 255
"""255 * 2**15 * 2**40 is below 2**63: sums of aligned integers cannot overflow int64."""

SMALLEST_NORMAL: Final = 2.0**-126
"""The smallest positive float32 that is not subnormal."""

_FRACTION_BITS = 15


class NotFiniteError(ValueError):
    """A tensor holds NaN or infinity, which no update can encode; look at the learning rate and the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoint:
    """One member's integers for some parameters of one tensor."""

    update: NDArray[np.int16]
    """int16 [parameters]."""
    scale_exponent: int
    """-48 to -8; one for the whole tensor."""


def compute_magnitude(base: NDArray[np.float32], trained: NDArray[np.float32]) -> float:
    """Return the largest absolute change of a weight.

    Args:
        base: float32 [parameters].
        trained: float32 [parameters].

    Raises:
        NotFiniteError: A weight is NaN or infinite.
    """
    delta = trained.astype(np.float64) - base.astype(np.float64)
    if not np.isfinite(delta).all():
        raise NotFiniteError("NaN or infinity in the trained model: lower the learning rate or check the data")
    return float(np.abs(delta).max(initial=0.0))


def compute_scale_exponent(magnitude: float) -> int:
    """Return the smallest legal exponent at which a change of this magnitude fits int16.

    Args:
        magnitude: The largest absolute change in the tensor, finite.

    Returns:
        An exponent from -48 to -8; at -8 the change may still be too large and is clipped by :func:`encode_update`.
    """
    if magnitude == 0.0:
        return SCALE_EXPONENT_MIN
    fraction, binary_exponent = np.frexp(np.float64(magnitude))
    exponent = int(binary_exponent) - _FRACTION_BITS
    if np.ldexp(fraction, _FRACTION_BITS) > UPDATE_MAGNITUDE_MAX:
        exponent += 1
    return min(max(exponent, SCALE_EXPONENT_MIN), SCALE_EXPONENT_MAX)


def encode_update(base: NDArray[np.float32], trained: NDArray[np.float32], *, scale_exponent: int) -> NDArray[np.int16]:
    """Return the change of some weights as integers.

    Rounds to nearest, ties to even; what does not fit is clipped to -32_767 and 32_767.

    Args:
        base: float32 [parameters], finite.
        trained: float32 [parameters], finite.
        scale_exponent: Of the whole tensor, from :func:`compute_scale_exponent`.

    Returns:
        int16 [parameters].
    """
    delta = trained.astype(np.float64) - base.astype(np.float64)
    units = np.rint(np.ldexp(delta, -scale_exponent))
    return np.clip(units, -UPDATE_MAGNITUDE_MAX, UPDATE_MAGNITUDE_MAX).astype(np.int16)


def aggregate(rule: AggregationRule, base: NDArray[np.float32], members: Sequence[FixedPoint]) -> NDArray[np.float32]:
    """Return the candidate's weights for some parameters of one tensor (F4, F5).

    Args:
        rule: The chain's aggregation rule.
        base: float32 [parameters], finite.
        members: One per member, in any order, each with as many parameters as the base.

    Returns:
        float32 [parameters], finite, without subnormal numbers.

    Raises:
        NotFiniteError: The base holds NaN or infinity.
        InvariantViolation: No members, too many, or lengths or exponents that the artifact checks should have refused.
    """
    if not np.isfinite(base).all():
        raise NotFiniteError("NaN or infinity in the base model: it is damaged, fetch it again")
    exponent_min, aligned = _align(base.shape[0], members)
    combined = RULES[rule](aligned)
    change = combined.numerator.astype(np.float64) * np.float64(2.0**exponent_min) / np.float64(combined.divisor)
    weights = base.astype(np.float64) + change
    weights[np.abs(weights) < SMALLEST_NORMAL] = 0.0
    return weights.astype(np.float32)


def _align(parameter_count: int, members: Sequence[FixedPoint]) -> tuple[int, NDArray[np.int64]]:
    if not 1 <= len(members) <= MEMBER_COUNT_MAX:
        raise InvariantViolation(f"{len(members)} updates to aggregate, 1 to {MEMBER_COUNT_MAX} are supported")
    exponents = [member.scale_exponent for member in members]
    exponent_min, exponent_max = min(exponents), max(exponents)
    if exponent_min < SCALE_EXPONENT_MIN or exponent_max > SCALE_EXPONENT_MAX:
        raise InvariantViolation(f"scale exponents {exponent_min} to {exponent_max} are out of range")
    aligned = np.empty((len(members), parameter_count), dtype=np.int64)
    for row, member in zip(aligned, members, strict=True):
        if member.update.shape != (parameter_count,):
            raise InvariantViolation(f"an update of shape {member.update.shape} for {parameter_count} parameters")
        np.multiply(member.update, np.int64(2 ** (member.scale_exponent - exponent_min)), out=row)
    return exponent_min, aligned
