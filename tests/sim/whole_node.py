"""Tier B: whole nodes (driver, inbox, artifacts, workbench, catch-up) over the simulated transport, in one trio loop.

Everything but transport, disk, clock and learner is what a daemon runs. The learner computes bytes instead of models:
equal inputs give equal results on every node, and every model is as good as the one before.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from node.artifacts.fetcher import ArtifactFetcher
from node.artifacts.service import ArtifactService
from node.artifacts.store import ArtifactStore
from node.blocking import run_inline
from node.catchup import BlockFetcher
from node.driver import Driver, Hands
from node.errors import WorkerFailed
from node.gate import GossipGate
from node.inbox import Inbox
from node.observations import ObservationHub
from node.ports import Candidate, Service, Training
from node.services import Progress, RecentBlocks, StatusService, SyncService
from node.submissions import Submissions
from node.timings import Timings
from node.witnesses import WitnessAsker
from node.workbench import Tools, Workbench
from protocol.chunks import ArtifactHasher
from protocol.engine import Engine, EngineConfig
from protocol.genesis import Genesis, compute_chain_id
from protocol.learning.artifact_format import (
    compute_model_header,
    compute_model_size_bytes,
    compute_update_header,
    compute_update_size_bytes,
)
from protocol.outcomes import RoundRecord
from protocol.parameters import Parameters
from protocol.restored import Restored
from protocol.units import Digest, Height, Millis, Ppm, Round
from tests.helpers import SCHEMA, FounderKeys, make_founders, make_genesis
from tests.node.fakes import TrioClock
from tests.sim.memory_store import MemoryDisk, MemoryStore
from tests.sim.memory_transport import MemoryNetwork

WORK_S = 0.2


def stretch(header: bytes, size_bytes: int, *parts: bytes) -> bytes:
    """Return an artifact whose tensors are made of a hash of the parts."""
    return header + hashlib.shake_256(b"|".join(parts)).digest(size_bytes - len(header))


def make_first_model() -> bytes:
    """Return the initial model of the networks here."""
    return stretch(compute_model_header(SCHEMA), compute_model_size_bytes(SCHEMA), b"first")


def compute_artifact_name(content: bytes) -> Digest:
    """Return the digest that an artifact of these bytes goes by."""
    hasher = ArtifactHasher()
    hasher.update(content)
    return hasher.finish()[0]


def make_network_genesis(founders: Sequence[FounderKeys], parameters: Parameters) -> Genesis:
    """Return a genesis document whose initial model exists."""
    content = make_first_model()
    genesis = make_genesis(founders, parameters=parameters)
    return replace(genesis, model_digest=compute_artifact_name(content), model_bytes=len(content))


@dataclass(slots=True)
class ByteLearner:
    """Implements the Learner port on bytes."""

    name: bytes
    failure: str = ""
    """Not empty makes every training fail."""

    async def train(self, *, round_number: int, base: Path, update: Path) -> Training:
        """See the port."""
        await trio.sleep(WORK_S)
        if self.failure:
            raise WorkerFailed(self.failure)
        parts = (base.read_bytes(), self.name, bytes([round_number]))
        update.write_bytes(stretch(compute_update_header(SCHEMA), compute_update_size_bytes(SCHEMA), *parts))
        return Training(scale_exponents=(-16, -16), example_count=1, train_ms=Millis(200))

    async def aggregate(
        self, *, base: Path, updates: Sequence[tuple[Path, tuple[int, ...]]], candidate: Path
    ) -> Candidate:
        """See the port."""
        await trio.sleep(WORK_S)
        parts = (base.read_bytes(), *(path.read_bytes() for path, _ in updates))
        content = stretch(compute_model_header(SCHEMA), compute_model_size_bytes(SCHEMA), *parts)
        candidate.write_bytes(content)
        return Candidate(digest=compute_artifact_name(content))

    async def evaluate(self, *, model: Path) -> Ppm:
        """See the port."""
        await trio.sleep(WORK_S)
        assert model.is_file()
        return Ppm(800_000)


@dataclass(slots=True)
class WholeNode:
    """One node; its disk and artifacts outlive it."""

    genesis: Genesis
    keys: FounderKeys
    network: MemoryNetwork
    directory: Path
    disk: MemoryDisk = field(default_factory=MemoryDisk)
    learner: ByteLearner = field(init=False)
    engine: Engine | None = None
    scope: trio.CancelScope | None = None

    def __post_init__(self) -> None:
        """Make the learner."""
        self.learner = ByteLearner(name=self.keys.member)

    @property
    def height(self) -> int:
        """The ledger's height; 0 while the node is down."""
        return 0 if self.engine is None else self.engine.state.height

    @property
    def rounds_settled(self) -> int:
        """The rounds settled on this node's ledger; 0 while the node is down."""
        return 0 if self.engine is None else self.engine.state.rounds_settled

    def stop(self) -> None:
        """Take the node down at once, as a power cut would."""
        assert self.scope is not None
        self.network.detach(self.keys.member)
        self.scope.cancel()
        self.engine = self.scope = None

    async def run(self, *, has_model: bool = True) -> None:
        """Be up until stopped.

        Args:
            has_model: Whether the initial model lies in the home, as ``pnyx genesis create`` leaves it there.
        """
        store = MemoryStore(disk=self.disk, genesis=self.genesis, member=self.keys.member, write_s=0.005)
        artifacts = ArtifactStore(self.directory, run_blocking=run_inline)
        if has_model and not artifacts.has(self.genesis.model_digest):
            path = artifacts.make_temporary_path()
            path.write_bytes(make_first_model())
            await artifacts.adopt(path)
        clock, inbox = TrioClock(), Inbox()
        engine = self._build_engine(store, artifacts, clock)
        with trio.CancelScope() as self.scope:
            self.engine = engine
            await self._serve(engine, inbox, store, artifacts, clock)

    def _build_engine(self, store: MemoryStore, artifacts: ArtifactStore, clock: TrioClock) -> Engine:
        contents = store.load()
        config = EngineConfig(
            genesis=self.genesis,
            key=self.keys.signing_key,
            bls_key=self.keys.bls_key,
            salt_secret=self.keys.member,
            started_ms=clock.get_now_ms(),
        )
        restored = Restored(
            state=contents.state,
            tip=contents.tip,
            records=contents.records,
            has_vote_log=contents.has_vote_log,
            artifacts=artifacts.get_digests(),
        )
        return Engine(config, restored)

    async def _serve(
        self, engine: Engine, inbox: Inbox, store: MemoryStore, artifacts: ArtifactStore, clock: TrioClock
    ) -> None:
        timings, recent = Timings(), RecentBlocks(compute_chain_id(self.genesis))
        gate = GossipGate(judge=engine.judge_gossip, inbox=inbox, clock=clock, timings=timings)
        sync = SyncService(store, lambda digest: recent.get(digest) or engine.get_unfinalized_block(digest))
        status = StatusService(
            lambda member: Progress(
                height=engine.state.height, view=engine.consensus.view, votes=engine.get_votes_seen(member)
            )
        )
        services = {
            Service.SYNC: sync.handle,
            Service.STATUS: status.handle,
            Service.ARTIFACT: ArtifactService(artifacts, run_blocking=run_inline).handle,
        }
        transport = self.network.attach(self.keys.member, gossip=gate.admit, services=services)
        fetcher = BlockFetcher(
            transport=transport, inbox=inbox, get_height=lambda: engine.state.height, timings=timings
        )
        tools = Tools(
            learner=self.learner,
            artifacts=artifacts,
            fetcher=ArtifactFetcher(transport, artifacts, run_blocking=run_inline),
            schema=self.genesis.schema,
            timings=timings,
        )
        workbench = Workbench(inbox=inbox, tools=tools)
        witnesses = WitnessAsker(
            transport=transport,
            inbox=inbox,
            chain_id=compute_chain_id(self.genesis),
            member=self.keys.member,
        )
        hands = Hands(
            store=store,
            transport=transport,
            fetcher=fetcher,
            witnesses=witnesses,
            workbench=workbench,
            recent=recent,
            hub=ObservationHub(),
            submissions=Submissions(inbox),
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(workbench.run)
            nursery.start_soon(fetcher.run)
            nursery.start_soon(witnesses.run)
            nursery.start_soon(Driver(core=engine, inbox=inbox, hands=hands, clock=clock, timings=timings).run)


@dataclass(slots=True)
class WholeNetwork:
    """Nodes, the links between them, and the loop that they run in."""

    nodes: tuple[WholeNode, ...]
    links: MemoryNetwork
    nursery: trio.Nursery

    def start(self, *nodes: WholeNode, has_model: bool = True) -> None:
        """Bring nodes up."""
        for node in nodes:

            async def run(node: WholeNode = node) -> None:
                await node.run(has_model=has_model)

            self.nursery.start_soon(run)

    def cut(self, node: WholeNode, *, is_cut: bool = True) -> None:
        """Cut a node off from all others, or heal it."""
        for other in self.nodes:
            if other is not node:
                self.links.get_link(node.keys.member, other.keys.member).is_cut = is_cut
                self.links.get_link(other.keys.member, node.keys.member).is_cut = is_cut

    async def wait_rounds(self, count: int, *nodes: WholeNode, timeout_s: float = 900.0) -> None:
        """Wait, in virtual time, until these nodes have settled so many rounds."""
        with trio.fail_after(timeout_s):
            while min(node.rounds_settled for node in nodes) < count:
                await trio.sleep(0.5)


def read_roots(node: WholeNode) -> list[Digest]:
    """Return the state roots on a node's disk, by height from 1 on."""
    store = MemoryStore(disk=node.disk, genesis=node.genesis, member=node.keys.member)
    return [outcome.state_root for _, outcome in store.iterate_blocks(Height(1))]


def read_rounds(node: WholeNode) -> tuple[RoundRecord, ...]:
    """Return the settled rounds on a node's disk."""
    store = MemoryStore(disk=node.disk, genesis=node.genesis, member=node.keys.member)
    return store.get_rounds(Round(1), limit=1_000)


@asynccontextmanager
async def open_whole_network(directory: Path, *, count: int, parameters: Parameters) -> AsyncIterator[WholeNetwork]:
    """Give a network whose nodes are still down; leaving takes down those that are up."""
    founders = make_founders(count)
    genesis = make_network_genesis(founders, parameters)
    async with trio.open_nursery() as nursery:
        links = MemoryNetwork(members=tuple(keys.member for keys in founders), nursery=nursery)
        nodes = tuple(
            WholeNode(genesis=genesis, keys=keys, network=links, directory=directory / keys.founder.name)
            for keys in founders
        )
        yield WholeNetwork(nodes=nodes, links=links, nursery=nursery)
        nursery.cancel_scope.cancel()
