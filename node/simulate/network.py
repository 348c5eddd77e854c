"""All members of a simulated network: their engines, and everything that their engines order.

The network loses nothing and takes a millisecond; work takes no real longer than it does and no virtual time worth
mentioning, so that only who keeps silent lets a deadline pass. Members exchange the bytes that nodes exchange, and
artifacts lie where everybody finds them. Attackers train after the honest proposers of the round have published.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, assert_never

from node.keys import NodeKeys
from node.simulate.postman import Postman
from node.simulate.virtual_time import VirtualTime
from node.simulate.work import Work
from protocol.codec import decode_union, encode_union
from protocol.engine import Engine, EngineConfig
from protocol.errors import InvariantViolation
from protocol.genesis import Genesis
from protocol.gossip import Admission, Topic
from protocol.interface import (
    ArmTimer,
    AskWitnesses,
    BlockFetched,
    BlocksFetched,
    Broadcast,
    ComputeCandidate,
    Effect,
    EvaluateModel,
    FetchArtifact,
    FetchBlock,
    FetchBlocks,
    FinalizedBlock,
    ForgetArtifacts,
    Input,
    Observe,
    Persist,
    PersistBlock,
    ScreenUpdate,
    SetMembers,
    TimeAdvanced,
    TrainModel,
    WitnessHeard,
)
from protocol.key_orders import CheckDeals, DeriveShare, JudgeDeal, MakeDeal
from protocol.key_work import KeyHolder, do_key_work
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import LedgerState
from protocol.messages import Certificates, ConsensusMessage, Votes
from protocol.outcomes import RoundRecord
from protocol.restored import Restored
from protocol.units import Height, MemberId, Millis
from protocol.votes import Certificate

GOSSIP_MS: Final = 1
ASK_AGAIN_MS: Final = 20
_UNION_TAG_PLACE: Final = 1
"""Where the tag of a message stands in its encoding: after the first byte of the array."""


@dataclass(slots=True)
class SimulatedNode:
    """One member."""

    index: int
    member: MemberId
    engine: Engine
    timer_ms: Millis | None = None


OnRound = Callable[[RoundRecord, LedgerState], None]


class SimulatedNetwork:
    """Runs the members until their job is over."""

    def __init__(
        self,
        genesis: Genesis,
        keys: Sequence[NodeKeys],
        work: Work,
        *,
        inverting: frozenset[int],
        on_round: OnRound,
    ) -> None:
        """Build the members.

        Args:
            genesis: The founding document.
            keys: In the order of the founders.
            work: Who trains, aggregates and evaluates.
            inverting: Members that vote the wrong way round.
            on_round: Called once for each settled round, with the ledger after it.
        """
        self.time = VirtualTime(int(genesis.created_ms))
        self._work = work
        self._on_round = on_round
        self._blocks: list[FinalizedBlock] = []
        self._postman = Postman(self._send_certificate)
        self._holders = [KeyHolder(member=own.signing.member, bls_key=own.bls, secret=own.salt_secret) for own in keys]
        state = compute_genesis_state(genesis)
        restored = Restored(
            state=state, tip=None, records=(), has_vote_log=True, artifacts=frozenset({genesis.model_digest})
        )
        self.nodes = [
            SimulatedNode(
                index=index,
                member=own.signing.member,
                engine=Engine(
                    EngineConfig(
                        genesis=genesis,
                        key=own.signing,
                        bls_key=own.bls,
                        salt_secret=own.salt_secret,
                        started_ms=genesis.created_ms,
                        inverts_ballots=index in inverting,
                    ),
                    restored,
                ),
            )
            for index, own in enumerate(keys)
        ]

    def run(self) -> LedgerState:
        """Run until every member's job is over, and return the ledger on which all agree.

        Raises:
            InvariantViolation: Members disagree, or nothing is left to happen before the end: a bug of ours.
        """
        for node in self.nodes:
            self._perform(node, node.engine.start(self._now()))
        while not self._is_over():
            if not self.time.advance():
                raise InvariantViolation("the simulated network stands still before its job is over")
        states = [node.engine.state for node in self.nodes]
        if any(state != states[0] for state in states):
            raise InvariantViolation("simulated members have different ledgers")
        return states[0]

    def _is_over(self) -> bool:
        height = self.nodes[0].engine.state.height
        return all(node.engine.state.round is None and node.engine.state.height == height for node in self.nodes)

    def _now(self) -> Millis:
        return Millis(self.time.now_ms)

    def handle(self, node: SimulatedNode, event: Input) -> None:
        """Give a member an input."""
        self._perform(node, node.engine.handle(event, self._now()))

    def _perform(self, node: SimulatedNode, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Broadcast(topic=topic, message=message):
                    self._publish(node, topic, message)
                case PersistBlock(height=height, finalized=finalized):
                    self._persist(node, height, finalized, effect.outcome.settled)
                case ArmTimer(at_ms=at_ms):
                    self._arm(node, at_ms)
                case TrainModel() | ComputeCandidate() | EvaluateModel() | ScreenUpdate() | FetchArtifact():
                    answer = self._work.take(node.index, effect, node.engine.state)
                    if answer is not None:
                        self.time.after(answer.delay_ms, partial(self._finish, node, answer.compute))
                case MakeDeal() | CheckDeals() | DeriveShare() | JudgeDeal():
                    done = do_key_work(self._holders[node.index], effect)
                    if done is not None:
                        self.time.after(GOSSIP_MS, partial(self.handle, node, done))
                case AskWitnesses() | FetchBlocks() | FetchBlock():
                    self.time.after(GOSSIP_MS, partial(self._answer, node, effect))
                case Persist() | SetMembers() | ForgetArtifacts() | Observe():
                    # Nobody's disk fails here, everybody may connect, and nobody watches.
                    pass
                case _:
                    assert_never(effect)

    def _finish(self, node: SimulatedNode, compute: Callable[[], Input | None]) -> None:
        event = compute()
        if event is not None:
            self.handle(node, event)

    # What members say to each other.

    def _publish(self, node: SimulatedNode, topic: Topic, message: bytes) -> None:
        if topic is Topic.CONSENSUS and message[_UNION_TAG_PLACE] == Votes.tag:
            votes = decode_union(ConsensusMessage, message, bytes_max=len(message))
            if isinstance(votes, Votes) and votes.attempt == 0:
                self.time.after(GOSSIP_MS, partial(self._postman.collect, votes, node.engine.state))
                return
        self.time.after(GOSSIP_MS, partial(self._deliver, node, topic, message))

    def _send_certificate(self, certificate: Certificate) -> None:
        message = encode_union(Certificates(certificates=(certificate,), attempt=0), ConsensusMessage)
        self.time.after(GOSSIP_MS, partial(self._deliver, None, Topic.CONSENSUS, message))

    def _deliver(self, sender: SimulatedNode | None, topic: Topic, message: bytes) -> None:
        for node in self.nodes:
            if node is sender:
                continue
            admitted = node.engine.judge_gossip(topic, message)
            if admitted.admission is Admission.REJECT:
                raise InvariantViolation(f"a simulated member's message is rejected: {admitted.reason}")
            if admitted.event is None:
                continue
            self.handle(node, admitted.event)
            reply = self._work.overhear(node.index, admitted.event, node.engine.state)
            if reply is not None:
                self.handle(node, reply)

    def _answer(self, node: SimulatedNode, order: AskWitnesses | FetchBlocks | FetchBlock) -> None:
        match order:
            case AskWitnesses():
                member = node.member
                for other in self.nodes:
                    if other is not node:
                        votes = other.engine.get_votes_seen(member)
                        self.handle(node, WitnessHeard(member=other.member, votes=votes))
            case FetchBlocks(from_height=from_height):
                blocks = self._blocks[from_height - 1 :]
                while blocks and blocks[-1].certificate is None:
                    blocks.pop()
                if blocks:
                    self.handle(node, BlocksFetched(blocks=tuple(blocks)))
                elif node.engine.state.height < from_height:
                    self.time.after(ASK_AGAIN_MS, partial(self._answer, node, order))
            case FetchBlock(block_hash=block_hash):
                found = [other.engine.get_unfinalized_block(block_hash) for other in self.nodes]
                for block in found:
                    if block is not None:
                        self.handle(node, BlockFetched(block=block))
                        return
            case _:
                assert_never(order)

    # What the network keeps.

    def _persist(
        self, node: SimulatedNode, height: Height, finalized: FinalizedBlock, settled: RoundRecord | None
    ) -> None:
        is_first = height > len(self._blocks)
        if is_first:
            self._blocks.append(finalized)
        if settled is None:
            return
        if is_first:
            self._on_round(settled, node.engine.state)
        for event in self._work.note_settled(node.index, settled, node.engine.state):
            self.time.after(GOSSIP_MS, partial(self.handle, node, event))

    def _arm(self, node: SimulatedNode, at_ms: Millis) -> None:
        if node.timer_ms == at_ms:
            return
        node.timer_ms = at_ms

        def fire() -> None:
            if node.timer_ms == at_ms:
                node.timer_ms = None
                self.handle(node, TimeAdvanced())

        self.time.after(max(at_ms - self.time.now_ms, GOSSIP_MS), fire)
