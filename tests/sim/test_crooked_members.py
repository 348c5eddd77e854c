"""Tier A: members that break one rule at a time, so that nothing but the check of that rule stops them.

Every run ends with a second opinion on its ledger (:mod:`tests.sim.opinion`). Tests also check that their adversary got
as far as to be refused: one that nobody hears proves nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocol.gossip import Topic
from protocol.messages import Votes
from protocol.outcomes import RoundRecord, StakeReason
from protocol.refusals import Refusal
from protocol.units import MemberId
from protocol.votes import VoteKind
from tests.sim.byzantine import contrary_voter, copycat, crooked_leader, double_proposer, equivocator, impostor
from tests.sim.byzantine.crooked_leader import Bend, CrookedLeader
from tests.sim.byzantine.puppeteer import Puppeteer, read_consensus
from tests.sim.cluster import Cluster, MakeAdversary
from tests.sim.memo import remember_signatures
from tests.sim.network import Faults
from tests.sim.node import Adversary, SimNode
from tests.sim.opinion_chain import check_reveals
from tests.sim.scenario import PARAMETERS, Scenario
from tests.sim.scenarios import build_cluster, check_end, run_to_end
from tests.sim.scripts import restart_often
from tests.sim.steps import Step, replay

MILD = Faults(loss=0.02)
SIZES = [(4, 0), (5, 0), (7, 0)]
MORE_SIZES = [*SIZES, (4, 1), (5, 1), (7, 1)]
DRIFT_MS_MAX = 60_000
"""A bound on how far a block's time may be ahead of everybody's clock after some failed views (C8)."""


def make_scenario(make: MakeAdversary, node_count: int) -> Scenario:
    """Return a network with as many adversaries of one kind as it must stand, and little else that goes wrong."""
    return Scenario(
        node_count=node_count,
        adversary=make,
        adversary_count=(node_count - 1) // 3,
        rounds=5,
        faults=MILD,
        heal_ms=3_000,
        # Nobody has two roles, so that there are members that were not drawn to vote.
        parameters=replace(
            PARAMETERS,
            proposer_count=1 if node_count == 4 else 2,
            voter_count_max=5 if node_count == 7 else 3,
        ),
    )


def run(scenario: Scenario, seed: int) -> tuple[Cluster, list[Step]]:
    """Run a scenario, check all that every run is checked for, and return its ledger block by block."""
    with remember_signatures():
        cluster = build_cluster(scenario, seed)
        cluster.start()
        run_to_end(scenario, cluster)
        check_end(cluster, seed)
    return cluster, replay(cluster.genesis, cluster.honest[0].disk)


def get_crooks(cluster: Cluster) -> set[MemberId]:
    return {node.member for node in cluster.nodes if not node.is_honest}


def get_records(steps: Sequence[Step]) -> list[RoundRecord]:
    return [step.outcome.settled for step in steps if step.outcome.settled is not None]


def count_refusals(steps: Sequence[Step], members: set[MemberId]) -> Counter[Refusal]:
    """Return how often operations of some members were refused, by reason."""
    return Counter(
        result.refusal
        for step in steps
        for operation, result in zip(step.operations, step.outcome.results, strict=True)
        if operation.content.member in members
    )


@pytest.mark.parametrize("bends", list(Bend), ids=lambda bends: bends.name)
def test_a_block_that_breaks_one_rule_never_becomes_final(bends: Bend) -> None:
    """B5, C2, C3, C8, C13: it is signed by its leader, and there is nothing else wrong with it."""
    broken = 0
    for node_count, seed in MORE_SIZES:
        scenario = make_scenario(crooked_leader.make(bends), node_count)
        scenario = replace(scenario, faults=Faults(loss=0.1, delay_ms_max=120), heal_ms=8_000)
        if bends is Bend.BEYOND:
            scenario = replace(scenario, epoch_blocks=3, script=lose_finalizations)
        cluster, steps = run(scenario, seed)
        check_dates(cluster, steps)
        if bends is Bend.ANOTHER_REVEAL:
            check_reveals(cluster.genesis, steps)
        broken += sum(count_broken(node.adversary) for node in cluster.nodes)
    assert broken > 0, "no block broke the rule"


def lose_finalizations(cluster: Cluster) -> None:
    """Lose half of the finalize votes when they are first sent, so that an epoch's last block has to wait (C13)."""
    receive = cluster._receive

    def receive_some(sender: SimNode, node: SimNode, topic: Topic, message: bytes) -> None:
        said = read_consensus(topic, message)
        is_new = isinstance(said, Votes) and said.attempt == 0 and said.votes[-1].kind is VoteKind.FINALIZE
        if not is_new or cluster.random.random() < 0.5:
            receive(sender, node, topic, message)

    cluster._receive = receive_some  # type: ignore[method-assign]


def check_dates(cluster: Cluster, steps: Sequence[Step]) -> None:
    for step in steps:
        is_past = step.header.time_ms < cluster.loop.now_ms + DRIFT_MS_MAX
        assert is_past, f"height {step.header.height} comes from the future"


def count_broken(adversary: Adversary | None) -> int:
    trick = adversary._trick if isinstance(adversary, Puppeteer) else None
    return trick.played if isinstance(trick, CrookedLeader) else 0


@pytest.mark.parametrize(("node_count", "seed"), SIZES)
def test_what_is_said_in_anothers_name_stops_nothing(node_count: int, seed: int) -> None:
    """W3, L8: forged blocks and operations that come before the true ones don't take their place."""
    scenario = replace(make_scenario(impostor.make, node_count), deadline_ms=30_000)
    _, steps = run(scenario, seed)
    silent = {member for record in get_records(steps) for member in record.silent}
    assert not silent, "a member whose operations were forged counts as silent"


@pytest.mark.parametrize(("node_count", "seed"), SIZES)
def test_copies_of_others_work_count_for_nothing(node_count: int, seed: int) -> None:
    """F3, F8: neither a copied seal with its opening, nor anything of a member that was not drawn.

    A copied update may count, and takes nothing from the original, whichever is ordered first.
    """
    cluster, steps = run(make_scenario(copycat.make, node_count), seed)
    crooks = get_crooks(cluster)
    refusals = count_refusals(steps, crooks)
    assert refusals[Refusal.BALLOT_DOES_NOT_OPEN] > 0
    for record in get_records(steps):
        assert not crooks & {entry.voter for entry in record.ballots}, "a copied ballot counts"
        assert set(record.silent) <= crooks, "a member whose update was copied counts as silent"


def test_every_kind_of_copy_is_refused() -> None:
    cluster, steps = run(make_scenario(copycat.make, 5), 0)
    refusals = count_refusals(steps, {node.member for node in cluster.nodes})
    wanted = {Refusal.NOT_A_VOTER, Refusal.NOT_A_PROPOSER, Refusal.BALLOT_DOES_NOT_OPEN}
    assert wanted <= refusals.keys()


@pytest.mark.parametrize(("node_count", "seed"), SIZES)
def test_who_judges_against_the_majority_pays(node_count: int, seed: int) -> None:
    """F9, F14: and who judges with it is paid from that; second opinions on all rounds agree."""
    cluster, steps = run(make_scenario(contrary_voter.make, node_count), seed)
    moves = [move for record in get_records(steps) for move in record.moves]
    paying = {move.member for move in moves if move.reason is StakeReason.SLASH_VOTE}
    assert paying and paying <= get_crooks(cluster)
    assert {move.reason for move in moves} >= {StakeReason.REWARD_VOTE, StakeReason.REWARD_UPDATE}


@pytest.mark.parametrize(("node_count", "seed"), SIZES)
def test_two_blocks_in_one_view_convict_without_any_vote(node_count: int, seed: int) -> None:
    """L7: once for each view, though every honest member reports it."""
    scenario = replace(make_scenario(double_proposer.make, node_count), convicts=True, deadline_ms=60_000)
    cluster, steps = run(scenario, seed)
    assert count_refusals(steps, {node.member for node in cluster.honest})[Refusal.OFFENCE_KNOWN] > 0


@pytest.mark.parametrize("seed", range(6))
def test_a_restart_between_two_blocks_of_one_view_changes_no_vote(seed: int) -> None:
    """C3, C10: whoever voted for the first block and restarts hears the second one first."""
    scenario = replace(
        make_scenario(equivocator.make, 4), faults=replace(MILD, delay_ms_max=200), heal_ms=8_000, script=restart_often
    )
    run(scenario, seed)
