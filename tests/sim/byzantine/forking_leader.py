"""The forking leader: proposes where nothing may grow any more.

In a view that it leads it puts its block on a final block far below the tip, or on the parent of the block that it
should build on, with true certificates as far as there are any; or it proposes two children of different parents at
once. It votes for all of them. Nobody may notarize any but the right one (C2), and two children are an offence (L7).
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from protocol.blocks import Block, compute_block_hash, sign_block
from protocol.genesis import compute_chain_id
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock
from protocol.messages import Proposal, Votes
from protocol.units import Digest, Height, Millis
from protocol.votes import Certificate, VoteKind, sign_vote
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer, list_others, read_effect, tell
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action

TRICKS = ("below the tip", "on an older parent", "two children", "nothing")


class ForkingLeader:
    """Replaces the proposals of its engine."""

    def __init__(self, home: AdversaryHome, puppet: Puppet) -> None:
        self._home = home
        self._puppet = puppet
        self._chain_id = compute_chain_id(home.genesis)
        self._others = list_others(home)
        self._random = random.Random(f"forking-leader-{home.index}-{home.seed}")

    def twist(self, effects: Sequence[Effect], _now_ms: Millis) -> list[Action]:
        actions: list[Action] = []
        for effect in effects:
            message = read_effect(effect)
            # A proposal that is sent again stays what it was: only the first sending forks.
            actions += self._fork(message) if isinstance(message, Proposal) else [effect]
        return actions

    def hear(self, _sender: int, _topic: Topic, _message: bytes) -> list[Action]:
        return []

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        return blocks

    def gives(self, _requester: int, _digest: Digest) -> bool:
        return True

    def _fork(self, proposal: Proposal) -> list[Action]:
        trick = self._random.choice(TRICKS)
        fork = None
        if trick == "on an older parent":
            fork = self._move_to_grandparent(proposal)
        elif trick != "nothing":
            fork = self._move_below_tip(proposal)
        if fork is None:
            return [tell(self._others, proposal)]
        if trick == "two children":
            halves = self._others[::2], self._others[1::2]
            return [tell(halves[0], proposal), tell(halves[1], fork), self._vote(fork), tell(self._others, proposal)]
        return [tell(self._others, fork), self._vote(fork)]

    def _move_below_tip(self, proposal: Proposal) -> Proposal | None:
        """Return the proposal as a child of a final block that has children already."""
        certified = [final for final in self._puppet.blocks[:-1] if final.certificate is not None]
        if not certified:
            return None
        final = self._random.choice(certified)
        return self._move(proposal, final.block, final.certificate)

    def _move_to_grandparent(self, proposal: Proposal) -> Proposal | None:
        """Return the proposal as a child of its parent's parent, which is notarized, and not the highest."""
        tree = self._puppet.engine.consensus.tree
        parent = tree.blocks.get(proposal.block.header.parent_hash)
        grandparent = None if parent is None else tree.blocks.get(parent.header.parent_hash)
        if grandparent is None:
            return self._move_below_tip(proposal)
        return self._move(proposal, grandparent, tree.notarizations.get(grandparent.header.view))

    def _move(self, proposal: Proposal, parent: Block, certificate: Certificate | None) -> Proposal:
        header = replace(
            proposal.block.header,
            parent_view=parent.header.view,
            parent_hash=compute_block_hash(self._chain_id, parent.header),
            height=Height(parent.header.height + 1),
        )
        block = sign_block(self._chain_id, self._home.keys.key, header, proposal.block.operations)
        return replace(proposal, block=block, parent_certificate=certificate)

    def _vote(self, proposal: Proposal) -> Action:
        header = proposal.block.header
        vote = sign_vote(
            self._chain_id,
            self._home.keys.key,
            epoch=header.epoch,
            kind=VoteKind.NOTARIZE,
            view=header.view,
            block_hash=compute_block_hash(self._chain_id, header),
        )
        return tell(self._others, Votes(votes=(vote,), attempt=0))


def make(home: AdversaryHome) -> Puppeteer:
    """Return the member."""
    puppet = Puppet(home)
    return Puppeteer(puppet, ForkingLeader(home, puppet))
