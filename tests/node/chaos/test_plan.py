"""The plan of a run of chaos: repeatable, within what is tolerated but for storms, and everything undone at its end."""

import pytest

from node.chaos.plan import Kind, Trouble, build_plan, compute_tolerated_count

SEVEN = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta")
SEEDS = range(40)


def draw(seed: int, *, seconds: int = 300, names: tuple[str, ...] = SEVEN) -> tuple[Trouble, ...]:
    return build_plan(names, seconds=seconds, seed=seed)


@pytest.mark.parametrize(("node_count", "tolerated"), [(1, 0), (3, 0), (4, 1), (6, 1), (7, 2), (10, 3)])
def test_less_than_a_third_is_tolerated(node_count: int, tolerated: int) -> None:
    assert compute_tolerated_count(node_count) == tolerated


def test_one_seed_is_one_plan_and_two_seeds_are_two() -> None:
    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_trouble_begins_and_ends_in_time(seed: int) -> None:
    plan = draw(seed)
    assert [trouble.begins_ms for trouble in plan] == sorted(trouble.begins_ms for trouble in plan)
    for trouble in plan:
        assert 0 < trouble.begins_ms <= trouble.ends_ms <= 300_000


@pytest.mark.parametrize("seed", SEEDS)
def test_outside_storms_no_more_are_hampered_than_are_tolerated(seed: int) -> None:
    plan = draw(seed)
    for trouble in plan:
        together = [
            other for other in plan if other.begins_ms <= trouble.begins_ms < other.ends_ms and not other.is_storm
        ]
        hampered = [name for other in together for name in other.names]
        assert len(set(hampered)) == len(hampered), "two troubles at a time for one node"
        assert len(hampered) <= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_storm_comes_alone_and_is_one(seed: int) -> None:
    plan = draw(seed)
    for storm in (trouble for trouble in plan if trouble.is_storm):
        assert len(storm.names) > 2
        others = [other for other in plan if other is not storm and other.begins_ms <= storm.begins_ms]
        assert all(other.ends_ms <= storm.begins_ms for other in others if other.names)
        assert not any(storm.begins_ms < other.begins_ms < storm.ends_ms for other in plan)


def test_five_minutes_hold_every_kind_and_some_storms() -> None:
    for seed in SEEDS:
        plan = draw(seed)
        assert {trouble.kind for trouble in plan} == set(Kind)
        assert any(trouble.is_storm for trouble in plan)
        assert sum(trouble.is_storm for trouble in plan) * 5 < len(plan)


def test_cuts_go_one_way_as_well_as_both() -> None:
    cuts = [trouble.links for seed in SEEDS for trouble in draw(seed) if trouble.kind is Kind.CUT]
    one_way = [links for links in cuts if not any((receiver, sender) in links for sender, receiver in links)]
    assert 0 < len(one_way) < len(cuts)
    assert all(cuts)


def test_only_a_cut_has_links() -> None:
    assert all(bool(trouble.links) == (trouble.kind is Kind.CUT) for seed in SEEDS for trouble in draw(seed))


def test_a_network_that_tolerates_nobody_has_storms_alone() -> None:
    plan = draw(1, names=SEVEN[:3])
    assert plan
    assert all(trouble.is_storm for trouble in plan)
