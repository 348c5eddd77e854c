"""How a voter judges: the rule of F7, in integers, so that one pair of scores has one answer on every machine.

What the reference is, the best accepted model by the voter's own evaluation or in preset ``paper`` the latest, the
engine decides.
"""

from protocol.errors import InvariantViolation
from protocol.units import BPS_WHOLE, SCORE_WHOLE, Bps, Ppm


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
