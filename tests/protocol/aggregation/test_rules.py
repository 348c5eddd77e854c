"""F5: what each aggregation rule makes of a few integers."""

import numpy as np
import pytest

from protocol.aggregation.rules import RULES, compute_mean, compute_median
from protocol.parameters import AggregationRule


def test_every_rule_of_a_genesis_document_has_a_function() -> None:
    assert set(RULES) == set(AggregationRule)


def test_mean_is_the_sum_and_the_member_count() -> None:
    combined = compute_mean(np.array([[1, -5], [2, 7], [6, 0]], dtype=np.int64))
    assert (combined.numerator.tolist(), combined.divisor) == ([9, 2], 3)


def test_median_of_an_odd_number_is_the_middle_one() -> None:
    combined = compute_median(np.array([[9, 1], [-4, 1], [2, 8]], dtype=np.int64))
    assert (combined.numerator.tolist(), combined.divisor) == ([2, 1], 1)


def test_median_of_an_even_number_is_half_the_sum_of_the_middle_two() -> None:
    combined = compute_median(np.array([[9], [-4], [2], [5]], dtype=np.int64))
    assert (combined.numerator.tolist(), combined.divisor) == ([7], 2)


@pytest.mark.parametrize("rule", AggregationRule)
def test_one_update_alone_is_itself(rule: AggregationRule) -> None:
    combined = RULES[rule](np.array([[3, -7]], dtype=np.int64))
    assert (combined.numerator.tolist(), combined.divisor) == ([3, -7], 1)


def test_median_ignores_how_far_off_a_minority_is() -> None:
    honest = [[10], [11], [12]]
    assert compute_median(np.array([*honest, [-(2**55)], [-(2**55)]], dtype=np.int64)).numerator.tolist() == [10]


@pytest.mark.parametrize("rule", AggregationRule)
def test_rules_leave_their_input_alone(rule: AggregationRule) -> None:
    aligned = np.array([[5, 1], [3, 2], [4, 9]], dtype=np.int64)
    before = aligned.copy()
    RULES[rule](aligned)
    assert aligned.tolist() == before.tolist()
