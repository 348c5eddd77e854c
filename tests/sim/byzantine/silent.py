"""The silent member: takes everything and says nothing, from the first block to the last."""

from protocol.blocks import Block
from protocol.gossip import Topic
from protocol.interface import FinalizedBlock, Input
from protocol.units import Digest, Height, MemberId, Millis
from protocol.votes import Vote
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action


class SilentMember:
    """Answers nothing."""

    def start(self, _now_ms: Millis) -> list[Action]:
        return []

    def on_gossip(self, _sender: int, _topic: Topic, _message: bytes, _now_ms: Millis) -> list[Action]:
        return []

    def handle(self, _event: Input, _now_ms: Millis) -> list[Action]:
        return []

    def serve_blocks(self, _from_height: Height) -> tuple[FinalizedBlock, ...]:
        return ()

    def get_unfinalized_block(self, _block_hash: Digest) -> Block | None:
        return None

    def get_votes_seen(self, _member: MemberId) -> tuple[Vote, ...] | None:
        return None


def make(_home: AdversaryHome) -> SilentMember:
    """Return the member."""
    return SilentMember()
