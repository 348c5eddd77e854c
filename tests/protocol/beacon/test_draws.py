"""Draws from threshold outputs follow the capped stakes, and withholding pays under RANDAO only (F2, B1, B5).

A bounded version of ``python -m bench.draws``; everything is derived from fixed words, so that it gives the same result
every time.
"""

import pytest

from bench.draws import P_VALUE_MIN, STAKES, Fit, compute_fit, compute_p_value, get_weights, measure_draws
from bench.withholding import MEMBER_COUNT, SHARE, make_group_key, measure_withholding
from protocol.bls.threshold import sign_partial
from protocol.units import Round


@pytest.fixture(scope="module")
def fits() -> list[Fit]:
    """Two thousand rounds of one group."""
    return measure_draws(2_000)


def test_draws_follow_the_capped_stakes(fits: list[Fit]) -> None:
    """F2: who is drawn first, and who second."""
    assert [fit.place for fit in fits] == ["first", "second"]
    assert all(sum(fit.counts) == 2_000 and fit.p_value > P_VALUE_MIN for fit in fits)


def test_draws_that_do_not_follow_the_weights_would_be_found(fits: list[Fit]) -> None:
    """The stake above the cap does not count, and the same counts do not fit the stakes without a cap."""
    uncapped = compute_fit("first", fits[0].counts, [stake / sum(STAKES) for stake in STAKES])
    assert max(get_weights()) == 250_000_000
    assert uncapped.p_value < P_VALUE_MIN / 1_000


@pytest.mark.parametrize(
    ("chi_square", "degrees", "p_value"),
    [(0.0, 3, 1.0), (3.841, 1, 0.05), (5.991, 2, 0.05), (18.307, 10, 0.05), (24.725, 11, 0.01), (29.588, 10, 0.001)],
)
def test_p_values_are_those_of_the_tables(chi_square: float, degrees: int, p_value: float) -> None:
    assert compute_p_value(chi_square, degrees) == pytest.approx(p_value, rel=2e-3)


def test_withholding_pays_under_randao_and_not_under_the_threshold_beacon() -> None:
    """B1, B5: the control shows that the attacker knows its trade."""
    shares = measure_withholding(400)
    assert shares["RANDAO, blocks withheld"] > shares["RANDAO, no block withheld"] + 0.04
    assert shares["threshold, partial signatures withheld"] == shares["threshold, nothing withheld"]
    for fair in ("RANDAO, no block withheld", "threshold, nothing withheld"):
        assert abs(shares[fair] - SHARE) < 0.07


def test_the_shortcut_of_the_benchmark_is_the_threshold_output() -> None:
    """B1: the group's secret, which no network has, signs what any threshold of members does."""
    group = make_group_key(MEMBER_COUNT, "shortcut")
    assert sign_partial(group.secret, Round(5)) == group.combine(Round(5), range(4, 10))
