"""The formulas of attacks that look at other members' updates: arrays in, an array out, no state and no randomness.

A *change* is trained minus base, all trainable weights of the model in one row. *Known* are the changes that the
attackers know: rows of one array. Sources are at :class:`node.attacks.kinds.AttackKind`.
"""

from collections.abc import Callable
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SEARCH_STEPS: Final = 40
_FACTOR_FIRST: Final = 10.0
_SHARE_MAX: Final = 0.99
"""Of a normal distribution: where the paper's z is infinite, because the attackers are a majority already."""


def compute_alie(
    known: NDArray[np.float64], *, member_count: int, malicious_count: int, z: float
) -> NDArray[np.float64]:
    """Return the mean minus z standard deviations of the known changes.

    Args:
        known: float64 [changes, parameters], at least one.
        member_count: How many updates the round has.
        malicious_count: How many of them are the attackers'.
        z: 0 takes the largest that the paper's algorithm 3 allows, at which enough honest updates lie farther out than
            the attackers' to give these a majority.
    """
    if z == 0.0:
        honest_count = max(1, member_count - malicious_count)
        supporters = member_count // 2 + 1 - malicious_count
        share = min(max((honest_count - supporters) / honest_count, 0.5), _SHARE_MAX)
        z = NormalDist().inv_cdf(share)
    change: NDArray[np.float64] = known.mean(axis=0) - z * known.std(axis=0)
    return change


def compute_inner_product(known: NDArray[np.float64], *, strength: float) -> NDArray[np.float64]:
    """Return minus the strength times the mean of the known changes, float64 [parameters]."""
    change: NDArray[np.float64] = -strength * known.mean(axis=0)
    return change


def compute_min_max(known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the farthest change whose largest distance to a known one is at most the largest between two of these."""
    limit = max(float(_compute_squared_distances(known, change).max()) for change in known)
    return _search_farthest(known, lambda change: float(_compute_squared_distances(known, change).max()) <= limit)


def compute_min_sum(known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the farthest change whose squared distances to the known ones sum to at most the largest such sum."""
    limit = max(float(_compute_squared_distances(known, change).sum()) for change in known)
    return _search_farthest(known, lambda change: float(_compute_squared_distances(known, change).sum()) <= limit)


def search_factor(is_allowed: Callable[[float], bool], *, factor_max: float, step_count: int) -> float:
    """Return about the largest factor from 0 to ``factor_max`` that is allowed, given that smaller ones are as well."""
    if is_allowed(factor_max):
        return factor_max
    low, high = 0.0, factor_max
    for _ in range(step_count):
        middle = (low + high) / 2.0
        low, high = (middle, high) if is_allowed(middle) else (low, middle)
    return low


def _search_farthest(
    known: NDArray[np.float64], is_allowed: Callable[[NDArray[np.float64]], bool]
) -> NDArray[np.float64]:
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    factor = search_factor(
        lambda tried: is_allowed(mean - tried * deviation), factor_max=_FACTOR_FIRST, step_count=_SEARCH_STEPS
    )
    change: NDArray[np.float64] = mean - factor * deviation
    return change


def _compute_squared_distances(known: NDArray[np.float64], change: NDArray[np.float64]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.square(known - change).sum(axis=1)
    return distances
