"""The inner products of whole updates, exact: all that a rule needs to know about distances and norms (F5).

Each product of two int16 is an integer of at most 2**30, so a slice's sum fits int64 and has the same value in any
order. Slices and tensors are added as Python integers, which have no limit: the square of a distance between two
updates of 2**40 weights can take 152 bits.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from protocol.aggregation.fixed_point import FixedPoint
from protocol.errors import InvariantViolation
from protocol.learning.artifact_format import SCALE_EXPONENT_MIN

PRODUCT_EXPONENT: Final = 2 * SCALE_EXPONENT_MIN
"""Inner products, squared distances and squared norms are in units of 2**-96, the square of the finest scale."""

SLICE_PARAMETERS_MAX: Final = 1 << 32
"""2**32 products of up to 2**30 are below 2**63."""

Products: TypeAlias = tuple[tuple[int, ...], ...]
"""Inner products of every two updates, [members][members], symmetric, in units of 2**-96."""

_BLOCK_PARAMETERS = 1 << 13
"""A block of ten members fits the processor's second cache."""


class ProductSums:
    """Adds up the inner products of some updates over the slices of all tensors, in any order."""

    def __init__(self, member_count: int) -> None:
        """Start at zero.

        Args:
            member_count: How many updates there are.
        """
        self._sums = [[0] * member_count for _ in range(member_count)]

    def add(self, members: Sequence[FixedPoint]) -> None:
        """Add a slice of one tensor.

        Args:
            members: The same parameters of every update, in the order of all other slices.

        Raises:
            InvariantViolation: Another number of members, or a slice so long that the sums could overflow.
        """
        if len(members) != len(self._sums):
            raise InvariantViolation(f"a slice of {len(members)} updates among slices of {len(self._sums)}")
        parameter_count = members[0].update.shape[0]
        if parameter_count >= SLICE_PARAMETERS_MAX:
            raise InvariantViolation(f"a slice of {parameter_count} parameters can overflow: cut it")
        for start in range(0, parameter_count, _BLOCK_PARAMETERS):
            block = slice(start, start + _BLOCK_PARAMETERS)
            rows = [member.update[block].astype(np.int64) for member in members]
            for i, row in enumerate(rows):
                for j in range(i + 1):
                    shift = members[i].scale_exponent + members[j].scale_exponent - PRODUCT_EXPONENT
                    self._sums[i][j] += int(np.dot(row, rows[j])) << shift

    def get(self) -> Products:
        """Return the sums so far."""
        count = len(self._sums)
        return tuple(tuple(self._sums[max(i, j)][min(i, j)] for j in range(count)) for i in range(count))


def compute_squared_distances(products: Products) -> Products:
    """Return the squared distance of every two updates: [members][members], symmetric, in units of 2**-96."""
    members = range(len(products))
    return tuple(tuple(products[i][i] + products[j][j] - 2 * products[i][j] for j in members) for i in members)
