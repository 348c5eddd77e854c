"""What a node finds on its disk when it starts: everything the engine goes on from."""

from dataclasses import dataclass

from protocol.interface import FinalizedBlock
from protocol.journal import Record
from protocol.ledger.state import LedgerState
from protocol.units import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The state after the last final block, and what the journal kept above it."""

    state: LedgerState
    tip: FinalizedBlock | None
    """The last block that carries a finalization, with it; None at genesis. It is the state's last block."""
    records: tuple[Record, ...]
    """The journal, oldest first."""
    has_vote_log: bool
    """False if this node may have voted before and does not remember what (C10)."""
    artifacts: frozenset[Digest]
    """The complete artifacts on disk."""
