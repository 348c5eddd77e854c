"""What people are told about a block that was executed."""

from protocol.interface import FinalizedBlock, Observe
from protocol.ledger.state import LedgerState, RoundState
from protocol.observations import BlockExecuted, PhaseEntered
from protocol.outcomes import BlockOutcome, Phase
from protocol.units import Round


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
    """Return that the round came to a new phase or to one more time in it, or that a new round opened."""
    old, new = before.round, after.round
    if new is None or (old is not None and _get_stage(old) == _get_stage(new)):
        return []
    entered = PhaseEntered(
        round=new.round,
        phase=new.phase,
        attempt=new.attempt,
        deadline_ms=new.deadline_ms,
        proposers=new.proposers,
        voters=new.voters,
        replaced=tuple(entry.silent for entry in new.replacements),
    )
    return [Observe(observation=entered)]


def _get_stage(current: RoundState) -> tuple[Round, int, Phase, int]:
    return current.round, current.attempt, current.phase, len(current.replacements)
