"""Recipes: what is done at every weight of the model, once it is decided which updates count and for how much (F5).

A recipe is a few integers, the same for the whole model. Following it needs no other slice than the one at hand.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

WEIGHT_BITS: Final = 24
WEIGHT_WHOLE: Final = 1 << WEIGHT_BITS
"""The weight, in a :class:`WeightedMean`, of an update that counts in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimmedMean:
    """Per weight: the mean of some members' integers without the lowest and the highest; the median is one of these."""

    members: tuple[int, ...]
    """Indices in the canonical order of the updates, ascending; at least one."""
    trim_count: int
    """So many at each end are left out; at least one remains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMedianMean:
    """Per weight: the mean of those of some members' integers that are closest to their median, the lower first."""

    members: tuple[int, ...]
    """As in :class:`TrimmedMean`."""
    keep_count: int
    """How many are closest; 1 to all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedMean:
    """Per weight: the sum of the members' integers, each times the member's weight, divided by one number."""

    members: tuple[int, ...]
    """As in :class:`TrimmedMean`."""
    weights: tuple[int, ...]
    """One per member, none negative."""
    divisor: int
    """At least the sum of the weights, at least 1, and at most :data:`WEIGHT_WHOLE` for each member."""


Recipe: TypeAlias = TrimmedMean | NearMedianMean | WeightedMean


def make_mean(members: tuple[int, ...]) -> TrimmedMean:
    """Return the recipe of the plain mean.

    H. B. McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017,
    section 2; equal weights because claimed example counts are not trusted (F3).
    """
    return TrimmedMean(members=members, trim_count=0)


def make_median(members: tuple[int, ...]) -> TrimmedMean:
    """Return the recipe of the coordinate-wise median; of an even number, the mean of the two in the middle.

    D. Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML 2018, definition 1.
    """
    return TrimmedMean(members=members, trim_count=(len(members) - 1) // 2)
