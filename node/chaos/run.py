"""One run of chaos, from the first daemon to the last check: start, trouble, mend, recover, stop, compare."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import trio

from node.chaos.checks import check_audits, check_endings, check_ledgers, check_logs, read_ledger
from node.chaos.findings import Findings
from node.chaos.plan import Kind, Trouble, build_plan
from node.chaos.progress import Progress
from node.demo.findings import Check
from node.errors import NodeError
from node.fleet.fleet import Fleet, open_fleet
from node.fleet.switchboard import Link
from node.json_values import get_int
from node.testnet import NodeSpec

SAMPLE_INTERVAL_S: Final = 0.5
BEGIN_WAIT_S: Final = 180.0
RECOVERY_WAIT_S: Final = 180.0
"""After everything is mended, all nodes must be together again by then, and go on."""
STANDSTILL_MAX_S: Final = 90.0
"""Without a block for so long although no storm is on, the run has failed."""
ROUNDS_AFTERWARDS: Final = 2
"""So many rounds must settle on every node after everything is mended."""

Say: TypeAlias = Callable[[str], None]
"""Tells people what happens, a line at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosOrder:
    """What to run."""

    directory: Path
    specs: tuple[NodeSpec, ...]
    """Homes on which nothing runs."""
    seconds: int
    """How long there is trouble."""
    seed: int


class Chaos:
    """One run."""

    def __init__(self, order: ChaosOrder, say: Say) -> None:
        """Draw the plan; nothing happens before :meth:`run`."""
        self._order = order
        self._plan = build_plan([spec.name for spec in order.specs], seconds=order.seconds, seed=order.seed)
        self._say_line = say
        self._started_s = time.monotonic()
        self._progress = Progress(now_s=self._started_s)
        self._cuts: list[frozenset[Link]] = []
        self._begun_count = 0
        self._failures: list[str] = []
        self._giving_up = trio.CancelScope()

    async def run(self) -> Findings:
        """Run to the end and return what was found.

        Raises:
            NodeError: The network did not come up in the first place; the message says why.
        """
        async with open_fleet(self._order.specs) as fleet:
            self._say("starting")
            await self._bring_up(fleet)
            with self._giving_up:
                await self._trouble(fleet)
            self._say("stopping")
            await fleet.stop_all()
            endings = [*fleet.endings, *fleet.find_fallen()]
        self._say("comparing and auditing ledgers")
        live = Check(
            name="rounds go on", holds=not self._failures, detail="; ".join(self._failures) or self._describe_height()
        )
        offline = await trio.to_thread.run_sync(self._check_homes)
        checks = (live, *offline, check_endings(endings), check_logs(self._order.specs))
        return self._build_findings(checks)

    async def _bring_up(self, fleet: Fleet) -> None:
        await fleet.do_to_all(fleet.nodes, fleet.start)
        await fleet.do_to_all(fleet.nodes, fleet.wait_ready)
        with trio.move_on_after(BEGIN_WAIT_S):
            while len(self._progress.rounds) < len(fleet.nodes) or min(self._progress.rounds.values()) < 1:
                await self._sample(fleet)
                await trio.sleep(SAMPLE_INTERVAL_S)
            return
        raise NodeError(f"no round settled on all nodes within {BEGIN_WAIT_S:.0f} s; the logs are in the homes")

    async def _trouble(self, fleet: Fleet) -> None:
        """Let everything of the plan happen, mend it all, and wait until the network is well."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, fleet)
            begin_s = trio.current_time()
            async with trio.open_nursery() as troubles:
                for trouble in self._plan:
                    troubles.start_soon(self._undergo, fleet, trouble, begin_s)
            await trio.sleep_until(begin_s + self._order.seconds)
            self._say("all mended; waiting for the nodes to come together")
            await self._wait_well(fleet)
            nursery.cancel_scope.cancel()

    async def _undergo(self, fleet: Fleet, trouble: Trouble, begin_s: float) -> None:
        await trio.sleep_until(begin_s + trouble.begins_ms / 1_000)
        self._begun_count += 1
        self._say(f"{trouble.what}{' (storm)' if trouble.is_storm else ''}")
        self._progress.note_trouble(trouble.names)
        if trouble.is_storm:
            self._progress.set_storm(is_storm=True, now_s=time.monotonic())
        await self._begin(fleet, trouble)
        await trio.sleep_until(begin_s + trouble.ends_ms / 1_000)
        await self._end(fleet, trouble)
        self._say(f"over: {trouble.what}")
        if trouble.is_storm:
            self._progress.set_storm(is_storm=False, now_s=time.monotonic())
        lasted_s = (trouble.ends_ms - trouble.begins_ms) / 1_000
        self._progress.note_end(f"{trouble.what}, {lasted_s:.1f} s", trouble.names, now_s=time.monotonic())

    async def _begin(self, fleet: Fleet, trouble: Trouble) -> None:
        match trouble.kind:
            case Kind.KILL:
                await fleet.do_to_all(trouble.names, fleet.kill)
            case Kind.RESTART:
                # A daemon that does not answer yet could not do as it is told.
                answering = await fleet.ask_statuses()
                await fleet.do_to_all([name for name in trouble.names if name in answering], fleet.stop)
                await fleet.do_to_all(trouble.names, fleet.kill)
            case Kind.PAUSE:
                await fleet.do_to_all(trouble.names, fleet.suspend)
            case Kind.CUT:
                self._cuts.append(trouble.links)
                fleet.switchboard.set_cuts(frozenset().union(*self._cuts))

    async def _end(self, fleet: Fleet, trouble: Trouble) -> None:
        match trouble.kind:
            case Kind.KILL | Kind.RESTART:
                await fleet.do_to_all(trouble.names, fleet.start)
            case Kind.PAUSE:
                await fleet.do_to_all(trouble.names, fleet.resume)
            case Kind.CUT:
                self._cuts.remove(trouble.links)
                fleet.switchboard.set_cuts(frozenset().union(*self._cuts))

    async def _watch(self, fleet: Fleet) -> None:
        """Sample all heights until cancelled; give up when a daemon has fallen or nothing moves any more."""
        while True:
            await self._sample(fleet)
            for ending in fleet.find_fallen():
                last = fleet.nodes[ending.name].read_log_tail().rstrip().rpartition("\n")[2]
                self._give_up(f"{ending.name} ended by itself with exit code {ending.exit_code}: {last}")
            if self._progress.get_standstill_s(time.monotonic()) > STANDSTILL_MAX_S:
                self._give_up(f"no block for {STANDSTILL_MAX_S:.0f} s at height {self._progress.height}")
            await trio.sleep(SAMPLE_INTERVAL_S)

    async def _sample(self, fleet: Fleet) -> None:
        statuses = await fleet.ask_statuses()
        heights = {name: get_int(status["height"]) for name, status in statuses.items()}
        rounds = {name: get_int(status["rounds_settled"]) for name, status in statuses.items()}
        for line in self._progress.note_heights(heights, rounds, now_s=time.monotonic()):
            self._say(line)

    async def _wait_well(self, fleet: Fleet) -> None:
        """Return once every node has every block of now, and rounds that settled since."""
        height, settled = self._progress.height, self._progress.settled + ROUNDS_AFTERWARDS
        progress = self._progress
        with trio.move_on_after(RECOVERY_WAIT_S):
            while min(progress.heights.values()) < height or min(progress.rounds.values()) < settled:
                await trio.sleep(SAMPLE_INTERVAL_S)
            self._say("all nodes are together again")
            return
        behind = [name for name in fleet.nodes if progress.rounds[name] < settled]
        self._give_up(f"{' '.join(behind)} not back within {RECOVERY_WAIT_S:.0f} s after everything was mended")

    def _give_up(self, reason: str) -> None:
        self._say(f"FAILED: {reason}")
        self._failures.append(reason)
        self._giving_up.cancel()

    def _check_homes(self) -> tuple[Check, ...]:
        specs = self._order.specs
        ledgers = {spec.name: read_ledger(spec.home) for spec in specs}
        reached = min(self._progress.heights.values())
        return (check_ledgers(ledgers, reached=reached), *check_audits(specs, ledgers))

    def _build_findings(self, checks: Sequence[Check]) -> Findings:
        return Findings(
            seed=self._order.seed,
            node_count=len(self._order.specs),
            seconds=self._order.seconds,
            trouble_count=self._begun_count,
            height=min(self._progress.heights.values()),
            rounds=min(self._progress.rounds.values()),
            slowest_recovery=self._progress.slowest,
            longest_standstill_s=self._progress.longest_standstill_s,
            checks=tuple(checks),
            elapsed_s=time.monotonic() - self._started_s,
            directory=str(self._order.directory),
        )

    def _describe_height(self) -> str:
        return f"{min(self._progress.rounds.values())} settled on all nodes"

    def _say(self, text: str) -> None:
        elapsed_s = time.monotonic() - self._started_s
        self._say_line(f"{elapsed_s:7.1f} s  height {self._progress.height:>5}  {text}")
