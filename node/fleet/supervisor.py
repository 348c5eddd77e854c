"""The supervisor: the process that a testnet's daemons and cables live in while no command runs.

It holds the lock of the testnet's directory, answers commands on a control socket there, and ends when it is told to
(the command ``stop``, SIGTERM, SIGINT), its daemons before it. If it is killed, the kernel kills them with it.
"""

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import structlog
import trio

from node.config_keys import LogFormat, LogLevel
from node.control import SendResult, place_socket, serve_control
from node.errors import ConfigError, NodeError
from node.failures import raise_cause
from node.fleet.fleet import Fleet, open_fleet
from node.fleet.homes import load_testnet
from node.home import HomeLock, HomePaths
from node.json_values import JsonObject, JsonValue, get_list, get_text
from node.logs import configure_logs

GROUPS_MIN: Final = 2

_log = structlog.get_logger("testnet")


def run_supervisor(directory: Path) -> None:
    """Supervise the testnet of a directory until told to stop.

    Raises:
        ConfigError: There is no testnet.
        HomeLocked: Another process uses it.
        NodeError: A cable cannot be laid.
    """
    specs = load_testnet(directory)
    configure_logs(LogFormat.JSON, LogLevel.INFO)

    async def run() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with open_fleet(specs) as fleet:
                await Supervisor(fleet).serve(directory, signals)

    with HomeLock(HomePaths(root=directory)), raise_cause():
        trio.run(run)


class Supervisor:
    """Does to a fleet what commands ask for."""

    def __init__(self, fleet: Fleet) -> None:
        """Take a fleet of which nothing needs to run yet."""
        self._fleet = fleet
        self._stop_requested = trio.Event()

    async def serve(self, directory: Path, signals: AsyncIterator[int]) -> None:
        """Answer commands until told to stop."""
        with place_socket(directory) as socket_path:
            async with trio.open_nursery() as nursery:
                await nursery.start(serve_control, socket_path, self.handle)
                nursery.start_soon(self._wait_signal, signals)
                _log.info("started", drops_packets=self._fleet.switchboard.can_drop)
                await self._stop_requested.wait()
                _log.info("stopping")
                # The daemons end before whoever asked is let go, which is when their connection ends.
                await self._fleet.stop_all()
                nursery.cancel_scope.cancel()
        _log.info("stopped")

    async def handle(self, request: JsonObject, send: SendResult) -> None:
        """Answer one command with how everything then is.

        Raises:
            ConfigError: The command or a node is unknown, or groups make no sense.
            NodeError: A daemon did not come up, or does not run.
            ValueError: An argument is missing or of the wrong kind.
        """
        command = request.get("command")
        _log.info("asked", request=request)
        if command == "stop":
            # No answer: the client waits for the end of the connection, which is the end of the testnet.
            self._stop_requested.set()
            await trio.sleep_forever()
        if command == "partition":
            self._separate(request)
        elif command == "heal":
            self._fleet.heal()
        elif command != "status":
            await self._act(command, self._get_names(request))
        await send(await self._fleet.describe())

    async def _wait_signal(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            _log.info("signalled", signal=signal.Signals(number).name)
            self._stop_requested.set()

    async def _act(self, command: JsonValue, names: list[str]) -> None:
        fleet = self._fleet
        match command:
            case "up":
                await fleet.do_to_all(names, fleet.start)
                await fleet.do_to_all(names, fleet.wait_ready)
            case "down":
                await fleet.do_to_all(names, fleet.stop)
            case "restart":
                await fleet.do_to_all(names, fleet.stop)
                await fleet.do_to_all(names, fleet.start)
                await fleet.do_to_all(names, fleet.wait_ready)
            case "kill" | "pause" | "resume":
                self._check_up(names)
                acts = {"kill": fleet.kill, "pause": fleet.suspend, "resume": fleet.resume}
                await fleet.do_to_all(names, acts[command])
            case _:
                raise ConfigError(f"the testnet knows no command {command!r}: is it of this program's version?")

    def _get_names(self, request: JsonObject) -> list[str]:
        """Return the nodes that a command is about: those that it names, or all."""
        names = [get_text(name) for name in get_list(request.get("nodes", []))]
        self._fleet.check_names(names)
        return names or list(self._fleet.nodes)

    def _check_up(self, names: list[str]) -> None:
        for name in names:
            if not self._fleet.is_up(name):
                raise NodeError(f"{name} does not run: start it with pnyx testnet up")

    def _separate(self, request: JsonObject) -> None:
        groups = [[get_text(name) for name in get_list(group)] for group in get_list(request.get("groups"))]
        named = [name for group in groups for name in group]
        self._fleet.check_names(named)
        if len(groups) < GROUPS_MIN or not all(groups):
            raise ConfigError("a partition has two or more groups of nodes, such as: alpha,beta gamma,delta")
        if len(set(named)) != len(named):
            raise ConfigError("a node stands in two groups, or twice in one: name each node once")
        self._fleet.separate(
            groups, is_one_way=request.get("one_way") is True, is_refusing=request.get("refuse") is True
        )
