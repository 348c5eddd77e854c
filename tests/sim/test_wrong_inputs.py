"""Each checker on an input that is wrong on purpose, without any simulation in between."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

import pytest

from protocol.audit import AuditFailure
from protocol.codec import encode, encode_union
from protocol.consensus.tree import BLOCKS_MAX, VIEW_WINDOW
from protocol.engine import Engine
from protocol.evidence import build_vote_evidence
from protocol.gossip import Topic
from protocol.interface import PersistBlock
from protocol.journal import VotingFloorRecord
from protocol.mempool import PENDING_PER_MEMBER_MAX
from protocol.messages import Certificates, ConsensusMessage, OperationMessage, Votes
from protocol.operations import ReportEvidence, sign_operation
from protocol.outcomes import BlockOutcome
from protocol.units import Digest, Epoch, Sequence, Stake, View
from protocol.votes import Vote, VoteKind, build_certificate, sign_vote
from tests.sim.bounds import NOTES_MAX, check_bounds, check_journal, check_view
from tests.sim.cluster import Cluster
from tests.sim.disk import Disk
from tests.sim.memo import remember_signatures
from tests.sim.replay import check_audit, check_minted, check_replays
from tests.sim.scenarios import SCENARIOS, build_cluster
from tests.values import make_digest

FAR: Final = View(1_000)


@pytest.fixture
def cluster() -> Cluster:
    """Return a network that has done one round."""
    with remember_signatures():
        made = build_cluster(replace(SCENARIOS["calm-4"], rounds=9), 1)
        made.start()
        assert made.run_until_settled(1, deadline_ms=60_000)
    return made


def get_engine(cluster: Cluster) -> Engine:
    """Return the first node's engine."""
    engine = cluster.nodes[0].engine
    assert engine is not None
    return engine


# Bounds (C15).


def fill(buffer: object, count: int) -> None:
    """Put that many entries into a dictionary that others don't look into."""
    cast("dict[object, object]", buffer).update({View(10**9 + number): None for number in range(count)})


OVERFULL: list[tuple[Callable[[Engine], object], int, str]] = [
    (lambda engine: engine.consensus.counting._tally._votes, 2 * VIEW_WINDOW, "votes of too many views"),
    (lambda engine: engine.consensus.counting._tally._counts, 2 * VIEW_WINDOW, "counts too many views"),
    (lambda engine: engine.consensus._proposals, 2 * VIEW_WINDOW, "proposals of too many views"),
    (lambda engine: engine.consensus.tree.notarizations, 8, "certificates of too many views"),
    (lambda engine: engine.consensus.tree.nullifications, 8, "certificates of too many views"),
    (lambda engine: engine.consensus.tree.finalizations, 8, "certificates of too many views"),
    (lambda engine: engine.consensus._own._votes, 2 * VIEW_WINDOW, "own votes of too many views"),
    (lambda engine: engine.consensus.tree.blocks, BLOCKS_MAX + 1, "too many bodies"),
    (
        lambda engine: engine._mempool._pending.setdefault(engine.state.accounts[1].member, {}),
        PENDING_PER_MEMBER_MAX + 1,
        "too many operations",
    ),
]


@pytest.mark.parametrize(("get_buffer", "count", "failure"), OVERFULL)
def test_an_overfull_buffer_is_caught(
    cluster: Cluster, get_buffer: Callable[[Engine], object], count: int, failure: str
) -> None:
    engine = get_engine(cluster)
    check_bounds(engine)
    fill(get_buffer(engine), count)
    with pytest.raises(AssertionError, match=failure):
        check_bounds(engine)


def test_quorums_that_are_never_forgotten_are_caught(cluster: Cluster) -> None:
    complete = get_engine(cluster).consensus.counting._tally._complete
    complete.update((View(10**9 + number), VoteKind.NULLIFY, None) for number in range(600))
    with pytest.raises(AssertionError, match="too many quorums"):
        check_bounds(get_engine(cluster))


def test_votes_that_are_kept_after_they_were_sent_are_caught(cluster: Cluster) -> None:
    get_engine(cluster).consensus._outgoing.add(make_vote(cluster, 0, VoteKind.NULLIFY, None))
    with pytest.raises(AssertionError, match="votes are kept"):
        check_bounds(get_engine(cluster))


def test_a_vote_that_is_counted_twice_is_caught(cluster: Cluster) -> None:
    engine = get_engine(cluster)
    vote = make_vote(cluster, 0, VoteKind.NULLIFY, None, view=engine.consensus.view)
    counts = engine.consensus.counting._tally._counts.setdefault(engine.consensus.view, {})
    for number in range(20):
        counts[VoteKind.NOTARIZE, make_digest("block", number)] = {vote.member: vote}
    with pytest.raises(AssertionError, match="more votes are counted"):
        check_view(engine)


def test_a_journal_that_only_grows_is_caught(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    check_journal(get_engine(cluster), node.disk)
    node.disk.records += [VotingFloorRecord(is_suspended=True, after_view=View(0))] * (NOTES_MAX + 100)
    with pytest.raises(AssertionError, match="the journal holds"):
        check_journal(get_engine(cluster), node.disk)


# Replays and audits.


def mint(outcome: BlockOutcome) -> BlockOutcome:
    """Return an outcome whose root is another one."""
    return replace(outcome, state_root=make_digest("root"))


def test_a_state_that_its_log_does_not_give_is_caught(cluster: Cluster) -> None:
    disk = cluster.nodes[0].disk
    check_replays(cluster.genesis, [disk])
    disk.state = replace(disk.state, treasury=Stake(disk.state.treasury + 1))
    with pytest.raises(AssertionError, match="another state"):
        check_replays(cluster.genesis, [disk])


def test_an_outcome_that_its_block_does_not_have_is_caught_on_any_disk(cluster: Cluster) -> None:
    disks = [node.disk for node in cluster.nodes]
    disks[2].outcomes[3] = mint(disks[2].outcomes[3])
    with pytest.raises(AssertionError, match="height 4 replays to another outcome"):
        check_replays(cluster.genesis, disks)


def test_a_block_without_an_outcome_is_caught(cluster: Cluster) -> None:
    cluster.nodes[0].disk.outcomes.pop()
    with pytest.raises(AssertionError, match="without its outcome"):
        check_replays(cluster.genesis, [cluster.nodes[0].disk])


def test_a_supply_that_grows_by_itself_is_caught(cluster: Cluster) -> None:
    """L2."""
    disk = cluster.nodes[0].disk
    check_minted(cluster.genesis, disk)
    disk.state = replace(disk.state, supply=Stake(disk.state.supply + 1))
    with pytest.raises(AssertionError, match="changed by itself"):
        check_minted(cluster.genesis, disk)


def test_validators_that_change_within_an_epoch_are_caught(cluster: Cluster) -> None:
    """C13."""
    state = cluster.nodes[0].disk.state
    assert cluster.checkers.book.add_state(state)
    assert not cluster.checkers.book.add_state(replace(state, validators=state.validators[1:]))


def test_an_export_that_the_audit_refuses_is_caught(cluster: Cluster) -> None:
    disk: Disk = cluster.nodes[0].disk
    check_audit(cluster.genesis, disk)
    disk.outcomes[0] = mint(disk.outcomes[0])
    with pytest.raises(AuditFailure, match="height 1"):
        check_audit(cluster.genesis, disk)


def test_an_audit_that_arrives_elsewhere_is_caught(cluster: Cluster) -> None:
    disk = cluster.nodes[0].disk
    disk.state = cluster.nodes[1].disk.state
    disk.state = replace(disk.state, treasury=Stake(disk.state.treasury + 1))
    with pytest.raises(AssertionError, match="another state"):
        check_audit(cluster.genesis, disk)


# Nobody framed, nobody spared (L7).


def make_vote(cluster: Cluster, index: int, kind: VoteKind, block_hash: Digest | None, *, view: View = FAR) -> Vote:
    """Return a true vote in a member's name."""
    key = cluster.nodes[index].keys.key
    chain_id = cluster.checkers.chain_id
    return sign_vote(chain_id, key, epoch=Epoch(0), kind=kind, view=view, block_hash=block_hash)


def make_pair(cluster: Cluster) -> tuple[Vote, Vote]:
    """Return two votes of an honest member that exclude each other."""
    first = make_vote(cluster, 0, VoteKind.NULLIFY, None)
    return first, make_vote(cluster, 0, VoteKind.FINALIZE, make_digest("block"))


def test_what_convicts_an_honest_member_is_caught_whoever_says_it(cluster: Cluster) -> None:
    """C10: the signatures are true, so the key has signed both."""
    first, second = (
        encode_union(Votes(votes=(vote,), attempt=0), ConsensusMessage) for vote in make_pair(cluster)
    )
    cluster.checkers.on_adversary(Topic.CONSENSUS, first)
    with pytest.raises(AssertionError, match="convicts an honest member"):
        cluster.checkers.on_adversary(Topic.CONSENSUS, second)


def test_what_convicts_an_honest_member_is_caught_inside_certificates(cluster: Cluster) -> None:
    validators = get_engine(cluster).consensus.config.validators
    validators = replace(validators, epoch=Epoch(0))
    first, second = (
        encode_union(
            Certificates(certificates=(build_certificate(validators, (vote,)),), attempt=1), ConsensusMessage
        )
        for vote in make_pair(cluster)
    )
    cluster.checkers.on_adversary(Topic.CONSENSUS, first)
    with pytest.raises(AssertionError, match="convicts an honest member"):
        cluster.checkers.on_adversary(Topic.CONSENSUS, second)


def test_a_forged_contradiction_convicts_nobody(cluster: Cluster) -> None:
    first, second = make_pair(cluster)
    forged = replace(second, signature=first.signature)
    for vote in (first, forged):
        message = encode_union(Votes(votes=(vote,), attempt=0), ConsensusMessage)
        cluster.checkers.on_adversary(Topic.CONSENSUS, message)
    assert cluster.checkers.book.liars == set()


def test_evidence_against_an_honest_member_is_caught(cluster: Cluster) -> None:
    payload = ReportEvidence(evidence=build_vote_evidence(*make_pair(cluster)))
    operation = sign_operation(cluster.checkers.chain_id, cluster.nodes[1].keys.key, Sequence(0), payload)
    message = encode(OperationMessage(operation=encode(operation), attempt=0))
    with pytest.raises(AssertionError, match="can be convicted"):
        cluster.checkers.on_adversary(Topic.OPERATIONS, message)


def test_a_jail_sentence_without_a_slash_is_caught(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    cluster.checkers.check_slashed(node)
    first, *others = node.disk.state.accounts
    node.disk.state = replace(node.disk.state, accounts=(replace(first, is_jailed=True), *others))
    with pytest.raises(AssertionError, match="was not slashed"):
        cluster.checkers.check_slashed(node)


def test_an_honest_member_in_jail_is_caught_when_its_block_becomes_final(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    final, outcome = node.disk.blocks.pop(), node.disk.outcomes[-1]
    first, *others = node.disk.state.accounts
    jailed = replace(node.disk.state, accounts=(replace(first, is_jailed=True), *others))
    entry = PersistBlock(height=final.block.header.height, finalized=final, outcome=outcome)
    cluster.checkers.on_batch(node, [entry], node.disk.state)
    with pytest.raises(AssertionError, match="an honest member was jailed"):
        cluster.checkers.on_batch(node, [entry], jailed)
