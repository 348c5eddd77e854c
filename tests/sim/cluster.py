"""Tier A of the simulator: bare engines on one heap, in virtual milliseconds; one seed is one execution.

Nodes exchange bytes, never objects. A node's disk takes each batch of records as a whole before anything leaves, as the
driver does it; what a crash may leave of it is in :mod:`tests.sim.disk`. Every purpose has its own stream of random
numbers, so that a change in one does not shift the others.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from protocol.crypto import Domain, compute_digest
from protocol.engine import Engine, EngineConfig
from protocol.genesis import Genesis, compute_chain_id
from protocol.gossip import Admission, Topic
from protocol.interface import (
    ArmTimer,
    Broadcast,
    ForgetArtifacts,
    Input,
    Observe,
    Persist,
    PersistBlock,
    SetMembers,
    TimeAdvanced,
)
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.messages import Proposal
from protocol.units import Millis
from tests.sim.bounds import check_bounds, check_journal, check_view
from tests.sim.checkers import Checkers, SignatureBook
from tests.sim.disk import Disk, count_readable
from tests.sim.events import EventLoop
from tests.sim.faults import Doom, Dooms, schedule_faults
from tests.sim.keys import NodeKeys
from tests.sim.network import Faults, Network
from tests.sim.node import Action, Adversary, SendTo, SimNode
from tests.sim.surroundings import Manner, Surroundings

CLOCK_READ_MS = 1_000
"""How long the driver may take to notice that its clock was set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversaryHome:
    """What an adversary knows of the world."""

    genesis: Genesis
    keys: NodeKeys
    index: int
    node_count: int
    adversaries: frozenset[int]
    """The nodes that conspire, this one among them."""
    seed: int
    started_ms: Millis


MakeAdversary: TypeAlias = Callable[[AdversaryHome], Adversary]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One execution: who takes part, what goes wrong, and the seed of all chance."""

    genesis: Genesis
    keys: tuple[NodeKeys, ...]
    seed: int
    faults: Faults = field(default_factory=Faults)
    heal_ms: int = 0
    adversaries: Mapping[int, MakeAdversary] = field(default_factory=dict)
    may_fork: bool = False
    absent: frozenset[int] = frozenset()
    """Nodes that never start and that nobody waits for."""
    late_ms: Mapping[int, int] = field(default_factory=dict)
    """Nodes that start only then."""
    manners: Mapping[int, Manner] = field(default_factory=dict)
    """Of the workers that are not honest."""


class Cluster:
    """All nodes of one simulated network."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.genesis = setting.genesis
        self.loop = EventLoop(int(setting.genesis.created_ms))
        self.network = Network(self.loop, setting.faults, seed=setting.seed, heal_ms=setting.heal_ms)
        self.random = random.Random(f"fault-{setting.seed}")
        self.clock_random = random.Random(f"clock-{setting.seed}")
        self.audit = compute_digest(Domain.STATE, compute_chain_id(setting.genesis))
        self.wants: list[Callable[[], bool]] = []
        """What must have happened before a run is over, besides its rounds."""
        self.sent = 0
        """Messages published so far, counted once each."""
        self.sent_bytes_max = 0
        state = compute_genesis_state(setting.genesis)
        self.nodes = [
            SimNode(
                index=index,
                keys=keys,
                disk=Disk(state=state, artifacts={setting.genesis.model_digest}),
                skew_ms=self.random.randint(0, setting.faults.clock_skew_ms_max),
                is_honest=index not in setting.adversaries,
            )
            for index, keys in enumerate(setting.keys)
        ]
        self.honest = [node for node in self.nodes if node.is_honest and node.index not in setting.absent]
        self.network.bridges = frozenset(setting.adversaries)
        self.checkers = Checkers(
            chain_id=state.chain_id,
            book=SignatureBook(),
            honest=frozenset(node.member for node in self.honest),
            may_fork=setting.may_fork,
        )
        self.checkers.book.add_state(state)
        self._surroundings = Surroundings(
            self.loop, self.network, self.nodes, setting.genesis.schema, seed=setting.seed
        )
        self._surroundings.handle = self.handle
        self._surroundings.manners = setting.manners
        self.dooms = Dooms(self.loop, self.random, self.boot)
        schedule_faults(self)

    # What a run is made of.

    def start(self, *indexes: int) -> None:
        """Start nodes, all of them by default."""
        for index in indexes or [node.index for node in self.nodes if node.index not in self.setting.absent]:
            delay_ms = self.random.randint(0, 50) + self.setting.late_ms.get(index, 0)
            self.loop.at(delay_ms, partial(self.boot, self.nodes[index]))

    def is_settled(self, rounds: int) -> bool:
        """Return whether every honest node is up, has settled this many rounds, and stands at one height."""
        states = [node.disk.state for node in self.honest]
        return (
            all(node.is_up() for node in self.honest)
            and all(state.rounds_settled >= rounds for state in states)
            and all(is_fulfilled() for is_fulfilled in self.wants)
            and len({state.height for state in states}) == 1
        )

    def run_until_settled(self, rounds: int, *, deadline_ms: int) -> bool:
        """Run until :meth:`is_settled`, or until the virtual deadline, and return which."""
        return self.loop.run_until(lambda: self.is_settled(rounds), deadline_ms=deadline_ms)

    def crash(self, node: SimNode) -> None:
        """Take a node down; its disk stays."""
        node.engine = None
        node.timer_ms = None
        node.incarnation += 1

    def boot(self, node: SimNode) -> None:
        """Bring a node up from its disk."""
        if node.is_up() or node.is_retired:
            return
        now_ms = self._clock(node)
        if not node.is_honest:
            home = AdversaryHome(
                genesis=self.genesis,
                keys=node.keys,
                index=node.index,
                node_count=len(self.nodes),
                adversaries=frozenset(self.setting.adversaries),
                seed=self.setting.seed,
                started_ms=now_ms,
            )
            node.adversary = self.setting.adversaries[node.index](home)
            self._perform(node, node.adversary.start(now_ms))
            return
        config = EngineConfig(
            genesis=self.genesis,
            key=node.keys.key,
            bls_key=node.keys.bls_key,
            salt_secret=node.keys.salt_secret,
            started_ms=now_ms,
        )
        node.engine = Engine(config, node.disk.restore())
        self._perform(node, node.engine.start(now_ms))

    def retire(self, node: SimNode) -> None:
        """Take a node down for good, so that nobody waits for it any more."""
        if not node.is_retired:
            self.crash(node)
            node.is_retired = True
            self.honest.remove(node)

    def restart(self, node: SimNode, *, after_ms: int) -> None:
        """Take a node down now and bring it up later."""
        self.crash(node)
        self.loop.at(after_ms, lambda: self.boot(node))

    def handle(self, node: SimNode, event: Input) -> None:
        """Give a node an input."""
        core = node.engine or node.adversary
        if core is not None:
            self._perform(node, core.handle(event, self._clock(node)))

    def set_clock(self, node: SimNode, skew_ms: int) -> None:
        """Set a node's clock, as an operator or a time service does; timers follow within a second."""
        node.skew_ms = skew_ms
        self._wind(node, delay_ms=self.clock_random.randint(1, CLOCK_READ_MS))

    def _clock(self, node: SimNode) -> Millis:
        return Millis(self.loop.now_ms + node.skew_ms)

    # What engines order.

    def _perform(self, node: SimNode, actions: Sequence[Action]) -> None:
        doom = Doom.NONE
        if node.engine is not None:
            state = node.engine.state
            batch = [action for action in actions if isinstance(action, Persist | PersistBlock)]
            doom = self.dooms.draw(node)
            if doom is Doom.TORN:
                batch = batch[: count_readable(self.dooms.tear(batch))]
            if doom is Doom.UNWRITTEN or (doom is Doom.TORN and not batch):
                self.crash(node)
                return
            blocks = [action for action in batch if isinstance(action, PersistBlock)]
            self.checkers.on_batch(node, blocks, state)
            for block in blocks:
                self._note(node, block.outcome.state_root)
            node.disk.write(batch, state, node.member)
            check_bounds(node.engine)
            if blocks:
                check_view(node.engine)
                check_journal(node.engine, node.disk)
            if doom in {Doom.TORN, Doom.UNSENT}:
                self.crash(node)
                return
        last = self.random.randint(0, len(actions)) if doom is Doom.HALF_SENT else len(actions)
        for action in actions[:last]:
            self._act(node, action)
        if doom is Doom.HALF_SENT:
            self.crash(node)

    def _act(self, node: SimNode, action: Action) -> None:
        match action:
            case Persist() | PersistBlock() | ForgetArtifacts():
                pass
            case Broadcast(topic=topic, message=message):
                self._publish(node, topic, message, range(len(self.nodes)))
            case SendTo(receivers=receivers, topic=topic, message=message):
                self._publish(node, topic, message, receivers)
            case ArmTimer(at_ms=at_ms):
                node.timer_ms = at_ms
                self._wind(node)
            case SetMembers(contacts=contacts):
                if node.is_honest:
                    node.contacts = frozenset(contact.member for contact in contacts)
            case Observe(observation=observation):
                if node.is_honest:
                    self.checkers.check_observed(observation)
                self._note(node, repr(observation).encode())
            case _:
                self._surroundings.act(node, action)

    def _publish(self, node: SimNode, topic: Topic, message: bytes, receivers: Sequence[int]) -> None:
        self._note(node, message)
        self.sent += 1
        self.sent_bytes_max = max(self.sent_bytes_max, len(message))
        if node.is_honest:
            self.checkers.on_broadcast(node, topic, message)
        else:
            self.checkers.on_adversary(topic, message)
        is_block = topic is Topic.CONSENSUS and message[1:2] == bytes([Proposal.tag])
        for receiver in receivers:
            if receiver != node.index:
                deliver = partial(self._receive, node, self.nodes[receiver], topic, message)
                self.network.send(node.index, receiver, deliver, is_block=is_block)

    def _receive(self, sender: SimNode, node: SimNode, topic: Topic, message: bytes) -> None:
        if not node.accepts(sender):
            return
        if node.adversary is not None:
            self._perform(node, node.adversary.on_gossip(sender.index, topic, message, self._clock(node)))
        if node.engine is None:
            return
        admitted = node.engine.judge_gossip(topic, message)
        if sender.is_honest and not self.setting.may_fork:
            assert admitted.admission is not Admission.REJECT, f"an honest message is rejected: {admitted.reason}"
        if admitted.event is not None:
            self.handle(node, admitted.event)

    def _wind(self, node: SimNode, *, delay_ms: int = 1) -> None:
        """Let a node's timer go off when its clock comes to the time, and not before the delay is over."""
        at_ms, incarnation = node.timer_ms, node.incarnation
        if at_ms is None:
            return

        def fire() -> None:
            is_current = node.timer_ms == at_ms and node.incarnation == incarnation
            if is_current and self._clock(node) >= at_ms:
                node.timer_ms = None
                self.handle(node, TimeAdvanced())

        self.loop.at(max(at_ms - self._clock(node), delay_ms), fire)

    def _note(self, node: SimNode, fact: bytes) -> None:
        now = self.loop.now_ms.to_bytes(8, "big")
        self.audit = compute_digest(Domain.STATE, self.audit, bytes([node.index]), now, fact)
