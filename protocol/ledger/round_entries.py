"""What members have handed in during a round, as the state of the ledger holds it."""

from dataclasses import dataclass

from protocol.operations import Ballot, SubmitUpdate
from protocol.units import Digest, MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateEntry:
    """A submitted update (F3)."""

    member: MemberId
    manifest: SubmitUpdate


@dataclass(frozen=True, slots=True, kw_only=True)
class SealEntry:
    """A voter's sealed ballot (F8)."""

    member: MemberId
    seal: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class RevealEntry:
    """A voter's revealed ballot (F8)."""

    member: MemberId
    ballot: Ballot


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAttempt:
    """What was judged first in a round that is judged once more (F11); it settles together with the retrial."""

    updates: tuple[UpdateEntry, ...]
    """All of the round's, those that were condemned among them, in canonical order."""
    reveals: tuple[RevealEntry, ...]
    """Sorted by member."""
