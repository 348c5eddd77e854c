"""L7: what convicts, and what an honest member may sign."""

from dataclasses import replace

import pytest

from protocol.blocks import Block, BlockHeader, sign_block
from protocol.errors import InvalidMessage
from protocol.evidence import (
    ConflictingProposals,
    ConflictingVotes,
    Offence,
    build_proposal_evidence,
    build_vote_evidence,
    check_evidence,
    is_conflict,
)
from protocol.units import Digest, Epoch, Millis, Signature, View
from protocol.votes import Vote, VoteKind, sign_vote
from tests.founders import FounderKeys, make_founders
from tests.helpers import LedgerBuilder
from tests.values import make_digest

BUILDER = LedgerBuilder(make_founders(4))
CHAIN = BUILDER.chain_id
ONE, OTHER = make_digest("one block"), make_digest("other block")
GUILTY, INNOCENT = BUILDER.founders[:2]
NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def vote(
    kind: VoteKind, block_hash: Digest | None = None, *, view: int = 5, epoch: int = 0, keys: FounderKeys = GUILTY
) -> Vote:
    return sign_vote(CHAIN, keys.signing_key, epoch=Epoch(epoch), kind=kind, view=View(view), block_hash=block_hash)


def build_votes(first: Vote, second: Vote) -> ConflictingVotes:
    return build_vote_evidence(first, second)


LEADER = BUILDER.get_keys(BUILDER.validators.compute_leader(View(1)))
BLOCK = BUILDER.build_block()


def block_with(header: BlockHeader) -> Block:
    return sign_block(CHAIN, LEADER.signing_key, header, BLOCK.operations)


LATER = block_with(replace(BLOCK.header, time_ms=Millis(BLOCK.header.time_ms + 1)))


def build_proposals(first: Block, second: Block) -> ConflictingProposals:
    return build_proposal_evidence(first.header, first.signature, second.header, second.signature)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(vote(NOTARIZE, ONE), vote(NOTARIZE, OTHER), id="two blocks notarized"),
        pytest.param(vote(FINALIZE, ONE), vote(FINALIZE, OTHER), id="two blocks finalized"),
        pytest.param(vote(NULLIFY), vote(FINALIZE, ONE), id="nullified and finalized"),
        pytest.param(vote(FINALIZE, ONE), vote(NULLIFY), id="finalized and nullified"),
    ],
)
def test_votes_that_exclude_each_other_convict(first: Vote, second: Vote) -> None:
    offence = Offence(member=GUILTY.member, epoch=Epoch(0), view=View(5))
    assert check_evidence(CHAIN, build_votes(first, second)) == offence


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(vote(NOTARIZE, ONE), vote(FINALIZE, ONE), id="notarized and finalized"),
        pytest.param(vote(NOTARIZE, ONE), vote(NULLIFY), id="notarized, then given up"),
        pytest.param(vote(NOTARIZE, ONE), vote(FINALIZE, OTHER), id="notarized one, finalized the majority's"),
    ],
)
def test_votes_that_an_honest_member_may_cast_convict_nobody(first: Vote, second: Vote) -> None:
    assert not is_conflict(first, second)
    with pytest.raises(InvalidMessage, match="may cast both"):
        check_evidence(CHAIN, build_votes(first, second))


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        pytest.param(
            vote(NOTARIZE, ONE), vote(NOTARIZE, OTHER, view=6), "not of one member in one view", id="two views"
        ),
        pytest.param(
            vote(NOTARIZE, ONE), vote(NOTARIZE, OTHER, epoch=1), "not of one member in one view", id="two epochs"
        ),
        pytest.param(
            vote(NOTARIZE, ONE), vote(NOTARIZE, OTHER, keys=INNOCENT), "not of one member in one view", id="two members"
        ),
        pytest.param(vote(NOTARIZE, ONE), vote(NOTARIZE, ONE), "may cast both", id="the same vote twice"),
        pytest.param(
            vote(NOTARIZE, ONE),
            replace(vote(NOTARIZE, OTHER, keys=INNOCENT), member=GUILTY.member),
            "wrong vote signature",
            id="a vote in somebody else's name",
        ),
        pytest.param(
            vote(NULLIFY),
            replace(vote(FINALIZE, ONE), signature=Signature(b"\xff" * 64)),
            "wrong vote",
            id="a made-up signature",
        ),
        pytest.param(vote(NOTARIZE, ONE), vote(NOTARIZE, None), "block hash", id="a vote that is none"),
    ],
)
def test_votes_with_one_mistake_convict_nobody(first: Vote, second: Vote, error: str) -> None:
    with pytest.raises(InvalidMessage, match=error):
        check_evidence(CHAIN, build_votes(first, second))


def test_two_proposals_in_one_view_convict() -> None:
    offence = Offence(member=LEADER.member, epoch=Epoch(0), view=View(1))
    assert check_evidence(CHAIN, build_proposals(BLOCK, LATER)) == offence


@pytest.mark.parametrize(
    ("other", "error"),
    [
        pytest.param(BLOCK, "the same block", id="the same block"),
        pytest.param(block_with(replace(LATER.header, view=View(2))), "not of one leader in one view", id="two views"),
        pytest.param(
            block_with(replace(LATER.header, epoch=Epoch(1))), "not of one leader in one view", id="two epochs"
        ),
        pytest.param(
            block_with(replace(LATER.header, leader=make_founders(5)[4].member)), "not of one leader", id="two leaders"
        ),
        pytest.param(
            replace(LATER, signature=Signature(bytes(64))), "wrong proposal signature", id="a made-up signature"
        ),
        pytest.param(replace(LATER, signature=BLOCK.signature), "not in order", id="one signature for both"),
    ],
)
def test_proposals_with_one_mistake_convict_nobody(other: Block, error: str) -> None:
    with pytest.raises(InvalidMessage, match=error):
        check_evidence(CHAIN, build_proposals(BLOCK, other))


def test_evidence_has_one_order() -> None:
    """L7: one offence cannot be reported as two."""
    votes = build_votes(vote(NOTARIZE, ONE), vote(NOTARIZE, OTHER))
    assert votes == build_votes(vote(NOTARIZE, OTHER), vote(NOTARIZE, ONE))
    with pytest.raises(InvalidMessage, match="not in order"):
        check_evidence(CHAIN, ConflictingVotes(first=votes.second, second=votes.first))
    proposals = build_proposals(BLOCK, LATER)
    assert proposals == build_proposals(LATER, BLOCK)
    swapped = ConflictingProposals(
        first=proposals.second,
        first_signature=proposals.second_signature,
        second=proposals.first,
        second_signature=proposals.first_signature,
    )
    with pytest.raises(InvalidMessage, match="not in order"):
        check_evidence(CHAIN, swapped)


@pytest.mark.parametrize(
    "evidence",
    [build_votes(vote(NULLIFY), vote(FINALIZE, ONE)), build_proposals(BLOCK, LATER)],
    ids=["votes", "proposals"],
)
def test_evidence_of_another_chain_convicts_nobody(evidence: ConflictingVotes | ConflictingProposals) -> None:
    """W2."""
    with pytest.raises(InvalidMessage, match="signature"):
        check_evidence(make_digest("other chain"), evidence)
