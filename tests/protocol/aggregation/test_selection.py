"""F5: Krum and its relatives choose as the papers say, with ties to the lower digest."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from protocol.aggregation.products import Products
from protocol.aggregation.selection import select_bulyan, select_krum

COORDINATES = st.integers(-6, 6) | st.integers(-(2**60), 2**60)
POINTS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=7, max_size=13)
"""Few distinct points besides any, so that scores tie."""


def compute_distances(points: list[tuple[int, int]]) -> Products:
    return tuple(tuple((a - c) ** 2 + (b - d) ** 2 for c, d in points) for a, b in points)


def compute_reference_score(points: list[tuple[int, int]], index: int, neighbour_count: int) -> int:
    """Return the least sum of squared distances to so many other points, by trying all sets of them."""
    a, b = points[index]
    squares = [(a - c) ** 2 + (b - d) ** 2 for other, (c, d) in enumerate(points) if other != index]
    return min(sum(chosen) for chosen in combinations(squares, neighbour_count))


@given(points=POINTS, data=st.data())
def test_krum_takes_the_best_scores_and_of_equals_the_first(points: list[tuple[int, int]], data: st.DataObject) -> None:
    malicious_count = data.draw(st.integers(0, (len(points) - 3) // 2))
    select_count = data.draw(st.integers(1, len(points)))
    scores = [compute_reference_score(points, index, len(points) - malicious_count - 2) for index in range(len(points))]
    expected = sorted(sorted(range(len(points)), key=lambda index: (scores[index], index))[:select_count])
    selected = select_krum(compute_distances(points), malicious_count=malicious_count, select_count=select_count)
    assert list(selected) == expected


@given(points=POINTS, data=st.data())
def test_bulyan_takes_krums_choice_of_the_rest_again_and_again(
    points: list[tuple[int, int]], data: st.DataObject
) -> None:
    malicious_count = data.draw(st.integers(0, (len(points) - 3) // 4))
    remaining = list(range(len(points)))
    expected: list[int] = []
    while len(expected) < len(points) - 2 * malicious_count:
        rest = [points[index] for index in remaining]
        neighbour_count = min(max(1, len(rest) - malicious_count - 2), len(rest) - 1)
        scores = [compute_reference_score(rest, place, neighbour_count) for place in range(len(rest))]
        expected.append(remaining.pop(scores.index(min(scores))))
    assert list(select_bulyan(compute_distances(points), malicious_count=malicious_count)) == sorted(expected)


def test_the_two_closest_of_three_tie_and_the_first_of_them_is_taken() -> None:
    distances = compute_distances([(9, 0), (0, 0), (1, 0)])
    assert select_krum(distances, malicious_count=0, select_count=1) == (1,)


def test_a_far_minority_is_never_chosen() -> None:
    points = [(0, 1), (2**50, 0), (1, 1), (2**50, 0), (0, 0), (1, 0), (2, 1)]
    distances = compute_distances(points)
    assert set(select_krum(distances, malicious_count=2, select_count=5)) == {0, 2, 4, 5, 6}
    assert 1 not in select_bulyan(compute_distances([*points[:3], *points[4:], (0, 2)]), malicious_count=1)
