"""Tier A of the simulator: bare engines on one heap, in virtual milliseconds; one seed is one execution.

Nodes exchange bytes, never objects. A node's disk takes each batch of records as a whole before anything leaves, as
the driver does it; a crash may come before the batch is durable, or after it and before it is sent. Every purpose has
its own stream of random numbers, so that a change in one does not shift the others.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from protocol.blocks import Block
from protocol.crypto import Domain, compute_digest
from protocol.engine import Engine, EngineConfig
from protocol.genesis import Genesis
from protocol.gossip import Admission
from protocol.interface import (
    ArmTimer,
    ArtifactStored,
    BlockFetched,
    BlocksFetched,
    Broadcast,
    CandidateComputed,
    ComputeCandidate,
    Effect,
    EvaluateModel,
    FetchArtifact,
    FetchBlock,
    FetchBlocks,
    FinalizedBlock,
    ForgetArtifacts,
    Input,
    ModelEvaluated,
    Observe,
    Persist,
    PersistBlock,
    TimeAdvanced,
    TrainModel,
    UpdateTrained,
)
from protocol.journal import Record
from protocol.learning.artifact_format import compute_update_size_bytes, get_trainable_tensors
from protocol.ledger.state import LedgerState, compute_genesis_state
from protocol.outcomes import BlockOutcome
from protocol.restored import Restored
from protocol.units import Digest, MemberId, Millis, Ppm
from tests.sim.keys import NodeKeys

BLOCKS_PER_ANSWER = 50
EVENTS_MAX = 400_000
"""A run with more events than this is a livelock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What the network and the machines do to the nodes until the heal time."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_ms_max: int = 60
    crashes: int = 0
    """Crashes spread over the faulty phase; each node restarts after a while."""
    partitions: int = 0
    """Times at which the network falls into two halves for a while."""
    clock_skew_ms_max: int = 0


@dataclass(slots=True)
class Disk:
    """What survives a crash."""

    state: LedgerState
    blocks: list[tuple[FinalizedBlock, BlockOutcome]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    artifacts: set[Digest] = field(default_factory=set)
    tip: FinalizedBlock | None = None


@dataclass(slots=True)
class SimNode:
    """One node: an engine while it is up, a disk always."""

    index: int
    keys: NodeKeys
    disk: Disk
    skew_ms: int
    engine: Engine | None = None
    timer_ms: int | None = None
    incarnation: int = 0
    is_honest: bool = True


class Cluster:
    """All nodes of one simulated network, and the checkers that watch them from outside."""

    def __init__(
        self, genesis: Genesis, keys: tuple[NodeKeys, ...], *, seed: int, faults: Faults, heal_ms: int
    ) -> None:
        self.genesis = genesis
        self.faults = faults
        self.start_ms = int(genesis.created_ms)
        self.now_ms = self.start_ms
        self.heal_ms = self.start_ms + heal_ms
        self._network_random = random.Random(f"network-{seed}")
        self._work_random = random.Random(f"work-{seed}")
        self._fault_random = random.Random(f"fault-{seed}")
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._groups: dict[int, int] = {}
        self.audit = compute_digest(Domain.STATE, str(seed).encode())
        self.final_blocks: dict[int, tuple[Block, Digest]] = {}
        self.verdicts: list[str] = []
        self.events = 0
        state = compute_genesis_state(genesis)
        skews = [self._fault_random.randint(0, faults.clock_skew_ms_max) for _ in keys]
        self.nodes = [
            SimNode(index=index, keys=key, disk=Disk(state=state, artifacts={genesis.model_digest}), skew_ms=skew)
            for index, (key, skew) in enumerate(zip(keys, skews, strict=True))
        ]
        self._by_member: dict[MemberId, SimNode] = {node.keys.key.member: node for node in self.nodes}
        self._schedule_faults()

    def start(self, *indexes: int) -> None:
        """Start nodes, all of them by default."""
        for index in indexes or range(len(self.nodes)):
            self.at(self._fault_random.randint(0, 50), lambda index=index: self._boot(self.nodes[index]))

    def at(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._heap, (self.now_ms + delay_ms, next(self._order), action))

    def run_until(self, is_done: Callable[[], bool], *, deadline_ms: int) -> bool:
        """Run until a condition holds; return whether it did within the virtual deadline."""
        while self._heap and not is_done():
            if self._heap[0][0] > self.start_ms + deadline_ms:
                return False
            self.now_ms, _, action = heapq.heappop(self._heap)
            self.events += 1
            assert self.events < EVENTS_MAX, "livelock: time hardly moves"
            action()
        return is_done()

    def is_settled(self, rounds: int) -> bool:
        """Return whether every node is up, has settled this many rounds, and stands at one height."""
        states = [node.disk.state for node in self.nodes if node.is_honest]
        is_up = all(node.engine is not None for node in self.nodes if node.is_honest)
        return is_up and all(s.rounds_settled >= rounds for s in states) and len({s.height for s in states}) == 1

    def crash(self, node: SimNode) -> None:
        """Take a node down; its disk stays."""
        node.engine = None
        node.timer_ms = None
        node.incarnation += 1

    def boot(self, node: SimNode) -> None:
        """Bring a node up from its disk."""
        self._boot(node)

    def _boot(self, node: SimNode) -> None:
        if node.engine is not None:
            return
        disk = node.disk
        restored = Restored(
            state=disk.state,
            tip=disk.tip,
            records=tuple(disk.records),
            has_vote_log=True,
            artifacts=frozenset(disk.artifacts),
        )
        now_ms = self._clock(node)
        config = EngineConfig(
            genesis=self.genesis,
            key=node.keys.key,
            bls_key=node.keys.bls_key,
            salt_secret=node.keys.salt_secret,
            started_ms=now_ms,
        )
        node.engine = Engine(config, restored)
        self._perform(node, node.engine.start(now_ms))

    def _clock(self, node: SimNode) -> Millis:
        return Millis(self.now_ms + node.skew_ms)

    def _handle(self, node: SimNode, event: Input) -> None:
        if node.engine is None:
            return
        self._perform(node, node.engine.handle(event, self._clock(node)))

    def _perform(self, node: SimNode, effects: list[Effect]) -> None:
        doom = self._draw_doom(node)
        if doom == "lost":
            self.crash(node)
            return
        for effect in effects:
            self._persist(node, effect)
        if doom == "unsent":
            self.crash(node)
            return
        for effect in effects:
            self._act(node, effect)

    def _persist(self, node: SimNode, effect: Effect) -> None:
        match effect:
            case Persist(record=record):
                node.disk.records.append(record)
            case PersistBlock(finalized=finalized, outcome=outcome):
                self._check_final(node, finalized, outcome)
                node.disk.blocks.append((finalized, outcome))
                if finalized.certificate is not None:
                    node.disk.tip = finalized
                assert node.engine is not None
                node.disk.state = node.engine.state
            case _:
                pass

    def _act(self, node: SimNode, effect: Effect) -> None:
        match effect:
            case Persist() | PersistBlock() | ForgetArtifacts():
                pass
            case Broadcast(topic=topic, message=message):
                self._note(node, message)
                for other in self.nodes:
                    if other is not node:
                        self._send(node, other, lambda other=other: self._receive(other, topic, message))
            case ArmTimer(at_ms=at_ms):
                self._arm(node, at_ms - node.skew_ms)
            case FetchBlocks(from_height=from_height):
                self._fetch_blocks(node, from_height, tries=4)
            case FetchBlock(block_hash=block_hash):
                self._fetch_body(node, block_hash)
            case FetchArtifact(digest=digest):
                self._fetch_artifact(node, digest)
            case TrainModel() | ComputeCandidate() | EvaluateModel():
                self._work(node, effect)
            case Observe(observation=observation):
                self._note(node, repr(observation).encode())

    def _receive(self, node: SimNode, topic: object, message: bytes) -> None:
        if node.engine is None:
            return
        admitted = node.engine.judge_gossip(topic, message)  # type: ignore[arg-type]
        assert admitted.admission is not Admission.REJECT, admitted.reason
        if admitted.event is not None:
            self._handle(node, admitted.event)

    def _arm(self, node: SimNode, at_ms: int) -> None:
        at_ms = max(at_ms, self.now_ms + 1)
        node.timer_ms = at_ms
        incarnation = node.incarnation

        def fire() -> None:
            if node.timer_ms == at_ms and node.incarnation == incarnation:
                node.timer_ms = None
                self._handle(node, TimeAdvanced())

        self.at(at_ms - self.now_ms, fire)

    def _work(self, node: SimNode, effect: TrainModel | ComputeCandidate | EvaluateModel) -> None:
        incarnation, member = node.incarnation, node.keys.key.member
        answer: Input
        match effect:
            case TrainModel():
                digest = compute_digest(
                    Domain.ARTIFACT, b"update", member, effect.base_digest, str(effect.round).encode()
                )
                answer = UpdateTrained(
                    round=effect.round,
                    base_digest=effect.base_digest,
                    scale_exponents=tuple(-20 for _ in get_trainable_tensors(self.genesis.schema)),
                    artifact_digest=digest,
                    artifact_bytes=compute_update_size_bytes(self.genesis.schema),
                    example_count=10,
                )
            case ComputeCandidate():
                parts = [update.artifact_digest for update in effect.updates]
                digest = compute_digest(Domain.ARTIFACT, b"candidate", effect.base_digest, *parts)
                answer = CandidateComputed(
                    base_digest=effect.base_digest, update_digests=tuple(parts), candidate_digest=digest
                )
            case EvaluateModel():
                digest = effect.model_digest
                jitter = int.from_bytes(compute_digest(Domain.STATE, digest, member)[:2], "big") % 10_000
                answer = ModelEvaluated(model_digest=digest, score=Ppm(600_000 + jitter))

        def finish() -> None:
            if node.incarnation == incarnation:
                node.disk.artifacts.add(digest)
                self._handle(node, answer)

        self.at(self._work_random.randint(1, 80), finish)

    def _fetch_blocks(self, node: SimNode, from_height: int, *, tries: int) -> None:
        incarnation = node.incarnation

        def ask() -> None:
            if node.incarnation != incarnation or node.disk.state.height >= from_height or tries == 0:
                return
            other = self._choose_peer(node)
            if other is not None and self._is_connected(node, other):
                wanted = [
                    final for final, _ in other.disk.blocks[from_height - 1 : from_height - 1 + BLOCKS_PER_ANSWER]
                ]
                while wanted and wanted[-1].certificate is None:
                    wanted.pop()
                if wanted:
                    self._handle(node, BlocksFetched(blocks=tuple(wanted)))
            self._fetch_blocks(node, from_height, tries=tries - 1)

        self.at(self._network_random.randint(5, 100), ask)

    def _fetch_body(self, node: SimNode, block_hash: Digest) -> None:
        incarnation = node.incarnation

        def ask() -> None:
            for other in self.nodes:
                if other is node or other.engine is None or not self._is_connected(node, other):
                    continue
                block = other.engine.get_unfinalized_block(block_hash)
                if block is not None and node.incarnation == incarnation:
                    self._handle(node, BlockFetched(block=block))
                    return

        self.at(self._network_random.randint(5, 60), ask)

    def _fetch_artifact(self, node: SimNode, digest: Digest) -> None:
        incarnation = node.incarnation

        def ask() -> None:
            if node.incarnation != incarnation or node.engine is None or digest in node.disk.artifacts:
                return
            for other in self.nodes:
                if other is not node and digest in other.disk.artifacts and self._is_connected(node, other):
                    node.disk.artifacts.add(digest)
                    self._handle(node, ArtifactStored(digest=digest))
                    return
            self.at(200, ask)

        self.at(self._network_random.randint(5, 60), ask)

    def _is_faulty_time(self) -> bool:
        return self.now_ms < self.heal_ms

    def _send(self, sender: SimNode, receiver: SimNode, deliver: Callable[[], None]) -> None:
        faulty = self._is_faulty_time()
        copies = 1
        if faulty and self._network_random.random() < self.faults.loss:
            copies = 0
        elif faulty and self._network_random.random() < self.faults.duplication:
            copies = 2
        for _ in range(copies):
            delay = self._network_random.randint(1, self.faults.delay_ms_max if faulty else 30)
            if self._is_connected(sender, receiver):
                self.at(delay, deliver)

    def _is_connected(self, one: SimNode, other: SimNode) -> bool:
        return self._groups.get(one.index, 0) == self._groups.get(other.index, 0)

    def _choose_peer(self, node: SimNode) -> SimNode | None:
        others = [other for other in self.nodes if other is not node and other.engine is not None]
        return self._network_random.choice(others) if others else None

    def _draw_doom(self, node: SimNode) -> str:
        """Return whether this node crashes right here: before its batch is durable, or before it is sent."""
        if node.index not in self._doomed:
            return ""
        self._doomed.discard(node.index)
        self.at(self._fault_random.randint(100, 3_000), lambda: self._boot(node))
        return self._fault_random.choice(["lost", "unsent"])

    def _schedule_faults(self) -> None:
        self._doomed: set[int] = set()
        span = self.heal_ms - self.start_ms
        for _ in range(self.faults.crashes):
            index = self._fault_random.randrange(len(self.nodes))
            self.at(self._fault_random.randrange(max(1, span)), lambda index=index: self._doomed.add(index))
        for _ in range(self.faults.partitions):
            begin = self._fault_random.randrange(max(1, span))
            side = {index: self._fault_random.randint(0, 1) for index in range(len(self.nodes))}
            self.at(begin, lambda side=side: self._groups.update(side))
            self.at(min(begin + self._fault_random.randint(200, 4_000), span), self._groups.clear)
        self.at(span, self._groups.clear)

    def _note(self, node: SimNode, fact: bytes) -> None:
        self.audit = compute_digest(Domain.STATE, self.audit, bytes([node.index]), str(self.now_ms).encode(), fact)

    def _check_final(self, node: SimNode, final: FinalizedBlock, outcome: BlockOutcome) -> None:
        """Agreement, conservation of stake, and nobody framed: checked at every final block of every node."""
        header = final.block.header
        assert header.height == len(node.disk.blocks) + 1, "a height was skipped"
        known = self.final_blocks.setdefault(header.height, (final.block, outcome.state_root))
        assert known == (final.block, outcome.state_root), f"fork at height {header.height}"
        assert node.engine is not None
        if node.engine.state.height == header.height:
            check_supply(node.engine.state)
        honest = {other.keys.key.member for other in self.nodes if other.is_honest}
        for account in node.engine.state.accounts:
            assert not (account.is_jailed and account.member in honest), "an honest member was jailed"


def check_supply(state: LedgerState) -> None:
    """Check that every micro-token is somewhere, once (L2)."""
    total = state.treasury + state.burned
    for account in state.accounts:
        total += account.bonded + account.free + sum(entry.amount for entry in account.unbonding)
    assert total == state.supply
