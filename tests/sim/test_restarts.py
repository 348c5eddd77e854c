"""Tier A: restarts at the worst of moments, for one rule at a time (C10)."""

from collections.abc import Iterator

import pytest

from protocol.gossip import Topic
from protocol.messages import Proposal
from protocol.units import View
from tests.sim.byzantine.puppeteer import read_consensus
from tests.sim.memo import remember_signatures
from tests.sim.network import Faults
from tests.sim.node import SimNode
from tests.sim.scenario import Scenario
from tests.sim.scenarios import build_cluster, check_end, describe

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def verify_once() -> Iterator[None]:
    with remember_signatures():
        yield


@pytest.mark.parametrize("seed", range(3))
def test_a_bare_quorum_that_gave_its_view_up_goes_on_after_a_restart(seed: int) -> None:
    """Each has voted to nullify the first view and heard nobody; after the restart its own vote is needed."""
    cluster = build_cluster(Scenario(absent_count=1, faults=Faults(loss=1.0), heal_ms=3_000), seed)
    cluster.start()
    cluster.loop.run_for(2_000)
    for node in cluster.honest:
        cluster.restart(node, after_ms=100)
    assert cluster.run_until_settled(3, deadline_ms=60_000), f"not done: {describe(cluster)}"


@pytest.mark.parametrize("seed", range(6))
def test_a_leader_that_cannot_vote_for_its_block_makes_no_other_after_a_restart(seed: int) -> None:
    """Its clock is an hour behind, so that no vote of its own tells it that it has proposed in this view.

    Nobody hears the block, so that the view goes on; operations that came meanwhile would make the next one different.
    """
    cluster = build_cluster(Scenario(rounds=6, heal_ms=0), seed)
    slow = cluster.nodes[seed % 4]
    slow.skew_ms = -HOUR_MS
    restarted: set[View] = set()
    publish = cluster._publish

    def publish_or_restart(node: SimNode, topic: Topic, message: bytes, receivers: range) -> None:
        said = read_consensus(topic, message) if node is slow else None
        publish(node, topic, message, () if isinstance(said, Proposal) else receivers)
        if isinstance(said, Proposal) and said.block.header.view not in restarted:
            restarted.add(said.block.header.view)
            cluster.loop.at(1, lambda: cluster.restart(slow, after_ms=5))

    cluster._publish = publish_or_restart  # type: ignore[assignment,method-assign]
    cluster.start()
    assert cluster.run_until_settled(6, deadline_ms=120_000), describe(cluster)
    check_end(cluster, seed)
    assert len(restarted) > 3
