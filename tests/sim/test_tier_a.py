"""Tier A: whole networks of bare engines under faults and adversaries, a few hundred seeds (C1 to C16, F3, L2, L7).

Safety is checked after every event by :mod:`tests.sim.checkers`; liveness is asked for once the network has healed. A
failing seed names the one command that repeats it.
"""

import itertools
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.codec import decode_union
from protocol.gossip import Topic
from protocol.journal import OwnVoteRecord, VotingFloorRecord
from protocol.messages import ConsensusMessage, Votes
from protocol.units import Millis, Round, View
from protocol.votes import VoteKind
from tests.sim.cluster import Cluster, Setting
from tests.sim.keys import make_genesis, make_keys
from tests.sim.memo import remember_signatures
from tests.sim.node import SimNode
from tests.sim.scenarios import PARAMETERS, SCENARIOS, TOKEN, build_cluster, describe, run_scenario

ROOT = Path(__file__).parents[2]
SEED_COUNTS = {name: 2 if scenario.node_count > 5 else 4 for name, scenario in SCENARIOS.items()}
SEED_COUNTS |= {"standstill-4": 2, "long-standstill-4": 1}
RUNS = [(name, seed) for name, count in SEED_COUNTS.items() for seed in range(count)]
SETTLING_MS, QUIET_MS = 30_000, 600_000
NEVER_EMPTY = ("bare-quorum", "two-thirds-and-one", "wrong-clock")
"""Where somebody who never comes is asked for votes for ever (C10), or a timer was set by a clock that is late."""

REPEATED = (
    "everything-4",
    "one-way-7",
    "late-4",
    "power-cuts-4",
    "clock-leaps-4",
    "old-backup-4",
    "spammer-4",
    "any-adversary-7",
    "beyond-the-bound-4",
)
"""One scenario with each kind of fault."""


@pytest.mark.parametrize(("name", "seed"), RUNS)
def test_a_network_stays_safe_and_does_its_job(name: str, seed: int) -> None:
    """C1 to C11, C14 to C16, F3, L2, L7: agreement always, liveness after healing."""
    cluster = run_scenario(name, seed)
    if not cluster.setting.adversaries and cluster.genesis.parameters.rounds_max:
        # C12: with the job over nobody proposes, no timer runs, no message flows.
        cluster.loop.run_for(SETTLING_MS)
        sent = cluster.sent
        cluster.loop.run_for(QUIET_MS)
        assert cluster.sent == sent, describe(cluster)
        assert cluster.loop.is_empty() or name.startswith(NEVER_EMPTY), describe(cluster)


def make_cluster(**changes: object) -> Cluster:
    """Return four calm nodes, or what the changes make of them."""
    return build_cluster(replace(SCENARIOS["calm-4"], **changes), seed=1)  # type: ignore[arg-type]


def test_exactly_two_thirds_of_the_weight_finalize_nothing() -> None:
    """C7: a quorum is strictly above two thirds; the missing member makes it one."""
    weights = (30 * TOKEN, 20 * TOKEN, 20 * TOKEN, 20 * TOKEN)
    with remember_signatures():
        cluster = make_cluster(weights=weights, epoch_blocks=10_000)
        cluster.start(1, 2, 3)
        cluster.loop.run_for(40_000)
        assert [len(node.disk.blocks) for node in cluster.nodes] == [0, 0, 0, 0]
        cluster.boot(cluster.nodes[0])
        assert cluster.run_until_settled(3, deadline_ms=120_000), describe(cluster)


def test_a_standstill_costs_few_messages() -> None:
    """C9, C11: without a quorum nodes repeat themselves at the longest timeout, and their messages stay small."""
    with remember_signatures():
        cluster = make_cluster()
        cluster.start()
        cluster.loop.run_for(1_500)
        cluster.crash(cluster.nodes[2])
        cluster.crash(cluster.nodes[3])
        cluster.loop.run_for(20_000)
        sent = cluster.sent
        cluster.loop.run_for(200_000)
    # Per node and longest timeout: its votes, its proposal or certificates, and its pending operations.
    assert 0 < cluster.sent - sent <= 2 * (200_000 // PARAMETERS.timeout_view_max_ms + 1) * 3 + 800
    assert cluster.sent_bytes_max < 20_000


def test_a_healthy_network_sends_a_handful_of_messages_per_block() -> None:
    """C16: two votes of each member, one proposal; certificates travel inside proposals only."""
    with remember_signatures():
        cluster = make_cluster(rounds=8)
        cluster.start()
        assert cluster.run_until_settled(8, deadline_ms=120_000), describe(cluster)
    blocks = len(cluster.nodes[0].disk.blocks)
    operations = sum(len(final.block.operations) for final in cluster.nodes[0].disk.blocks)
    assert cluster.sent <= blocks * (2 * 4 + 1) + 2 * operations + 10


@pytest.mark.parametrize("seed", range(4))
def test_who_misses_the_last_votes_is_helped_though_nothing_new_happens(seed: int) -> None:
    """C12, C16: the others are silent in the end, so the straggler's own repetitions must move them."""
    with remember_signatures():
        # In a longer job's next epoch the deals of a key generation would be something new.
        cluster = build_cluster(replace(SCENARIOS["calm-4"], rounds=2, epoch_blocks=10_000), seed)
        deaf = cluster.nodes[seed % 4]
        receive = cluster._receive

        def receive_some(sender: SimNode, node: SimNode, topic: Topic, message: bytes) -> None:
            if node is not deaf or not is_finalize_vote(topic, message):
                receive(sender, node, topic, message)

        cluster._receive = receive_some  # type: ignore[method-assign]
        cluster.start()
        assert cluster.run_until_settled(2, deadline_ms=120_000), describe(cluster)


def is_finalize_vote(topic: Topic, message: bytes) -> bool:
    """Return whether a message brings finalize votes for the first time."""
    if topic is not Topic.CONSENSUS:
        return False
    decoded = decode_union(ConsensusMessage, message, bytes_max=len(message))
    return (
        isinstance(decoded, Votes)
        and decoded.attempt == 0
        and any(vote.kind is VoteKind.FINALIZE for vote in decoded.votes)
    )


def test_one_fast_clock_slows_nobody_down() -> None:
    """C8: within the bound a leader's time is taken, and the others build on it without waiting for their clocks."""
    spans = []
    for skew_ms in (0, int(PARAMETERS.clock_drift_max_ms) - 100):
        with remember_signatures():
            cluster = make_cluster(rounds=6)
            cluster.nodes[0].skew_ms = skew_ms
            cluster.start()
            assert cluster.run_until_settled(6, deadline_ms=120_000), describe(cluster)
        spans.append(cluster.loop.elapsed_ms)
    assert spans[1] < 1.5 * spans[0]


def test_a_heartbeat_block_comes_no_more_often_than_asked_for() -> None:
    """C12: with nothing to order, at most one block per ``idle_block_ms``."""
    parameters = replace(PARAMETERS, rounds_max=Round(1), idle_block_ms=Millis(5_000))
    keys = make_keys(4)
    cluster = Cluster(Setting(genesis=make_genesis(keys, parameters, seed=1), keys=keys, seed=1))
    with remember_signatures():
        cluster.start()
        assert cluster.run_until_settled(1, deadline_ms=60_000), describe(cluster)
        before = len(cluster.nodes[0].disk.blocks)
        cluster.loop.run_for(60_000)
    blocks = [final.block for final in cluster.nodes[0].disk.blocks[before - 1 :]]
    # Each epoch's key generation is something to order; a heartbeat orders nothing.
    gaps = [
        later.header.time_ms - earlier.header.time_ms
        for earlier, later in itertools.pairwise(blocks)
        if not later.operations
    ]
    assert 5 <= len(gaps) <= 12
    assert min(gaps) >= 5_000


@pytest.mark.parametrize("loses_database", [False, True])
def test_a_node_that_lost_its_votes_is_silent_until_it_is_safe_and_votes_again(loses_database: bool) -> None:
    """C10: no vote before a block that was certified after its start, none in the views just above it."""
    with remember_signatures():
        cluster = make_cluster(rounds=30)
        node = cluster.nodes[2]
        genesis_state = node.disk.state
        cluster.start()
        cluster.loop.run_for(3_000)
        cluster.crash(node)
        view_before = max(other.disk.state.view for other in cluster.nodes)
        if loses_database:
            node.disk.lose_database(genesis_state)
        else:
            node.disk.lose_journal()
        cluster.boot(node)
        floors = [record for record in node.disk.records if isinstance(record, VotingFloorRecord)]
        assert [floor.is_suspended for floor in floors] == [True]
        assert cluster.loop.run_until(lambda: len(get_floors(cluster)) == 2, deadline_ms=200_000), describe(cluster)
        resumed = get_floors(cluster)[-1]
        assert not resumed.is_suspended
        assert resumed.after_view > view_before
        assert get_votes_above(cluster, View(0)) == []
        assert cluster.loop.run_until(
            lambda: bool(get_votes_above(cluster, resumed.after_view)), deadline_ms=300_000
        ), describe(cluster)
        assert cluster.run_until_settled(30, deadline_ms=600_000), describe(cluster)


def get_floors(cluster: Cluster) -> list[VotingFloorRecord]:
    """Return what the node that lost its votes wrote about that."""
    return [record for record in cluster.nodes[2].disk.records if isinstance(record, VotingFloorRecord)]


def get_votes_above(cluster: Cluster, view: View) -> list[View]:
    """Return the views above this one that the node has votes in that it must remember."""
    votes = [record.vote for record in cluster.nodes[2].disk.records if isinstance(record, OwnVoteRecord)]
    return [vote.view for vote in votes if vote.view > view]


@pytest.mark.parametrize("name", ["beyond-the-bound-4", "beyond-the-bound-7"])
@pytest.mark.parametrize("seed", range(3))
def test_a_fork_beyond_the_bound_convicts_a_third_and_no_honest_member(name: str, seed: int) -> None:
    """L7, C7: a third or more are split twins, and see to it that each half of the network agrees with itself."""
    cluster = run_scenario(name, seed)
    guilty = {node.member for node in cluster.nodes if not node.is_honest}
    assert cluster.checkers.forked_heights, "the adversaries did not manage to fork the chain"
    assert cluster.checkers.book.liars == guilty
    cluster.checkers.check_forks_convict()


def run_in_new_process(hash_seed: int) -> dict[str, str]:
    """Return the audit digests of one seed of some scenarios, computed by another process."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.sim.run", "--seed", "3", "--scenario", *REPEATED],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    return dict(re.findall(r"^(\S+), seed 3: ([0-9a-f]{16}) ", finished.stdout, flags=re.MULTILINE))


def test_one_seed_is_one_execution_in_every_process() -> None:
    """Determinism: the same seed gives the same audit digest whatever the order of sets."""
    digests = {name: run_scenario(name, 3).audit.hex()[:16] for name in REPEATED}
    assert [run_in_new_process(1), run_in_new_process(2)] == [digests, digests]


def test_two_seeds_are_two_executions() -> None:
    """A dead auditor would pass the test above."""
    digests = {run_scenario("everything-4", seed).audit for seed in range(5)}
    assert len(digests) == 5
