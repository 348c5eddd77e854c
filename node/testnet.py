"""Many real daemons on one machine, each an OS process with a home of its own, on loopback.

Used by the demo, the end-to-end tests and the benchmarks. Homes come from the same code as ``pnyx init``, ``card`` and
``genesis``; a daemon is started as an operator would start it. Nothing stays running when the testnet is closed, nor
when this process dies.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from node.control import call
from node.errors import DaemonUnreachable, NodeError
from node.json_values import JsonObject, get_object
from node.processes import compute_rss_bytes, signal_group, start_child, wait_child

PORT_FIRST: Final = 20_000
PORT_LAST: Final = 32_000
"""Below the range from which Linux takes ports for outgoing connections (32768 on), so that none is taken meanwhile."""
STOP_WAIT_S: Final = 10.0
POLL_INTERVAL_S: Final = 0.05
LOG_NAME: Final = "node.log"
LOG_TAIL_BYTES: Final = 4_000

_THREAD_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One node of a testnet."""

    name: str
    home: Path


class NodeProcess:
    """One daemon as an OS process; it can be started, stopped, killed and started again."""

    def __init__(
        self,
        spec: NodeSpec,
        *,
        environment: Mapping[str, str] | None = None,
        death_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Take a home; nothing is started yet.

        Args:
            spec: The node.
            environment: Settings that this daemon gets besides those of its home.
            death_signal: What the daemon gets when this process dies.
        """
        self.name = spec.name
        self.home = spec.home
        self._environment = _build_environment() | dict(environment or {})
        self._death_signal = death_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        """Where the daemon's output goes."""
        return self.home / LOG_NAME

    @property
    def pid(self) -> int | None:
        """The running daemon's process id."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last run; None while it runs or before it ever did."""
        return None if self._process is None else self._process.poll()

    def start(self, *arguments: str) -> None:
        """Start the daemon; it is ready some time later, see :meth:`wait_ready`."""
        if self.pid is not None:
            raise NodeError(f"node {self.name} runs already")
        with self.log_path.open("ab") as log:
            self._process = start_child(
                [sys.executable, "-m", "cli", "run", "--home", str(self.home), "--log-format", "json", *arguments],
                environment=self._environment,
                output=log,
                death_signal=self._death_signal,
            )

    async def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Wait until the daemon answers on its control socket.

        Raises:
            NodeError: It ended, or the time ran out; the message holds the end of its log.
        """
        with trio.move_on_after(timeout_s):
            while self.pid is not None:
                try:
                    await self.ask("status")
                except DaemonUnreachable:
                    await trio.sleep(POLL_INTERVAL_S)
                else:
                    return
        raise NodeError(f"node {self.name} did not come up; the end of its log:\n{self.read_log_tail()}")

    async def ask(self, command: str) -> JsonObject:
        """Return the daemon's answer to a command without arguments."""
        return get_object(await call(self.home, {"command": command}))

    async def wait_ended(self) -> int:
        """Wait for the process to end and return its exit code."""
        if self._process is None:
            raise NodeError(f"node {self.name} was never started")
        return await wait_child(self._process)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon alone."""
        if self._process is not None and self.pid is not None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """Kill the daemon without warning, as a power cut would, and wait until it is gone."""
        self.send_signal(signal.SIGKILL)
        await self.wait_ended()

    async def stop(self) -> int:
        """Stop the daemon as an operator would; after a while kill it and all that it started."""
        self.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_WAIT_S):
            return await self.wait_ended()
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGKILL)
        return await self.wait_ended()

    def read_log_tail(self) -> str:
        """Return the end of the daemon's log."""
        path = self.log_path
        return path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if path.exists() else ""


class Testnet:
    """The daemons of one network."""

    def __init__(self, specs: Sequence[NodeSpec]) -> None:
        """Take the homes; nothing is started yet."""
        self.nodes = tuple(NodeProcess(spec) for spec in specs)

    def get_node(self, name: str) -> NodeProcess:
        """Return a node by its name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise NodeError(f"no node of this testnet is called {name}")

    def start_all(self) -> None:
        """Start every daemon at once."""
        for node in self.nodes:
            node.start()

    async def stop_all(self) -> None:
        """Stop every daemon that runs, all at once."""
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                if node.pid is not None:
                    nursery.start_soon(node.stop)

    def compute_rss_bytes(self) -> int:
        """Return the memory of all daemons and their workers, in bytes."""
        return compute_rss_bytes(node.pid for node in self.nodes if node.pid is not None)


@asynccontextmanager
async def open_testnet(specs: Sequence[NodeSpec]) -> AsyncIterator[Testnet]:
    """Give a testnet that is not started yet; at the end, whatever happened, none of its daemons runs."""
    testnet = Testnet(specs)
    try:
        yield testnet
    finally:
        with trio.CancelScope(shield=True):
            await testnet.stop_all()


def find_free_ports(count: int) -> tuple[int, ...]:
    """Return TCP ports that nobody listens on at loopback just now."""
    ports: list[int] = []
    span = PORT_LAST - PORT_FIRST
    start = os.getpid() * 37 % span
    for step in range(span):
        port = PORT_FIRST + (start + step) % span
        if len(ports) == count:
            break
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
    if len(ports) < count:
        raise NodeError(f"no {count} free TCP ports on this machine between {PORT_FIRST} and {PORT_LAST}")
    return tuple(ports)


def _build_environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PNYX_")}
    return {**inherited, **_THREAD_ENVIRONMENT}
