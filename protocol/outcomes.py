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
class Replacement:
    """A standby took the place of a drawn member that was silent (F13)."""

    phase: Phase
    """Where: TRAIN for a proposer, SEAL for a voter."""
    silent: MemberId
    standby: MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One judgement of a round: of all its updates, or in the retrial of those that were left (F9 to F11)."""

    verdict: Verdict
    condemned: tuple[bool, ...]
    """One per update that was judged, in canonical order (F10)."""
    is_base_condemned: bool
    candidate_digest: Digest | None
    """What the majority accepted, or most ballots named."""
    accept_count: int
    reject_count: int
    ballots: tuple[RevealedBallot, ...]
    """Sorted by voter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """The ledger's record of a settled round (F12)."""

    round: Round
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
    """In the order of the draw, as are voters and standbys; whoever was replaced is not here."""
    voters: tuple[MemberId, ...]
    standbys: tuple[MemberId, ...]
    """Those that replaced nobody."""
    replacements: tuple[Replacement, ...]
    base_digest: Digest
    update_members: tuple[MemberId, ...]
    """Who submitted, in the canonical order of their updates."""
    update_digests: tuple[Digest, ...]
    attempts: tuple[AttemptRecord, ...]
    """One, or two if there was a retrial."""
    model_digest: Digest
    """The model after this round."""
    silent: tuple[MemberId, ...]
    """Drawn and silent: no update, no seal, or no reveal."""
    moves: tuple[StakeMove, ...]

    @property
    def deciding(self) -> AttemptRecord:
        """The judgement that the round ended with."""
        return self.attempts[find_deciding(tuple(attempt.verdict for attempt in self.attempts))]

    @property
    def verdict(self) -> Verdict:
        """How the round ended."""
        return self.deciding.verdict

    @property
    def condemned(self) -> tuple[bool, ...]:
        """One per update of the round: whether any judgement condemned it (F10)."""
        first, *others = self.attempts
        retried = iter(others[0].condemned if others else ())
        return tuple(is_condemned or next(retried, False) for is_condemned in first.condemned)

    @property
    def candidate_updates(self) -> tuple[Digest, ...]:
        """What the candidate was made of that the round ended with."""
        if self.deciding is self.attempts[0]:
            return self.update_digests
        pairs = zip(self.update_digests, self.attempts[0].condemned, strict=True)
        return tuple(digest for digest, is_condemned in pairs if not is_condemned)

    @property
    def is_base_condemned(self) -> bool:
        """Whether the judgement that the round ended with condemned the base model."""
        return self.deciding.is_base_condemned

    @property
    def candidate_digest(self) -> Digest | None:
        """What the majority accepted, or most ballots named."""
        return self.deciding.candidate_digest

    @property
    def accept_count(self) -> int:
        """How many voters accepted in the end."""
        return self.deciding.accept_count

    @property
    def reject_count(self) -> int:
        """How many voters rejected in the end."""
        return self.deciding.reject_count

    @property
    def ballots(self) -> tuple[RevealedBallot, ...]:
        """The ballots that the round ended with."""
        return self.deciding.ballots


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOutcome:
    """What executing one block did: recomputed and compared by every audit."""

    results: tuple[OperationResult, ...]
    moves: tuple[StakeMove, ...]
    """Those outside of a settlement: bonds, releases, offences."""
    settled: RoundRecord | None
    state_root: Digest
    """Digest of the ledger's state after the block."""


def find_deciding(verdicts: tuple[Verdict, ...]) -> int:
    """Return the index of the judgement that a round ends with: the last one that came to a verdict (F11).

    A retrial without a verdict leaves the first one as it was; a round without any verdict is void.
    """
    decided = [index for index, verdict in enumerate(verdicts) if verdict is not Verdict.VOID]
    return decided[-1] if decided else 0
