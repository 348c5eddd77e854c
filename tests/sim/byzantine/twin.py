"""The twin: one key, two engines that know nothing of each other, as after a restored backup that was left running.

Each hears only a part of what arrives, so that they come to contradict each other: they vote and propose twice. A
split twin goes further: each engine speaks to and listens to one half of the network only.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol.blocks import Block
from protocol.gossip import Topic
from protocol.interface import ArmTimer, Broadcast, Effect, FetchBlock, FetchBlocks, FinalizedBlock, Input
from protocol.units import Digest, Height, MemberId, Millis
from protocol.votes import Vote
from tests.sim.byzantine.puppet import Puppet
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action, SendTo

HEARS = 0.7
"""The share of messages that reaches each of the two."""


class Pair:
    """Two engines with one key and one timer, which goes off for whichever wants it first."""

    def __init__(self, home: AdversaryHome) -> None:
        self._puppets = (Puppet(home), Puppet(home, started_ms=Millis(home.started_ms + 1)))
        self._timers: dict[int, Millis] = {}

    def start(self, now_ms: Millis) -> list[tuple[int, list[Effect]]]:
        """Return what each engine does first."""
        return [(which, self._keep(which, self._puppets[which].start(now_ms))) for which in range(2)]

    def on_gossip(
        self, hearing: Sequence[int], topic: Topic, message: bytes, now_ms: Millis
    ) -> list[tuple[int, list[Effect]]]:
        """Return what the engines that hear a message do about it."""
        return [(which, self._keep(which, self._puppets[which].on_gossip(topic, message, now_ms))) for which in hearing]

    def handle(self, event: Input, now_ms: Millis) -> list[tuple[int, list[Effect]]]:
        """Return what both do about any other input."""
        return [(which, self._keep(which, self._puppets[which].handle(event, now_ms))) for which in range(2)]

    def get_timer(self) -> list[Action]:
        """Return the order for the next timer."""
        return [ArmTimer(at_ms=min(self._timers.values()))] if self._timers else []

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        """Return the first engine's final blocks."""
        return self._puppets[0].serve_blocks(from_height)

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        """Return either engine's block."""
        bodies = [puppet.get_unfinalized_block(block_hash) for puppet in self._puppets]
        return bodies[0] or bodies[1]

    def _keep(self, which: int, effects: list[Effect]) -> list[Effect]:
        self._timers.pop(which, None)
        for effect in effects:
            if isinstance(effect, ArmTimer):
                self._timers[which] = effect.at_ms
        return [effect for effect in effects if not isinstance(effect, ArmTimer)]


class Twin:
    """Runs two engines that speak to everybody and hear a part of everything."""

    def __init__(self, home: AdversaryHome) -> None:
        self._pair = Pair(home)
        self._random = random.Random(f"twin-{home.index}-{home.seed}")

    def start(self, now_ms: Millis) -> list[Action]:
        return self._join(self._pair.start(now_ms))

    def on_gossip(self, _sender: int, topic: Topic, message: bytes, now_ms: Millis) -> list[Action]:
        hearing = [which for which in range(2) if self._random.random() < HEARS]
        return self._join(self._pair.on_gossip(hearing, topic, message, now_ms))

    def handle(self, event: Input, now_ms: Millis) -> list[Action]:
        return self._join(self._pair.handle(event, now_ms))

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        return self._pair.serve_blocks(from_height)

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        return self._pair.get_unfinalized_block(block_hash)

    def get_votes_seen(self, _member: MemberId) -> tuple[Vote, ...]:
        return ()

    def _join(self, parts: list[tuple[int, list[Effect]]]) -> list[Action]:
        return [*[effect for _, effects in parts for effect in effects], *self._pair.get_timer()]


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
        self._pair = Pair(home)
        self._conspiracy = conspiracy
        self._adversaries = home.adversaries
        self._receivers = tuple(
            tuple(index for index in range(home.node_count) if index in home.adversaries or index % 2 == half)
            for half in range(2)
        )

    def start(self, now_ms: Millis) -> list[Action]:
        return self._speak(self._pair.start(now_ms))

    def on_gossip(self, sender: int, topic: Topic, message: bytes, now_ms: Millis) -> list[Action]:
        is_ours = sender in self._adversaries
        halves = sorted(self._conspiracy.halves[message]) if is_ours else [sender % 2]
        return self._speak(self._pair.on_gossip(halves, topic, message, now_ms))

    def handle(self, event: Input, now_ms: Millis) -> list[Action]:
        return self._speak(self._pair.handle(event, now_ms))

    def serve_blocks(self, _from_height: Height) -> tuple[FinalizedBlock, ...]:
        return ()

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        return self._pair.get_unfinalized_block(block_hash)

    def get_votes_seen(self, _member: MemberId) -> tuple[Vote, ...]:
        return ()

    def _speak(self, parts: list[tuple[int, list[Effect]]]) -> list[Action]:
        actions: list[Action] = []
        for half, effects in parts:
            for effect in effects:
                if isinstance(effect, Broadcast):
                    self._conspiracy.halves.setdefault(effect.message, set()).add(half)
                    send = SendTo(receivers=self._receivers[half], topic=effect.topic, message=effect.message)
                    actions.append(send)
                elif not isinstance(effect, FetchBlocks | FetchBlock):
                    # Whoever serves blocks does not know which half of the twin is asking.
                    actions.append(effect)
        return [*actions, *self._pair.get_timer()]


def make(home: AdversaryHome) -> Twin:
    """Return the member."""
    return Twin(home)
