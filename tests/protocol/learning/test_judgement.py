"""A voter's rule (F7), in integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvariantViolation
from protocol.learning.judgement import is_acceptable
from protocol.units import Bps, Ppm

SCORES = st.integers(0, 1_000_000).map(Ppm)
TOLERANCES = st.integers(0, 10_000).map(Bps)


@pytest.mark.parametrize(
    ("candidate", "reference", "tolerance", "is_accepted"),
    [
        (950_000, 1_000_000, 500, True),
        (949_999, 1_000_000, 500, False),
        (900_000, 900_000, 0, True),
        (899_999, 900_000, 0, False),
        (0, 0, 500, True),
        (0, 1, 10_000, True),
        (0, 1, 500, False),
    ],
)
def test_a_candidate_may_fall_short_by_the_tolerance_and_no_more(
    candidate: int, reference: int, tolerance: int, is_accepted: bool
) -> None:
    assert is_acceptable(Ppm(candidate), Ppm(reference), Bps(tolerance)) is is_accepted


@given(SCORES, SCORES, TOLERANCES)
def test_a_better_candidate_is_always_acceptable(candidate: Ppm, reference: Ppm, tolerance: Bps) -> None:
    assert candidate < reference or is_acceptable(candidate, reference, tolerance)


@pytest.mark.parametrize(
    ("candidate", "reference", "tolerance"), [(-1, 0, 0), (1_000_001, 0, 0), (0, 1_000_001, 0), (0, 0, 10_001)]
)
def test_scores_and_tolerances_out_of_range_are_our_own_mistake(candidate: int, reference: int, tolerance: int) -> None:
    with pytest.raises(InvariantViolation):
        is_acceptable(Ppm(candidate), Ppm(reference), Bps(tolerance))
