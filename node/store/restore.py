"""Rebuilds the ledger's state: a snapshot or the genesis state, then every later block, executed again.

Each state root on the way is compared with the one recorded when the block became final, so a node never goes on from
a state that its own rules would not give.
"""

from collections.abc import Iterable

from node.errors import StoreCorrupt
from node.store.database import REPAIR_HINT
from protocol.errors import ProtocolError
from protocol.genesis import Genesis
from protocol.interface import FinalizedBlock
from protocol.ledger.state import LedgerState, compute_state_root
from protocol.ledger.transition import apply_block
from protocol.outcomes import BlockOutcome


def replay_blocks(
    genesis: Genesis, state: LedgerState, blocks: Iterable[tuple[FinalizedBlock, BlockOutcome]]
) -> LedgerState:
    """Return the state after executing blocks, which must follow it without a gap.

    Raises:
        StoreCorrupt: A block does not execute, or gives another state than the recorded one.
    """
    for finalized, recorded in blocks:
        height = finalized.block.header.height
        try:
            state, outcome = apply_block(genesis.parameters, genesis.schema, state, finalized.block)
        except ProtocolError as error:
            raise StoreCorrupt(
                f"the block at height {height} in ledger.db does not execute ({error}): {REPAIR_HINT}"
            ) from error
        if outcome.state_root != recorded.state_root:
            raise StoreCorrupt(
                f"executing height {height} again gives state {outcome.state_root.hex()[:8]}, recorded is"
                f" {recorded.state_root.hex()[:8]}: written by another version of pnyx? If not, {REPAIR_HINT}"
            )
    return state


def is_state_of(state: LedgerState, recorded: BlockOutcome) -> bool:
    """Return whether a state is the one recorded for a block."""
    return compute_state_root(state) == recorded.state_root
