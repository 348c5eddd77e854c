"""An honest engine in an adversary's hands: it follows the chain, and the adversary decides what leaves."""

from collections.abc import Sequence

from protocol.blocks import Block
from protocol.engine import Engine, EngineConfig
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock, Input, PersistBlock
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.restored import Restored
from protocol.units import Digest, Height, MemberId, Millis
from protocol.votes import Vote
from tests.sim.cluster import AdversaryHome

BLOCKS_PER_ANSWER = 50


class Puppet:
    """An engine with the final blocks it has seen."""

    def __init__(self, home: AdversaryHome, *, started_ms: Millis | None = None) -> None:
        genesis, keys = home.genesis, home.keys
        config = EngineConfig(
            genesis=genesis,
            key=keys.key,
            bls_key=keys.bls_key,
            salt_secret=keys.salt_secret,
            started_ms=home.started_ms if started_ms is None else started_ms,
        )
        restored = Restored(
            state=compute_genesis_state(genesis),
            tip=None,
            records=(),
            has_vote_log=True,
            artifacts=frozenset({genesis.model_digest}),
        )
        self.engine = Engine(config, restored)
        # It signs whatever it likes, so it must not care when others show it votes that it does not remember (C10).
        guard = self.engine._succession.guard
        guard.notice = lambda vote: []  # type: ignore[method-assign]
        guard.is_open = lambda validators, view: True  # type: ignore[method-assign]
        self.blocks: list[FinalizedBlock] = []

    def start(self, now_ms: Millis) -> list[Effect]:
        """Return what the engine would do first."""
        return self._keep(self.engine.start(now_ms))

    def on_gossip(self, topic: Topic, message: bytes, now_ms: Millis) -> list[Effect]:
        """Return what the engine would do about a message."""
        admitted = self.engine.judge_gossip(topic, message)
        return [] if admitted.event is None else self.handle(admitted.event, now_ms)

    def handle(self, event: Input, now_ms: Millis) -> list[Effect]:
        """Return what the engine would do about an input."""
        return self._keep(self.engine.handle(event, now_ms))

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        """Return final blocks as an honest node would."""
        wanted = self.blocks[from_height - 1 : from_height - 1 + BLOCKS_PER_ANSWER]
        while wanted and wanted[-1].certificate is None:
            wanted.pop()
        return tuple(wanted)

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        """Return a body as an honest node would."""
        return self.engine.get_unfinalized_block(block_hash)

    def get_votes_seen(self, member: MemberId) -> tuple[Vote, ...]:
        """Return a member's votes as an honest node would."""
        return self.engine.get_votes_seen(member)

    def _keep(self, effects: Sequence[Effect]) -> list[Effect]:
        self.blocks += [effect.finalized for effect in effects if isinstance(effect, PersistBlock)]
        return list(effects)
