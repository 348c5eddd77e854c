"""What people are told about a block that was executed."""

from protocol.interface import FinalizedBlock, Observe
from protocol.ledger.state import LedgerState
from protocol.observations import BlockExecuted, PhaseEntered
from protocol.outcomes import BlockOutcome


def observe_block(final: FinalizedBlock, outcome: BlockOutcome) -> Observe:
    """Return what a block did."""
    header = final.block.header
    executed = BlockExecuted(
        height=header.height,
        view=header.view,
        time_ms=header.time_ms,
        leader=header.leader,
        operation_count=len(final.block.operations),
        outcome=outcome,
    )
    return Observe(observation=executed)


def observe_phase(before: LedgerState, after: LedgerState) -> list[Observe]:
    """Return that the round came to a new phase, or that a new one opened, if a block did so."""
    old, new = before.round, after.round
    if new is None or (old is not None and (old.round, old.phase) == (new.round, new.phase)):
        return []
    entered = PhaseEntered(
        round=new.round,
        phase=new.phase,
        deadline_ms=new.deadline_ms,
        proposers=new.proposers,
        voters=new.voters,
    )
    return [Observe(observation=entered)]
