"""The engine and what comes from others: blocks, artifacts, contradictions, forgeries (C14, F3, L7, W3)."""

from dataclasses import replace

import pytest

from protocol.codec import encode, encode_union
from protocol.crypto import SigningKey
from protocol.evidence import Evidence
from protocol.gossip import Admission, Topic
from protocol.interface import (
    ArtifactStored,
    BlockFetched,
    BlocksFetched,
    ConsensusReceived,
    FetchArtifact,
    FinalizedBlock,
    OperationReceived,
    PersistBlock,
    TimeAdvanced,
)
from protocol.messages import ConsensusMessage, OperationMessage, Proposal, Votes
from protocol.observations import OffenceSeen
from protocol.operations import Bond, ReportEvidence, decode_operation
from protocol.units import Millis, Sequence, Signature, Stake
from protocol.votes import VoteKind
from tests.helpers import CREATED_MS, encode_operation, make_founders
from tests.newcomers import make_newcomer
from tests.protocol.lone_engine import (
    get_observed,
    get_operations,
    get_votes,
    gossip,
    make_voting_node,
    make_weak_node,
    of_kind,
    sign_votes,
)
from tests.values import make_digest


def test_fetched_blocks_that_are_wrong_change_nothing() -> None:
    """C14."""
    node = make_weak_node()
    node.start(100)
    block = node.builder.build_block()
    wrong = FinalizedBlock(block=block, certificate=node.builder.certify(block, node.builder.founders[:2]))
    assert of_kind(node.tell(BlocksFetched(blocks=(wrong,))), PersistBlock) == []
    right = FinalizedBlock(block=block, certificate=node.builder.certify(block))
    assert [entry.height for entry in of_kind(node.tell(BlocksFetched(blocks=(right,))), PersistBlock)] == [1]


@pytest.mark.parametrize("operations", [(b"no operation",), (bytes(100),)], ids=["noise", "zeros"])
def test_a_fetched_body_that_is_wrong_changes_nothing(operations: tuple[bytes, ...]) -> None:
    """C3."""
    node = make_weak_node()
    node.start(100)
    block = node.builder.build_block(operations)
    assert of_kind(node.tell(BlockFetched(block=block)), PersistBlock) == []
    assert node.engine.get_unfinalized_block(node.engine.consensus.tree.tip.block_hash) is None


def test_a_proposers_artifact_is_fetched_as_soon_as_its_manifest_is_heard() -> None:
    """F3: ahead of the block, so that votes need not wait."""
    node, encoded, manifest = make_voting_node()
    effects = node.tell(OperationReceived(operation=encoded))
    (fetch,) = of_kind(effects, FetchArtifact)
    assert (fetch.digest, fetch.bytes_expected) == (manifest.artifact_digest, manifest.artifact_bytes)
    assert fetch.source == decode_operation(encoded).content.member
    assert of_kind(node.tell(OperationReceived(operation=encoded)), FetchArtifact) == []


@pytest.mark.parametrize(
    "changes",
    [{"artifact_bytes": 1 << 40}, {"scale_exponents": (-20,)}, {"example_count": -1}],
    ids=["another size", "a scale too few", "negative examples"],
)
def test_a_manifest_that_the_ledger_would_refuse_makes_nobody_fetch(changes: dict[str, object]) -> None:
    """F3: otherwise a proposer could fill other members' disks, or spoil the fetching of another's artifact."""
    node, _, manifest = make_voting_node()
    proposer = node.builder.get_keys(node.builder.round.proposers[0])
    wrong = replace(manifest, **changes)  # type: ignore[arg-type]
    encoded = encode_operation(node.builder.chain_id, proposer.signing_key, Sequence(0), wrong)
    assert of_kind(node.tell(OperationReceived(operation=encoded)), FetchArtifact) == []
    right = encode_operation(node.builder.chain_id, proposer.signing_key, Sequence(1), manifest)
    assert len(of_kind(node.tell(OperationReceived(operation=right)), FetchArtifact)) == 1


def test_a_block_is_voted_for_once_its_artifacts_are_stored() -> None:
    """F3: artifacts first, votes second."""
    node, encoded, manifest = make_voting_node()
    block = node.builder.build_block((encoded,), time_ms=Millis(CREATED_MS + 200))

    proposal = Proposal(block=block, parent_certificate=node.blocks[-1].certificate, nullifications=())
    effects = node.tell(ConsensusReceived(message=proposal))
    assert len(of_kind(effects, FetchArtifact)) == 1
    assert get_votes(effects) == []
    assert get_votes(node.tell(ArtifactStored(digest=manifest.artifact_digest), 300)) == [VoteKind.NOTARIZE]


def test_a_contradiction_is_reported_once() -> None:
    """L7."""
    node = make_weak_node()
    node.start(100)
    guilty = node.builder.founders[1]
    digests = [make_digest("block", number) for number in range(3)]
    messages = sign_votes(node, guilty, *[(VoteKind.NOTARIZE, digest) for digest in digests])
    effects = [effect for message in messages for effect in gossip(node, message)]
    (seen,) = get_observed(effects, OffenceSeen)
    assert (seen.offence.member, seen.offence.view) == (guilty.member, 1)
    (message,) = get_operations(effects)
    assert isinstance(decode_operation(message.operation).content.payload, ReportEvidence)


def test_a_member_that_contradicts_itself_often_costs_one_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    """L7, C15: a message of votes for many blocks of one view is as many contradictions."""
    verified: list[Evidence] = []
    monkeypatch.setattr("protocol.reports.check_evidence", lambda _chain_id, evidence: verified.append(evidence))
    node = make_weak_node()
    node.start(100)
    digests = [make_digest("block", number) for number in range(20)]
    for message in sign_votes(node, node.builder.founders[1], *[(VoteKind.NOTARIZE, digest) for digest in digests]):
        gossip(node, message)
    assert len(verified) == 1


def test_forged_votes_about_a_decided_view_neither_convict_nor_confuse() -> None:
    """W3, L7: the member finalized; a forged nullification in its name comes when the quorum for that is complete."""
    node = make_weak_node()
    node.start(100)
    others = node.builder.founders[1:]
    (finalize,) = sign_votes(node, others[0], (VoteKind.FINALIZE, make_digest("block")))
    gossip(node, finalize)
    for keys in (others[1], others[2]):
        for message in sign_votes(node, keys, (VoteKind.NULLIFY, None)):
            gossip(node, message)
    node.tell(TimeAdvanced(), 1_200)
    forged = replace(finalize.votes[0], kind=VoteKind.NULLIFY, block_hash=None, signature=Signature(bytes(64)))
    for votes in ((forged,), (forged, *finalize.votes), (*finalize.votes, forged)):
        for attempt in (0, 1):
            effects = gossip(node, Votes(votes=votes, attempt=attempt), 1_300)
            assert get_observed(effects, OffenceSeen) == []


def test_a_stranger_is_rejected_and_a_member_is_not() -> None:
    """W3."""
    node = make_weak_node()
    stranger = next(keys for keys in make_founders(8) if keys.founder.name == "member-7")
    (message,) = sign_votes(node, stranger, (VoteKind.NULLIFY, None))
    judged = node.engine.judge_gossip(Topic.CONSENSUS, encode_union(message, ConsensusMessage))
    assert judged.admission is Admission.REJECT


def test_an_operation_of_somebody_who_waits_for_admission_is_nobodys_fault() -> None:
    """L9, W3: others may have begun the epoch in which it is a member, and forward what it says."""
    node = make_weak_node()
    node.start(100)
    newcomer = make_newcomer()
    operations = node.builder.sign_all([(node.builder.founders[1].member, newcomer)])
    block = node.builder.build_block(operations)
    node.builder.add_block(operations)
    certificate = node.builder.certify(block, node.builder.founders[1:])
    node.tell(BlocksFetched(blocks=(FinalizedBlock(block=block, certificate=certificate),)), 150)
    key = SigningKey(make_digest("newcomer", 0))
    assert key.member == newcomer.card.member
    early = encode_operation(node.builder.chain_id, key, Sequence(0), Bond(amount=Stake(1)))
    admitted = node.engine.judge_gossip(Topic.OPERATIONS, encode(OperationMessage(operation=early, attempt=0)))
    assert (admitted.admission, admitted.event) == (Admission.IGNORE, None)
