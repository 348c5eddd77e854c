"""F5: inner products of updates are exact, however the model is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.aggregation.fixed_point import FixedPoint
from protocol.aggregation.products import PRODUCT_EXPONENT, Products, ProductSums, compute_squared_distances
from protocol.errors import InvariantViolation
from protocol.learning.artifact_format import SCALE_EXPONENT_MAX, SCALE_EXPONENT_MIN

UNITS = st.integers(-(2**15), 2**15 - 1) | st.sampled_from((-(2**15), 2**15 - 1))
PARAMETER_COUNT = 6
TENSORS = st.lists(
    st.lists(
        st.tuples(
            st.lists(UNITS, min_size=PARAMETER_COUNT, max_size=PARAMETER_COUNT),
            st.integers(SCALE_EXPONENT_MIN, SCALE_EXPONENT_MAX),
        ),
        min_size=3,
        max_size=3,
    ),
    min_size=1,
    max_size=3,
)
"""Tensors, three members, integers and scale exponent."""

Drawn = list[list[tuple[list[int], int]]]


def sum_products(tensors: Drawn, *, cut: int = PARAMETER_COUNT) -> Products:
    sums = ProductSums(3)
    for tensor in tensors:
        for part in (slice(cut, None), slice(0, cut)):
            sums.add(
                [FixedPoint(update=np.array(units[part], dtype=np.int16), scale_exponent=e) for units, e in tensor]
            )
    return sums.get()


def flatten(tensors: Drawn, member: int) -> list[int]:
    """Return a member's integers over all tensors, in units of 2**-48."""
    return [unit << (e + 48) for units, e in (tensor[member] for tensor in tensors) for unit in units]


@given(tensors=TENSORS, cut=st.integers(0, PARAMETER_COUNT))
def test_products_and_distances_equal_those_of_whole_vectors(tensors: Drawn, cut: int) -> None:
    vectors = [flatten(tensors, member) for member in range(3)]
    products = sum_products(tensors, cut=cut)
    assert PRODUCT_EXPONENT == -96
    assert products == tuple(
        tuple(sum(a * b for a, b in zip(one, other, strict=True)) for other in vectors) for one in vectors
    )
    assert compute_squared_distances(products) == tuple(
        tuple(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) for other in vectors) for one in vectors
    )


def test_a_slice_of_many_blocks_is_summed_whole() -> None:
    count = 100_001
    lowest = FixedPoint(update=np.full(count, -(2**15), dtype=np.int16), scale_exponent=SCALE_EXPONENT_MAX)
    sums = ProductSums(1)
    sums.add([lowest])
    assert sums.get() == ((count * 2**30 << 80,),)


def test_a_slice_whose_sum_could_overflow_is_our_own_mistake() -> None:
    endless = FixedPoint(update=np.broadcast_to(np.int16(1), (2**32,)), scale_exponent=-20)
    with pytest.raises(InvariantViolation, match="cut it"):
        ProductSums(1).add([endless])


def test_a_slice_of_other_updates_is_our_own_mistake() -> None:
    with pytest.raises(InvariantViolation, match="1 updates among slices of 2"):
        ProductSums(2).add([FixedPoint(update=np.zeros(1, dtype=np.int16), scale_exponent=-20)])
