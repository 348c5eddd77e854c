"""A run's ledger, block by block: what each block was executed on, and what came of it."""

from dataclasses import dataclass

from protocol.blocks import BlockHeader
from protocol.genesis import Genesis
from protocol.interface import FinalizedBlock
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import LedgerState
from protocol.ledger.transition import apply_block
from protocol.operations import Operation, decode_operation
from protocol.outcomes import BlockOutcome
from protocol.refusals import Refusal
from tests.sim.disk import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One block, with what it was executed on and what came of it."""

    before: LedgerState
    final: FinalizedBlock
    operations: tuple[Operation, ...]
    outcome: BlockOutcome
    after: LedgerState

    @property
    def header(self) -> BlockHeader:
        return self.final.block.header

    @property
    def executed(self) -> tuple[Operation, ...]:
        """The operations that the ledger did not refuse."""
        pairs = zip(self.operations, self.outcome.results, strict=True)
        return tuple(operation for operation, result in pairs if result.refusal is Refusal.NONE)


def replay(genesis: Genesis, disk: Disk) -> list[Step]:
    """Execute a disk's blocks once more."""
    steps: list[Step] = []
    state = compute_genesis_state(genesis)
    for final in disk.blocks:
        after, outcome = apply_block(genesis.parameters, genesis.schema, state, final.block)
        operations = tuple(decode_operation(encoded) for encoded in final.block.operations)
        steps.append(Step(before=state, final=final, operations=operations, outcome=outcome, after=after))
        state = after
    return steps
