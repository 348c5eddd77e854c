"""Messages that travel by gossip, one kind or a few per topic: CONSENSUS, OPERATIONS and BEACON."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias, assert_never

from protocol.blocks import Block
from protocol.errors import InvalidMessage
from protocol.units import BlsSignature, Epoch, MemberId, Round, Signature
from protocol.votes import Certificate, Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A leader's block with the certificates that justify its parent (C1)."""

    tag: ClassVar[int] = 0
    block: Block
    parent_certificate: Certificate | None
    """The parent's notarization or finalization; None for the first block of an epoch."""
    nullifications: tuple[Certificate, ...]
    """One per view between parent and block, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """Votes of one epoch that one member cast at one instant."""

    tag: ClassVar[int] = 1
    votes: tuple[Vote, ...]
    attempt: int
    """Counts deliberate re-sends, so that no seen-cache swallows them (W4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Certificates of one epoch, for those who fell behind (C16)."""

    tag: ClassVar[int] = 2
    certificates: tuple[Certificate, ...]
    attempt: int


ConsensusMessage: TypeAlias = Proposal | Votes | Certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationMessage:
    """An operation on its way to the leaders (topic OPERATIONS)."""

    operation: bytes
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """One holder's part of a round's output (B1, B2)."""

    member: MemberId
    round: Round
    key_epoch: Epoch
    """Which group key it is of."""
    signature: BlsSignature
    """Under the holder's share; worth nothing by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialMessage:
    """A partial on its way to everybody (topic BEACON), signed by its member: nobody is blamed for another's."""

    partial: Partial
    signature: Signature
    attempt: int


def get_epoch(message: ConsensusMessage) -> Epoch:
    """Return the epoch that a consensus message is of.

    Raises:
        InvalidMessage: It is of none or of several.
    """
    match message:
        case Proposal(block=block):
            return block.header.epoch
        case Votes(votes=votes):
            epochs = {vote.epoch for vote in votes}
        case Certificates(certificates=certificates):
            epochs = {certificate.epoch for certificate in certificates}
        case _:
            assert_never(message)
    if len(epochs) != 1:
        raise InvalidMessage(f"a message of {len(epochs)} epochs")
    return next(iter(epochs))
