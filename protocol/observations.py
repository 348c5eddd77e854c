"""What the core tells people: facts for logs, metrics, the dashboard and the simulator's checkers, and nothing else."""

from dataclasses import dataclass
from typing import TypeAlias

from protocol.evidence import Offence
from protocol.outcomes import BlockOutcome, Phase
from protocol.units import Digest, Epoch, Height, MemberId, Millis, Round, View, Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockExecuted:
    """A final block was executed."""

    height: Height
    view: View
    time_ms: Millis
    leader: MemberId
    operation_count: int
    outcome: BlockOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEntered:
    """The current round came to a new phase, or standbys were called and it is in the same one for longer (F13)."""

    round: Round
    phase: Phase
    attempt: int
    """1 in the retrial (F11)."""
    deadline_ms: Millis
    """Ledger time at which the phase ends at the latest; 0 in DRAW."""
    proposers: tuple[MemberId, ...]
    voters: tuple[MemberId, ...]
    replaced: tuple[MemberId, ...]
    """Silent members of the round whose places standbys have taken so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewFailed:
    """This node's timer of a view ran out."""

    view: View
    leader: MemberId
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OffenceSeen:
    """This node holds evidence against a member."""

    offence: Offence


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateDiffers:
    """The accepted candidate is not the one that this node computed: its worker or disk needs a look."""

    round: Round
    computed_digest: Digest
    accepted_digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkAbandoned:
    """This node stays silent in a matter of a round because its own work failed."""

    round: Round
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateNotScreened:
    """This node does not flag an update, because its own work failed."""

    round: Round
    update_digest: Digest
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialWrong:
    """A member signed a partial of a beacon output that is not of its share (B3)."""

    round: Round
    member: MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class VotingSuspended:
    """This node does not vote, since it lost the memory of its votes (C10)."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VotingResumed:
    """This node votes again, in views after this one (C10)."""

    after_view: View


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStarted:
    """The ledger came to a new epoch (C13)."""

    epoch: Epoch
    validator_count: int
    total_weight: Weight
    joined: tuple[MemberId, ...]
    """Members that the epoch before did not have."""
    left: tuple[MemberId, ...]
    """Members that may not connect any more (L9)."""
    key_epoch: Epoch | None
    """Since when the beacon's group key is in use; None if there is none yet."""


Observation: TypeAlias = (
    BlockExecuted
    | EpochStarted
    | PhaseEntered
    | ViewFailed
    | OffenceSeen
    | CandidateDiffers
    | WorkAbandoned
    | UpdateNotScreened
    | PartialWrong
    | VotingSuspended
    | VotingResumed
)
