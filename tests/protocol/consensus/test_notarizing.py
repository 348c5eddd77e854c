"""C3: which proposal a member notarizes, and every single reason not to (C2, C8, F3, B5)."""

from dataclasses import replace

import pytest

from protocol.blocks import Block
from protocol.codec import decode_union, encode_union
from protocol.crypto import Domain
from protocol.errors import InvalidMessage
from protocol.evidence import ConflictingProposals
from protocol.interface import Broadcast, FetchBlock, Persist
from protocol.journal import BlockRecord, OwnVoteRecord
from protocol.messages import ConsensusMessage, Proposal
from protocol.units import BlsSignature, Epoch, Height, Millis, Signature, View
from tests.protocol.consensus.rig import (
    CHAIN,
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    Application,
    Rig,
    at,
    get_follower,
    get_leader,
    get_sent_votes,
    hash_of,
    make_block,
    make_certificate,
    make_proposal,
    tip_of,
)
from tests.values import make_digest

FIRST = make_block(1, operations=(b"operation",))


def make_rig(**changes: object) -> Rig:
    """Return a started follower of the first four views."""
    rig = Rig(get_follower(1, 2, 3), application=Application(**changes))  # type: ignore[arg-type]
    rig.start(0)
    return rig


def notarizes(rig: Rig, proposal: Proposal, *, delay_ms: int = 100) -> bool:
    """Return whether a node notarizes a proposal that it hears now."""
    votes = get_sent_votes(rig.tell(proposal, delay_ms=delay_ms))
    return [(vote.kind, vote.block_hash) for vote in votes] == [(NOTARIZE, hash_of(proposal.block))]


def test_the_first_valid_proposal_of_the_views_leader_is_notarized() -> None:
    assert notarizes(make_rig(), make_proposal(FIRST))


def test_vote_and_block_are_durable_before_the_vote_leaves() -> None:
    """C10: a restart must know the vote, and be able to serve the block."""
    effects = make_rig().tell(make_proposal(FIRST))
    kinds = [type(effect.record) if isinstance(effect, Persist) else type(effect) for effect in effects]
    assert kinds.index(BlockRecord) < kinds.index(OwnVoteRecord) < kinds.index(Broadcast)


def changed(**changes: object) -> Proposal:
    return make_proposal(make_block(1, **changes))  # type: ignore[arg-type]


OTHER_LEADER = get_follower(1)


@pytest.mark.parametrize(
    "proposal",
    [
        pytest.param(changed(leader=OTHER_LEADER.member), id="another leader"),
        pytest.param(changed(epoch=Epoch(1)), id="another epoch"),
        pytest.param(changed(parent_hash=make_digest("other parent")), id="C2: a parent that is not notarized"),
        pytest.param(changed(parent_view=View(1)), id="C2: a parent in its own view"),
        pytest.param(changed(height=Height(2)), id="a height that does not follow"),
        pytest.param(changed(height=Height(0)), id="the parent's height"),
        pytest.param(changed(time_ms=at(0)), id="C8: the parent's time"),
        pytest.param(changed(time_ms=at(5_101)), id="C8: a time too far ahead"),
        pytest.param(changed(reveal=BlsSignature(bytes(48))), id="B5: no reveal"),
        pytest.param(
            changed(reveal=OTHER_LEADER.bls_key.sign(Domain.REVEAL, CHAIN, bytes(15) + b"\x01")),
            id="B5: another's reveal",
        ),
        pytest.param(changed(operations_root=make_digest("root")), id="operations that are not the header's"),
        pytest.param(make_proposal(replace(FIRST, operations=(b"other",))), id="operations put in later"),
        pytest.param(
            make_proposal(FIRST, make_certificate(NULLIFY, 1)), id="a nullification as the parent's certificate"
        ),
        pytest.param(make_proposal(FIRST, make_certificate(NOTARIZE, 1, FIRST)), id="another block's certificate"),
        pytest.param(
            make_proposal(FIRST, None, (make_certificate(NOTARIZE, 1, FIRST),)), id="a notarization as justification"
        ),
        pytest.param(
            make_proposal(FIRST, None, (make_certificate(NULLIFY, 3, count=2),)), id="a justification without a quorum"
        ),
    ],
)
def test_a_proposal_with_one_mistake_is_not_notarized(proposal: Proposal) -> None:
    rig = make_rig()
    assert not notarizes(rig, proposal)
    assert rig.consensus.view == 1


@pytest.mark.parametrize("name", ["refuses", "is_artifact_missing"])
def test_a_block_that_the_application_does_not_take_is_not_notarized(name: str) -> None:
    """C3; F3: artifacts first, votes second."""
    assert not notarizes(make_rig(**{name: True}), make_proposal(FIRST))


def test_a_block_is_notarized_once_its_artifacts_are_here() -> None:
    """F3."""
    rig = make_rig(is_artifact_missing=True)
    rig.tell(make_proposal(FIRST))
    rig.application.is_artifact_missing = False
    assert [vote.kind for vote in get_sent_votes(rig.step(200))] == [NOTARIZE]


@pytest.mark.parametrize(("time_ms", "is_near"), [(at(5_100), True), (at(5_101), False)])
def test_a_blocks_time_may_differ_from_the_clock_by_the_bound(time_ms: Millis, is_near: bool) -> None:
    """C8."""
    assert notarizes(make_rig(), changed(time_ms=time_ms)) == is_near
    late = make_rig()
    assert notarizes(late, changed(time_ms=at(100)), delay_ms=time_ms - at(0)) == is_near


def test_the_bound_on_time_grows_with_failed_views() -> None:
    """C8: bad clocks delay and do not stop."""
    late = make_block(2, time_ms=at(10_100))
    rig = make_rig()
    assert not notarizes(rig, replace(make_proposal(late), nullifications=()))
    assert [vote.kind for vote in get_sent_votes(rig.tell_certificates(make_certificate(NULLIFY, 1)))] == [NOTARIZE]


def test_nothing_is_notarized_twice_in_a_view() -> None:
    """C3: the second proposal is evidence and gets no vote."""
    rig = make_rig()
    assert notarizes(rig, make_proposal(FIRST))
    assert get_sent_votes(rig.tell(changed(time_ms=at(200)))) == []
    (evidence,) = rig.consensus.evidence
    assert isinstance(evidence, ConflictingProposals)
    assert {evidence.first.time_ms, evidence.second.time_ms} == {at(100), at(200)}


def test_nothing_is_notarized_in_a_view_that_was_given_up() -> None:
    """C3, C4."""
    rig = make_rig(has_operations=True)
    assert [vote.kind for vote in get_sent_votes(rig.step(1_000))] == [NULLIFY]
    assert get_sent_votes(rig.tell(make_proposal(FIRST), delay_ms=1_100)) == []


def test_a_proposal_of_a_later_view_waits_for_its_view() -> None:
    """C3: votes are cast in the current view only."""
    rig = make_rig()
    assert get_sent_votes(rig.tell(make_proposal(make_block(2)))) == []
    votes = get_sent_votes(rig.tell_certificates(make_certificate(NULLIFY, 1)))
    assert [(vote.kind, vote.view) for vote in votes] == [(NOTARIZE, 2)]


def test_the_certificates_of_a_proposal_lead_to_its_view() -> None:
    """C16: nobody sent them by themselves."""
    rig = make_rig()
    rig.tell(make_proposal(FIRST))
    child = make_block(3, tip_of(FIRST))
    proposal = make_proposal(child, make_certificate(NOTARIZE, 1, FIRST), (make_certificate(NULLIFY, 2),))
    votes = get_sent_votes(rig.tell(proposal))
    assert [(vote.kind, vote.view) for vote in votes] == [(FINALIZE, 1), (NOTARIZE, 3)]


def test_a_gap_between_parent_and_block_must_be_nullified() -> None:
    """C2."""
    rig = make_rig()
    rig.tell(make_proposal(FIRST))
    child = make_block(3, tip_of(FIRST))
    rig.tell(make_proposal(child, make_certificate(NOTARIZE, 1, FIRST)))
    votes = get_sent_votes(rig.tell_certificates(make_certificate(NOTARIZE, 2, make_block(2))))
    assert [(vote.kind, vote.view) for vote in votes] == [(FINALIZE, 2)]
    assert rig.consensus.view == 3


def test_a_block_on_an_unknown_body_waits_until_it_comes() -> None:
    """C3: height and time are the parent's business; the body is asked for."""
    rig = make_rig()
    child = make_block(2, tip_of(FIRST))
    effects = rig.tell(make_proposal(child, make_certificate(NOTARIZE, 1, FIRST)))
    assert FetchBlock(block_hash=hash_of(FIRST)) in effects
    assert [vote.kind for vote in get_sent_votes(effects)] == [FINALIZE]
    rig.consensus.on_block_body(FIRST)
    assert [vote.kind for vote in get_sent_votes(rig.step(200))] == [NOTARIZE]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(replace(FIRST, operations=(b"other",)), "not those of its header", id="other operations"),
        pytest.param(
            replace(FIRST, signature=Signature(bytes(64))), "wrong proposal signature", id="another signature"
        ),
    ],
)
def test_a_body_that_is_not_what_its_leader_published_is_not_taken(body: Block, error: str) -> None:
    """C14: a ledger with it would fail every audit."""
    rig = make_rig()
    rig.tell(make_proposal(make_block(2, tip_of(FIRST)), make_certificate(NOTARIZE, 1, FIRST)))
    with pytest.raises(InvalidMessage, match=error):
        rig.consensus.on_block_body(body)
    assert hash_of(FIRST) not in rig.consensus.tree.blocks


def test_messages_are_what_travels() -> None:
    """W1: a proposal with its certificates survives the wire."""
    proposal = make_proposal(make_block(2, tip_of(FIRST)), make_certificate(NOTARIZE, 1, FIRST))
    assert decode_union(ConsensusMessage, encode_union(proposal, ConsensusMessage), bytes_max=1 << 20) == proposal


def test_a_leader_is_also_held_to_the_rules() -> None:
    """C3: a leader notarizes its own block by the same checks, here without its artifact."""
    rig = Rig(get_leader(1), application=Application(has_operations=True, is_artifact_missing=True))
    assert get_sent_votes(rig.start(100)) == []
