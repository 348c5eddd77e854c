"""What a node reaches outside its engine: a worker that makes up its answers, and other nodes' disks.

The worker is a fake with the real one's manners: it takes time, it works only with artifacts that are on its own disk
and fetches those that are not, and equal inputs give equal results on every node. Scores lie so close together that
everybody accepts, but for those of whatever a poisoning member's update went into.
"""

import random
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeAlias, assert_never

from protocol.crypto import Domain, compute_digest
from protocol.interface import (
    ArtifactStored,
    AskWitnesses,
    BlockFetched,
    BlocksFetched,
    CandidateComputed,
    ComputeCandidate,
    EvaluateModel,
    FetchArtifact,
    FetchBlock,
    FetchBlocks,
    FinalizedBlock,
    Input,
    ModelEvaluated,
    ScreenUpdate,
    TrainModel,
    UpdateScreened,
    UpdateTrained,
    WitnessHeard,
)
from protocol.key_orders import CheckDeals, DeriveShare, JudgeDeal, KeyWork, MakeDeal
from protocol.key_work import KeyHolder, do_key_work
from protocol.learning.artifact_format import ModelSchema, compute_update_size_bytes, get_trainable_tensors
from protocol.units import Digest, Height, Ppm
from tests.sim.events import EventLoop
from tests.sim.network import Network
from tests.sim.node import SimNode

BLOCKS_PER_ANSWER = 50
FETCH_TRIES = 8
ARTIFACT_TRIES = 150
WORK_MS_MAX = 600
KEY_WORK_MS_MAX = 100
WITNESS_PAUSE_MS = (5, 400)

Work: TypeAlias = TrainModel | ComputeCandidate | EvaluateModel | ScreenUpdate
Order: TypeAlias = AskWitnesses | FetchBlocks | FetchBlock | FetchArtifact | Work | KeyWork


class Manner(Enum):
    """How a member's worker behaves; its engine is honest."""

    IDLE = "never answers, so that its member is silent in every round"
    POISONING = "makes bad updates, and finds every model good"


class Surroundings:
    """Answers the orders of all nodes, with what the others have and with made-up learning."""

    def __init__(
        self, loop: EventLoop, network: Network, nodes: list[SimNode], schema: ModelSchema, *, seed: int
    ) -> None:
        self._loop = loop
        self._network = network
        self._nodes = nodes
        self._schema = schema
        self._random = random.Random(f"work-{seed}")
        self._key_random = random.Random(f"keys-{seed}")
        self.manners: Mapping[int, Manner] = {}
        """Of the workers that are not honest, by the node's index."""
        self._bad: set[Digest] = set()
        """Bad updates, and the models that they went into."""
        self.handle: Callable[[SimNode, Input], None] = lambda _node, _event: None
        """How an answer reaches a node."""
        self.on_answer: Callable[[SimNode, SimNode], None] = lambda _node, _witness: None
        """Who hears that a node is about to learn what a witness knows."""

    def act(self, node: SimNode, order: Order) -> None:
        """Do what an engine orders."""
        match order:
            case AskWitnesses():
                self.ask_witnesses(node)
            case FetchBlocks(from_height=from_height):
                self.fetch_blocks(node, from_height)
            case FetchBlock(block_hash=block_hash):
                self.fetch_body(node, block_hash)
            case FetchArtifact():
                self.fetch_artifact(node, order)
            case TrainModel() | ComputeCandidate() | EvaluateModel() | ScreenUpdate():
                self.work(node, order)
            case MakeDeal() | CheckDeals() | DeriveShare() | JudgeDeal():
                self.work_keys(node, order)
            case _:
                assert_never(order)

    # What other nodes have.

    def fetch_blocks(self, node: SimNode, from_height: Height, *, tries: int = FETCH_TRIES) -> None:
        """Ask one connected node after the other for final blocks, until the ledger grows no more."""
        incarnation = node.incarnation

        def ask() -> None:
            if node.incarnation != incarnation or tries == 0:
                return
            height = len(node.disk.blocks)
            blocks = self._ask_for_blocks(node, Height(height + 1))
            if blocks:
                self.handle(node, BlocksFetched(blocks=blocks))
            has_grown = node.incarnation == incarnation and len(node.disk.blocks) > height
            if has_grown:
                self.fetch_blocks(node, Height(len(node.disk.blocks) + 1))
            elif height < from_height:
                self.fetch_blocks(node, from_height, tries=tries - 1)

        delay = self._network.random.randint(5, 100) << (FETCH_TRIES - tries)
        self._loop.at(delay, ask)

    def ask_witnesses(self, node: SimNode) -> None:
        """Ask every other node which votes of this one it has seen, each until it has answered (C10)."""
        for other in self._nodes:
            if other is not node:
                self._ask_witness(node, other)

    def _ask_witness(self, node: SimNode, other: SimNode) -> None:
        incarnation = node.incarnation

        def ask() -> None:
            if node.incarnation != incarnation:
                return
            holder = other.engine or other.adversary
            if holder is None or not self._is_connected(node, other):
                self._ask_witness(node, other)
                return
            votes = holder.get_votes_seen(node.member)
            if votes is not None:
                self.on_answer(node, other)
                self.handle(node, WitnessHeard(member=other.member, votes=votes))

        self._loop.at(self._network.random.randint(*WITNESS_PAUSE_MS), ask)

    def fetch_body(self, node: SimNode, block_hash: Digest) -> None:
        """Get an unfinalized block from the first connected node that has it."""
        incarnation = node.incarnation

        def ask() -> None:
            for other in self._iterate_peers(node):
                holder = other.engine or other.adversary
                block = None if holder is None else holder.get_unfinalized_block(block_hash)
                if not other.gives(node.index, block_hash):
                    block = None
                if block is not None and node.incarnation == incarnation:
                    self.handle(node, BlockFetched(block=block))

        self._loop.at(self._network.random.randint(5, 60), ask)

    def fetch_artifact(self, node: SimNode, order: FetchArtifact) -> None:
        """Get an artifact from a connected node that has it, and tell the engine."""
        self._when_held(node, (order.digest,), lambda: self.handle(node, ArtifactStored(digest=order.digest)))

    def _ask_for_blocks(self, node: SimNode, from_height: Height) -> tuple[FinalizedBlock, ...]:
        peers = self._iterate_peers(node)
        if not peers:
            return ()
        other = self._network.random.choice(peers)
        if other.adversary is not None:
            return other.adversary.serve_blocks(from_height)
        wanted = other.disk.blocks[from_height - 1 : from_height - 1 + BLOCKS_PER_ANSWER]
        while wanted and wanted[-1].certificate is None:
            wanted.pop()
        return tuple(wanted)

    def _iterate_peers(self, node: SimNode) -> list[SimNode]:
        return [
            other
            for other in self._nodes
            if other is not node and other.is_up() and self._is_connected(node, other)
        ]

    def _is_connected(self, node: SimNode, other: SimNode) -> bool:
        return self._network.is_connected(node.index, other.index) and node.accepts(other)

    def _when_held(
        self, node: SimNode, digests: tuple[Digest, ...], action: Callable[[], None], *, tries: int = ARTIFACT_TRIES
    ) -> None:
        incarnation = node.incarnation

        def look() -> None:
            if node.incarnation != incarnation or tries == 0:
                return
            for other in self._iterate_peers(node):
                held = [digest for digest in digests if digest in other.disk.artifacts]
                node.disk.artifacts.update(digest for digest in held if other.gives(node.index, digest))
            if node.disk.artifacts.issuperset(digests):
                action()
            else:
                self._when_held(node, digests, action, tries=tries - 1)

        self._loop.at(self._network.random.randint(5, 60) if tries == ARTIFACT_TRIES else 200, look)

    # What the keysmith does: nothing here is made up.

    def work_keys(self, node: SimNode, order: KeyWork) -> None:
        """Compute with a node's long-term keys, which takes time."""
        incarnation = node.incarnation
        holder = KeyHolder(member=node.member, bls_key=node.keys.bls_key, secret=node.keys.salt_secret)
        done = do_key_work(holder, order)

        def finish() -> None:
            if done is not None and node.incarnation == incarnation:
                self.handle(node, done)

        self._loop.at(self._key_random.randint(1, KEY_WORK_MS_MAX), finish)

    # What the worker does.

    def work(self, node: SimNode, order: Work) -> None:
        """Do what an order says, once everything it takes is on the disk."""
        if self.manners.get(node.index) is Manner.IDLE:
            return
        needed: tuple[Digest, ...]
        match order:
            case TrainModel(base_digest=base_digest):
                needed = (base_digest,)
            case ComputeCandidate(base_digest=base_digest, updates=updates):
                needed = (base_digest, *[update.artifact_digest for update in updates])
            case EvaluateModel(model_digest=model_digest):
                needed = (model_digest,)
            case ScreenUpdate(base_digest=base_digest, update=update):
                needed = (base_digest, update.artifact_digest)
            case _:
                assert_never(order)
        if node.disk.artifacts.issuperset(needed):
            self._finish_later(node, order)
        else:
            self._when_held(node, needed, lambda: self._finish_later(node, order))

    def _finish_later(self, node: SimNode, order: Work) -> None:
        incarnation = node.incarnation
        digest, answer = self._compute(node, order)

        def finish() -> None:
            if node.incarnation == incarnation:
                node.disk.artifacts.update(() if digest is None else (digest,))
                self.handle(node, answer)

        self._loop.at(self._random.randint(1, WORK_MS_MAX), finish)

    def _compute(self, node: SimNode, order: Work) -> tuple[Digest | None, Input]:
        """Return the artifact that the work leaves on the disk, if it does, and the answer."""
        match order:
            case TrainModel(round=round_number, base_digest=base_digest):
                where = round_number.to_bytes(8, "big")
                is_bad = self.manners.get(node.index) is Manner.POISONING
                digest = compute_digest(Domain.ARTIFACT, b"update", node.member, base_digest, where)
                self._bad.update([digest] if is_bad else [])
                return digest, UpdateTrained(
                    round=round_number,
                    base_digest=base_digest,
                    scale_exponents=tuple(-20 for _ in get_trainable_tensors(self._schema)),
                    artifact_digest=digest,
                    artifact_bytes=compute_update_size_bytes(self._schema),
                    example_count=10,
                )
            case ComputeCandidate(base_digest=base_digest, updates=updates):
                parts = tuple(update.artifact_digest for update in updates)
                digest = compute_digest(Domain.ARTIFACT, b"candidate", base_digest, *parts)
                self._bad.update([digest] if self._bad.intersection(parts) else [])
                return digest, CandidateComputed(base_digest=base_digest, updates=updates, candidate_digest=digest)
            case EvaluateModel(model_digest=digest):
                return None, ModelEvaluated(model_digest=digest, score=self._score(node, digest))
            case ScreenUpdate(base_digest=base_digest, update=update):
                score = self._score(node, update.artifact_digest)
                return None, UpdateScreened(base_digest=base_digest, update=update, score=score)
            case _:
                assert_never(order)

    def _score(self, node: SimNode, digest: Digest) -> Ppm:
        # By less than two thousandths, which is what a voter lets a share of an update cost (F8).
        jitter = int.from_bytes(compute_digest(Domain.STATE, digest, node.member)[:2], "big") % 500
        is_bad = self.manners.get(node.index) is not Manner.POISONING and digest in self._bad
        return Ppm((100_000 if is_bad else 600_000) + jitter)
