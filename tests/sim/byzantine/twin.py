"""The twin: one key, two engines that know nothing of each other, as after a restored backup that was left running.

Each hears only a part of what arrives, so that they come to contradict each other: they vote and propose twice. A split twin
goes further: each engine speaks to and listens to one half of the network only.
"""

import random
from collections.abc import Sequence

from protocol.blocks import Block
from protocol.gossip import Topic
from protocol.interface import ArmTimer, Broadcast, Effect, FinalizedBlock, Input
from protocol.units import Digest, Height, Millis
from tests.sim.byzantine.puppet import Puppet
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action, SendTo

HEARS = 0.7
"""The share of messages that reaches each of the two."""


class Twin:
    """Runs two engines with one key."""

    def __init__(self, home: AdversaryHome) -> None:
        self._puppets = (Puppet(home), Puppet(home, started_ms=Millis(home.started_ms + 1)))
        self._random = random.Random(f"twin-{home.index}-{home.seed}")

    def start(self, now_ms: Millis) -> list[Action]:
        return _join([puppet.start(now_ms) for puppet in self._puppets])

    def on_gossip(self, topic: Topic, message: bytes, now_ms: Millis) -> list[Action]:
        hearing = [puppet for puppet in self._puppets if self._random.random() < HEARS]
        return _join([puppet.on_gossip(topic, message, now_ms) for puppet in hearing])

    def handle(self, event: Input, now_ms: Millis) -> list[Action]:
        return _join([puppet.handle(event, now_ms) for puppet in self._puppets])

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        return self._puppets[0].serve_blocks(from_height)

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        return self._puppets[0].get_unfinalized_block(block_hash)


class SplitTwin:
    """Two engines with one key, each at home in one half of the network; even nodes are one half, odd ones the other."""

    def __init__(self, home: AdversaryHome) -> None:
        self._puppets = (Puppet(home), Puppet(home, started_ms=Millis(home.started_ms + 1)))
        self._turn = 0
        self._halves = tuple(
            tuple(index for index in range(home.node_count) if index % 2 == half) for half in range(2)
        )

    def start(self, now_ms: Millis) -> list[Action]:
        return [action for half in range(2) for action in self._speak(half, self._puppets[half].start(now_ms))]

    def on_gossip(self, topic: Topic, message: bytes, now_ms: Millis) -> list[Action]:
        return [
            action
            for half in range(2)
            for action in self._speak(half, self._puppets[half].on_gossip(topic, message, now_ms))
        ]

    def handle(self, event: Input, now_ms: Millis) -> list[Action]:
        return [action for half in range(2) for action in self._speak(half, self._puppets[half].handle(event, now_ms))]

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        return self._puppets[0].serve_blocks(from_height)

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        return self._puppets[0].get_unfinalized_block(block_hash) or self._puppets[1].get_unfinalized_block(block_hash)

    def _speak(self, half: int, effects: Sequence[Effect]) -> list[Action]:
        return [
            SendTo(receivers=self._halves[half], topic=effect.topic, message=effect.message)
            if isinstance(effect, Broadcast)
            else effect
            for effect in effects
        ]


def _join(parts: Sequence[Sequence[Effect]]) -> list[Action]:
    """Join what several engines want done; one timer serves them all, so the earliest wins."""
    effects = [effect for part in parts for effect in part]
    times = [effect.at_ms for effect in effects if isinstance(effect, ArmTimer)]
    joined: list[Action] = [effect for effect in effects if not isinstance(effect, ArmTimer)]
    return [*joined, ArmTimer(at_ms=min(times))] if times else joined


def make(home: AdversaryHome) -> Twin:
    """Return the member."""
    return Twin(home)


def make_split(home: AdversaryHome) -> SplitTwin:
    """Return the member whose engines are split."""
    return SplitTwin(home)
