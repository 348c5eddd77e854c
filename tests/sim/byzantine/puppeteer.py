"""A member that runs an honest engine and twists what comes out of it: what most adversaries have in common."""

from collections.abc import Sequence
from typing import Protocol, cast

from protocol.blocks import Block
from protocol.codec import decode_union, encode, encode_union
from protocol.errors import MalformedMessage
from protocol.gossip import Topic
from protocol.interface import Broadcast, Effect, FinalizedBlock, Input
from protocol.messages import ConsensusMessage, OperationMessage
from protocol.units import Digest, Height, MemberId, Millis
from protocol.votes import Vote
from tests.sim.byzantine.puppet import Puppet
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action, SendTo


class Trick(Protocol):
    """What an adversary does differently."""

    def twist(self, effects: Sequence[Effect], now_ms: Millis) -> list[Action]:
        """Return what to do instead of what the engine orders; called after every input."""
        ...

    def hear(self, sender: int, topic: Topic, message: bytes) -> list[Action]:
        """Return what to do about a message besides, before the engine knows of it."""
        ...

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        """Return what to give to a node that asks for final blocks, instead of these."""
        ...

    def gives(self, requester: int, digest: Digest) -> bool:
        """Return whether a node gets a body or an artifact that it asks for."""
        ...


class Puppeteer:
    """Joins an engine and a trick to an adversary."""

    def __init__(self, puppet: Puppet, trick: Trick) -> None:
        self._puppet = puppet
        self._trick = trick

    def start(self, now_ms: Millis) -> list[Action]:
        return self._trick.twist(self._puppet.start(now_ms), now_ms)

    def on_gossip(self, sender: int, topic: Topic, message: bytes, now_ms: Millis) -> list[Action]:
        actions = self._trick.hear(sender, topic, message)
        return [*actions, *self._trick.twist(self._puppet.on_gossip(topic, message, now_ms), now_ms)]

    def handle(self, event: Input, now_ms: Millis) -> list[Action]:
        return self._trick.twist(self._puppet.handle(event, now_ms), now_ms)

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        return self._trick.serve(self._puppet.serve_blocks(from_height))

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        return self._puppet.get_unfinalized_block(block_hash)

    def get_votes_seen(self, member: MemberId) -> tuple[Vote, ...]:
        return self._puppet.get_votes_seen(member)

    def gives(self, requester: int, digest: Digest) -> bool:
        return self._trick.gives(requester, digest)


def read_consensus(topic: Topic, message: bytes) -> ConsensusMessage | None:
    """Return what a gossip message says in consensus; None if it says nothing there."""
    if topic is not Topic.CONSENSUS:
        return None
    try:
        return cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=len(message)))
    except MalformedMessage:
        return None


def read_effect(effect: Effect) -> ConsensusMessage | None:
    """Return what an engine's order says in consensus; None if it says nothing there."""
    return read_consensus(effect.topic, effect.message) if isinstance(effect, Broadcast) else None


def tell(receivers: Sequence[int], message: ConsensusMessage) -> SendTo:
    """Return the order to send a consensus message to some nodes."""
    encoded = encode_union(message, ConsensusMessage)
    return SendTo(receivers=tuple(receivers), topic=Topic.CONSENSUS, message=encoded)


def tell_operation(receivers: Sequence[int], operation: bytes, attempt: int) -> SendTo:
    """Return the order to send an operation to some nodes."""
    encoded = encode(OperationMessage(operation=operation, attempt=attempt))
    return SendTo(receivers=tuple(receivers), topic=Topic.OPERATIONS, message=encoded)


def list_others(home: AdversaryHome) -> tuple[int, ...]:
    """Return the indexes of all other nodes."""
    return tuple(index for index in range(home.node_count) if index != home.index)
