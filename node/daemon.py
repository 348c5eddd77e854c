"""The daemon: one node from its home to its last breath. Builds everything, owns the one nursery, stops in order.

SIGTERM, SIGINT and ``pnyx stop`` end it within seconds: what the core decided is on disk before it is sent, so there is
nothing left to save. An error that nobody can react to ends it with the error's exit code.
"""

import signal
from contextlib import closing
from dataclasses import dataclass, replace
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
from node.logs import configure_logs
from node.observations import ObservationHub
from node.ports import RequestHandler, Service
from node.services import Progress, RecentBlocks, StatusService, SyncService
from node.status import Informant, Windows
from node.store.sqlite import SqliteStore
from node.timings import Timings
from node.workbench import Tools, Workbench
from protocol.engine import Engine, EngineConfig
from protocol.genesis import Genesis, compute_chain_id
from protocol.restored import Restored
from protocol.units import Millis

QUORUM_WAIT_S: Final = 10.0
"""How long the core waits for enough members to be connected, so that its first messages are not lost."""

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
            engine, recent = self._build_engine(store, artifacts)
            async with open_learner(self._build_learner_settings()) as learner:
                await self._serve(_Parts(store, artifacts, engine, recent, learner), signals)
        _log.info("stopped")
