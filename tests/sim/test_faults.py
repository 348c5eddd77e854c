"""Whether the faults really strike: a simulator whose faults miss would find nothing."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import pytest

from protocol.consensus.outgoing import GOSSIP_AGAIN_MAX
from protocol.consensus.tree import VIEW_WINDOW
from protocol.errors import InvalidMessage
from protocol.gossip import Topic
from protocol.messages import Certificates, Proposal, Votes
from protocol.votes import Certificate, VoteKind, check_certificate
from tests.sim.byzantine.bitmap_forger import FORGERIES
from tests.sim.byzantine.puppeteer import read_consensus
from tests.sim.cluster import Cluster
from tests.sim.events import EventLoop
from tests.sim.memo import remember_signatures
from tests.sim.network import Faults, Network
from tests.sim.node import SimNode
from tests.sim.scenarios import PARAMETERS, SCENARIOS, build_cluster, run_scenario

Said: TypeAlias = list[tuple[Sequence[int], Topic, bytes]]


def make_network(faults: Faults) -> tuple[EventLoop, Network]:
    """Return a faulty network of three nodes or more."""
    loop = EventLoop(0)
    return loop, Network(loop, faults, seed=1, heal_ms=1_000)


def test_who_is_muted_hears_and_is_not_heard() -> None:
    _, network = make_network(Faults())
    network.mute([0])
    assert [network.is_heard(0, 1), network.is_heard(1, 0), network.is_connected(0, 1)] == [False, True, False]
    assert network.is_heard(1, 2)
    network.heal()
    assert network.is_connected(0, 1)


def test_blocks_are_lost_and_votes_are_not() -> None:
    loop, network = make_network(Faults(loses_blocks=True))
    heard: list[str] = []
    network.send(0, 1, lambda: heard.append("block"), is_block=True)
    network.send(0, 1, lambda: heard.append("votes"), is_block=False)
    loop.run_for(500)
    assert heard == ["votes"]


def test_late_messages_are_overtaken_by_far() -> None:
    loop, network = make_network(Faults(delay_ms_max=10, late=0.1, late_ms_max=400))
    arrivals: list[int] = []
    for _ in range(200):
        network.send(0, 1, lambda: arrivals.append(loop.now_ms), is_block=False)
    loop.run_for(900)
    assert len(arrivals) == 200
    assert 5 < sum(arrival > 10 for arrival in arrivals) < 50


def test_a_timer_follows_a_clock_that_is_set() -> None:
    """C4: forward it goes off within the second in which the driver reads its clock, back it waits as much longer."""
    went_off = []
    for skew_ms in (0, 5_000, -5_000):
        with remember_signatures():
            cluster = build_cluster(SCENARIOS["calm-4"], 1)
            node = cluster.nodes[0]
            node.timer_ms = cluster.loop.now_ms + 4_000
            cluster._wind(node)
            cluster.set_clock(node, skew_ms)
            cluster.loop.run_until(lambda node=node: node.timer_ms is None, deadline_ms=60_000)  # type: ignore[misc]
            went_off.append(cluster.loop.elapsed_ms)
    assert went_off[0] == 4_000
    assert 0 < went_off[1] <= 1_000
    assert went_off[2] == 9_000


def test_clocks_leap_beyond_the_bound_and_are_set_right_in_the_end() -> None:
    """C8."""
    with remember_signatures():
        cluster = build_cluster(SCENARIOS["clock-leaps-4"], 1)
        cluster.start()
        cluster.loop.run_for(SCENARIOS["clock-leaps-4"].heal_ms - 1)
        assert max(abs(node.skew_ms) for node in cluster.nodes) > PARAMETERS.clock_drift_max_ms
        cluster.loop.run_for(2)
    assert [node.skew_ms for node in cluster.nodes] == [0, 0, 0, 0]


def test_power_goes_often() -> None:
    lives = [sum(node.incarnation for node in run_scenario("power-cuts-4", seed).nodes) for seed in range(3)]
    assert min(lives) >= 12


def test_a_long_standstill_is_longer_than_any_message() -> None:
    """C9: more failed views than a window, than a standstill message holds, and than a proposal carries."""
    with remember_signatures():
        scenario = SCENARIOS["long-standstill-4"]
        cluster = build_cluster(scenario, 1)
        cluster.start()
        cluster.loop.run_for(scenario.heal_ms)
        views = sorted(node.engine.consensus.view for node in cluster.nodes if node.engine is not None)
    assert views[0] == 1
    assert views[1] > 198 > VIEW_WINDOW > GOSSIP_AGAIN_MAX


# Adversaries.


def listen(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[Said]:
    """Run a few seeds of a scenario and yield what its adversaries said in each."""
    said: Said = []
    publish = Cluster._publish

    def publish_and_note(
        self: Cluster, node: SimNode, topic: Topic, message: bytes, receivers: Sequence[int]
    ) -> None:
        if not node.is_honest:
            said.append((receivers, topic, message))
        publish(self, node, topic, message, receivers)

    monkeypatch.setattr(Cluster, "_publish", publish_and_note)
    for seed in range(4):
        said.clear()
        run_scenario(name, seed)
        yield said


def has_votes(said: Said, *kinds: VoteKind) -> bool:
    """Return whether a message holds votes of these kinds."""
    heard = (read_consensus(topic, message) for _, topic, message in said)
    return any(isinstance(one, Votes) and {vote.kind for vote in one.votes} == set(kinds) for one in heard)


def has_far_votes(said: Said) -> bool:
    """Return whether there are votes for a view that nobody will ever come to."""
    heard = (read_consensus(topic, message) for _, topic, message in said)
    return any(isinstance(one, Votes) and one.votes[-1].view > 1_000 for one in heard)


def has_two_proposals_of_one_view(said: Said) -> bool:
    """Return whether a leader proposed twice."""
    heard = [read_consensus(topic, message) for _, topic, message in said]
    views = [(one.block.header.leader, one.block.header.view) for one in heard if isinstance(one, Proposal)]
    return len(set(views)) < len(views)


def has_old_parents(said: Said) -> bool:
    """Return whether a proposal is far below one that came before it."""
    heard = [read_consensus(topic, message) for _, topic, message in said]
    heights = [one.block.header.height for one in heard if isinstance(one, Proposal)]
    return any(later < earlier - 1 for earlier, later in itertools.pairwise(heights))


def has_repetitions(said: Said) -> bool:
    """Return whether something was said twice, word for word."""
    return len({message for _, _, message in said}) < len(said)


def has_large_operations(said: Said) -> bool:
    """Return whether operations were as large as they may be."""
    return any(topic is Topic.OPERATIONS and len(message) > 4_000 for _, topic, message in said)


def has_few_receivers(said: Said) -> bool:
    """Return whether a proposal went to less than a quorum."""
    return any(
        len(receivers) < 2 and isinstance(read_consensus(topic, message), Proposal)
        for receivers, topic, message in said
    )


def has_odd_bitmaps(said: Said) -> bool:
    """Return whether a certificate's bitmap does not fit its signatures."""
    heard = (read_consensus(topic, message) for _, topic, message in said)
    return any(
        isinstance(one, Certificates)
        and sum(byte.bit_count() for byte in one.certificates[0].signers) != len(one.certificates[0].signatures)
        for one in heard
    )


@pytest.mark.parametrize(
    ("name", "does"),
    [
        ("nullifier-4", lambda said: has_votes(said, VoteKind.NULLIFY)),
        ("contradictor-4", lambda said: has_votes(said, VoteKind.NULLIFY, VoteKind.FINALIZE)),
        ("forking-leader-5", has_two_proposals_of_one_view),
        ("forking-leader-7", has_old_parents),
        ("replayer-4", has_repetitions),
        ("spammer-4", has_far_votes),
        ("spammer-4", has_large_operations),
        ("spammer-5", has_two_proposals_of_one_view),
        ("withholder-4", has_few_receivers),
        ("bitmap-forger-4", has_odd_bitmaps),
    ],
)
def test_adversaries_do_what_they_are_called_after(
    monkeypatch: pytest.MonkeyPatch, name: str, does: Callable[[Said], bool]
) -> None:
    assert any(does(said) for said in listen(monkeypatch, name))


@pytest.mark.parametrize("forge", FORGERIES)
def test_no_forgery_leaves_a_certificate_true(forge: Callable[[Certificate], Certificate]) -> None:
    """C5, C6, C7."""
    with remember_signatures():
        cluster = build_cluster(SCENARIOS["calm-4"], 1)
        cluster.start()
        assert cluster.run_until_settled(1, deadline_ms=60_000)
    certificate = cluster.nodes[0].disk.blocks[-1].certificate
    assert certificate is not None
    chain_id, validators = cluster.checkers.chain_id, cluster.checkers.book.validators[certificate.epoch]
    check_certificate(chain_id, validators, certificate)
    with pytest.raises(InvalidMessage):
        check_certificate(chain_id, validators, forge(certificate))
