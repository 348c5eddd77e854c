"""The replayer: keeps everything that it ever heard, and says it again when it is old.

Votes, proposals, certificates and operations of others, word for word or in a new message with a higher count of
attempts, so that no cache swallows them; to everybody or to one node. Every signature is true, so nothing of it may be
an offence, move anything back, or cost more than a message each (C15, C16).
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from protocol.codec import decode
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock
from protocol.messages import Certificates, OperationMessage, Votes
from protocol.units import Digest, Millis
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer, list_others, read_consensus, tell, tell_operation
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action, SendTo

REPLAYS = 0.25
"""How often it says something old when it hears something new."""

KEPT_MAX = 500


class Replayer:
    """Records and repeats."""

    def __init__(self, home: AdversaryHome) -> None:
        self._others = list_others(home)
        self._random = random.Random(f"replayer-{home.index}-{home.seed}")
        self._kept: list[tuple[Topic, bytes]] = []
        self._attempt = int(home.started_ms)

    def twist(self, effects: Sequence[Effect], _now_ms: Millis) -> list[Action]:
        return list(effects)

    def hear(self, _sender: int, topic: Topic, message: bytes) -> list[Action]:
        if len(self._kept) < KEPT_MAX:
            self._kept.append((topic, message))
        else:
            self._kept[self._random.randrange(KEPT_MAX)] = (topic, message)
        if self._random.random() >= REPLAYS:
            return []
        return [self._repeat(*self._random.choice(self._kept))]

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        """Return a part of the chain, as it once was."""
        certified = [place for place, final in enumerate(blocks) if final.certificate is not None]
        return blocks[: self._random.choice(certified) + 1] if certified else ()

    def gives(self, _requester: int, _digest: Digest) -> bool:
        return True

    def _repeat(self, topic: Topic, message: bytes) -> Action:
        receivers = self._others if self._random.random() < 0.5 else (self._random.choice(self._others),)
        if self._random.random() < 0.5:
            return SendTo(receivers=receivers, topic=topic, message=message)
        self._attempt += 1
        if topic is Topic.OPERATIONS:
            operation = decode(OperationMessage, message, bytes_max=len(message)).operation
            return tell_operation(receivers, operation, self._attempt)
        heard = read_consensus(topic, message)
        if isinstance(heard, Votes | Certificates):
            return tell(receivers, replace(heard, attempt=self._attempt))
        return SendTo(receivers=receivers, topic=topic, message=message)


def make(home: AdversaryHome) -> Puppeteer:
    """Return the member."""
    return Puppeteer(Puppet(home), Replayer(home))
