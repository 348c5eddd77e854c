"""What blocks and rounds did: the facts that the ledger records and every audit recomputes."""

from dataclasses import dataclass
from enum import IntEnum

from protocol.blocks import BeaconProof
from protocol.operations import Ballot
from protocol.refusals import Refusal
from protocol.units import Digest, Height, MemberId, Millis, Round, Stake


class Verdict(IntEnum):
    """How a round ended (F9)."""

    VOID = 0
    ACCEPT = 1
    REJECT = 2


class Phase(IntEnum):
    """Where a round stands (section 2)."""

    DRAW = 0
    TRAIN = 1
    SEAL = 2
    REVEAL = 3


class StakeReason(IntEnum):
    """Why stake moved (L3)."""

    REWARD_VOTE = 0
    REWARD_UPDATE = 1
    SLASH_UPDATE = 2
    SLASH_VOTE = 3
    SLASH_ABSENT = 4
    SLASH_EQUIVOCATION = 5
    BOND = 6
    UNBOND = 7
    RELEASE = 8
    SHARE_OF_MINORITY = 9
    MINT = 10
    """Created as a newcomer's bond (L9); the only move that changes the supply."""
    SLASH_CEREMONY = 11
    """A wrong share, or a false complaint (B4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeMove:
    """One movement of stake."""

    member: MemberId
    reason: StakeReason
    amount: Stake


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationResult:
    """What the ledger made of one operation (L8)."""

    operation_id: Digest
    refusal: Refusal
    """NONE if it was executed; otherwise by which rule it was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevealedBallot:
    """One voter's ballot as the ledger knows it in the end."""

    voter: MemberId
    ballot: Ballot


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """The ledger's record of a settled round (F12)."""

    round: Round
    verdict: Verdict
    opened_height: Height
    settled_height: Height
    opened_ms: Millis
    settled_ms: Millis
    beacon_output: Digest
    is_degraded: bool
    """True if the draw came from the RANDAO mix (B5)."""
    beacon: BeaconProof | None
    """The output's proof, unless the draw was degraded."""
    proposers: tuple[MemberId, ...]
    voters: tuple[MemberId, ...]
    standbys: tuple[MemberId, ...]
    base_digest: Digest
    update_members: tuple[MemberId, ...]
    """Who submitted, in the canonical order of their updates."""
    update_digests: tuple[Digest, ...]
    condemned: tuple[bool, ...]
    """One per update (F10)."""
    is_base_condemned: bool
    candidate_digest: Digest | None
    """What the majority accepted, or most ballots named."""
    model_digest: Digest
    """The model after this round."""
    accept_count: int
    reject_count: int
    ballots: tuple[RevealedBallot, ...]
    silent: tuple[MemberId, ...]
    """Drawn and silent: no update, no seal, or no reveal."""
    moves: tuple[StakeMove, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOutcome:
    """What executing one block did: recomputed and compared by every audit."""

    results: tuple[OperationResult, ...]
    moves: tuple[StakeMove, ...]
    """Those outside of a settlement: bonds, releases, offences."""
    settled: RoundRecord | None
    state_root: Digest
    """Digest of the ledger's state after the block."""
