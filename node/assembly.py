"""The assembly: one node from its ports, alike for the daemon and for the simulator's tier B.

What a daemon adds is a home, a network, a worker process and a control socket; what the simulator adds is a disk, a
network and a learner on a heap. Between them and the core there is nothing but what is put together here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from node.artifacts.fetcher import ArtifactFetcher
from node.artifacts.service import ArtifactService
from node.artifacts.store import ArtifactStore
from node.blocking import RunBlocking, run_in_thread
from node.catchup import BlockFetcher
from node.driver import Driver, Hands
from node.gate import GossipGate
from node.inbox import INBOX_INPUTS_MAX, Inbox
from node.keysmith import Keysmith
from node.observations import ObservationHub
from node.peer_clocks import PeerClocks
from node.ports import Clock, Learner, RequestHandler, Service, Store, StoreContents, Transport
from node.services import Progress, RecentBlocks, StatusService, SyncService
from node.submissions import Submissions
from node.timings import Timings
from node.witnesses import WitnessAsker
from node.workbench import Tools, Workbench
from protocol.blocks import Block
from protocol.bls import BlsSigningKey
from protocol.crypto import SigningKey
from protocol.engine import Engine, EngineConfig
from protocol.genesis import Genesis, compute_chain_id
from protocol.key_work import KeyHolder
from protocol.ledger.state import get_connected_members
from protocol.restored import Restored
from protocol.units import Digest, Height, MemberId

QUORUM_WAIT_S: Final = 10.0
"""How long the core waits for enough members to be connected, so that its first messages are not lost."""

WaitConnected = Callable[[int], Awaitable[None]]
"""Waits until so many other members are connected."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a node stands on before it has a network."""

    genesis: Genesis
    key: SigningKey
    bls_key: BlsSigningKey
    salt_secret: bytes
    """Derives the salts of sealed ballots; 32 bytes."""
    store: Store
    """Just opened: not loaded yet."""
    artifacts: ArtifactStore
    clock: Clock
    inverts_ballots: bool = False
    run_blocking: RunBlocking = run_in_thread
    inbox_inputs_max: int = INBOX_INPUTS_MAX


class Node:
    """One node: what judges gossip and answers requests from its first moment, and what :meth:`run` then drives."""

    def __init__(self, ground: Ground) -> None:
        """Load the store and wake the core; nothing happens before :meth:`run`.

        Raises:
            StoreCorrupt: The store is damaged.
        """
        self._ground = ground
        self._chain_id = compute_chain_id(ground.genesis)
        self.timings = Timings()
        self.inbox = Inbox(ground.inbox_inputs_max)
        self.hub = ObservationHub()
        self.submissions = Submissions(self.inbox)
        contents = ground.store.load()
        self.engine = _wake_engine(ground, contents)
        self._recent = RecentBlocks(self._chain_id)
        self.peer_clocks = PeerClocks()
        self.gate = GossipGate(
            judge=self.engine.judge_gossip,
            inbox=self.inbox,
            clock=ground.clock,
            peer_clocks=self.peer_clocks,
            drift_max_ms=ground.genesis.parameters.clock_drift_max_ms,
            timings=self.timings,
        )

    @property
    def services(self) -> dict[Service, RequestHandler]:
        """Who answers the other members."""
        ground = self._ground
        return {
            Service.SYNC: SyncService(ground.store, self._get_body).handle,
            Service.STATUS: StatusService(self._get_progress).handle,
            Service.ARTIFACT: ArtifactService(ground.artifacts, run_blocking=ground.run_blocking).handle,
        }

    def get_height(self) -> Height:
        """Return the height of the ledger."""
        return self.engine.state.height

    def build_workbench(self, learner: Learner, transport: Transport) -> Workbench:
        """Return the workbench for :meth:`run`."""
        ground = self._ground
        tools = Tools(
            learner=learner,
            artifacts=ground.artifacts,
            fetcher=ArtifactFetcher(transport, ground.artifacts, run_blocking=ground.run_blocking),
            schema=ground.genesis.schema,
            timings=self.timings,
        )
        return Workbench(inbox=self.inbox, tools=tools)

    async def run(self, workbench: Workbench, transport: Transport, wait_connected: WaitConnected) -> None:
        """Run workbench, catch-up and, once a quorum is connected or late, the driver; until cancelled.

        Raises:
            NodeError: The node cannot go on.
            InvariantViolation: It found a mistake of its own.
        """
        fetcher = BlockFetcher(transport=transport, inbox=self.inbox, get_height=self.get_height, timings=self.timings)
        witnesses = WitnessAsker(
            transport=transport, inbox=self.inbox, chain_id=self._chain_id, member=self._ground.key.member
        )
        keysmith = Keysmith(
            holder=self._build_holder(),
            inbox=self.inbox,
            run_blocking=self._ground.run_blocking,
            timings=self.timings,
        )
        hands = Hands(
            store=self._ground.store,
            transport=transport,
            fetcher=fetcher,
            witnesses=witnesses,
            workbench=workbench,
            keysmith=keysmith,
            recent=self._recent,
            hub=self.hub,
            submissions=self.submissions,
        )
        driver = Driver(core=self.engine, inbox=self.inbox, hands=hands, clock=self._ground.clock, timings=self.timings)
        async with trio.open_nursery() as nursery:
            await nursery.start(workbench.run)
            nursery.start_soon(fetcher.run)
            nursery.start_soon(witnesses.run)
            nursery.start_soon(keysmith.run)
            with trio.move_on_after(QUORUM_WAIT_S):
                await wait_connected(len(get_connected_members(self.engine.state)) * 2 // 3)
            _log.info("started", height=self.get_height(), member=self._ground.key.member, chain=self._chain_id)
            nursery.start_soon(driver.run)

    def _build_holder(self) -> KeyHolder:
        ground = self._ground
        return KeyHolder(member=ground.key.member, bls_key=ground.bls_key, secret=ground.salt_secret)

    def _get_progress(self, member: MemberId) -> Progress:
        engine = self.engine
        return Progress(height=engine.state.height, view=engine.consensus.view, votes=engine.get_votes_seen(member))

    def _get_body(self, block_hash: Digest) -> Block | None:
        """Return a block that is not final yet, or was not a moment ago."""
        return self._recent.get(block_hash) or self.engine.get_unfinalized_block(block_hash)


def _wake_engine(ground: Ground, contents: StoreContents) -> Engine:
    config = EngineConfig(
        genesis=ground.genesis,
        key=ground.key,
        bls_key=ground.bls_key,
        salt_secret=ground.salt_secret,
        started_ms=ground.clock.get_now_ms(),
        inverts_ballots=ground.inverts_ballots,
    )
    restored = Restored(
        state=contents.state,
        tip=contents.tip,
        records=contents.records,
        has_vote_log=contents.has_vote_log,
        artifacts=ground.artifacts.get_digests(),
    )
    return Engine(config, restored)
