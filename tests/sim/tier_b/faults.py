"""What goes wrong in a run, when and to whom, until everything heals.

A fault that ends a life comes after a number of steps of the node's own tasks and not at a time, so that it comes at
any await, between any write and any message.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from tests.sim.memory_disk import Failure
from tests.sim.memory_transport import MemoryNetwork
from tests.sim.tier_b.file_calls import FileCalls
from tests.sim.tier_b.scenario import AMNESIA, Scenario, Strike
from tests.sim.tier_b.stepping import Interrupter
from tests.sim.tier_b.whole import WholeNode

STEPS_TO_FAULT_MAX: Final = 60
WRITES_TO_FAULT_MAX: Final = 20
CALLS_TO_FAULT_MAX: Final = 6
BLACK_OUT_S_MAX: Final = 0.4
PARTITION_S_MAX: Final = 3.0
BACKUP_AGE_S_MAX: Final = 3.0
CLOCK_STEPS_MS: Final = (1_500, 20_000, 86_400_000)
"""A nudge, a wrong clock, a wrong day; in either direction."""


@dataclass(slots=True, kw_only=True)
class Faults:
    """Strikes the nodes of one run."""

    scenario: Scenario
    nodes: list[WholeNode]
    """Those that may be struck."""
    network: MemoryNetwork
    interrupter: Interrupter
    calls: FileCalls
    chance: random.Random
    forgetful: WholeNode
    """The one that loses its votes, if anybody does."""
    is_over: trio.Event = field(default_factory=trio.Event)
    skews_ms: dict[str, int] = field(default_factory=dict)
    """How wrong each clock is by itself."""
    struck: Counter[Strike] = field(default_factory=Counter)
    """What has happened so far."""

    def start(self, nursery: trio.Nursery) -> None:
        """Let every strike of the scenario happen at some time."""
        self.skews_ms = {node.name: node.clock.shift_ms for node in self.nodes}
        for strike, count in self.scenario.strikes.items():
            for _ in range(count):
                nursery.start_soon(self._strike_once, strike, self.chance.random() * self.scenario.faulty_s)

    def heal(self) -> None:
        """End everything that went wrong and still does."""
        self.is_over.set()
        self.interrupter.disarm()
        self.calls.forget_failures()
        for link in self.network.links.values():
            link.is_cut = link.is_deaf = False
            link.thaw()
        for node in self.nodes:
            node.machine.make_space()
            node.clock.shift_ms = self.skews_ms[node.name]

    async def _strike_once(self, strike: Strike, after_s: float) -> None:
        await trio.sleep(after_s)
        if self.is_over.is_set():
            return
        self.struck[strike] += 1
        node = self.forgetful if strike in AMNESIA else self.chance.choice(self.nodes)
        if strike in AMNESIA:
            await self._strike_memory(strike, node)
        elif strike in {Strike.CUT, Strike.FREEZE, Strike.PARTITION, Strike.ONE_WAY_PARTITION, Strike.CLOCK_STEP}:
            await self._strike_surroundings(strike, node)
        else:
            await self._strike_machine(strike, node)

    async def _strike_machine(self, strike: Strike, node: WholeNode) -> None:
        match strike:
            case Strike.POWER_CUT:
                self._interrupt(node, node.lose_power)
            case Strike.STOP:
                self._interrupt(node, node.stop)
            case Strike.BLACK_OUT:
                for other in self.nodes:
                    await trio.sleep(self.chance.random() * BLACK_OUT_S_MAX / len(self.nodes))
                    other.lose_power()
            case Strike.FULL_DISK:
                self._fill_disk(node)
            case Strike.BROKEN_DISK:
                failure = self.chance.choice(list(Failure))
                node.machine.break_disk(failure, after_writes=self.chance.randint(0, WRITES_TO_FAULT_MAX))
            case Strike.FILE_FAILURE:
                node.machine.troubles_count += 1
                after_calls, is_full = self.chance.randint(0, CALLS_TO_FAULT_MAX), self.chance.random() < 0.5
                self.calls.plan_failure(node.name, after_calls=after_calls, is_full=is_full)
            case _:
                raise AssertionError(f"{strike} is no fault of a machine")

    async def _strike_memory(self, strike: Strike, node: WholeNode) -> None:
        machine = node.machine
        match strike:
            case Strike.DAMAGE:
                node.while_down.append(lambda: machine.damage(self.chance))
                node.stop()
            case Strike.LOST_DATABASE:
                node.while_down.append(machine.lose_database)
                self._interrupt(node, node.lose_power)
            case Strike.LOST_MARKER:
                node.while_down.append(machine.lose_marker)
                self._interrupt(node, node.lose_power)
            case Strike.OLD_BACKUP:
                machine.back_up()
                await trio.sleep(self.chance.random() * BACKUP_AGE_S_MAX)
                node.while_down.append(machine.restore_backup)
                self._interrupt(node, node.lose_power)
            case _:
                raise AssertionError(f"{strike} costs nobody's memory")

    async def _strike_surroundings(self, strike: Strike, node: WholeNode) -> None:
        match strike:
            case Strike.CUT:
                self._cut_off(node)
            case Strike.FREEZE:
                self._freeze(node)
            case Strike.PARTITION:
                await self._part(self._cut)
            case Strike.ONE_WAY_PARTITION:
                await self._part(self._deafen)
            case Strike.CLOCK_STEP:
                step_ms = self.chance.choice(CLOCK_STEPS_MS) * self.chance.choice((-1, 1))
                node.clock.shift_ms += round(step_ms * self.chance.random())
            case _:
                raise AssertionError(f"{strike} is no fault of the surroundings")

    def _interrupt(self, node: WholeNode, action: Callable[[], None]) -> None:
        self.interrupter.arm(node.name, steps=self.chance.randint(1, STEPS_TO_FAULT_MAX), action=action)

    def _fill_disk(self, node: WholeNode) -> None:
        if not node.is_up:
            return
        if self.chance.random() < 0.5:
            node.machine.fill_disk()
        else:
            node.machine.troubles_count += 1
            node.machine.is_artifact_disk_full = True

    def _cut_off(self, node: WholeNode) -> None:
        """Disconnect a node from most of the others."""
        for other in self.nodes:
            if other is not node and self.chance.random() < 0.8:
                self.network.cut(node.member, other.member)

    def _freeze(self, node: WholeNode) -> None:
        """Freeze what a node sends, or what it receives, or both."""
        directions = self.chance.choice(((True, False), (False, True), (True, True)))
        for other in self.nodes:
            if other is not node:
                for is_frozen, ends in zip(directions, ((node, other), (other, node)), strict=True):
                    if is_frozen:
                        self.network.get_link(ends[0].member, ends[1].member).freeze()

    async def _part(self, sever: Callable[[WholeNode, WholeNode], None]) -> None:
        """Let the network fall into two or three groups for a while."""
        group_count = self.chance.choice((2, 2, 3))
        groups = {node.name: self.chance.randrange(group_count) for node in self.nodes}
        for one in self.nodes:
            for other in self.nodes:
                if groups[one.name] < groups[other.name]:
                    sever(one, other)
        with trio.move_on_after(self.chance.random() * PARTITION_S_MAX):
            await self.is_over.wait()
        for link in self.network.links.values():
            link.is_cut = link.is_deaf = False

    def _cut(self, one: WholeNode, other: WholeNode) -> None:
        self.network.cut(one.member, other.member)

    def _deafen(self, one: WholeNode, other: WholeNode) -> None:
        self.network.get_link(one.member, other.member).is_deaf = True
