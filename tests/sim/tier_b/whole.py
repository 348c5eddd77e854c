"""One whole node and its lives: what a daemon runs, on a simulated machine, network, clock and learner."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from node.assembly import Ground, Node
from node.blocking import run_inline
from node.errors import NodeError
from node.failures import raise_cause
from node.inbox import INBOX_INPUTS_MAX
from node.observations import Watcher
from node.ports import Store
from protocol.genesis import Genesis
from protocol.ledger.state import LedgerState
from protocol.observations import Observation, VotingResumed, VotingSuspended
from protocol.units import MemberId, Millis
from tests.node.fakes import TrioClock
from tests.sim.keys import NodeKeys
from tests.sim.memory_transport import MemoryNetwork, MemoryTransport
from tests.sim.tier_b.learner import HashLearner
from tests.sim.tier_b.liars import make_liar
from tests.sim.tier_b.machine import Machine
from tests.sim.tier_b.operators import Operator
from tests.sim.tier_b.stepping import NODE

CONNECTED_POLL_S: Final = 0.05


@dataclass(slots=True, kw_only=True)
class WholeNode:
    """One node over all its lives."""

    name: str
    genesis: Genesis
    keys: NodeKeys
    network: MemoryNetwork
    machine: Machine
    clock: TrioClock
    learner: HashLearner
    chance: random.Random
    """For the lies that it tells."""
    inbox_inputs_max: int = INBOX_INPUTS_MAX
    is_liar: bool = False
    is_pest: bool = False
    operator: Operator | None = None
    refused_count: int = 0
    """Inputs that found the inbox full, over all lives."""
    told: VotingSuspended | VotingResumed | None = None
    """The last that this life's people heard about its voting (C10)."""
    while_down: list[Callable[[], None]] = field(default_factory=list)
    """What happens to the machine before the next life."""
    has_started: bool = False
    """Whether the last life got as far as the network."""
    _node: Node | None = None
    _watcher: Watcher | None = None
    _scope: trio.CancelScope | None = None
    _transports: list[MemoryTransport] = field(default_factory=list)
    _has_lost_power: bool = False

    @property
    def member(self) -> MemberId:
        """The member that runs this node."""
        return self.keys.key.member

    @property
    def is_truthful(self) -> bool:
        """Whether the others have nothing to hold against it."""
        return not (self.is_liar or self.is_pest)

    @property
    def now_ms(self) -> Millis:
        """This node's wall clock."""
        return self.clock.get_now_ms()

    @property
    def is_up(self) -> bool:
        """Whether the node takes part."""
        return self._node is not None

    @property
    def node(self) -> Node:
        """The present life's node."""
        assert self._node is not None
        return self._node

    @property
    def state(self) -> LedgerState:
        """The ledger of the present life."""
        return self.node.engine.state

    @property
    def store(self) -> Store:
        """The ledger on the disk of the present life."""
        assert self.machine.store is not None
        return self.machine.store

    @property
    def transport(self) -> MemoryTransport:
        """The present life's end of the network."""
        return self._transports[-1]

    @property
    def scores(self) -> dict[MemberId, int]:
        """The most that any life ever held against each of the others."""
        worst: dict[MemberId, int] = {}
        for transport in self._transports:
            for member, score in transport.scores.items():
                worst[member] = min(score, worst.get(member, 0))
        return worst

    def lose_power(self) -> None:
        """End this life at once; nothing that its tasks still do has an effect."""
        if self._scope is not None and not self._has_lost_power:
            self._has_lost_power = True
            self.network.detach(self.member)
            self.machine.cut_power()
            self._scope.cancel()

    def stop(self) -> None:
        """End this life as SIGTERM does: by cancelling it, wherever it is."""
        if self._scope is not None:
            self._scope.cancel()

    def take_observations(self) -> list[Observation]:
        """Return what people were told since the last call."""
        taken: list[Observation] = []
        while self._watcher is not None:
            try:
                taken.append(self._watcher._receive.receive_nowait())
            except trio.WouldBlock:
                break
        for observation in taken:
            if isinstance(observation, VotingSuspended | VotingResumed):
                self.told = observation
        return taken

    async def live(self) -> NodeError | None:
        """Be up until stopped, and return the error that ended this life, if one did.

        Raises:
            InvariantViolation: It found a mistake of its own.
        """
        for action in self.while_down:
            action()
        self.while_down.clear()
        self.machine.prepare()
        self._has_lost_power = self.has_started = False
        self.told = None
        ending: NodeError | None = None
        mark = NODE.set(self.name)
        try:
            with trio.CancelScope() as self._scope, raise_cause():
                await self._serve()
        except NodeError as error:
            # What a dying node cannot write any more is no failure.
            ending = None if self._has_lost_power else error
        finally:
            NODE.reset(mark)
            self.network.detach(self.member)
            self._scope = self._node = self._watcher = None
        return ending

    async def _serve(self) -> None:
        store = self.machine.open_store()
        try:
            artifacts = await self.machine.open_artifacts()
            node = Node(
                Ground(
                    genesis=self.genesis,
                    key=self.keys.key,
                    bls_key=self.keys.bls_key,
                    salt_secret=self.keys.salt_secret,
                    store=store,
                    artifacts=artifacts,
                    clock=self.clock,
                    run_blocking=run_inline,
                    inbox_inputs_max=self.inbox_inputs_max,
                )
            )
            services = make_liar(node.services, self.chance) if self.is_liar else node.services
            self._transports.append(self.network.attach(self.member, gossip=node.gate.admit, services=services))
            self._node, self.has_started = node, True
            try:
                await self._run(node)
            finally:
                self.refused_count += node.inbox.refused_count
        finally:
            self.machine.close_store()

    async def _run(self, node: Node) -> None:
        workbench = node.build_workbench(self.learner, self.transport)
        with node.hub.watch() as self._watcher:
            async with trio.open_nursery() as nursery:
                if self.operator is not None:
                    nursery.start_soon(self.operator.work, node.submissions.submit, self.store)
                await node.run(workbench, self.transport, self._wait_connected)

    async def _wait_connected(self, count: int) -> None:
        while sum(peer.is_connected for peer in self.transport.get_peers()) < count:
            await trio.sleep(CONNECTED_POLL_S)
