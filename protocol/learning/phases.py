"""Where a round goes next: the table of section 2, and the facts that choose its row (F15).

``DRAW`` waits for the beacon output, ``TRAIN`` for manifests, ``SEAL`` for sealed ballots, ``REVEAL`` for their
openings; ``None`` as the next phase means that the round settles. Deadlines are in ledger time (C8). What the phases
do to the ledger is in :mod:`protocol.ledger.rounds`, what gives a round another chance in
:mod:`protocol.ledger.extensions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.units import Millis


class PhaseEvent(IntEnum):
    """What ends a phase."""

    OUTPUT_KNOWN = 0
    ALL_RECEIVED = 1
    DEADLINE_WITH_ENOUGH = 2
    DEADLINE_WITH_TOO_FEW = 3
    STANDBYS_CALLED = 4
    """Too few have answered, and standbys take the places of the others (F13)."""
    RETRIAL_DUE = 5
    """The candidate is rejected for some of its updates, and the rest is judged once more (F11)."""


PHASE_TABLE: Final[Mapping[tuple[Phase, PhaseEvent], Phase | None]] = MappingProxyType(
    {
        (Phase.DRAW, PhaseEvent.OUTPUT_KNOWN): Phase.TRAIN,
        (Phase.TRAIN, PhaseEvent.ALL_RECEIVED): Phase.SEAL,
        (Phase.TRAIN, PhaseEvent.DEADLINE_WITH_ENOUGH): Phase.SEAL,
        (Phase.TRAIN, PhaseEvent.DEADLINE_WITH_TOO_FEW): None,
        (Phase.TRAIN, PhaseEvent.STANDBYS_CALLED): Phase.TRAIN,
        (Phase.SEAL, PhaseEvent.ALL_RECEIVED): Phase.REVEAL,
        (Phase.SEAL, PhaseEvent.DEADLINE_WITH_ENOUGH): Phase.REVEAL,
        (Phase.SEAL, PhaseEvent.DEADLINE_WITH_TOO_FEW): None,
        (Phase.SEAL, PhaseEvent.STANDBYS_CALLED): Phase.SEAL,
        (Phase.REVEAL, PhaseEvent.ALL_RECEIVED): None,
        (Phase.REVEAL, PhaseEvent.DEADLINE_WITH_ENOUGH): None,
        (Phase.REVEAL, PhaseEvent.DEADLINE_WITH_TOO_FEW): None,
        (Phase.REVEAL, PhaseEvent.RETRIAL_DUE): Phase.SEAL,
    }
)
"""``(phase, event) -> next phase``; None settles the round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseProgress:
    """How far a phase has come."""

    expected_count: int
    """How many members were asked."""
    received_count: int
    """How many of them have answered."""
    needed_count: int
    """With fewer answers than this at the deadline, the round is void, unless standbys are called."""
    is_deadline_over: bool


def compute_phase_event(progress: PhaseProgress) -> PhaseEvent | None:
    """Return what ends a phase that waits for members, or None while it goes on.

    That all have answered ends it whatever ``needed_count`` says: there is nobody left to wait for.
    """
    if progress.received_count >= progress.expected_count:
        return PhaseEvent.ALL_RECEIVED
    if not progress.is_deadline_over:
        return None
    if progress.received_count >= progress.needed_count:
        return PhaseEvent.DEADLINE_WITH_ENOUGH
    return PhaseEvent.DEADLINE_WITH_TOO_FEW


def get_phase_duration_ms(parameters: Parameters, phase: Phase) -> Millis:
    """Return how long a phase may last, in ledger time; 0 for DRAW, which no deadline ends."""
    durations = {
        Phase.DRAW: Millis(0),
        Phase.TRAIN: parameters.train_deadline_ms,
        Phase.SEAL: parameters.seal_deadline_ms,
        Phase.REVEAL: parameters.reveal_deadline_ms,
    }
    return durations[phase]


def compute_half(count: int) -> int:
    """Return the least number that is at least half of ``count``: fewer voters give no verdict (F9)."""
    return -(-count // 2)
