"""The crooked leader: its blocks are signed as they should be, and break one rule, each leader its own.

Its time is not above its parent's, or is far in the future; its reveal is another view's; it stands on a block that
nobody has notarized, or leaves out the block that it should stand on; it is too high; or it is a child of its epoch's
last block. The leader proposes one block in a view and votes for that one only, so that no evidence ever convicts it:
the others have to refuse (B5, C2, C3, C8, C13).
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from protocol.blocks import BlockHeader, compute_block_hash, compute_operations_root, compute_reveal, sign_block
from protocol.consensus.outgoing import BlockContent, build_proposal
from protocol.genesis import compute_chain_id
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock
from protocol.messages import Proposal, Votes
from protocol.units import Digest, Height, Millis, View
from protocol.votes import VoteKind, sign_vote
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer, list_others, read_effect, tell
from tests.sim.cluster import AdversaryHome, MakeAdversary
from tests.sim.node import Action

HOUR_MS = 3_600_000


class Bend(StrEnum):
    """The rule that a block breaks."""

    NO_LATER = "no later than its parent"
    FROM_THE_FUTURE = "from the future"
    ANOTHER_REVEAL = "another view's reveal"
    ON_NOTHING = "on nothing notarized"
    OVER_ITS_PARENT = "over its parent"
    TOO_HIGH = "too high"
    BEYOND = "beyond the epoch"


PLAYS = 0.7
"""How often it breaks its rule when it can; its other blocks are good, so that others build on them."""


class CrookedLeader:
    """Replaces the proposals of its engine, or proposes where nobody may."""

    def __init__(self, home: AdversaryHome, puppet: Puppet, bends: Bend) -> None:
        self._key, self._bls_key = home.keys.key, home.keys.bls_key
        self._puppet = puppet
        self._chain_id = compute_chain_id(home.genesis)
        self._others = list_others(home)
        self._random = random.Random(f"crooked-leader-{home.index}-{home.seed}")
        self._bends = bends
        self._views: set[View] = set()
        self.played = 0
        """How often it has broken its rule."""

    def twist(self, effects: Sequence[Effect], now_ms: Millis) -> list[Action]:
        actions: list[Action] = []
        for effect in effects:
            message = read_effect(effect)
            if isinstance(message, Proposal):
                actions += self._bend(message)
            elif not isinstance(message, Votes) or not self._is_for_other_block(message):
                actions.append(effect)
        return [*actions, *self._go_beyond(now_ms)]

    def hear(self, _sender: int, _topic: Topic, _message: bytes) -> list[Action]:
        return []

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        return blocks

    def gives(self, _requester: int, _digest: Digest) -> bool:
        return True

    def _is_for_other_block(self, message: Votes) -> bool:
        """Return whether the engine votes in a view in which this member has voted for a block of its own."""
        return any(vote.view in self._views and vote.kind is VoteKind.NOTARIZE for vote in message.votes)

    def _bend(self, proposal: Proposal) -> list[Action]:
        header = proposal.block.header
        if header.view in self._views:
            return []
        bent = self._change(header) if self._random.random() < PLAYS else None
        if bent is None:
            return [tell(self._others, proposal)]
        block = sign_block(self._chain_id, self._key, bent, proposal.block.operations)
        return self._publish(replace(proposal, block=block))

    def _change(self, header: BlockHeader) -> BlockHeader | None:
        """Return a header that breaks one rule, or None if it cannot be broken here."""
        tree = self._puppet.engine.consensus.tree
        parent = tree.get_block_tip(header.parent_view, header.parent_hash)
        assert parent is not None
        match self._bends:
            case Bend.NO_LATER:
                return replace(header, time_ms=parent.time_ms)
            case Bend.FROM_THE_FUTURE:
                return replace(header, time_ms=Millis(header.time_ms + HOUR_MS))
            case Bend.ANOTHER_REVEAL:
                other = View(header.view + 1)
                return replace(header, reveal=compute_reveal(self._chain_id, self._bls_key, header.epoch, other))
            case Bend.OVER_ITS_PARENT if header.parent_hash in tree.blocks:
                above = tree.blocks[header.parent_hash].header
                return replace(
                    header, parent_view=above.parent_view, parent_hash=above.parent_hash, height=above.height
                )
            case Bend.ON_NOTHING:
                return self._make_orphan(header)
            case Bend.TOO_HIGH:
                return replace(header, height=Height(header.height + 1))
            case _:
                return None

    def _make_orphan(self, header: BlockHeader) -> BlockHeader | None:
        """Return the header as a child of a block of the view before that only this member has ever heard of."""
        tree = self._puppet.engine.consensus.tree
        known = tree.blocks.get(header.parent_hash)
        orphan = replace(header, view=View(header.view - 1), operations_root=compute_operations_root(()))
        if known is not None:
            # Beside the notarized parent, whose place it takes.
            above = known.header
            orphan = replace(
                orphan,
                parent_view=above.parent_view,
                parent_hash=above.parent_hash,
                height=above.height,
                time_ms=above.time_ms,
            )
        elif header.view - 1 == header.parent_view:
            return None
        orphan_hash = tree.add_block(sign_block(self._chain_id, self._key, orphan, ()))
        return replace(
            header,
            parent_view=orphan.view,
            parent_hash=orphan_hash,
            height=Height(orphan.height + 1),
            time_ms=Millis(max(header.time_ms, orphan.time_ms + 1)),
        )

    def _go_beyond(self, now_ms: Millis) -> list[Action]:
        """Propose a child of the epoch's last block, once in each view that this member leads meanwhile."""
        consensus = self._puppet.engine.consensus
        config, tree, view = consensus.config, consensus.tree, consensus.view
        is_mine = config.validators.compute_leader(view) == self._key.member
        found = tree.find_parent(view) if is_mine and self._bends is Bend.BEYOND and view not in self._views else None
        parent = None if found is None else tree.get_parent_tip(*found)
        if found is None or parent is None or parent.height < config.last_height or found[1] == tree.tip.block_hash:
            return []
        # The last block may have been notarized again since, in a view above its own.
        parent = replace(parent, view=found[0])
        content = BlockContent(operations=(), beacon=None)
        return self._publish(build_proposal(config, tree, view, parent, content, now_ms))

    def _publish(self, proposal: Proposal) -> list[Action]:
        header = proposal.block.header
        self._views.add(header.view)
        self.played += 1
        certificate = proposal.parent_certificate
        if certificate is not None and certificate.block_hash != header.parent_hash:
            proposal = replace(proposal, parent_certificate=None)
        vote = sign_vote(
            self._chain_id,
            self._key,
            epoch=header.epoch,
            kind=VoteKind.NOTARIZE,
            view=header.view,
            block_hash=compute_block_hash(self._chain_id, header),
        )
        return [tell(self._others, proposal), tell(self._others, Votes(votes=(vote,), attempt=0))]


def make(bends: Bend) -> MakeAdversary:
    """Return how to make a leader that breaks one rule."""

    def make_leader(home: AdversaryHome) -> Puppeteer:
        puppet = Puppet(home)
        return Puppeteer(puppet, CrookedLeader(home, puppet, bends))

    return make_leader
