"""Evidence: self-contained proof that one key signed two things that no honest node signs both of (L7).

Offences: two votes of one kind for different blocks in one view; NULLIFY together with FINALIZE in one view; two
different proposals in one view. An honest validator may NOTARIZE and later NULLIFY a view, or NOTARIZE and FINALIZE
it.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from protocol.blocks import BlockHeader, check_block_signature
from protocol.errors import InvalidMessage
from protocol.units import Digest, Epoch, MemberId, Signature, View
from protocol.votes import Vote, VoteKind, check_vote


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictingVotes:
    """Two votes of one member in one view that exclude each other, in the order of their signatures."""

    tag: ClassVar[int] = 0
    first: Vote
    second: Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictingProposals:
    """Two blocks that one leader proposed in one view, in the order of their signatures."""

    tag: ClassVar[int] = 1
    first: BlockHeader
    first_signature: Signature
    second: BlockHeader
    second_signature: Signature


Evidence: TypeAlias = ConflictingVotes | ConflictingProposals


@dataclass(frozen=True, slots=True, kw_only=True)
class Offence:
    """Whom evidence convicts, and of which view; one member is convicted once per view."""

    member: MemberId
    epoch: Epoch
    view: View


def is_conflict(first: Vote, second: Vote) -> bool:
    """Return whether two votes of one member in one epoch and view exclude each other."""
    kinds = {first.kind, second.kind}
    if kinds == {VoteKind.NULLIFY, VoteKind.FINALIZE}:
        return True
    return first.kind is second.kind and first.block_hash != second.block_hash


def build_vote_evidence(first: Vote, second: Vote) -> ConflictingVotes:
    """Return evidence of two conflicting votes, in its one order."""
    low, high = sorted((first, second), key=lambda vote: vote.signature)
    return ConflictingVotes(first=low, second=high)


def build_proposal_evidence(
    first: BlockHeader, first_signature: Signature, second: BlockHeader, second_signature: Signature
) -> ConflictingProposals:
    """Return evidence of two conflicting proposals, in its one order."""
    if second_signature < first_signature:
        first, first_signature, second, second_signature = second, second_signature, first, first_signature
    return ConflictingProposals(
        first=first, first_signature=first_signature, second=second, second_signature=second_signature
    )


def get_offence(evidence: Evidence) -> Offence:
    """Return what evidence accuses somebody of, unchecked."""
    match evidence:
        case ConflictingVotes(first=vote):
            return Offence(member=vote.member, epoch=vote.epoch, view=vote.view)
        case ConflictingProposals(first=header):
            return Offence(member=header.leader, epoch=header.epoch, view=header.view)


def check_evidence(chain_id: Digest, evidence: Evidence) -> Offence:
    """Return whom evidence convicts, after checking all of it.

    Raises:
        InvalidMessage: It proves nothing; the message says why.
    """
    match evidence:
        case ConflictingVotes(first=first, second=second):
            if (first.member, first.epoch, first.view) != (second.member, second.epoch, second.view):
                raise InvalidMessage("evidence: the votes are not of one member in one view")
            if not is_conflict(first, second):
                raise InvalidMessage("evidence: an honest member may cast both votes")
            if first.signature >= second.signature:
                raise InvalidMessage("evidence: the votes are not in order")
            check_vote(chain_id, first)
            check_vote(chain_id, second)
        case ConflictingProposals(first=one, second=other):
            if (one.leader, one.epoch, one.view) != (other.leader, other.epoch, other.view):
                raise InvalidMessage("evidence: the proposals are not of one leader in one view")
            if one == other:
                raise InvalidMessage("evidence: the proposals are the same block")
            if evidence.first_signature >= evidence.second_signature:
                raise InvalidMessage("evidence: the proposals are not in order")
            check_block_signature(chain_id, one, evidence.first_signature)
            check_block_signature(chain_id, other, evidence.second_signature)
    return get_offence(evidence)
