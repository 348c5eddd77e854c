"""The daemon: one node from its home to its last breath. Opens everything, owns the one nursery, stops in order.

SIGTERM, SIGINT and ``pnyx stop`` end it within seconds: what the core decided is on disk before it is sent, so there is
nothing left to save. An error that nobody can react to ends it with the error's exit code.
"""

import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog
import trio

from node.artifacts.store import ArtifactStore
from node.assembly import Ground, Node
from node.attacks.kinds import AttackKind
from node.clock import OsEntropy, WallClock
from node.config_keys import LogFormat
from node.control import place_socket, serve_control
from node.control_desk import ControlDesk
from node.data_parts import compute_data_part
from node.errors import ConfigError
from node.failures import raise_cause
from node.home import Home, HomeLock, load_home
from node.http.gauges import Gauges
from node.http.pages import Pages
from node.http.past import Past
from node.http.reading import Present
from node.http.server import open_http_listeners
from node.keys import GetPassphrase
from node.learner import LearnerSettings, WorkerLearner, open_learner
from node.libp2p_transport import Libp2pTransport, TransportSettings, open_transport
from node.logs import configure_logs
from node.members import find_account
from node.service_manager import READY, STOPPING, ServiceManager
from node.status import Informant, Windows
from node.store.sqlite import SqliteStore
from protocol.genesis import Genesis, compute_chain_id
from protocol.ledger.membership import MEMBERS_MAX
from protocol.ledger.state import LedgerState, get_connected_members
from protocol.parameters import get_aggregation_choice
from protocol.units import Millis

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
        self._manager = ServiceManager()

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
            node = Node(self._build_ground(store, artifacts))
            state = node.engine.state
            if find_account(state, self._member) is None:
                _log.warning("waits_to_be_admitted", member=self._member, height=state.height)
            settings = self._build_transport_settings(state)
            http_listeners = await self._open_http_listeners()
            async with (
                open_learner(self.build_learner_settings()) as learner,
                open_transport(settings, on_gossip=node.gate.admit, services=node.services) as transport,
            ):
                workbench = node.build_workbench(learner, transport)
                informant = self._build_informant(node, store, transport)
                desk = ControlDesk(
                    informant=informant,
                    hub=node.hub,
                    get_score=node.engine.get_score,
                    measure_score=workbench.measure_score,
                    submit=node.submissions.submit,
                )
                gauges = self._build_gauges(node, learner, transport)
                with place_socket(self._home.paths.root) as socket_path:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_wait_stop, signals, desk.stop_requested, nursery.cancel_scope)
                        await nursery.start(serve_control, socket_path, desk.handle)
                        if http_listeners:
                            pages = self._build_pages(informant, node, gauges, http_listeners)
                            await nursery.start(pages.run)
                        nursery.start_soon(node.run, workbench, transport, transport.wait_connected)
                        nursery.start_soon(self._manager.run_watchdog)
                        self._manager.tell(READY)
                    self._manager.tell(STOPPING)
        _log.info("stopped")

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

    def _build_ground(self, store: SqliteStore, artifacts: ArtifactStore) -> Ground:
        keys = self._home.keys
        return Ground(
            genesis=self._genesis,
            key=keys.signing,
            bls_key=keys.bls,
            salt_secret=keys.salt_secret,
            store=store,
            artifacts=artifacts,
            clock=self._clock,
            inverts_ballots=self._home.config.invert_ballots,
        )

    def build_learner_settings(self) -> LearnerSettings:
        """Return what the worker is told.

        Raises:
            ConfigError: The operator chose a part of the data that does not exist.
        """
        config, genesis = self._home.config, self._genesis
        return LearnerSettings(
            task=genesis.task.name,
            parameters=genesis.task.params,
            member_index=compute_data_part(genesis, self._member, config.data_part),
            member_count=len(genesis.founders),
            aggregation=get_aggregation_choice(genesis.parameters),
            schema=genesis.schema,
            attack=AttackKind(config.attack.value),
            attack_strength=config.attack_strength,
            device=config.device,
            thread_count=config.worker_threads,
            local=config.task,
            launcher=config.launcher,
            search_paths=(self._home.paths.root,),
            timeout_request_ms=Millis(config.work_timeout_s * 1_000),
        )

    def _build_transport_settings(self, state: LedgerState) -> TransportSettings:
        contacts = get_connected_members(state)
        block_bytes_max = self._genesis.parameters.block_bytes_max
        proposal_bytes_max = block_bytes_max + PROPOSAL_OVERHEAD_BYTES + CERTIFICATE_BYTES_PER_MEMBER * MEMBERS_MAX
        return TransportSettings(
            chain_id=self._chain_id,
            signing_seed=self._home.keys.seed,
            members=frozenset(contact.member for contact in contacts),
            listen=self._home.config.listen,
            addresses={contact.member: contact.addresses for contact in contacts},
            fixed_addresses=dict(self._home.config.peers),
            gossip_bytes_max=proposal_bytes_max,
            frame_bytes_max=proposal_bytes_max,
        )

    def _build_informant(self, node: Node, store: SqliteStore, transport: Libp2pTransport) -> Informant:
        windows = Windows(
            get_state=lambda: node.engine.state,
            get_view=lambda: node.engine.consensus.view,
            explain_silence=node.engine.explain_silence,
            store=store,
            transport=transport,
            clock=self._clock,
            peer_clocks=node.peer_clocks,
            timings=node.timings,
        )
        return Informant(
            genesis=self._genesis,
            member=self._member,
            name=self._home.config.name,
            version=version("pnyx"),
            windows=windows,
        )

    async def _open_http_listeners(self) -> Sequence[trio.SocketListener]:
        config = self._home.config
        return await open_http_listeners(config.http_host, config.http_port) if config.http_port else ()

    def _build_gauges(self, node: Node, learner: WorkerLearner, transport: Libp2pTransport) -> Gauges:
        return Gauges(
            get_inbox_length=lambda: node.inbox.waiting_count,
            get_inbox_refused=lambda: node.inbox.refused_count,
            get_gossip_dropped=transport.get_dropped_count,
            get_worker_bytes=learner.get_rss_bytes,
            get_disk_free_bytes=lambda: shutil.disk_usage(self._home.paths.root).free,
        )

    def _build_pages(
        self, informant: Informant, node: Node, gauges: Gauges, listeners: Sequence[trio.SocketListener]
    ) -> Pages:
        present = Present(
            informant=informant, clock=self._clock, gauges=gauges, genesis=self._genesis, member=self._member
        )
        return Pages(
            present,
            node.hub,
            read_outcomes=Past(self._home.paths.ledger, self._chain_id).read,
            listeners=listeners,
            version=version("pnyx"),
            names=(self._home.config.http_host, *self._home.config.http_hosts),
        )


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
