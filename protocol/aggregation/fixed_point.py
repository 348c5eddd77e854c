"""Fixed-point updates: a member's floats become integers once, before anybody joins them with others' (F4).

A member writes its update, trained minus base, as int16 times a power of two per tensor. What becomes of the integers
is decided by :mod:`protocol.aggregation.candidate`. Whoever calls cuts tensors into slices, so that memory does not
grow with the model.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocol.learning.artifact_format import SCALE_EXPONENT_MAX, SCALE_EXPONENT_MIN

UPDATE_MAGNITUDE_MAX: Final = 2**15 - 1
"""The largest integer that an encoder writes; a decoder takes -2**15 as well."""

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
