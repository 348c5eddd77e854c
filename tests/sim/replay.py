"""What must hold at the end of a run: every log replays to its node's state, and an export of it passes the audit."""

import io
from collections.abc import Sequence

from protocol.audit import verify_export
from protocol.blocks import compute_block_hash
from protocol.export import ExportedBlock, write_export
from protocol.genesis import Genesis
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import LedgerState, compute_state_root
from protocol.ledger.transition import apply_block
from protocol.outcomes import BlockOutcome, StakeReason
from protocol.units import Digest
from tests.sim.disk import Disk


def check_replays(genesis: Genesis, disks: Sequence[Disk]) -> None:
    """Check that executing each disk's blocks from genesis gives the outcomes and the state that are on it.

    Disks mostly hold the same blocks, so what was executed on the same state once is not executed again.
    """
    first = compute_genesis_state(genesis)
    replayed: dict[Digest, tuple[LedgerState, BlockOutcome]] = {}
    for disk in disks:
        state = first
        assert len(disk.blocks) == len(disk.outcomes), "a final block without its outcome"
        for final, outcome in zip(disk.blocks, disk.outcomes, strict=True):
            known = replayed.get(compute_block_hash(first.chain_id, final.block.header))
            if known is None or final.block.header.parent_hash != state.block_hash:
                known = apply_block(genesis.parameters, genesis.schema, state, final.block)
                replayed[known[0].block_hash] = known
            state, computed = known
            assert computed == outcome, f"height {state.height} replays to another outcome"
        assert state == disk.state, f"the log replays to another state at height {state.height}"


def check_minted(genesis: Genesis, disk: Disk) -> None:
    """Check that nothing but newcomers' bonds has been added to the supply (L2, L9)."""
    moves = [move for outcome in disk.outcomes for move in outcome.moves]
    minted = sum(move.amount for move in moves if move.reason is StakeReason.MINT)
    assert disk.state.supply == compute_genesis_state(genesis).supply + minted, "the supply has changed by itself"


def check_audit(genesis: Genesis, disk: Disk) -> None:
    """Check that the audit of a disk's exported ledger arrives at the disk's state."""
    file = io.BytesIO()
    write_export(
        file,
        genesis,
        (
            ExportedBlock(block=final.block, certificate=final.certificate, outcome=outcome)
            for final, outcome in zip(disk.blocks, disk.outcomes, strict=True)
        ),
    )
    file.seek(0)
    report = verify_export(file)
    assert report.state_root == compute_state_root(disk.state), "the audit arrives at another state"
