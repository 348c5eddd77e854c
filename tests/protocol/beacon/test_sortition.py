"""The draw of roles (F2, F16): unbiased, capped, recomputable, and an order of all eligible members."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.beacon.sortition import (
    CounterStream,
    compute_draw_order,
    compute_draw_weights,
    compute_role_counts,
    compute_roles_seed,
    draw_roles,
)
from protocol.errors import InvariantViolation
from protocol.parameters import Parameters, Preset
from protocol.units import Bps, MemberId, Round, Stake
from tests.helpers import make_digest

QUARTER = Bps(2_500)
NOBODY_CAPPED = Bps(10_000)


def make_eligible(*stakes: int) -> tuple[tuple[MemberId, Stake], ...]:
    members = sorted(MemberId(make_digest("member", index)) for index in range(len(stakes)))
    return tuple((member, Stake(stake)) for member, stake in zip(members, stakes, strict=True))


def count_first(weights: tuple[int, ...], draws: int) -> Counter[int]:
    return Counter(compute_draw_order(make_digest("draw", index), weights)[0] for index in range(draws))


def compute_chi_square_tenths(observed: Counter[int], weights: tuple[int, ...]) -> int:
    """Return ten times Pearson's statistic, rounded down."""
    draws, total = sum(observed.values()), sum(weights)
    return sum(
        10 * (observed[index] * total - draws * weight) ** 2 // (draws * weight * total)
        for index, weight in enumerate(weights)
    )


def test_the_seed_depends_on_chain_round_and_output() -> None:
    chain, output = make_digest("chain"), make_digest("output")
    seeds = {
        compute_roles_seed(chain, Round(1), output),
        compute_roles_seed(chain, Round(2), output),
        compute_roles_seed(make_digest("other"), Round(1), output),
        compute_roles_seed(chain, Round(1), make_digest("other")),
    }
    assert len(seeds) == 4


@given(st.integers(1, 2**64), st.integers(0, 100))
def test_a_stream_stays_below_its_bound(bound: int, seed: int) -> None:
    stream = CounterStream(make_digest(seed))
    assert all(0 <= stream.draw_below(bound) < bound for _ in range(5))


@pytest.mark.parametrize("bound", [0, -1, 2**64 + 1])
def test_a_stream_refuses_a_bound_that_it_cannot_serve(bound: int) -> None:
    with pytest.raises(InvariantViolation):
        CounterStream(make_digest("seed")).draw_below(bound)


def test_words_of_the_incomplete_stretch_are_thrown_away() -> None:
    bound = 2**63 + 1
    raw, stream = CounterStream(make_digest("seed")), CounterStream(make_digest("seed"))
    words = [raw.draw_below(2**64) for _ in range(64)]
    kept = [word for word in words if word < bound]
    assert 0 < len(kept) < len(words)
    assert [stream.draw_below(bound) for _ in kept] == kept


def test_every_remainder_is_drawn_equally_often() -> None:
    stream = CounterStream(make_digest("uniform"))
    observed = Counter(stream.draw_below(10) for _ in range(20_000))
    assert compute_chi_square_tenths(observed, (1,) * 10) < 279  # 27.9 is the 0.999 quantile with 9 degrees of freedom.


def test_the_first_drawn_follows_the_weights() -> None:
    weights = (1, 2, 3, 4, 10)
    assert compute_chi_square_tenths(count_first(weights, 5_000), weights) < 185  # 0.999 quantile, 4 degrees.


def test_the_second_drawn_follows_what_is_left_of_the_weights() -> None:
    """Weights 1, 1, 2: the second is index 0 with 1/4 x 1/3 + 2/4 x 1/2 = 4/12, and so index 1; index 2 the rest."""
    observed = Counter(compute_draw_order(make_digest("draw", index), (1, 1, 2))[1] for index in range(6_000))
    assert compute_chi_square_tenths(observed, (4, 4, 4)) < 139  # 0.999 quantile, 2 degrees of freedom.


@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=30), st.integers(0, 1_000))
def test_a_draw_orders_everybody_once(stakes: list[int], seed: int) -> None:
    order = compute_draw_order(make_digest(seed), tuple(stakes))
    assert sorted(order) == list(range(len(stakes)))


def test_a_stake_counts_no_further_than_the_cap() -> None:
    stakes = tuple(Stake(stake) for stake in (900, 20, 20, 20, 20, 20))
    assert compute_draw_weights(Preset.NEUTRAL, QUARTER, stakes) == (250, 20, 20, 20, 20, 20)


def test_a_member_under_the_cap_keeps_its_weight() -> None:
    stakes = tuple(Stake(stake) for stake in (30, 20, 20, 10, 10, 10))
    assert compute_draw_weights(Preset.NEUTRAL, NOBODY_CAPPED, stakes) == stakes


def test_the_cap_is_never_below_the_equal_share() -> None:
    """With three members a quarter of the total would cut all of them, and flatten 60 against 64."""
    assert compute_draw_weights(Preset.NEUTRAL, QUARTER, (Stake(60), Stake(64), Stake(65))) == (60, 63, 63)
    assert compute_draw_weights(Preset.NEUTRAL, QUARTER, (Stake(64), Stake(64))) == (64, 64)
    assert compute_draw_weights(Preset.NEUTRAL, QUARTER, (Stake(100), Stake(1), Stake(1))) == (34, 1, 1)


@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=30), st.integers(1, 10_000))
def test_every_weight_is_positive_and_at_most_cap_or_equal_share(stakes: list[int], cap_bps: int) -> None:
    weights = compute_draw_weights(Preset.NEUTRAL, Bps(cap_bps), tuple(Stake(stake) for stake in stakes))
    limit = max(sum(stakes) * cap_bps // 10_000, -(-sum(stakes) // len(stakes)))
    assert all(1 <= weight <= min(stake, limit) for weight, stake in zip(weights, stakes, strict=True))


def test_a_capped_member_does_not_capture_the_draw() -> None:
    """With 99 % of the stake of 100 members and a cap of 1 % it is drawn first in half of the draws, not in 99 %."""
    stakes = (Stake(990_000), *[Stake(101)] * 99)
    weights = compute_draw_weights(Preset.NEUTRAL, Bps(100), stakes)
    assert weights == (10_000, *[101] * 99)
    first = sum(compute_draw_order(make_digest("draw", index), weights)[0] == 0 for index in range(400))
    assert 160 < first < 240


def test_in_preset_paper_everybody_weighs_the_same() -> None:
    assert compute_draw_weights(Preset.PAPER, QUARTER, (Stake(1), Stake(64), Stake(10**15))) == (1, 1, 1)


@pytest.mark.parametrize(("eligible", "proposers", "voters"), [(7, 3, 7), (10, 5, 9), (13, 6, 13), (14, 6, 13)])
def test_of_a_network_that_shrinks_no_more_than_half_propose(eligible: int, proposers: int, voters: int) -> None:
    """F16: evictions must not leave few to judge who have no update of their own."""
    assert compute_role_counts(replace(Parameters(), proposer_count=6), eligible) == (proposers, voters)


@pytest.mark.parametrize(
    ("eligible", "proposers", "voters"),
    [(2, 1, 1), (3, 1, 3), (4, 2, 3), (5, 2, 5), (7, 2, 7), (8, 2, 7), (22, 2, 21), (50, 2, 21)],
)
def test_all_vote_as_far_as_voters_are_odd_and_not_too_many(eligible: int, proposers: int, voters: int) -> None:
    assert compute_role_counts(Parameters(), eligible) == (proposers, voters)


@pytest.mark.parametrize(("eligible", "voters"), [(2, 1), (3, 1), (4, 1), (5, 3), (7, 5), (8, 5), (50, 21)])
def test_in_preset_paper_those_vote_who_do_not_propose(eligible: int, voters: int) -> None:
    parameters = replace(Parameters(), preset=Preset.PAPER)
    assert compute_role_counts(parameters, eligible)[1] == voters
    roles = draw_roles(parameters, make_digest("seed"), make_eligible(*[64] * eligible))
    assert not set(roles.voters) & set(roles.proposers)


def test_one_eligible_member_makes_no_round() -> None:
    with pytest.raises(InvariantViolation):
        compute_role_counts(Parameters(), 1)


def test_roles_are_the_draws_order_cut_in_three() -> None:
    parameters, eligible = replace(Parameters(), voter_count_max=5), make_eligible(*[64] * 8)
    seed = make_digest("seed")
    roles = draw_roles(parameters, seed, eligible)
    order = [eligible[index][0] for index in compute_draw_order(seed, (64,) * 8)]
    assert [*roles.proposers, *roles.voters, *roles.standbys] == order
    assert (len(roles.proposers), len(roles.voters), len(roles.standbys)) == (2, 5, 1)


def test_where_the_order_ends_it_begins_anew() -> None:
    """F2: of eight members the six that do not propose vote, and the first proposer makes them odd."""
    parameters, eligible = Parameters(), make_eligible(*[64] * 8)
    seed = make_digest("seed")
    roles = draw_roles(parameters, seed, eligible)
    order = [eligible[index][0] for index in compute_draw_order(seed, (64,) * 8)]
    assert (list(roles.proposers), list(roles.voters), roles.standbys) == (order[:2], [*order[2:], order[0]], ())


def test_another_output_draws_other_roles() -> None:
    parameters, eligible = Parameters(), make_eligible(*[64] * 8)
    drawn = {draw_roles(parameters, make_digest("seed", index), eligible).proposers for index in range(20)}
    assert len(drawn) > 10
