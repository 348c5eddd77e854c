"""The daemons of a testnet and the cables between them, and everything that can be done to them.

What happens to one node happens in order: a start waits for the stop before it. Every daemon dies with this process, by
SIGKILL, so that a suspended one does as well.
"""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import psutil
import trio

from node.errors import ConfigError, NodeError
from node.fleet.endings import FELL, KILLED, STOPPED, Ending
from node.fleet.homes import read_place
from node.fleet.switchboard import Link, Switchboard, list_links
from node.json_documents import suggest
from node.json_values import JsonObject, JsonValue, get_int, get_object
from node.processes import resume_family, suspend_family
from node.testnet import NodeProcess, NodeSpec

ANSWER_WAIT_S: Final = 2.0
"""A daemon that tells its status no sooner is shown without it."""


class Fleet:
    """All nodes of a testnet; made by :func:`open_fleet`."""

    def __init__(self, specs: Sequence[NodeSpec], switchboard: Switchboard) -> None:
        """Take the homes and the cables; nothing is started yet."""
        self.switchboard = switchboard
        self.nodes = {
            spec.name: NodeProcess(
                spec, environment=switchboard.get_environment(spec.name), death_signal=signal.SIGKILL
            )
            for spec in specs
        }
        self.endings: list[Ending] = []
        """Every end of a daemon that was ordered, in order."""
        self._suspended: set[str] = set()
        self._wanted: set[str] = set()
        self._turns = {name: trio.Lock() for name in self.nodes}

    def check_names(self, names: Iterable[str]) -> None:
        """Check that all names are of this testnet.

        Raises:
            ConfigError: One is not; the message names the nearest.
        """
        for name in names:
            if name not in self.nodes:
                raise ConfigError(f"no node of this testnet is called {name!r}{suggest(name, self.nodes)}")

    def is_up(self, name: str) -> bool:
        """Return whether a node's daemon runs; suspended or not."""
        return self.nodes[name].pid is not None

    def is_suspended(self, name: str) -> bool:
        """Return whether a node's daemon is suspended."""
        return self.is_up(name) and name in self._suspended

    def find_fallen(self) -> list[Ending]:
        """Return the daemons that ended although nobody ended them."""
        return [
            Ending(name=name, what=FELL, exit_code=self.nodes[name].exit_code)
            for name in sorted(self._wanted)
            if not self.is_up(name)
        ]

    async def start(self, name: str) -> None:
        """Start a daemon, unless it runs; it is ready some time later."""
        async with self._turns[name]:
            if not self.is_up(name):
                self._suspended.discard(name)
                self.nodes[name].start()
                self._wanted.add(name)

    async def stop(self, name: str) -> None:
        """Stop a daemon as an operator would, suspended or not; nothing happens if it does not run."""
        async with self._turns[name]:
            if self.is_up(name):
                self._wanted.discard(name)
                self._resume(name)
                self.endings.append(Ending(name=name, what=STOPPED, exit_code=await self.nodes[name].stop()))

    async def kill(self, name: str) -> None:
        """Kill a daemon without warning; nothing happens if it does not run."""
        async with self._turns[name]:
            if self.is_up(name):
                self._wanted.discard(name)
                await self.nodes[name].kill()
                self._suspended.discard(name)
                self.endings.append(Ending(name=name, what=KILLED, exit_code=self.nodes[name].exit_code))

    async def suspend(self, name: str) -> None:
        """Freeze a daemon and its worker where they are; nothing happens if it does not run."""
        async with self._turns[name]:
            pid = self.nodes[name].pid
            if pid is not None:
                suspend_family(pid)
                self._suspended.add(name)

    async def resume(self, name: str) -> None:
        """Let a suspended daemon go on."""
        async with self._turns[name]:
            self._resume(name)

    async def stop_all(self) -> None:
        """Stop every daemon, all at once."""
        await self.do_to_all(self.nodes, self.stop)

    async def do_to_all(self, names: Iterable[str], act: Callable[[str], Awaitable[None]]) -> None:
        """Do something to several nodes at once, and return when it is done to all."""
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(act, name)

    async def wait_ready(self, name: str) -> None:
        """Wait until a daemon that was started answers.

        Raises:
            NodeError: It ended, or takes too long; the message has one line.
        """
        node = self.nodes[name]
        try:
            await node.wait_ready()
        except NodeError as error:
            ending = "does not answer" if node.pid is not None else f"ended with exit code {node.exit_code}"
            last = node.read_log_tail().rstrip().rpartition("\n")[2]
            raise NodeError(f"{name} {ending}: {last} (its log is {node.log_path})") from error

    def separate(self, groups: Sequence[Sequence[str]], *, is_one_way: bool, is_refusing: bool) -> None:
        """Cut all cables between groups, besides what is cut already.

        Args:
            groups: Two or more; a node in none of them keeps its cables.
            is_one_way: Only what the first group sends is lost.
            is_refusing: Connections are reset and refused, instead of falling silent.
        """
        board = self.switchboard
        links = list_links(groups, is_one_way=is_one_way)
        if is_refusing:
            board.set_cuts(board.cut, refused=board.refused | links)
        else:
            board.set_cuts(board.cut | links, refused=board.refused)

    def heal(self) -> None:
        """Mend all cables."""
        self.switchboard.set_cuts(())

    async def ask_statuses(self) -> dict[str, JsonObject]:
        """Return the status of each daemon that answers in time."""
        answers: dict[str, JsonObject] = {}

        async def ask(name: str) -> None:
            with trio.move_on_after(ANSWER_WAIT_S):
                try:
                    answers[name] = await self.nodes[name].ask("status")
                except NodeError:
                    return

        await self.do_to_all([name for name in self.nodes if self.is_up(name) and not self.is_suspended(name)], ask)
        return answers

    async def describe(self) -> JsonObject:
        """Return how every node and every cable is."""
        statuses = await self.ask_statuses()
        nodes: list[JsonValue] = [self._describe_node(name, statuses.get(name)) for name in self.nodes]
        board = self.switchboard
        return {
            "nodes": nodes,
            "cut": _describe_links(board.cut),
            "refused": _describe_links(board.refused),
            "drops_packets": board.can_drop,
        }

    def _describe_node(self, name: str, status: JsonObject | None) -> JsonObject:
        node = self.nodes[name]
        described: JsonObject = {
            "name": name,
            "state": self._get_state(name),
            "pid": node.pid,
            "exit_code": node.exit_code,
            "height": None,
            "epoch": None,
            "view": None,
            "round": None,
            "rounds_settled": None,
            "members_connected": None,
            "members_other": None,
        }
        if status is not None:
            current = status["round"]
            described["round"] = None if current is None else get_object(current)["round"]
            for key in ("height", "epoch", "view", "rounds_settled", "members_connected", "members_other"):
                described[key] = get_int(status[key])
        return described

    def _get_state(self, name: str) -> str:
        pid = self.nodes[name].pid
        if pid is None:
            return "fallen" if name in self._wanted else "down"
        # The kernel is asked, because somebody may have stopped it by hand.
        return "paused" if psutil.Process(pid).status() == psutil.STATUS_STOPPED else "up"

    def _resume(self, name: str) -> None:
        pid = self.nodes[name].pid
        if pid is not None and name in self._suspended:
            resume_family(pid)
        self._suspended.discard(name)


def _describe_links(links: Iterable[Link]) -> list[JsonValue]:
    return [{"from": sender, "to": receiver} for sender, receiver in sorted(links)]


@asynccontextmanager
async def open_fleet(specs: Sequence[NodeSpec]) -> AsyncIterator[Fleet]:
    """Lay the cables and give a fleet of which nothing runs yet; at the end, whatever happened, nothing runs.

    Raises:
        ConfigError: A home is damaged.
        AddressUnavailable: A cable cannot be laid.
    """
    switchboard = Switchboard([read_place(spec) for spec in specs])
    fleet = Fleet(specs, switchboard)
    async with trio.open_nursery() as nursery:
        await nursery.start(switchboard.run)
        try:
            yield fleet
        finally:
            with trio.CancelScope(shield=True):
                await fleet.stop_all()
            nursery.cancel_scope.cancel()
