"""The contrary voter: follows every rule and judges the wrong way round, so that rounds have a minority (F14)."""

from collections.abc import Sequence
from dataclasses import replace

from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock
from protocol.units import Digest, Millis
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action


class Compliance:
    """Does what the engine orders."""

    def twist(self, effects: Sequence[Effect], _now_ms: Millis) -> list[Action]:
        return list(effects)

    def hear(self, _sender: int, _topic: Topic, _message: bytes) -> list[Action]:
        return []

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        return blocks

    def gives(self, _requester: int, _digest: Digest) -> bool:
        return True


def make(home: AdversaryHome) -> Puppeteer:
    """Return the member."""
    puppet = Puppet(home)
    duties = puppet.engine._duties
    duties._config = replace(duties._config, inverts_ballots=True)
    return Puppeteer(puppet, Compliance())
