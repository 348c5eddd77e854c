"""The daemon: one node from its home to its last breath. Builds everything, owns the one nursery, stops in order.

SIGTERM, SIGINT and ``pnyx stop`` end it within seconds: what the core decided is on disk before it is sent, so there is
nothing left to save. An error that nobody can react to ends it with the error's exit code.
"""

import signal
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog
import trio

from node.artifacts.fetcher import ArtifactFetcher
from node.artifacts.service import ArtifactService
from node.artifacts.store import ArtifactStore
from node.attacks import AttackKind
from node.catchup import BlockFetcher
from node.clock import OsEntropy, WallClock
from node.config_keys import LogFormat
from node.control import place_socket, serve_control
from node.control_desk import ControlDesk
from node.driver import Driver, Hands
from node.errors import ConfigError
from node.failures import raise_cause
from node.gate import GossipGate
from node.home import Home, HomeLock, load_home
from node.inbox import Inbox
from node.keys import GetPassphrase
from node.learner import LearnerSettings, WorkerLearner, open_learner
from node.libp2p_transport import Libp2pTransport, TransportSettings, open_transport
from node.logs import configure_logs
from node.observations import ObservationHub
from node.ports import RequestHandler, Service
from node.services import Progress, RecentBlocks, StatusService, SyncService
from node.status import Informant, Windows
from node.store.sqlite import SqliteStore
from node.submissions import Submissions
from node.timings import Timings
from node.workbench import Tools, Workbench
from protocol.blocks import Block
from protocol.engine import Engine, EngineConfig
from protocol.genesis import Genesis, compute_chain_id
from protocol.restored import Restored
from protocol.units import Digest, Height, Millis

QUORUM_WAIT_S: Final = 10.0
"""How long the core waits for enough members to be connected, so that its first messages are not lost."""

GOSSIP_BYTES_MAX: Final = 262_144
FRAME_BYTES_MAX: Final = 524_288
PROPOSAL_OVERHEAD_BYTES: Final = 65_536
CERTIFICATE_BYTES_PER_MEMBER: Final = 1_024
"""What the certificates that travel with a block may take: its parent's and several nullifications."""

_log = structlog.get_logger(__name__)


def run_daemon(root: Path, *, log_format: str | None, get_passphrase: GetPassphrase | None = None) -> None:
    """Run the node of a home until it is told to stop.

    Args:
        root: The home.
        log_format: Overrides the configuration's; None keeps it.
        get_passphrase: Called if the keys are encrypted; None reads the environment alone.

    Raises:
        NodeError: It cannot start or go on; the message says what to do.
        InvariantViolation: It found a mistake of its own.
    """
    home = load_home(root, get_passphrase=get_passphrase)
    chosen = home.config.log_format if log_format is None else LogFormat(log_format)
    configure_logs(chosen, home.config.log_level)
    with HomeLock(home.paths), raise_cause():
        trio.run(Daemon(home, home.load_genesis()).run)


class Daemon:
    """One node."""

    def __init__(self, home: Home, genesis: Genesis) -> None:
        """Take an opened home, which this process has locked, and its genesis document."""
        self._home = home
        self._genesis = genesis
        self._chain_id = compute_chain_id(genesis)
        self._member = home.keys.signing.member
        self._clock = WallClock()
        self._entropy = OsEntropy()
        self._timings = Timings()
        self._inbox = Inbox()
        self._hub = ObservationHub()
        self._submissions = Submissions(self._inbox)

    async def run(self) -> None:
        """Run until told to stop.

        Raises:
            NodeError: It cannot start or go on.
            InvariantViolation: It found a mistake of its own.
        """
        paths = self._home.paths
        store = SqliteStore(
            paths.ledger,
            genesis=self._genesis,
            member=self._member,
            marker=paths.vote_log_marker,
            entropy=self._entropy,
        )
        with closing(store), trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            artifacts = await self._open_artifacts()
            parts = self._build_parts(store, artifacts)
            settings = self._build_transport_settings()
            async with (
                open_learner(self._build_learner_settings()) as learner,
                open_transport(settings, on_gossip=parts.gate.admit, services=parts.services) as transport,
            ):
                await self._serve(parts, learner, transport, signals)
        _log.info("stopped")

    async def _serve(
        self, parts: "_Parts", learner: WorkerLearner, transport: Libp2pTransport, signals: AsyncIterator[int]
    ) -> None:
        """Run driver, workbench, catch-up and control socket until a signal or ``pnyx stop`` ends them."""
        fetcher = BlockFetcher(transport=transport, inbox=self._inbox, get_height=parts.get_height)
        tools = Tools(
            learner=learner,
            artifacts=parts.artifacts,
            fetcher=ArtifactFetcher(transport, parts.artifacts),
            schema=self._genesis.schema,
            timings=self._timings,
        )
        workbench = Workbench(inbox=self._inbox, tools=tools)
        hands = Hands(
            store=parts.store,
            transport=transport,
            fetcher=fetcher,
            workbench=workbench,
            recent=parts.recent,
            hub=self._hub,
            submissions=self._submissions,
        )
        driver = Driver(core=parts.engine, inbox=self._inbox, hands=hands, clock=self._clock, timings=self._timings)
        desk = self._build_desk(parts, workbench, transport)
        with place_socket(self._home.paths.root) as socket_path:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_wait_stop, signals, desk.stop_requested, nursery.cancel_scope)
                await nursery.start(serve_control, socket_path, desk.handle)
                await nursery.start(workbench.run)
                nursery.start_soon(fetcher.run)
                with trio.move_on_after(QUORUM_WAIT_S):
                    await transport.wait_connected(len(self._genesis.founders) * 2 // 3)
                _log.info("started", height=parts.get_height(), member=self._member, chain=self._chain_id)
                nursery.start_soon(driver.run)

    async def _open_artifacts(self) -> ArtifactStore:
        """Open the artifact store and take in the initial model, if it lies in the home."""
        config, paths = self._home.config, self._home.paths
        artifacts = ArtifactStore(
            paths.artifacts,
            quota_bytes=config.artifact_quota_bytes,
            retention_count=config.artifact_retention_count,
        )
        if paths.model.is_file() and not artifacts.has(self._genesis.model_digest):
            copy = artifacts.make_temporary_path()
            copy.write_bytes(paths.model.read_bytes())
            stored = await artifacts.adopt(copy)
            if stored.digest != self._genesis.model_digest:
                raise ConfigError(
                    f"{paths.model} is not the initial model of {paths.genesis}: copy both from the same place, or"
                    " remove the model; it is then fetched from the members"
                )
        return artifacts

    def _build_parts(self, store: SqliteStore, artifacts: ArtifactStore) -> "_Parts":
        contents = store.load()
        keys = self._home.keys
        config = EngineConfig(
            genesis=self._genesis,
            key=keys.signing,
            bls_key=keys.bls,
            salt_secret=keys.salt_secret,
            started_ms=self._clock.get_now_ms(),
            inverts_ballots=self._home.config.invert_ballots,
        )
        restored = Restored(
            state=contents.state,
            tip=contents.tip,
            records=contents.records,
            has_vote_log=contents.has_vote_log,
            artifacts=artifacts.get_digests(),
        )
        engine = Engine(config, restored)
        return _Parts(
            store=store,
            artifacts=artifacts,
            engine=engine,
            recent=RecentBlocks(self._chain_id),
            gate=GossipGate(judge=engine.judge_gossip, inbox=self._inbox, clock=self._clock, timings=self._timings),
        )

    def _build_learner_settings(self) -> LearnerSettings:
        config, genesis = self._home.config, self._genesis
        return LearnerSettings(
            task=genesis.task.name,
            parameters=genesis.task.params,
            member_index=[founder.member for founder in genesis.founders].index(self._member),
            member_count=len(genesis.founders),
            aggregation=genesis.parameters.aggregation,
            schema=genesis.schema,
            attack=AttackKind(config.attack.value),
            attack_strength=config.attack_strength,
            device=config.device,
            thread_count=config.worker_threads,
            search_paths=(self._home.paths.root,),
            timeout_request_ms=Millis(config.work_timeout_s * 1_000),
        )

    def _build_transport_settings(self) -> TransportSettings:
        founders = self._genesis.founders
        addresses = {founder.member: founder.addresses for founder in founders}
        addresses.update(dict(self._home.config.peers))
        block_bytes_max = self._genesis.parameters.block_bytes_max
        proposal_bytes_max = block_bytes_max + PROPOSAL_OVERHEAD_BYTES + CERTIFICATE_BYTES_PER_MEMBER * len(founders)
        return TransportSettings(
            chain_id=self._chain_id,
            signing_seed=self._home.keys.seed,
            members=frozenset(addresses),
            listen=self._home.config.listen,
            addresses=addresses,
            gossip_bytes_max=max(proposal_bytes_max, GOSSIP_BYTES_MAX),
            frame_bytes_max=max(proposal_bytes_max, FRAME_BYTES_MAX),
        )

    def _build_desk(self, parts: "_Parts", workbench: Workbench, transport: Libp2pTransport) -> ControlDesk:
        windows = Windows(
            get_state=lambda: parts.engine.state,
            get_view=lambda: parts.engine.consensus.view,
            is_voting=lambda: self._hub.is_voting,
            store=parts.store,
            transport=transport,
            clock=self._clock,
            timings=self._timings,
        )
        return ControlDesk(
            informant=Informant(genesis=self._genesis, member=self._member, version=version("pnyx"), windows=windows),
            hub=self._hub,
            get_score=parts.engine.get_score,
            measure_score=workbench.measure_score,
            submit=self._submissions.submit,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What exists before the network is open."""

    store: SqliteStore
    artifacts: ArtifactStore
    engine: Engine
    recent: RecentBlocks
    gate: GossipGate

    @property
    def services(self) -> dict[Service, RequestHandler]:
        """Who answers the other members."""
        return {
            Service.SYNC: SyncService(self.store, self.get_body).handle,
            Service.STATUS: StatusService(self.get_progress).handle,
            Service.ARTIFACT: ArtifactService(self.artifacts).handle,
        }

    def get_height(self) -> Height:
        """Return the height of the ledger."""
        return self.engine.state.height

    def get_progress(self) -> Progress:
        """Return how far this node is."""
        return Progress(height=self.engine.state.height, view=self.engine.consensus.view)

    def get_body(self, block_hash: Digest) -> Block | None:
        """Return a block that is not final yet, or was not a moment ago."""
        return self.recent.get(block_hash) or self.engine.get_unfinalized_block(block_hash)


async def _wait_stop(signals: AsyncIterator[int], stop_requested: trio.Event, running: trio.CancelScope) -> None:
    """Cancel the daemon's work upon the first signal or request."""
    async with trio.open_nursery() as nursery:

        async def wait_signal() -> None:
            async for number in signals:
                _log.info("stopping", signal=signal.Signals(number).name)
                nursery.cancel_scope.cancel()
                return

        nursery.start_soon(wait_signal)
        await stop_requested.wait()
        _log.info("stopping")
        nursery.cancel_scope.cancel()
    running.cancel()
