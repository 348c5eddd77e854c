"""The journal: what a node must remember above its finalized tip, so that a restart forgets nothing (C10)."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias, assert_never

from protocol.blocks import Block
from protocol.messages import Proposal
from protocol.operations import Ballot
from protocol.units import Digest, Epoch, Ppm, Round, View
from protocol.votes import Certificate, Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnVoteRecord:
    """A vote that this node cast (C10). Never pruned above the finalized view."""

    tag: ClassVar[int] = 0
    vote: Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnProposalRecord:
    """A block that this node proposed (C1)."""

    tag: ClassVar[int] = 1
    proposal: Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRecord:
    """The body of a block above the finalized tip that this node voted for."""

    tag: ClassVar[int] = 2
    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """A notarization or nullification above the finalized tip (C5, C6)."""

    tag: ClassVar[int] = 3
    certificate: Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOperationRecord:
    """An operation that this node signed; kept until the ledger has executed its sequence number."""

    tag: ClassVar[int] = 4
    operation: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBallotRecord:
    """The ballot behind a seal that this node published; without it the seal cannot be revealed."""

    tag: ClassVar[int] = 5
    round: Round
    attempt: int
    ballot: Ballot


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRecord:
    """A model's score on this node's own held-out data (F7)."""

    tag: ClassVar[int] = 6
    model_digest: Digest
    score: Ppm


@dataclass(frozen=True, slots=True, kw_only=True)
class VotingFloorRecord:
    """Whether this node may vote, after it lost the memory of its votes (C10). The last one holds; never pruned."""

    tag: ClassVar[int] = 7
    is_suspended: bool
    after_view: View
    """Once voting is resumed, only views above this one are voted in."""


Record: TypeAlias = (
    OwnVoteRecord
    | OwnProposalRecord
    | BlockRecord
    | CertificateRecord
    | OwnOperationRecord
    | OwnBallotRecord
    | ScoreRecord
    | VotingFloorRecord
)


def get_record_epoch(record: Record) -> Epoch | None:
    """Return the consensus epoch that a record belongs to; None if it is not about one."""
    match record:
        case OwnVoteRecord(vote=vote):
            return vote.epoch
        case OwnProposalRecord(proposal=proposal):
            return proposal.block.header.epoch
        case BlockRecord(block=block):
            return block.header.epoch
        case CertificateRecord(certificate=certificate):
            return certificate.epoch
        case OwnOperationRecord() | OwnBallotRecord() | ScoreRecord() | VotingFloorRecord():
            return None
        case _:
            assert_never(record)
