"""The impostor: says things in the name of others, under signatures that it makes up.

It hurries a block of its own before the true one of each leader, and an operation before the true one of each number,
so that whoever keeps the first of a kind unverified keeps the wrong one.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from protocol.codec import decode, encode
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock
from protocol.messages import OperationMessage, Proposal
from protocol.operations import decode_operation
from protocol.units import Digest, Millis, Signature
from protocol.units import Sequence as OperationNumber
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer, list_others, read_consensus, tell, tell_operation
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action

NUMBERS_AHEAD = 3


class Impostor:
    """Adds forgeries to what its engine sends."""

    def __init__(self, home: AdversaryHome) -> None:
        self._others = list_others(home)
        self._friends = home.adversaries
        self._random = random.Random(f"impostor-{home.index}-{home.seed}")

    def twist(self, effects: Sequence[Effect], _now_ms: Millis) -> list[Action]:
        return list(effects)

    def hear(self, sender: int, topic: Topic, message: bytes) -> list[Action]:
        if sender in self._friends:
            return []
        if topic is Topic.OPERATIONS:
            return self._forge_operations(message)
        heard = read_consensus(topic, message)
        return [] if not isinstance(heard, Proposal) else [self._forge_proposal(heard)]

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        return blocks

    def gives(self, _requester: int, _digest: Digest) -> bool:
        return True

    def _forge_operations(self, message: bytes) -> list[Action]:
        """Return operations under the numbers that come next."""
        heard = decode(OperationMessage, message, bytes_max=len(message))
        operation = decode_operation(heard.operation)
        actions: list[Action] = []
        for ahead in range(1, NUMBERS_AHEAD + 1):
            content = replace(operation.content, sequence=OperationNumber(operation.content.sequence + ahead))
            forged = replace(operation, content=content, signature=self._make_signature())
            actions.append(tell_operation(self._others, encode(forged), heard.attempt))
        return actions

    def _forge_proposal(self, heard: Proposal) -> Action:
        header = replace(heard.block.header, time_ms=Millis(heard.block.header.time_ms + 1))
        block = replace(heard.block, header=header, signature=self._make_signature())
        return tell(self._others, replace(heard, block=block))

    def _make_signature(self) -> Signature:
        return Signature(self._random.randbytes(64))


def make(home: AdversaryHome) -> Puppeteer:
    """Return the member."""
    return Puppeteer(Puppet(home), Impostor(home))
