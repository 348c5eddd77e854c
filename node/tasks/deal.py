"""Deals one data set to the members: who trains on which examples, and who is examined on which.

Deterministic in (seed, members, split), with numpy's PCG64 as the only source of randomness, and every example goes to
exactly one member, as training data or held out, never both. So no member's held-out part was trained on by anybody.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.tasks.interface import TaskContext, TaskError
from node.tasks.shipped_data import Examples

HELD_OUT_PERCENT: Final = 35
"""Large enough that one example does not decide a vote; small enough to leave something to learn from."""

EXAMPLES_PER_MEMBER_MIN: Final = 8

_DRAWS_MAX: Final = 1_000

_DEAL_STREAM: Final = 0x6465616C
"""Keeps the deal's random numbers apart from those that initialise the model from the same seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """One member's share of a data set."""

    training: Examples
    held_out: Examples


def deal(examples: Examples, context: TaskContext) -> Hand:
    """Return the share of the context's member.

    Args:
        examples: The whole data set.
        context: Member, members, split and seed.

    Raises:
        TaskError: The split is none of ``iid``, ``site`` and ``dirichlet:ALPHA``, or leaves a member too little to
            learn from.
    """
    generator = np.random.Generator(np.random.PCG64([context.seed, _DEAL_STREAM]))
    order = generator.permutation(examples.labels.shape[0])
    if context.split == "iid":
        hands = [order[index :: context.member_count] for index in range(context.member_count)]
    elif context.split == "site":
        hands = _deal_by_site(order, examples.sites, context.member_count)
    else:
        concentration = _parse_concentration(context.split)
        hands = _deal_by_dirichlet(order, examples.labels, concentration, context.member_count, generator)
    if min(hand.shape[0] for hand in hands) < EXAMPLES_PER_MEMBER_MIN:
        raise TaskError(
            f"{order.shape[0]} examples cannot be dealt to {context.member_count} members as {context.split} with at "
            f"least {EXAMPLES_PER_MEMBER_MIN} each: fewer members, a larger alpha or another seed"
        )
    dealt = hands[context.member_index]
    held_out_count = dealt.shape[0] * HELD_OUT_PERCENT // 100
    return Hand(training=examples.select(dealt[held_out_count:]), held_out=examples.select(dealt[:held_out_count]))


def _parse_concentration(split: str) -> float:
    kind, _, text = split.partition(":")
    try:
        concentration = float(text)
    except ValueError:
        concentration = math.nan
    if kind != "dirichlet" or not 0.0 < concentration < math.inf:
        raise TaskError(f"unknown split {split!r}: use 'iid', 'site', or 'dirichlet:0.5' with any number above 0")
    return concentration


def _deal_by_site(
    order: NDArray[np.int64], sites: NDArray[np.int64] | None, member_count: int
) -> list[NDArray[np.int64]]:
    """Return each member's examples: whole sites, the largest first, each to whoever has the fewest examples so far."""
    if sites is None:
        raise TaskError("these data do not tell where they come from: use split 'iid' or 'dirichlet:0.5'")
    names, counts = np.unique(sites, return_counts=True)
    if names.shape[0] < member_count:
        raise TaskError(f"the data come from {names.shape[0]} sites, too few for {member_count} members")
    owned: list[list[int]] = [[] for _ in range(member_count)]
    totals = [0] * member_count
    for place in np.argsort(-counts, kind="stable"):
        owner = totals.index(min(totals))
        owned[owner].append(int(names[place]))
        totals[owner] += int(counts[place])
    return [order[np.isin(sites[order], own)] for own in owned]


def _deal_by_dirichlet(
    order: NDArray[np.int64],
    labels: NDArray[np.int64],
    concentration: float,
    member_count: int,
    generator: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """Return each member's examples, each class cut by its own draw from a symmetric Dirichlet distribution.

    Draws again while somebody gets too little, as is usual: T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of
    Non-Identical Data Distribution for Federated Visual Classification", arXiv 1909.06335, per class instead of per
    member, so that every example is dealt exactly once (as M. Yurochkin et al., ICML 2019, section 4).
    """
    of_classes = [order[labels[order] == label] for label in np.unique(labels)]
    hands: list[NDArray[np.int64]] = []
    for _ in range(_DRAWS_MAX):
        cuts = [_draw_cuts(of_class.shape[0], concentration, member_count, generator) for of_class in of_classes]
        parts = [np.split(of_class, cut) for of_class, cut in zip(of_classes, cuts, strict=True)]
        hands = [np.concatenate(member_parts) for member_parts in zip(*parts, strict=True)]
        if min(hand.shape[0] for hand in hands) >= EXAMPLES_PER_MEMBER_MIN:
            break
    return [hand[generator.permutation(hand.shape[0])] for hand in hands]


def _draw_cuts(
    example_count: int, concentration: float, member_count: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return where one class's examples are cut, int64 [members - 1]."""
    shares = generator.dirichlet(np.full(member_count, concentration))
    return np.rint(np.cumsum(shares)[:-1] * example_count).astype(np.int64)
