"""Tier A: what a network does while nothing gets through, and how soon it is back when something does (C4, C9, C11).

All times are virtual.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from protocol.codec import decode
from protocol.gossip import Topic
from protocol.interface import PersistBlock
from protocol.messages import OperationMessage
from protocol.outcomes import RoundRecord
from protocol.units import Millis, Round
from tests.sim.byzantine import silent
from tests.sim.cluster import Cluster, Setting
from tests.sim.keys import make_genesis, make_keys
from tests.sim.memo import remember_signatures
from tests.sim.network import Faults
from tests.sim.node import Action, SimNode
from tests.sim.scenarios import PARAMETERS, SCENARIOS, TOKEN, Scenario, build_cluster, describe

NOTHING_GETS_THROUGH = Faults(loss=1.0)
CALM = SCENARIOS["calm-4"]
DEAF = replace(CALM, faults=NOTHING_GETS_THROUGH)


@pytest.fixture(autouse=True)
def verify_once() -> Iterator[None]:
    with remember_signatures():
        yield


def run(scenario: Scenario, seed: int, *, deadline_ms: int) -> Cluster:
    """Run a scenario and check that it is done in time."""
    cluster = build_cluster(scenario, seed)
    cluster.start()
    assert cluster.run_until_settled(scenario.rounds, deadline_ms=deadline_ms), f"not done: {describe(cluster)}"
    return cluster


@pytest.mark.parametrize(("node_count", "seed"), [(4, 0), (4, 1), (7, 0)])
def test_a_network_that_heard_nothing_for_long_is_soon_back(node_count: int, seed: int) -> None:
    """C4, C9, C11: each repeats itself again and again, and no timeout is longer than the longest."""
    begin_ms = 60_000
    deaf = replace(DEAF, node_count=node_count, heal_ms=begin_ms)
    usual = run(replace(CALM, node_count=node_count), seed, deadline_ms=60_000)
    timeouts_ms = 2 * PARAMETERS.timeout_view_max_ms
    run(deaf, seed, deadline_ms=begin_ms + usual.loop.elapsed_ms + timeouts_ms)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_after_a_standstill_a_failing_view_costs_the_first_timeout_again(seed: int) -> None:
    """C11: one of four is silent, so that every fourth view fails; the standstill before has made timeouts long."""
    keys, begin_ms = make_keys(4), 30_000
    parameters = replace(PARAMETERS, rounds_max=Round(6), timeout_view_max_ms=Millis(16_000))
    cluster = Cluster(
        Setting(
            genesis=make_genesis(keys, parameters, seed=seed),
            keys=keys,
            seed=seed,
            faults=NOTHING_GETS_THROUGH,
            heal_ms=begin_ms,
            adversaries={seed: silent.make},
        )
    )
    cluster.start()
    assert cluster.run_until_settled(6, deadline_ms=900_000), describe(cluster)
    # Some forty seconds are what the silent member's missed deadlines cost; its views cost half a second each.
    span_ms = cluster.loop.elapsed_ms - begin_ms
    assert span_ms < 60_000, f"six rounds took {span_ms} ms after the standstill"


@pytest.mark.parametrize("seed", range(3))
def test_repetitions_become_rare_in_a_long_standstill(seed: int) -> None:
    """C9, C11: two of four are gone, and the others repeat themselves once per longest timeout."""
    cluster = build_cluster(CALM, seed)
    cluster.start()
    assert cluster.loop.run_until(lambda: cluster.nodes[0].disk.state.height > 3, deadline_ms=30_000)
    for node in cluster.nodes[2:]:
        cluster.crash(node)
    cluster.loop.run_for(20_000)
    counts: Counter[Topic] = Counter()
    publish = cluster._publish

    def count(node: SimNode, topic: Topic, message: bytes, receivers: range) -> None:
        counts[topic] += 1
        publish(node, topic, message, receivers)

    cluster._publish = count  # type: ignore[assignment,method-assign]
    cluster.loop.run_for(200_000)
    timeouts = 200_000 // PARAMETERS.timeout_view_max_ms + 1
    # A proposal, votes and certificates of each of the two.
    sent = counts[Topic.CONSENSUS]
    assert timeouts <= sent <= 2 * 3 * timeouts, f"{sent} messages in {timeouts} of the longest timeouts"


@pytest.mark.parametrize("seed", range(4))
def test_an_operation_whose_first_sending_is_lost_comes_in_time(seed: int) -> None:
    """C9, F14: one member leads hardly ever, so the others must hear what it seals; nobody is silent in the end."""
    weights = tuple(TOKEN * share for share in (8, 60, 60, 60))
    cluster = build_cluster(replace(CALM, weights=weights, epoch_blocks=10_000, rounds=4), seed)
    records = record_rounds(cluster)
    first_attempts: dict[bytes, int] = {}
    receive = cluster._receive

    def receive_later(sender: SimNode, node: SimNode, topic: Topic, message: bytes) -> None:
        if topic is Topic.OPERATIONS:
            sent = decode(OperationMessage, message, bytes_max=len(message))
            if sent.attempt == first_attempts.setdefault(sent.operation, sent.attempt):
                return
        receive(sender, node, topic, message)

    cluster._receive = receive_later  # type: ignore[method-assign]
    cluster.start()
    assert cluster.run_until_settled(4, deadline_ms=120_000), describe(cluster)
    assert [record.silent for record in records] == [(), (), (), ()], "an honest member counts as silent"


def record_rounds(cluster: Cluster) -> list[RoundRecord]:
    """Return a list that the records of the first node's rounds will come into."""
    records: list[RoundRecord] = []
    act = cluster._act

    def act_and_note(node: SimNode, action: Action) -> None:
        if node is cluster.nodes[0] and isinstance(action, PersistBlock) and action.outcome.settled is not None:
            records.append(action.outcome.settled)
        act(node, action)

    cluster._act = act_and_note  # type: ignore[method-assign]
    return records
