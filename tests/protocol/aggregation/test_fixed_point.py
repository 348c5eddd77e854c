"""F4: a member's change of the model as fixed-point integers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.aggregation.fixed_point import (
    NotFiniteError,
    compute_magnitude,
    compute_scale_exponent,
    encode_update,
)
from protocol.learning.artifact_format import SCALE_EXPONENT_MAX, SCALE_EXPONENT_MIN

PARAMETER_COUNT = 5
WEIGHTS = st.floats(-1e3, 1e3, width=32)
CHANGES = st.floats(-100.0, 100.0, width=32)


@given(
    base=st.lists(WEIGHTS, min_size=PARAMETER_COUNT, max_size=PARAMETER_COUNT),
    changes=st.lists(CHANGES, min_size=PARAMETER_COUNT, max_size=PARAMETER_COUNT),
)
def test_encoding_errs_by_at_most_half_a_unit(base: list[float], changes: list[float]) -> None:
    start = np.array(base, dtype=np.float32)
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
