"""What a validator may begin in a view by itself: propose, or close the epoch (C1, C12, C13).

Whether it may sign at all, and what it has signed already, is for the caller to know.
"""

from dataclasses import dataclass
from typing import TypeAlias

from protocol.blocks import Block
from protocol.consensus.checks import Application, ConsensusConfig
from protocol.consensus.tree import BlockTree, Tip
from protocol.units import Millis, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose:
    """Build a block on a parent now; this node leads the view."""

    parent: Tip
    branch: tuple[Block, ...]
    """The unfinalized blocks up to the parent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Vote again for the last block of the epoch, which has no child and waits to become final."""

    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Look again at this time; until then something else may happen."""

    until_ms: Millis


Turn: TypeAlias = Propose | Close | Wait


def choose_turn(
    config: ConsensusConfig,
    tree: BlockTree,
    application: Application,
    view: View,
    *,
    push_ms: Millis | None,
    now_ms: Millis,
) -> Turn | None:
    """Return what may be begun in a view, if anything.

    Args:
        config: Who this node is, and the epoch.
        tree: What it knows.
        application: Tells whether there is something to order.
        view: The current one.
        push_ms: When half of the view's timeout has passed, if its timer runs: from then on a notarized block that is
            not final is pushed by an empty one.
        now_ms: The time.
    """
    found = tree.find_parent(view)
    if found is None:
        return None
    is_waiting = push_ms is not None and tree.get_highest_notarized_view() > tree.tip.view
    push = Wait(until_ms=push_ms) if is_waiting and push_ms is not None else None
    is_push_due = push is not None and now_ms >= push.until_ms
    parent, branch = tree.get_parent_tip(*found), tree.get_branch(found[1])
    if parent is None or branch is None:
        return None
    if parent.height >= config.last_height:
        return Close(block=branch[-1]) if is_push_due and branch else push
    if config.validators.compute_leader(view) != config.key.member:
        return None
    if not application.has_work(branch, now_ms) and not is_push_due:
        return push
    earliest = Millis(parent.time_ms + config.parameters.block_interval_ms)
    if parent.time_ms <= now_ms < earliest:
        # A parent from the future is not waited for, or one fast clock would slow everybody down.
        return Wait(until_ms=earliest)
    return Propose(parent=parent, branch=branch)
