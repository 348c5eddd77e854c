"""How a voter judges: the rule of F7, in integers, so that one pair of scores has one answer on every machine.

What the reference is, the best accepted model by the voter's own evaluation or in preset ``paper`` the latest, the
engine decides.
"""

from typing import Final

from protocol.errors import InvariantViolation
from protocol.learning.artifact_format import SCALE_EXPONENT_MIN
from protocol.units import BPS_WHOLE, SCORE_WHOLE, Bps, Ppm

_SHARE_SHIFT: Final = 3


def is_acceptable(candidate: Ppm, reference: Ppm, tolerance_bps: Bps) -> bool:
    """Return whether candidate >= (1 - tolerance) x reference (F7).

    Args:
        candidate: Score of the judged model, 0 to 1_000_000.
        reference: Score of the model that it is compared with, 0 to 1_000_000.
        tolerance_bps: The share of the reference that may be missing, 0 to 10_000.

    Raises:
        InvariantViolation: A score or the tolerance is out of range.
    """
    for score in (candidate, reference):
        if not 0 <= score <= SCORE_WHOLE:
            raise InvariantViolation(f"a score of {score} ppm")
    if not 0 <= tolerance_bps <= BPS_WHOLE:
        raise InvariantViolation(f"a tolerance of {tolerance_bps} bps")
    return candidate * BPS_WHOLE >= reference * (BPS_WHOLE - tolerance_bps)


def compute_share_exponents(scale_exponents: tuple[int, ...]) -> tuple[int, ...]:
    """Return an update's scales when an eighth of it moves the base, as a voter screens it (F8).

    Args:
        scale_exponents: Of the whole update, one per trainable tensor.
    """
    return tuple(max(exponent - _SHARE_SHIFT, SCALE_EXPONENT_MIN) for exponent in scale_exponents)
