"""The withholder: lets some have what it keeps from the others.

It sends each of its proposals to a few nodes only, mostly to too few for a quorum, and sometimes only so late that the
view is nearly over. It gives bodies and artifacts to some who ask and not to others. What it never does is lie. The
others must get what they need from each other, and do without what nobody has (C3, C9, F3).
"""

import random
from collections.abc import Sequence

from protocol.gossip import Topic
from protocol.interface import Broadcast, Effect, FinalizedBlock
from protocol.messages import Proposal, Votes
from protocol.units import Digest, Millis
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer, list_others, read_effect
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action, SendTo


class Withholder:
    """Chooses who gets what, anew for each thing."""

    def __init__(self, home: AdversaryHome) -> None:
        self._home = home
        self._others = list_others(home)
        self._random = random.Random(f"withholder-{home.index}-{home.seed}")

    def twist(self, effects: Sequence[Effect], _now_ms: Millis) -> list[Action]:
        actions: list[Action] = []
        for effect in effects:
            message = read_effect(effect)
            if isinstance(effect, Broadcast) and isinstance(message, Proposal | Votes):
                actions.append(self._send_to_some(effect, keeps_most=isinstance(message, Proposal)))
            else:
                actions.append(effect)
        return actions

    def hear(self, _sender: int, _topic: Topic, _message: bytes) -> list[Action]:
        return []

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        return blocks if self._random.random() < 0.3 else ()

    def gives(self, requester: int, digest: Digest) -> bool:
        """Return the same for one asker and one thing, however often it asks."""
        choice = random.Random(f"{self._home.seed}-{self._home.index}-{requester}-{digest.hex()}")
        return choice.random() < 0.4

    def _send_to_some(self, effect: Broadcast, *, keeps_most: bool) -> Action:
        count = self._random.randint(0, len(self._others) // 2 + 1 if keeps_most else len(self._others))
        receivers = tuple(self._random.sample(self._others, count))
        return SendTo(receivers=receivers, topic=effect.topic, message=effect.message)


def make(home: AdversaryHome) -> Puppeteer:
    """Return the member."""
    return Puppeteer(Puppet(home), Withholder(home))
