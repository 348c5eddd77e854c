"""The ledger's table of contents: what one final block does, in order.

1. The block takes its place: height, view, time, hash, and its reveal is folded into the mix (B5).
2. A round that an earlier block opened draws its roles, from the beacon's output in the header or from the mix (F2).
3. Operations, in order; one that the rules refuse leaves only its recorded refusal (L8).
4. The round moves on by the phase table and settles if it is over (section 2); in preset ``paper`` exhausted members
   are put out.
5. If this is the last block of its epoch, the key that was dealt in it comes into use (B4), members leave and join,
   stake is released, and the next epoch's validators are fixed (C13, L9).
6. The next round opens, to be drawn in a later block.
7. Every micro-token is still somewhere, once (L2).

All of it happens on a private draft: an error leaves the caller's state as it was.
"""

from protocol.beacon.randao import fold_mix
from protocol.beacon.schedule import compute_fallback_wanted_ms
from protocol.blocks import Block, BlockHeader, compute_block_hash, compute_operations_root
from protocol.errors import InvalidBlock, InvalidMessage, MalformedMessage
from protocol.learning.artifact_format import ModelSchema
from protocol.ledger.ceremony import apply_ceremony_end
from protocol.ledger.draft import LedgerDraft, close_draft, open_draft
from protocol.ledger.membership import apply_epoch_end
from protocol.ledger.operations import apply_operation
from protocol.ledger.rounds import apply_draw, apply_opening, apply_phase_changes
from protocol.ledger.slashing import apply_evictions
from protocol.ledger.state import LedgerState, compute_state_root, get_waiting
from protocol.operations import Operation, check_operation_signature, decode_operation
from protocol.outcomes import BlockOutcome, Phase
from protocol.parameters import Parameters
from protocol.units import LEDGER_TIME_MAX_MS, Digest, MemberId, Millis


def apply_block(
    parameters: Parameters, schema: ModelSchema, state: LedgerState, block: Block
) -> tuple[LedgerState, BlockOutcome]:
    """Return the state after a final block, and what the block did.

    Args:
        parameters: The network's.
        schema: The model's, from genesis.
        state: The state after the block's parent; left as it is.
        block: A final block; its signatures and reveal were checked before it was voted for (C3).

    Raises:
        InvalidBlock: It does not follow ``state``, or its operations are not those of its header or do not decode.
        InvariantViolation: Stake was created or lost, which is our own bug.
    """
    check_position(state, block.header)
    operations = _decode_operations(block)
    draft = open_draft(state)
    _apply_header(draft, block.header)
    apply_draw(draft, parameters, block.header.beacon)
    results = tuple(
        apply_operation(draft, parameters, schema, encoded, operation)
        for encoded, operation in zip(block.operations, operations, strict=True)
    )
    settled = apply_phase_changes(draft, parameters)
    apply_evictions(draft, parameters)
    apply_ceremony_end(draft, parameters)
    apply_epoch_end(draft, parameters)
    apply_opening(draft, parameters)
    after = close_draft(draft)
    return after, BlockOutcome(
        results=results, moves=tuple(draft.moves), settled=settled, state_root=compute_state_root(after)
    )


def check_position(state: LedgerState, header: BlockHeader) -> None:
    """Check that a header may follow a state: height, parent, epoch, view and time (C2, C8).

    Raises:
        InvalidBlock: It may not.
    """
    if header.height != state.height + 1:
        raise InvalidBlock(header.height, f"the ledger's next height is {state.height + 1}")
    if (header.parent_hash, header.parent_view) != (state.block_hash, state.view):
        raise InvalidBlock(
            header.height, f"its parent is not the block {state.block_hash.hex()[:8]} of view {state.view}"
        )
    if header.epoch != state.epoch:
        raise InvalidBlock(header.height, f"it is of epoch {header.epoch}, the ledger is in epoch {state.epoch}")
    if header.view <= state.view:
        raise InvalidBlock(header.height, f"view {header.view} is not above its parent's, {state.view}")
    if header.time_ms <= state.time_ms:
        raise InvalidBlock(header.height, f"time {header.time_ms} is not above its parent's, {state.time_ms}")
    if header.time_ms > LEDGER_TIME_MAX_MS:
        raise InvalidBlock(header.height, f"time {header.time_ms} is above {LEDGER_TIME_MAX_MS}")


def check_block_operations(
    chain_id: Digest, parameters: Parameters, members: frozenset[MemberId], operations: tuple[bytes, ...]
) -> tuple[Operation, ...]:
    """Return a block's operations after every check that needs no state; a block that fails is invalid (C3).

    Args:
        chain_id: The chain that signatures name.
        parameters: The network's.
        members: Everybody with an account on the ledger.
        operations: The block's, encoded.

    Raises:
        InvalidMessage: Too many, too long together, by a stranger, or with a wrong signature.
        MalformedMessage: One does not decode.
    """
    if len(operations) > parameters.block_operations_max:
        raise InvalidMessage(f"{len(operations)} operations, at most {parameters.block_operations_max} fit a block")
    total_bytes = sum(len(encoded) for encoded in operations)
    if total_bytes > parameters.block_bytes_max:
        raise InvalidMessage(f"operations of {total_bytes} bytes, at most {parameters.block_bytes_max} fit a block")
    decoded = tuple(decode_operation(encoded) for encoded in operations)
    for operation in decoded:
        if operation.content.member not in members:
            raise InvalidMessage(f"an operation of {operation.content.member.hex()[:8]}, who is no member")
        check_operation_signature(chain_id, operation)
    return decoded


def get_deadline_ms(parameters: Parameters, state: LedgerState) -> Millis | None:
    """Return the ledger time at which the current phase ends (F15).

    Returns:
        In DRAW from when on a block is wanted even without the beacon's output (B5), 0 at once; None if no round is
        open.
    """
    if state.round is None:
        return None
    if state.round.phase is Phase.DRAW:
        return compute_fallback_wanted_ms(parameters, get_waiting(state.round))
    return state.round.deadline_ms


def _decode_operations(block: Block) -> tuple[Operation, ...]:
    if compute_operations_root(block.operations) != block.header.operations_root:
        raise InvalidBlock(block.header.height, "its operations are not those of its header")
    try:
        return tuple(decode_operation(encoded) for encoded in block.operations)
    except MalformedMessage as error:
        raise InvalidBlock(block.header.height, f"an operation does not decode: {error}") from error


def _apply_header(draft: LedgerDraft, header: BlockHeader) -> None:
    draft.height = header.height
    draft.view = header.view
    draft.time_ms = header.time_ms
    draft.block_hash = compute_block_hash(draft.chain_id, header)
    draft.mix = fold_mix(draft.mix, header.reveal)
