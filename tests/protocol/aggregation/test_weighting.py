"""F5: clipped mean, centered clipping and geometric median, against the papers' steps in floating point."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocol.aggregation.fixed_point import FixedPoint
from protocol.aggregation.products import Products, ProductSums
from protocol.aggregation.recipes import WEIGHT_WHOLE, WeightedMean
from protocol.aggregation.weighting import weigh_centered_clipping, weigh_clipped_mean, weigh_geometric_median

EXPONENT = -12
UNITS = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=4, max_size=4)
POINTS = st.lists(UNITS, min_size=1, max_size=9)


def compute_products(points: list[list[int]]) -> Products:
    sums = ProductSums(len(points))
    sums.add([FixedPoint(update=np.array(point, dtype=np.int16), scale_exponent=EXPONENT) for point in points])
    return sums.get()


def make_vectors(points: list[list[int]]) -> NDArray[np.float64]:
    return np.ldexp(np.array(points, dtype=np.float64), EXPONENT)


def compute_point(recipe: WeightedMean, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    point: NDArray[np.float64] = np.array(recipe.weights, dtype=np.float64) @ vectors / recipe.divisor
    return point


def clip_in_floats(vectors: NDArray[np.float64], radius: float, iterations: int) -> NDArray[np.float64]:
    center = np.zeros(vectors.shape[1])
    for _ in range(iterations):
        norms = np.linalg.norm(vectors - center, axis=1)
        limit = radius if radius > 0 else float(np.sort(norms)[(len(norms) - 1) // 2])
        factors = np.minimum(1.0, np.divide(limit, norms, out=np.ones_like(norms), where=norms > 0))
        center = center + (factors[:, None] * (vectors - center)).mean(axis=0)
    return center


def check_weights(recipe: WeightedMean) -> None:
    assert min(recipe.weights) >= 0
    assert 1 <= sum(recipe.weights) <= recipe.divisor <= len(recipe.weights) * WEIGHT_WHOLE


@given(points=POINTS, radius_micro=st.sampled_from((0, 1, 10**6, 5 * 10**6, 10**12)), iterations=st.integers(1, 40))
def test_centered_clipping_follows_the_steps_in_floats(
    points: list[list[int]], radius_micro: int, iterations: int
) -> None:
    vectors = make_vectors(points)
    recipe = weigh_centered_clipping(compute_products(points), radius_micro=radius_micro, iterations=iterations)
    assert sum(recipe.weights) <= recipe.divisor == len(points) * WEIGHT_WHOLE
    expected = clip_in_floats(vectors, radius_micro / 1e6, iterations)
    error = np.linalg.norm(compute_point(recipe, vectors) - expected)
    assert error <= 1e-5 * max(1.0, np.linalg.norm(vectors, axis=1).max())


@given(points=POINTS, radius_micro=st.sampled_from((0, 10**6, 5 * 10**6)))
def test_clipped_mean_is_the_mean_of_shortened_updates(points: list[list[int]], radius_micro: int) -> None:
    vectors = make_vectors(points)
    norms = np.linalg.norm(vectors, axis=1)
    limit = radius_micro / 1e6 if radius_micro > 0 else np.sort(norms)[(len(norms) - 1) // 2]
    shortened = vectors * np.minimum(1.0, np.divide(limit, norms, out=np.ones_like(norms), where=norms > 0))[:, None]
    recipe = weigh_clipped_mean(compute_products(points), radius_micro=radius_micro)
    error = np.linalg.norm(compute_point(recipe, vectors) - shortened.mean(axis=0))
    assert error <= 1e-6 * max(1.0, norms.max())


def test_a_radius_beyond_every_norm_leaves_the_mean() -> None:
    recipe = weigh_clipped_mean(compute_products([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]]), radius_micro=10**9)
    assert (recipe.weights, recipe.divisor) == ((WEIGHT_WHOLE,) * 3, 3 * WEIGHT_WHOLE)


def test_of_two_norms_in_the_middle_the_lower_one_is_the_radius() -> None:
    products = compute_products([[8, 0, 0, 0], [1, 0, 0, 0], [4, 0, 0, 0], [2, 0, 0, 0]])
    recipe = weigh_clipped_mean(products, radius_micro=0)
    assert recipe.weights == (WEIGHT_WHOLE // 4, WEIGHT_WHOLE, WEIGHT_WHOLE // 2, WEIGHT_WHOLE)


def test_an_update_at_the_radius_counts_in_full_and_one_of_twice_the_length_for_half() -> None:
    products = compute_products([[3 << 12, 4 << 12, 0, 0], [-6 << 12, 0, -8 << 12 >> 1 << 1, 0]])
    recipe = weigh_clipped_mean(products, radius_micro=5_000_000)
    assert recipe.weights == (WEIGHT_WHOLE, WEIGHT_WHOLE // 2)


@given(points=POINTS, iterations=st.integers(1, 40))
def test_geometric_median_has_almost_the_least_sum_of_distances(points: list[list[int]], iterations: int) -> None:
    vectors = make_vectors(points)
    recipe = weigh_geometric_median(compute_products(points), iterations=max(30, iterations))
    check_weights(recipe)

    def sum_distances(point: NDArray[np.float64]) -> float:
        return float(np.linalg.norm(vectors - point, axis=1).sum())

    best = min(sum_distances(point) for point in (*vectors, vectors.mean(axis=0), descend(vectors)))
    assert sum_distances(compute_point(recipe, vectors)) <= 1.01 * best + 1e-9


def descend(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the geometric median by many of Weiszfeld's steps in floats."""
    point: NDArray[np.float64] = vectors.mean(axis=0)
    for _ in range(2_000):
        weights = 1.0 / np.maximum(np.linalg.norm(vectors - point, axis=1), 1e-9)
        point = weights @ vectors / weights.sum()
    return point


@pytest.mark.parametrize("scale", [1, 2**14])
def test_geometric_median_of_a_cross_is_its_centre(scale: int) -> None:
    points = [[scale, 0, 0, 0], [-scale, 0, 0, 0], [0, scale, 0, 0], [0, -scale, 0, 0]]
    assert weigh_geometric_median(compute_products(points), iterations=3).weights == (WEIGHT_WHOLE,) * 4


def test_a_point_on_an_update_is_not_held_there_by_it_alone() -> None:
    points = [[0, 0, 0, 0], [512, 0, 0, 0], [-512, 0, 0, 0], [0, 512, 0, 0], [0, -512, 0, 0]]
    recipe = weigh_geometric_median(compute_products(points), iterations=3)
    assert recipe.weights == (WEIGHT_WHOLE, *[WEIGHT_WHOLE >> 10] * 4)


def test_geometric_median_is_the_point_where_most_updates_lie() -> None:
    points = [[7, 7, 7, 7], [7, 7, 7, 7], [-100, 3, 0, 0]]
    assert weigh_geometric_median(compute_products(points), iterations=5).weights == (WEIGHT_WHOLE, WEIGHT_WHOLE, 0)


@pytest.mark.parametrize(
    "weigh",
    [
        lambda products: weigh_centered_clipping(products, radius_micro=0, iterations=9),
        lambda products: weigh_geometric_median(products, iterations=9),
    ],
)
@given(points=POINTS, data=st.data())
def test_each_update_keeps_its_weight_in_any_order(
    weigh: Callable[[Products], WeightedMean], points: list[list[int]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(points))))
    weights = weigh(compute_products(points)).weights
    shuffled = weigh(compute_products([points[index] for index in order])).weights
    assert shuffled == tuple(weights[index] for index in order)


@given(points=POINTS)
def test_updates_that_are_all_zero_move_nothing(points: list[list[int]]) -> None:
    assume(len(points) > 1)
    zeros = compute_products([[0, 0, 0, 0] for _ in points])
    check_weights(weigh_clipped_mean(zeros, radius_micro=0))
    check_weights(weigh_centered_clipping(zeros, radius_micro=1, iterations=3))
    check_weights(weigh_geometric_median(zeros, iterations=3))
