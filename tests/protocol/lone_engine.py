"""An engine on a bench: its journal, and the shell's part played by the test."""

from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import TypeVar

from protocol.codec import decode, encode_union
from protocol.engine import Engine, EngineConfig
from protocol.gossip import Topic
from protocol.interface import (
    BlocksFetched,
    Broadcast,
    Effect,
    FinalizedBlock,
    Input,
    Observe,
    Persist,
    PersistBlock,
    WitnessHeard,
)
from protocol.journal import Record
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.messages import ConsensusMessage, OperationMessage, Votes
from protocol.operations import SubmitUpdate
from protocol.parameters import Parameters
from protocol.restored import Restored
from protocol.units import Digest, Epoch, Millis, Sequence, Stake, View
from protocol.votes import VoteKind, sign_vote
from tests.founders import FounderKeys, make_founders
from tests.helpers import CREATED_MS, LedgerBuilder, encode_operation
from tests.protocol.consensus.rig import get_messages
from tests.values import make_digest, make_manifest

T = TypeVar("T")


TOKEN = 1_000_000


PARAMETERS = Parameters(timeout_view_ms=Millis(1_000), proposer_count=1)


def of_kind(effects: Items[Effect], kind: type[T]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def get_observed(effects: Items[Effect], kind: type[T]) -> list[T]:
    return [entry.observation for entry in of_kind(effects, Observe) if isinstance(entry.observation, kind)]


@dataclass(slots=True)
class Node:
    """An engine with its journal; its member holds a quorum by itself unless the test says otherwise."""

    builder: LedgerBuilder
    keys: FounderKeys
    engine: Engine = field(init=False)
    records: list[Record] = field(init=False, default_factory=list)
    blocks: list[FinalizedBlock] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.engine = self.make_engine(CREATED_MS)

    def make_engine(self, started_ms: Millis) -> Engine:
        config = EngineConfig(
            genesis=self.builder.genesis,
            key=self.keys.signing_key,
            bls_key=self.keys.bls_key,
            salt_secret=bytes(32),
            started_ms=started_ms,
        )
        state = self.engine.state if self.blocks else compute_genesis_state(self.builder.genesis)
        restored = Restored(
            state=state,
            tip=self.blocks[-1] if self.blocks else None,
            records=tuple(self.records),
            has_vote_log=True,
            artifacts=frozenset({self.builder.genesis.model_digest}),
        )
        return Engine(config, restored)

    def start(self, delay_ms: int = 0) -> list[Effect]:
        """Start, with the other members' word that they have seen no vote of this one (C10)."""
        now_ms = Millis(CREATED_MS + delay_ms)
        effects = self.engine.start(now_ms)
        for keys in self.builder.founders:
            effects += self.engine.handle(WitnessHeard(member=keys.member, votes=()), now_ms)
        return self.keep(effects)

    def restart(self, delay_ms: int) -> list[Effect]:
        self.engine = self.make_engine(Millis(CREATED_MS + delay_ms))
        return self.start(delay_ms)

    def tell(self, event: Input, delay_ms: int = 200) -> list[Effect]:
        return self.keep(self.engine.handle(event, Millis(CREATED_MS + delay_ms)))

    def keep(self, effects: list[Effect]) -> list[Effect]:
        self.records += [effect.record for effect in of_kind(effects, Persist)]
        self.blocks += [effect.finalized for effect in of_kind(effects, PersistBlock)]
        return effects


def make_node() -> Node:
    """Return the node of a member that is a quorum alone and leads nearly every view."""
    founders = make_founders(3, bonded=[Stake(10_000 * TOKEN), Stake(10 * TOKEN), Stake(10 * TOKEN)])
    return Node(LedgerBuilder(founders, parameters=PARAMETERS), founders[0])


def make_weak_node(keys: FounderKeys | None = None) -> Node:
    """Return the node of one of four equal members, the first if not said otherwise."""
    founders = make_founders(4)
    return Node(LedgerBuilder(founders, parameters=PARAMETERS), keys or founders[0])


def get_operations(effects: Items[Effect]) -> list[OperationMessage]:
    return [
        decode(OperationMessage, effect.message, bytes_max=1 << 20)
        for effect in of_kind(effects, Broadcast)
        if effect.topic is Topic.OPERATIONS
    ]


def make_voting_node() -> tuple[Node, bytes, SubmitUpdate]:
    """Return a node in phase TRAIN, somebody else's manifest, and that as an encoded operation."""
    node = make_weak_node()
    node.start(100)
    block = node.builder.build_block()
    node.builder.add_block()
    certificate = node.builder.certify(block, node.builder.founders[1:])
    node.tell(BlocksFetched(blocks=(FinalizedBlock(block=block, certificate=certificate),)), 150)
    proposer = node.builder.get_keys(node.builder.round.proposers[0])
    manifest = make_manifest(node.builder.round, artifact=make_digest("artifact"))
    encoded = encode_operation(node.builder.chain_id, proposer.signing_key, Sequence(0), manifest)
    return node, encoded, manifest


def get_votes(effects: Items[Effect]) -> list[VoteKind]:
    messages = [
        message for message in get_messages(list(effects)) if isinstance(message, Votes) and not message.attempt
    ]
    return [vote.kind for message in messages for vote in message.votes]


def sign_votes(node: Node, keys: FounderKeys, *kinds: tuple[VoteKind, Digest | None]) -> tuple[Votes, ...]:

    return tuple(
        Votes(
            votes=(
                sign_vote(
                    node.builder.chain_id,
                    keys.signing_key,
                    epoch=Epoch(0),
                    kind=kind,
                    view=View(1),
                    block_hash=block_hash,
                ),
            ),
            attempt=0,
        )
        for kind, block_hash in kinds
    )


def gossip(node: Node, message: ConsensusMessage, delay_ms: int = 200) -> list[Effect]:
    """Give a node a message as gossip does: judged first."""
    admitted = node.engine.judge_gossip(Topic.CONSENSUS, encode_union(message, ConsensusMessage))
    return [] if admitted.event is None else node.tell(admitted.event, delay_ms)
