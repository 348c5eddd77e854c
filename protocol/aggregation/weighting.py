"""Clipped mean, centered clipping and geometric median: how much each update counts, by norms and distances (F5).

Every point that these rules visit is a weighted sum of the updates, so its distances from them follow from the inner
products, and iterations never touch a tensor. Weights are fixed-point numbers of 24 bits. With weights w and divisor W,
the squared distance of the point from update i, times W**2, is the integer

    sum_jk w_j w_k <j, k>  -  2 W sum_j w_j <i, j>  +  W**2 <i, i>

"The median" of some norms or distances is here the lower one of the two in the middle, if there are two: with fewer
than half of the updates malicious, it is at most an honest one.
"""

from collections.abc import Sequence
from math import isqrt
from typing import Final

from protocol.aggregation.products import PRODUCT_EXPONENT, Products, compute_squared_distances
from protocol.aggregation.recipes import WEIGHT_BITS, WEIGHT_WHOLE, WeightedMean

_MICRO_SQUARED = 10**12

_SMOOTHING_BITS: Final = 20
"""Weiszfeld's steps count a distance below 2**-10 of the median one as that: a point on an update has no weight."""


def weigh_clipped_mean(products: Products, *, radius_micro: int) -> WeightedMean:
    """Return the mean of the updates, those with too large a norm shortened to the radius.

    Z. Sun, P. Kairouz, A. T. Suresh, H. B. McMahan, "Can You Really Backdoor Federated Learning?", 2019
    (arXiv 1911.07963), section 4, norm thresholding.

    Args:
        products: Of the updates in canonical order.
        radius_micro: The radius, in millionths; 0 takes the median norm.
    """
    return weigh_centered_clipping(products, radius_micro=radius_micro, iterations=1)


def weigh_centered_clipping(products: Products, *, radius_micro: int, iterations: int) -> WeightedMean:
    """Return the centre after some steps of centered clipping, from the base model.

    A step moves the centre by the mean of the updates' differences from it, those that are too long shortened to the
    radius. S. P. Karimireddy, L. He, M. Jaggi, "Learning from History for Byzantine Robust Optimization", ICML 2021,
    section 5; there the first centre is the last round's aggregate, here it is the base model, which holds it.

    Args:
        products: Of the updates in canonical order.
        radius_micro: The radius, in millionths; 0 takes, in each step, the median of the distances from the centre.
        iterations: How many steps.
    """
    divisor = len(products) * WEIGHT_WHOLE
    weights = [0] * len(products)
    for _ in range(iterations):
        squares = _compute_squares(products, weights, divisor)
        limit = _get_median(squares)
        if radius_micro > 0:
            limit = (radius_micro**2 * divisor**2 << -PRODUCT_EXPONENT) // _MICRO_SQUARED
        steps = [WEIGHT_WHOLE if square <= limit else _compute_ratio(limit, square) for square in squares]
        kept = divisor - sum(steps)
        weights = [weight * kept // divisor + step for weight, step in zip(weights, steps, strict=True)]
    return _make_weighted_mean(weights, divisor)


def weigh_geometric_median(products: Products, *, iterations: int) -> WeightedMean:
    """Return the point after some steps of Weiszfeld's algorithm towards the geometric median, smoothed.

    K. Pillutla, S. M. Kakade, Z. Harchaoui, "Robust Aggregation for Federated Learning", IEEE Transactions on Signal
    Processing 70, 2022 (arXiv 1912.13445), section 3.2. The first point weighs each update by how close half of the
    updates are to it; the mean would start as far away as one malicious update likes.

    Args:
        products: Of the updates in canonical order.
        iterations: How many steps.
    """
    half = len(products) // 2
    weights = _weigh_by_nearness([sorted(row)[half] for row in compute_squared_distances(products)])
    for _ in range(iterations):
        squares = _compute_squares(products, weights, sum(weights))
        floor = _get_median(squares) >> _SMOOTHING_BITS
        weights = _weigh_by_nearness([max(square, floor) for square in squares])
    return _make_weighted_mean(weights, sum(weights))


def _compute_squares(products: Products, weights: Sequence[int], divisor: int) -> list[int]:
    """Return each update's squared distance from a point, times the divisor squared."""
    along = [sum(weight * product for weight, product in zip(weights, row, strict=True)) for row in products]
    own = sum(weight * product for weight, product in zip(weights, along, strict=True))
    return [own - 2 * divisor * along[i] + divisor**2 * products[i][i] for i in range(len(products))]


def _get_median(values: Sequence[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


def _compute_ratio(square: int, larger: int) -> int:
    """Return the ratio of two lengths that are given by their squares, as a weight, rounded down."""
    return isqrt((square << 2 * WEIGHT_BITS) // larger)


def _weigh_by_nearness(squares: Sequence[int]) -> list[int]:
    """Return weights in inverse proportion to distances, the closest update's being the whole."""
    nearest = min(squares)
    if nearest == 0:
        return [WEIGHT_WHOLE if square == 0 else 0 for square in squares]
    return [_compute_ratio(nearest, square) for square in squares]


def _make_weighted_mean(weights: Sequence[int], divisor: int) -> WeightedMean:
    return WeightedMean(members=tuple(range(len(weights))), weights=tuple(weights), divisor=divisor)
