"""One whole node and its lives: what a daemon runs, on a simulated machine, network, clock and learner."""

import random
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

import trio

from node.assembly import Ground, Node
from node.blocking import run_inline
from node.errors import NodeError
from node.failures import raise_cause
from node.inbox import INBOX_INPUTS_MAX
from protocol.genesis import Genesis
from protocol.ledger.state import LedgerState
from protocol.units import MemberId, Millis
from tests.node.fakes import TrioClock
from tests.sim.keys import NodeKeys
from tests.sim.memory_transport import MemoryNetwork, MemoryTransport
from tests.sim.tier_b.learner import HashLearner
from tests.sim.tier_b.liars import make_liar
from tests.sim.tier_b.machine import Machine

CONNECTED_POLL_S: Final = 0.05

NODE: ContextVar[str] = ContextVar("NODE")
"""The name of the node that a task belongs to."""


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
    refused_count: int = 0
    """Inputs that found the inbox full, over all lives."""
    _node: Node | None = None
    _scope: trio.CancelScope | None = None
    _transports: list[MemoryTransport] = field(default_factory=list)
    _has_lost_power: bool = False

    @property
    def member(self) -> MemberId:
        """The member that runs this node."""
        return self.keys.key.member

    @property
    def now_ms(self) -> Millis:
        """This node's wall clock."""
        return self.clock.get_now_ms()

    @property
    def is_up(self) -> bool:
        """Whether the node takes part."""
        return self._node is not None

    @property
    def state(self) -> LedgerState:
        """The ledger of the present life."""
        assert self._node is not None
        return self._node.engine.state

    @property
    def scores(self) -> dict[MemberId, int]:
        """The worst that it ever held against each of the others."""
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

    async def live(self) -> NodeError | None:
        """Be up until stopped, and return the error that ended this life, if one did.

        Raises:
            InvariantViolation: It found a mistake of its own.
        """
        NODE.set(self.name)
        self._has_lost_power = False
        ending: NodeError | None = None
        try:
            with trio.CancelScope() as self._scope, raise_cause():
                await self._serve()
        except NodeError as error:
            # What a dying node cannot write any more is no failure.
            ending = None if self._has_lost_power else error
        finally:
            self.network.detach(self.member)
            self._scope = self._node = None
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
            transport = self.network.attach(self.member, gossip=node.gate.admit, services=services)
            self._transports.append(transport)
            self._node = node
            try:
                await node.run(node.build_workbench(self.learner, transport), transport, self._wait_connected)
            finally:
                self.refused_count += node.inbox.refused_count
        finally:
            self.machine.close_store()

    async def _wait_connected(self, count: int) -> None:
        transport = self._transports[-1]
        while sum(peer.is_connected for peer in transport.get_peers()) < count:
            await trio.sleep(CONNECTED_POLL_S)
