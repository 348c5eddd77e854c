"""The double proposer: makes two blocks in each view that it leads and votes once, so that its blocks alone convict it.

Everybody hears both blocks, in whichever order the network brings them (L7).
"""

from collections.abc import Sequence
from dataclasses import replace

from protocol.blocks import sign_block
from protocol.genesis import compute_chain_id
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock
from protocol.messages import Proposal
from protocol.units import Digest, Millis
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer, list_others, read_effect, tell
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action


class DoubleProposer:
    """Adds a second block to each that its engine proposes."""

    def __init__(self, home: AdversaryHome) -> None:
        self._key = home.keys.key
        self._chain_id = compute_chain_id(home.genesis)
        self._others = list_others(home)

    def twist(self, effects: Sequence[Effect], _now_ms: Millis) -> list[Action]:
        actions: list[Action] = []
        for effect in effects:
            actions.append(effect)
            message = read_effect(effect)
            if isinstance(message, Proposal):
                header = replace(message.block.header, time_ms=Millis(message.block.header.time_ms + 1))
                block = sign_block(self._chain_id, self._key, header, message.block.operations)
                actions.append(tell(self._others, replace(message, block=block)))
        return actions

    def hear(self, _sender: int, _topic: Topic, _message: bytes) -> list[Action]:
        return []

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        return blocks

    def gives(self, _requester: int, _digest: Digest) -> bool:
        return True


def make(home: AdversaryHome) -> Puppeteer:
    """Return the member."""
    return Puppeteer(Puppet(home), DoubleProposer(home))
