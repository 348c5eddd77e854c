"""Many whole nodes, and everything that goes wrong around them until it heals; one seed is one execution.

Every purpose has its own stream of random numbers. A fault that ends a life comes after a number of steps of the node's
own tasks and not at a time, so that it comes at any await, between any write and any message.
"""

import logging
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import structlog
import trio

from node.errors import DiskFull
from node.inbox import INBOX_INPUTS_MAX
from protocol.genesis import Genesis
from protocol.learning.artifact_format import ModelSchema, TensorDtype, TensorSpec
from protocol.parameters import Parameters
from protocol.units import Millis, Round
from tests.node.fakes import TrioClock
from tests.sim.keys import make_genesis, make_keys
from tests.sim.memory_transport import MemoryNetwork
from tests.sim.tier_b.learner import HashLearner, compute_artifact_name, make_first_model
from tests.sim.tier_b.machine import WRITE_S, Machine
from tests.sim.tier_b.watch import Watch
from tests.sim.tier_b.whole import NODE, WholeNode

PARAMETERS: Final = Parameters(
    proposer_count=1,
    timeout_view_ms=Millis(500),
    timeout_view_max_ms=Millis(4_000),
    train_deadline_ms=Millis(4_000),
    seal_deadline_ms=Millis(4_000),
    reveal_deadline_ms=Millis(4_000),
    clock_drift_max_ms=Millis(2_000),
)
STEPS_TO_FAULT_MAX: Final = 60
RESTART_S_MAX: Final = 2.0
POLL_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of execution."""

    node_count: int = 4
    rounds: int = 3
    weight_count: int = 8
    """Parameters of the model; 70,000 make it two chunks long."""
    sqlite_count: int = 0
    """So many nodes have the real store, the others the simulated one."""
    faulty_s: float = 6.0
    """Faults end here; until then only safety is asked for."""
    virtual_s_max: float = 150.0
    """By this virtual time everything must be done."""
    loss: float = 0.0
    duplication: float = 0.0
    delay_s_max: float = 0.03
    clock_skew_ms_max: int = 0
    power_cuts: int = 0
    stops: int = 0
    full_disks: int = 0
    cuts: int = 0
    freezes: int = 0
    liar_count: int = 0
    """Members that lie about blocks, progress and artifacts."""
    small_inboxes: bool = False
    write_s: float = WRITE_S
    """How long a disk takes for a batch."""
    worker_failures: float = 0.0
    late_count: int = 0
    """Nodes without the initial model that start when the faults are over."""


@dataclass(slots=True, eq=False)
class Interrupter(trio.abc.Instrument):
    """Does something to a node when its tasks have taken a number of steps more."""

    _armed: dict[str, tuple[int, Callable[[], None]]] = field(default_factory=dict)

    def arm(self, name: str, *, steps: int, action: Callable[[], None]) -> None:
        """Wait for so many steps of a node."""
        self._armed[name] = (steps, action)

    def disarm(self) -> None:
        """Leave everybody alone."""
        self._armed.clear()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step."""
        name = task.context.get(NODE)
        if name is None or name not in self._armed:
            return
        steps, action = self._armed.pop(name)
        if steps > 1:
            self._armed[name] = (steps - 1, action)
        else:
            action()


class World:
    """All nodes of one simulated network."""

    def __init__(self, scenario: Scenario, seed: int, directory: Path, interrupter: Interrupter) -> None:
        self.scenario = scenario
        self._interrupter = interrupter
        self._network_chance = random.Random(f"network-{seed}")
        self._fault_chance = random.Random(f"fault-{seed}")
        keys = make_keys(scenario.node_count)
        self.genesis = build_genesis(scenario, seed)
        self.watch = Watch(self.genesis)
        choice = random.Random(f"choice-{seed}")
        names = [f"node-{index}" for index in range(scenario.node_count)]
        self._liars = set(choice.sample(names, scenario.liar_count))
        self._late = set(choice.sample(names, scenario.late_count))
        self._with_sqlite = set(choice.sample(names, scenario.sqlite_count))
        self._directory, self._seed = directory, seed
        self._keys = dict(zip(names, keys, strict=True))
        self.nodes: list[WholeNode] = []
        self._healed = trio.Event()
        self.endings: list[str] = []

    async def run(self) -> None:
        """Run until everything that must come has come.

        Raises:
            AssertionError: Something happened that must not.
        """
        async with trio.open_nursery() as nursery:
            network = MemoryNetwork(members=tuple(keys.key.member for keys in self._keys.values()), nursery=nursery)
            network.on_publish = self.watch.on_publish
            self.nodes = [self._build_node(name, network) for name in self._keys]
            self.watch.nodes = {node.member: node for node in self.nodes}
            self._spoil_links(network)
            for node in self.nodes:
                nursery.start_soon(self._keep_up, node)
            self._start_faults(nursery, network)
            await trio.sleep(self.scenario.faulty_s)
            self._heal(network)
            while not self.is_settled():
                await trio.sleep(POLL_S)
            self.watch.check_end()
            nursery.cancel_scope.cancel()

    def is_settled(self) -> bool:
        """Return whether everybody is up, has settled all rounds, and stands at one height."""
        return ( all(node.is_up for node in self.nodes) and all(node.state.rounds_settled >= self.scenario.rounds for
        node in self.nodes) and len({node.state.height for node in self.nodes} | {node.machine.get_height() for node
        in self.nodes}) == 1 )

    def describe(self) -> str:
        """Return in one line how far every node is."""
        parts = [
            f"{node.name}: height {node.state.height}, rounds {node.state.rounds_settled}"
            if node.is_up
            else f"{node.name}: down"
            for node in self.nodes
        ]
        return f"{'; '.join(parts)}; {self.watch.published} messages, lives ended: {len(self.endings)}"

    async def _keep_up(self, node: WholeNode) -> None:
        if node.name in self._late:
            await self._healed.wait()
        while True:
            self.watch.note("up", node.name, trio.current_time())
            ending = await node.live()
            if ending is not None and not isinstance(ending, DiskFull):
                raise ending
            self.endings.append(f"{node.name}: {ending}")
            self.watch.note("down", node.name, trio.current_time(), str(type(ending)))
            await trio.sleep(self._fault_chance.random() * RESTART_S_MAX)
            node.machine.make_space()

    def _build_node(self, name: str, network: MemoryNetwork) -> WholeNode:
        keys, scenario = self._keys[name], self.scenario
        chance = random.Random(f"{name}-{self._seed}")
        member = keys.key.member
        return WholeNode(
            name=name,
            genesis=self.genesis,
            keys=keys,
            network=network,
            machine=Machine(
                genesis=self.genesis,
                member=member,
                directory=self._directory / name,
                has_sqlite=name in self._with_sqlite,
                has_first_model=name not in self._late,
                write_s=scenario.write_s,
            ),
            clock=TrioClock(shift_ms=chance.randint(0, scenario.clock_skew_ms_max)),
            learner=HashLearner(
                schema=self.genesis.schema,
                member=member,
                random=random.Random(f"learner-{name}-{self._seed}"),
                failure_share=scenario.worker_failures,
            ),
            chance=chance,
            inbox_inputs_max=chance.choice((1, 2, 4)) if scenario.small_inboxes else INBOX_INPUTS_MAX,
            is_liar=name in self._liars,
        )

    # What goes wrong.

    def _spoil_links(self, network: MemoryNetwork) -> None:
        chance, scenario = self._network_chance, self.scenario

        def draw_copies() -> tuple[float, ...]:
            is_lost, is_doubled = chance.random() < scenario.loss, chance.random() < scenario.duplication
            count = 1
            if not self._healed.is_set():
                count = 0 if is_lost else 1 + is_doubled
            return tuple(chance.random() * scenario.delay_s_max for _ in range(count))

        for source in self.nodes:
            for target in self.nodes:
                if source is not target:
                    link = network.get_link(source.member, target.member)
                    link.delay_s = chance.random() * 0.01
                    link.draw_copies = draw_copies

    def _start_faults(self, nursery: trio.Nursery, network: MemoryNetwork) -> None:
        scenario = self.scenario
        kinds = (
            (scenario.power_cuts, lambda node: self._interrupt(node, node.lose_power)),
            (scenario.stops, lambda node: self._interrupt(node, node.stop)),
            (scenario.full_disks, self._fill_disk),
            (scenario.cuts, partial(self._cut_off, network)),
            (scenario.freezes, partial(self._freeze, network)),
        )
        for count, strike in kinds:
            for _ in range(count):
                nursery.start_soon(self._strike_once, strike, self._fault_chance.random() * scenario.faulty_s)

    async def _strike_once(self, strike: Callable[[WholeNode], None], after_s: float) -> None:
        await trio.sleep(after_s)
        if not self._healed.is_set():
            strike(self._fault_chance.choice(self.nodes))

    def _interrupt(self, node: WholeNode, action: Callable[[], None]) -> None:
        self._interrupter.arm(node.name, steps=self._fault_chance.randint(1, STEPS_TO_FAULT_MAX), action=action)

    def _fill_disk(self, node: WholeNode) -> None:
        if not node.is_up:
            return
        if self._fault_chance.random() < 0.5:
            node.machine.fill_disk()
        else:
            node.machine.is_artifact_disk_full = True

    def _cut_off(self, network: MemoryNetwork, node: WholeNode) -> None:
        """Cut a node off from some of the others, in one direction, which breaks both."""
        for other in self.nodes:
            if other is not node:
                network.get_link(node.member, other.member).is_cut = self._fault_chance.random() < 0.8

    def _freeze(self, network: MemoryNetwork, node: WholeNode) -> None:
        """Freeze what a node sends, or what it receives, or both."""
        directions = self._fault_chance.choice(((True, False), (False, True), (True, True)))
        for other in self.nodes:
            if other is not node:
                for is_frozen, ends in zip(directions, ((node, other), (other, node)), strict=True):
                    if is_frozen:
                        network.get_link(ends[0].member, ends[1].member).freeze()

    def _heal(self, network: MemoryNetwork) -> None:
        self._healed.set()
        self._interrupter.disarm()
        for link in network.links.values():
            link.is_cut = False
            link.thaw()
        for node in self.nodes:
            node.machine.make_space()


def build_genesis(scenario: Scenario, seed: int) -> Genesis:
    """Return the genesis document of a scenario, with an initial model that exists."""
    parameters = replace(PARAMETERS, rounds_max=Round(scenario.rounds))
    genesis = make_genesis(make_keys(scenario.node_count), parameters, seed=seed)
    weight = TensorSpec(name="weight", shape=(scenario.weight_count,), dtype=TensorDtype.F32, is_trainable=True)
    schema = ModelSchema(tensors=(weight,))
    model = make_first_model(schema)
    return replace(genesis, schema=schema, model_digest=compute_artifact_name(model), model_bytes=len(model))


@contextmanager
def quick_and_silent() -> Iterator[None]:
    """Log nothing and flush nothing while the context is open.

    Thousands of lines about simulated misfortune help nobody. What loses power here is simulated, the machine below is
    not, so waiting for its disk proves nothing (SQLite still does).
    """
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        try:
            yield
        finally:
            structlog.configure(**before)
