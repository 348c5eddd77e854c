"""The equivocating leader: two blocks in every view it leads, each half of the network hears the other one first.

It votes for both. The second block is as valid as the first: only its time differs.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from protocol.blocks import Block, compute_block_hash, sign_block
from protocol.codec import decode_union, encode_union
from protocol.genesis import compute_chain_id
from protocol.gossip import Topic
from protocol.interface import Broadcast, Effect, FinalizedBlock, Input
from protocol.messages import ConsensusMessage, Proposal, Votes
from protocol.units import Digest, Height, MemberId, Millis
from protocol.votes import Vote, VoteKind, sign_vote
from tests.sim.byzantine.puppet import Puppet
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action, SendTo


class EquivocatingLeader:
    """Doubles each proposal of its engine."""

    def __init__(self, home: AdversaryHome) -> None:
        self._home = home
        self._puppet = Puppet(home)
        self._chain_id = compute_chain_id(home.genesis)
        self._random = random.Random(f"equivocator-{home.index}-{home.seed}")

    def start(self, now_ms: Millis) -> list[Action]:
        return self._double(self._puppet.start(now_ms))

    def on_gossip(self, sender: int, topic: Topic, message: bytes, now_ms: Millis) -> list[Action]:
        return self._double(self._puppet.on_gossip(topic, message, now_ms))

    def handle(self, event: Input, now_ms: Millis) -> list[Action]:
        return self._double(self._puppet.handle(event, now_ms))

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        return self._puppet.serve_blocks(from_height)

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        return self._puppet.get_unfinalized_block(block_hash)

    def get_votes_seen(self, member: MemberId) -> tuple[Vote, ...]:
        return self._puppet.get_votes_seen(member)

    def _double(self, effects: Sequence[Effect]) -> list[Action]:
        actions: list[Action] = []
        for effect in effects:
            proposal = _get_proposal(effect)
            if proposal is None:
                actions.append(effect)
            else:
                actions += self._split(proposal)
        return actions

    def _split(self, proposal: Proposal) -> list[Action]:
        header = proposal.block.header
        other_header = replace(header, time_ms=Millis(header.time_ms + 1))
        key = self._home.keys.key
        other = replace(proposal, block=sign_block(self._chain_id, key, other_header, proposal.block.operations))
        vote = sign_vote(
            self._chain_id,
            key,
            epoch=header.epoch,
            kind=VoteKind.NOTARIZE,
            view=header.view,
            block_hash=compute_block_hash(self._chain_id, other_header),
        )
        peers = [index for index in range(self._home.node_count) if index != self._home.index]
        self._random.shuffle(peers)
        one_half, other_half = tuple(peers[: len(peers) // 2]), tuple(peers[len(peers) // 2 :])
        messages: list[tuple[tuple[int, ...], ConsensusMessage]] = [
            (one_half, proposal),
            (other_half, other),
            (other_half, Votes(votes=(vote,), attempt=0)),
        ]
        if self._random.random() < 0.5:
            # Gossip brings each half's block to the other half as well.
            messages += [(other_half, proposal), (one_half, other)]
        return [
            SendTo(receivers=half, topic=Topic.CONSENSUS, message=encode_union(message, ConsensusMessage))
            for half, message in messages
        ]


def _get_proposal(effect: Effect) -> Proposal | None:
    if not isinstance(effect, Broadcast) or effect.topic is not Topic.CONSENSUS:
        return None
    message = decode_union(ConsensusMessage, effect.message, bytes_max=len(effect.message))
    return message if isinstance(message, Proposal) else None


def make(home: AdversaryHome) -> EquivocatingLeader:
    """Return the member."""
    return EquivocatingLeader(home)
