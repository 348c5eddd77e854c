"""The aggregation rules: how the integers of several members become one numerator and one divisor (F5).

A rule works on integers only and gives the same result for any order of the members. What the numerator means in
weights is decided by :mod:`protocol.aggregation.fixed_point`. New rules are entries of the table, nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.parameters import AggregationRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """The members' integers joined by a rule: ``numerator / divisor`` for each weight."""

    numerator: NDArray[np.int64]
    """int64 [parameters]."""
    divisor: int
    """At least 1."""


Rule: TypeAlias = Callable[[NDArray[np.int64]], Combined]
"""Joins int64 [members, parameters], at least one member."""


def compute_mean(aligned: NDArray[np.int64]) -> Combined:
    """Return the plain mean: the sum over members, to be divided by their number (FedAvg with equal weights).

    H. B. McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017,
    section 2; equal weights because claimed example counts are not trusted (F3).

    Args:
        aligned: int64 [members, parameters], to one scale.
    """
    return Combined(numerator=aligned.sum(axis=0, dtype=np.int64), divisor=aligned.shape[0])


def compute_median(aligned: NDArray[np.int64]) -> Combined:
    """Return the coordinate-wise median; of an even number of members, the mean of the two in the middle.

    D. Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML 2018, definition 1.

    Args:
        aligned: int64 [members, parameters], to one scale.
    """
    ordered = _sort_members(aligned)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 1:
        return Combined(numerator=ordered[middle], divisor=1)
    return Combined(numerator=ordered[middle - 1] + ordered[middle], divisor=2)


def _sort_members(aligned: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the members' integers in ascending order, weight by weight: int64 [parameters] for each rank.

    Odd-even transposition (N. Haberman, 1972): every step compares whole rows at once, which for as few rows as a round
    has updates, in slices that fit the processor's cache, is several times faster than numpy's sort along this axis.
    """
    rows = list(aligned.copy())
    spare = np.empty_like(rows[0])
    for step in range(len(rows)):
        for lower in range(step % 2, len(rows) - 1, 2):
            np.minimum(rows[lower], rows[lower + 1], out=spare)
            np.maximum(rows[lower], rows[lower + 1], out=rows[lower + 1])
            rows[lower], spare = spare, rows[lower]
    return rows


RULES: Final[Mapping[AggregationRule, Rule]] = MappingProxyType(
    {AggregationRule.MEAN: compute_mean, AggregationRule.MEDIAN: compute_median}
)
