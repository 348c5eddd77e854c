"""What an honest member's votes must be like besides being true: rules whose breach is no offence that convicts."""

from collections.abc import Sequence

from protocol.operations import SubmitUpdate, decode_operation
from protocol.votes import Vote, VoteKind
from tests.sim.node import SimNode


def check_not_given_up(known: Sequence[Vote], vote: Vote) -> None:
    """Check that nobody notarizes in a view that it has given up (C3).

    Args:
        known: The member's earlier votes of the same view, in the order in which they were first sent.
        vote: A vote that is sent.
    """
    if vote.kind is VoteKind.NOTARIZE and vote not in known:
        is_given_up = any(other.kind is VoteKind.NULLIFY for other in known)
        assert not is_given_up, f"view {vote.view} is notarized by a member that gave it up"


def check_held(node: SimNode, vote: Vote) -> None:
    """Check that whoever notarizes a block in its own view holds every update of an open round that it names (F3).

    When an epoch closes, its last block is notarized again, which it was only because enough members held its updates.
    """
    if vote.kind is not VoteKind.NOTARIZE or vote.block_hash is None or node.engine is None:
        return
    block = node.engine.get_unfinalized_block(vote.block_hash)
    if block is None or block.header.view != vote.view:
        return
    state = node.engine.state
    current = state.next_round if state.round is None else state.round.round
    for encoded in block.operations:
        payload = decode_operation(encoded).content.payload
        if isinstance(payload, SubmitUpdate) and payload.round >= current:
            is_held = payload.artifact_digest in node.disk.artifacts
            assert is_held, f"a block of view {vote.view} is notarized without an update that it names"
