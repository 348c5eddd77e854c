"""Many whole nodes, those who keep them running, and what is asked of them in the end; one seed is one execution.

Every purpose has its own stream of random numbers, so that a change in one does not shift the others.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from node.errors import ConfigError, NodeError, StoreCorrupt
from node.inbox import INBOX_INPUTS_MAX
from protocol.gossip import Topic
from protocol.units import MemberId
from tests.node.fakes import TrioClock
from tests.sim.cluster import AdversaryHome
from tests.sim.keys import make_keys
from tests.sim.memory_disk import DrawSeconds
from tests.sim.memory_transport import MemoryNetwork
from tests.sim.tier_b.adversary import AdversaryNode
from tests.sim.tier_b.faults import Faults
from tests.sim.tier_b.file_calls import FileCalls
from tests.sim.tier_b.learner import HashLearner
from tests.sim.tier_b.machine import Machine
from tests.sim.tier_b.members import Assembly
from tests.sim.tier_b.operators import Operator
from tests.sim.tier_b.pests import Pest
from tests.sim.tier_b.reckoning import check_bounds, check_end
from tests.sim.tier_b.scenario import Scenario, build_genesis
from tests.sim.tier_b.stepping import Census, Interrupter
from tests.sim.tier_b.watch import Watch
from tests.sim.tier_b.whole import WholeNode

RESTART_S_MAX: Final = 2.0
POLL_S: Final = 0.25
SLOW_WRITE_S_MAX: Final = 3.0
LINK_DELAY_S_MAX: Final = 0.01


@dataclass(slots=True)
class Instruments:
    """What sees every step of every task, and every call on a file."""

    interrupter: Interrupter = field(default_factory=Interrupter)
    census: Census = field(default_factory=Census)
    calls: FileCalls = field(default_factory=FileCalls)
    others: list[trio.abc.Instrument] = field(default_factory=list)


class World:
    """All nodes of one simulated network."""

    def __init__(self, scenario: Scenario, seed: int, directory: Path, instruments: Instruments) -> None:
        self.scenario = scenario
        self.instruments = instruments
        self.genesis = build_genesis(scenario, seed)
        self.watch = Watch(self.genesis)
        self.nodes: list[WholeNode] = []
        """Those that keep the rules of consensus, the absent ones included."""
        self.faults: Faults | None = None
        """Once the world runs."""
        self.pests: list[Pest] = []
        self.endings: list[str] = []
        """How lives ended."""
        self.is_done = False
        """Whether all has come that must come."""
        self.last_words = ""
        """How far every node was in the end."""
        self._directory, self._seed = directory, seed
        self._restart_chance = random.Random(f"restart-{seed}")
        self._keys = {f"node-{index}": keys for index, keys in enumerate(make_keys(scenario.node_count))}
        choice = random.Random(f"choice-{seed}")
        names = list(self._keys)
        self._absent = set(choice.sample(names, scenario.absent_count))
        present = [name for name in names if name not in self._absent]
        self._adversary_name = choice.choice(present) if scenario.adversary is not None else ""
        honest = [name for name in present if name != self._adversary_name]
        self._liars = set(choice.sample(honest, scenario.liar_count))
        self.late_names = set(choice.sample(honest, scenario.late_count))
        self._with_sqlite = set(choice.sample(honest, scenario.sqlite_count))
        self._pest_name = choice.choice(honest) if scenario.has_pest else ""
        self._forgetful_name = choice.choice(honest)
        self.assembly: Assembly | None = None
        """Those who change who takes part, if anybody does."""
        self._keepers: dict[str, object] = {}
        """Who brings which node up again after each end of a life."""

    @property
    def network(self) -> MemoryNetwork:
        """The network, once the world is open."""
        return self._network

    @property
    def present(self) -> list[WholeNode]:
        """The nodes that somebody waits for; whoever has left the network is told nothing any more."""
        gone = None if self.assembly is None or not self.assembly.is_done() else self.assembly.leaver
        return [node for node in self.nodes if node.name not in self._absent and node is not gone]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Make the network and its nodes, all of them down; leaving takes down those that are up."""
        async with trio.open_nursery() as self._nursery:
            members = tuple(founder.member for founder in self.genesis.founders)
            self._network = MemoryNetwork(members=members, nursery=self._nursery)
            self._network.on_publish = self._on_publish
            self.nodes = [self._build_node(name) for name in self._keys if name != self._adversary_name]
            self.watch.nodes = {node.member: node for node in self.nodes}
            self._faults_over = trio.Event()
            self._spoil_links()
            try:
                yield
            finally:
                self.last_words = self.describe()
            self._nursery.cancel_scope.cancel()

    async def run(self) -> None:
        """Run until everything that must come has come.

        Raises:
            AssertionError: Something happened that must not.
        """
        async with self.open():
            faults = self.faults = self._build_faults()
            self.bring_up(*[node for node in self.present if node.name not in self.late_names])
            self._start_adversary()
            self._start_pest()
            self._start_assembly()
            faults.start(self._nursery)
            await trio.sleep(self.scenario.faulty_s)
            faults.heal()
            self.bring_up(*[node for node in self.present if node.name in self.late_names])
            while not self.is_settled():
                await trio.sleep(POLL_S)
                check_bounds(self.watch, self.network, self.instruments.census)
            self.is_done = True
            truthful = [node for node in self.present if node.is_truthful]
            check_end(self.watch, self.network, self.instruments.census, truthful)

    def bring_up(self, *nodes: WholeNode) -> None:
        """Start nodes, and start them again whenever a life ends."""
        for node in nodes:
            keeper = self._keepers[node.name] = object()
            self._nursery.start_soon(self._keep_up, node, keeper)

    def bring_down(self, *nodes: WholeNode) -> None:
        """Cut the power of nodes for good."""
        for node in nodes:
            self._keepers.pop(node.name, None)
            node.lose_power()

    async def wait_rounds(self, count: int, *nodes: WholeNode) -> None:
        """Wait until nodes have settled so many rounds."""
        while not all(node.is_up and node.state.rounds_settled >= count for node in nodes):
            await trio.sleep(POLL_S)

    def is_settled(self) -> bool:
        """Return whether everybody honest is up, has done what there is to do, and stands at one height.

        Whoever lies or floods the others may be refused by them for as long as it goes on.
        """
        nodes = [node for node in self.present if node.is_truthful]
        if not all(node.is_up and node.state.rounds_settled >= self.scenario.rounds for node in nodes):
            return False
        heights = {node.state.height for node in nodes} | {node.machine.get_height() for node in nodes}
        for node in nodes:
            if node.operator is not None:
                node.operator.is_done = True
        return (
            len(heights) == 1
            and not any(node.machine.is_amnesiac for node in nodes)
            and all(node.operator is None or node.operator.waiting_count == 0 for node in nodes)
            and all(self.watch.has_executed_all(node) for node in nodes)
            and (self.assembly is None or self.assembly.is_done())
            and (not self.scenario.convicts or all(self._has_convicted(node) for node in nodes))
        )

    def describe(self) -> str:
        """Return in one line how far every node is."""
        parts = [
            f"{node.name}{'' if node.is_truthful else ' (rude)'}: height {node.state.height}, view"
            f" {node.node.engine.consensus.view}, rounds {node.state.rounds_settled}"
            f"{'' if node.node.engine.explain_silence() is None else ', silent'}"
            if node.is_up
            else f"{node.name}: down"
            for node in self.nodes
        ]
        return f"{'; '.join(parts)}; {self.watch.published} messages, lives ended: {len(self.endings)}"

    def _on_publish(self, sender: MemberId, topic: Topic, message: bytes) -> None:
        self.watch.on_publish(sender, topic, message)
        for pest in self.pests:
            pest.heard.append((topic, message))

    # Those who keep nodes running.

    async def _keep_up(self, node: WholeNode, keeper: object) -> None:
        while self._keepers.get(node.name) is keeper:
            self.watch.note("up", node.name, trio.current_time())
            ending = await node.live()
            self.endings.append(f"{node.name}: {ending}")
            self.watch.note("down", node.name, trio.current_time(), str(type(ending)))
            if ending is not None:
                self._repair(node, ending)
            await trio.sleep(self._restart_chance.random() * RESTART_S_MAX)

    def _repair(self, node: WholeNode, ending: NodeError) -> None:
        """Do what the operator of a node does who reads why it ended."""
        node.machine.endure(ending)
        node.machine.make_space()
        is_refused = not node.has_started and isinstance(ending, StoreCorrupt | ConfigError)
        if is_refused:
            node.machine.lose_database()

    def _has_convicted(self, node: WholeNode) -> bool:
        return {account.member for account in node.state.accounts if account.is_jailed} == {
            self._keys[self._adversary_name].key.member
        }

    # What a world is made of.

    def _build_node(self, name: str) -> WholeNode:
        keys, scenario = self._keys[name], self.scenario
        chance = random.Random(f"{name}-{self._seed}")
        member = keys.key.member
        operator = Operator(random=random.Random(f"operator-{name}-{self._seed}")) if scenario.has_operators else None
        return WholeNode(
            name=name,
            genesis=self.genesis,
            keys=keys,
            network=self.network,
            machine=self._build_machine(name),
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
            is_pest=name == self._pest_name,
            operator=operator,
        )

    def _build_machine(self, name: str) -> Machine:
        return Machine(
            genesis=self.genesis,
            member=self._keys[name].key.member,
            directory=self._directory / name,
            draw_write_s=self._make_draw_write_s(random.Random(f"disk-{name}-{self._seed}")),
            snapshot_interval_blocks=self.scenario.snapshot_interval_blocks,
            has_sqlite=name in self._with_sqlite,
            has_first_model=name not in self.late_names,
        )

    def _make_draw_write_s(self, chance: random.Random) -> DrawSeconds:
        scenario = self.scenario

        def draw_write_s() -> float:
            is_slow = chance.random() < scenario.slow_writes
            return chance.random() * SLOW_WRITE_S_MAX if is_slow else scenario.write_s

        return draw_write_s

    def _build_faults(self) -> Faults:
        return Faults(
            scenario=self.scenario,
            nodes=self.present,
            network=self.network,
            interrupter=self.instruments.interrupter,
            calls=self.instruments.calls,
            chance=random.Random(f"fault-{self._seed}"),
            forgetful=next(node for node in self.nodes if node.name == self._forgetful_name),
            is_over=self._faults_over,
        )

    def _start_adversary(self) -> None:
        if self.scenario.adversary is None:
            return
        names = list(self._keys)
        clock = TrioClock()
        home = AdversaryHome(
            genesis=self.genesis,
            keys=self._keys[self._adversary_name],
            index=names.index(self._adversary_name),
            node_count=len(names),
            adversaries=frozenset({names.index(self._adversary_name)}),
            seed=self._seed,
            started_ms=clock.get_now_ms(),
        )
        adversary = AdversaryNode(network=self.network, home=home, make=self.scenario.adversary, clock=clock)
        self._nursery.start_soon(adversary.run)

    def _start_assembly(self) -> None:
        if self.scenario.changes_members:
            chance = random.Random(f"members-{self._seed}")
            *founders, newcomer = self.nodes
            self.assembly = Assembly(
                nodes=self.nodes,
                newcomer=newcomer,
                leaver=chance.choice(founders),
                ask_s=chance.random() * 3.0,
                leave_s=chance.random() * 6.0,
            )
            self._nursery.start_soon(self.assembly.run)

    def _start_pest(self) -> None:
        for node in self.present:
            if node.is_pest:
                pest = Pest(node=node, random=random.Random(f"pest-{self._seed}"), until=self._faults_over)
                self.pests.append(pest)
                self._nursery.start_soon(pest.run)

    def _spoil_links(self) -> None:
        chance, scenario = random.Random(f"network-{self._seed}"), self.scenario

        def draw_copies() -> tuple[float, ...]:
            is_lost, is_doubled = chance.random() < scenario.loss, chance.random() < scenario.duplication
            count = 1
            if not self._faults_over.is_set():
                count = 0 if is_lost else 1 + is_doubled
            return tuple(chance.random() * scenario.delay_s_max for _ in range(count))

        members = [keys.key.member for keys in self._keys.values()]
        for source in members:
            for target in members:
                if source is not target:
                    link = self.network.get_link(source, target)
                    link.delay_s = chance.random() * LINK_DELAY_S_MAX
                    link.draw_copies = draw_copies
