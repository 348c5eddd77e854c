"""What an honest member's votes must be like besides being true: rules whose breach is no offence that convicts."""

from collections.abc import Sequence

from protocol.ledger.state import LedgerState
from protocol.operations import SubmitUpdate, decode_operation
from protocol.outcomes import Phase
from protocol.units import MemberId
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
    """Check that whoever notarizes a block in its own view holds every update that it names and that may count (F3).

    An update does not count if its round is over or trains no longer, its base is another, or its member is no
    proposer, cannot become one, or has submitted. When an epoch closes, its last block is notarized again, which it was
    only because enough members held its updates.
    """
    if vote.kind is not VoteKind.NOTARIZE or vote.block_hash is None or node.engine is None:
        return
    block = node.engine.get_unfinalized_block(vote.block_hash)
    if block is None or block.header.view != vote.view:
        return
    for encoded in block.operations:
        content = decode_operation(encoded).content
        payload = content.payload
        if isinstance(payload, SubmitUpdate) and may_count(node.engine.state, content.member, payload):
            is_held = payload.artifact_digest in node.disk.artifacts
            assert is_held, f"a block of view {vote.view} is notarized without an update that it names"


def may_count(state: LedgerState, member: MemberId, manifest: SubmitUpdate) -> bool:
    """Return whether a manifest may still be taken, by what is final on a node (F3, F13)."""
    current = state.round
    if current is None or manifest.round != current.round:
        return manifest.round >= (state.next_round if current is None else current.round)
    if manifest.base_digest != current.base_digest or current.phase in (Phase.SEAL, Phase.REVEAL):
        return False
    if current.phase is Phase.DRAW:
        return any(entry.member == member for entry in current.eligible)
    has_submitted = any(entry.member == member for entry in current.updates)
    # Voters stand by as well, where they are not proposers already.
    return not has_submitted and member in (*current.proposers, *current.standbys, *current.voters)
