"""The twin: one key, two engines that know nothing of each other, as after a restored backup that was left running.

Each hears only a part of what arrives, so that they come to contradict each other: they vote and propose twice. A
split twin goes further: each engine speaks to and listens to one half of the network only.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

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

    def on_gossip(self, sender: int, topic: Topic, message: bytes, now_ms: Millis) -> list[Action]:
        hearing = [puppet for puppet in self._puppets if self._random.random() < HEARS]
        return _join([puppet.on_gossip(topic, message, now_ms) for puppet in hearing])

    def handle(self, event: Input, now_ms: Millis) -> list[Action]:
        return _join([puppet.handle(event, now_ms) for puppet in self._puppets])

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        return self._puppets[0].serve_blocks(from_height)

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        return self._puppets[0].get_unfinalized_block(block_hash)


@dataclass(slots=True)
class Conspiracy:
    """What split twins know of each other: which of their messages belong to which half of the network."""

    halves: dict[bytes, set[int]] = field(default_factory=dict)

    def make(self, home: AdversaryHome) -> "SplitTwin":
        """Return a member of the conspiracy."""
        return SplitTwin(home, self)


class SplitTwin:
    """Two engines with one key, one for the honest nodes with an even index and one for those with an odd index.

    All first engines of a conspiracy hear each other, and all second ones, so that each half sees a network of its own.
    """

    def __init__(self, home: AdversaryHome, conspiracy: Conspiracy) -> None:
        self._puppets = (Puppet(home), Puppet(home, started_ms=Millis(home.started_ms + 1)))
        self._conspiracy = conspiracy
        self._adversaries = home.adversaries
        self._receivers = tuple(
            tuple(index for index in range(home.node_count) if index in home.adversaries or index % 2 == half)
            for half in range(2)
        )

    def start(self, now_ms: Millis) -> list[Action]:
        return _join([self._speak(half, self._puppets[half].start(now_ms)) for half in range(2)])

    def on_gossip(self, sender: int, topic: Topic, message: bytes, now_ms: Millis) -> list[Action]:
        is_ours = sender in self._adversaries
        halves = sorted(self._conspiracy.halves[message]) if is_ours else [sender % 2]
        return _join([self._speak(half, self._puppets[half].on_gossip(topic, message, now_ms)) for half in halves])

    def handle(self, event: Input, now_ms: Millis) -> list[Action]:
        return _join([self._speak(half, self._puppets[half].handle(event, now_ms)) for half in range(2)])

    def serve_blocks(self, _from_height: Height) -> tuple[FinalizedBlock, ...]:
        return ()

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        bodies = [puppet.get_unfinalized_block(block_hash) for puppet in self._puppets]
        return bodies[0] or bodies[1]

    def _speak(self, half: int, effects: Sequence[Effect]) -> list[Action]:
        actions: list[Action] = []
        for effect in effects:
            if isinstance(effect, Broadcast):
                self._conspiracy.halves.setdefault(effect.message, set()).add(half)
                actions.append(
                    SendTo(receivers=self._receivers[half], topic=effect.topic, message=effect.message)
                )
            else:
                actions.append(effect)
        return actions


def _join(parts: Sequence[Sequence[Action]]) -> list[Action]:
    """Join what several engines want done; one timer serves them all, so the earliest wins."""
    actions = [action for part in parts for action in part]
    times = [action.at_ms for action in actions if isinstance(action, ArmTimer)]
    joined: list[Action] = [action for action in actions if not isinstance(action, ArmTimer)]
    if times:
        joined.append(ArmTimer(at_ms=min(times)))
    return joined


def make(home: AdversaryHome) -> Twin:
    """Return the member."""
    return Twin(home)
