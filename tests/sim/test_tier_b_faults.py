"""Whether the faults of tier B really strike: a simulator whose faults miss would find nothing."""

from collections.abc import Iterator
from functools import cache

import pytest

from tests.sim.memory_transport import REQUESTS_PER_PEER_MAX
from tests.sim.tier_b.scenario import Strike
from tests.sim.tier_b.scenarios import run_scenario
from tests.sim.tier_b.world import World

SEEDS = range(2)
MORE_SEEDS = {"file-failures": range(8)}
"""Where chance hits few kinds of calls in a run."""


@cache
def run(name: str) -> tuple[World, ...]:
    return tuple(run_scenario(name, seed) for seed in MORE_SEEDS.get(name, SEEDS))


def iterate_endings(worlds: tuple[World, ...]) -> Iterator[str]:
    for world in worlds:
        yield from world.endings


def count_lost(world: World) -> int:
    return sum(link.lost_count for link in world.network.links.values())


@pytest.mark.parametrize("name", ["power-cuts", "stops", "bare-quorum-7", "black-outs"])
def test_lives_end(name: str) -> None:
    assert min(len(world.endings) for world in run(name)) >= 3


def test_a_black_out_is_everybodys() -> None:
    for world in run("black-outs"):
        assert {ending.split(":")[0] for ending in world.endings} == {node.name for node in world.nodes}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("full-disks", ["disk is full", "no space left for an artifact"]),
        ("broken-disks", ["failed to write", "failed to flush", "disk is full"]),
        ("sqlite", ["disk I/O error", "no space left to write"]),
        ("file-failures", ["no space left to write"]),
        ("damage", ["is damaged"]),
        ("damaged-sqlite", ["is damaged"]),
    ],
)
def test_disks_end_lives_and_say_why(name: str, words: list[str]) -> None:
    endings = "\n".join(iterate_endings(run(name)))
    assert [word for word in words if word not in endings] == []


def test_file_calls_of_many_kinds_fail() -> None:
    failed = [call for world in run("file-failures") for call in world.instruments.calls.failed]
    assert len({call.split(": ")[1] for call in failed}) >= 4
    assert {call.split(": ")[2] for call in failed} == {"Input/output error", "No space left on device"}


@pytest.mark.parametrize("name", ["lost-databases", "lost-markers", "damage", "damaged-sqlite"])
def test_who_has_lost_its_votes_is_silent_for_a_while(name: str) -> None:
    """C10."""
    for world in run(name):
        assert world.watch.suspensions >= 1
        assert world.watch.resumptions >= 1


def test_who_was_restored_from_a_backup_learns_from_others_that_it_is_old() -> None:
    """C10: nothing on its own disk tells."""
    worlds = [*run("old-backups"), *run("old-backups-5")]
    assert sum(world.watch.suspensions for world in worlds) >= 1
    assert all(world.watch.suspensions == 0 for world in run("power-cuts"))


@pytest.mark.parametrize(
    ("name", "strike"),
    [
        ("partitions", Strike.PARTITION),
        ("one-way-partitions", Strike.ONE_WAY_PARTITION),
        ("broken-links", Strike.CUT),
    ],
)
def test_what_is_said_across_a_partition_is_lost(name: str, strike: Strike) -> None:
    for world in run(name):
        assert world.faults is not None
        assert world.faults.struck[strike] >= 2
        assert count_lost(world) > 10


def test_clocks_are_set_and_set_right() -> None:
    for world in run("clock-steps"):
        assert world.faults is not None
        assert world.faults.struck[Strike.CLOCK_STEP] == 6
        assert all(0 <= node.clock.shift_ms <= world.scenario.clock_skew_ms_max for node in world.nodes)


def test_small_inboxes_refuse_gossip_and_nobody_minds() -> None:
    """W3: back-pressure loses gossip, which its senders repeat (C9)."""
    assert all(sum(node.refused_count for node in world.nodes) > 0 for world in run("small-inboxes"))


def test_liars_are_found_out() -> None:
    """W5, W6: who answers a request with anything else than asked for is scored down by somebody."""
    worst = []
    for world in run("liars"):
        (liar,) = [node.member for node in world.nodes if node.is_liar]
        worst.append(min(node.scores.get(liar, 0) for node in world.nodes))
    assert min(worst) < 0


def test_pests_are_served_within_limits_and_otherwise_refused() -> None:
    """W5: the others serve it as many requests at a time as anybody, and it is blamed for garbage."""
    for world in run("pest"):
        (pest,) = world.pests
        assert pest.served_count > 100
        assert pest.refused_count > 100
        served = [count for (_, task), count in world.instruments.census.most.items() if task.endswith("serve")]
        assert max(served) >= 2 * REQUESTS_PER_PEER_MAX
        assert min(node.scores.get(pest.node.member, 0) for node in world.nodes) < 0


def test_people_get_answers_of_both_kinds() -> None:
    """L8."""
    operators = [node.operator for world in run("operators") for node in world.nodes]
    judged = [answer for operator in operators if operator is not None for answer in operator.judged]
    assert sum(not answer.error for answer in judged) > 10
    assert sum(bool(answer.error) for answer in judged) > 3


def test_an_equivocator_and_a_twin_are_proven_liars() -> None:
    """L7: the runs themselves ask for their conviction."""
    for name in ("equivocator", "twin"):
        for world in run(name):
            assert len(world.watch.book.liars) == 1
            assert not world.watch.get_liars()
