"""A short true run, from which every target takes its first inputs: four nodes, three rounds, several epochs, and one
member that never starts.

It is the simulator's own cluster with a listener in the place of its checkers, so it follows the code: what the wire
carries today is what is changed and sent.
"""

from dataclasses import dataclass, field, replace
from functools import cache, partial
from io import BytesIO
from typing import Final, cast

from protocol.cards import CARD_VERSION, CardContent, sign_card
from protocol.engine import Engine, EngineConfig
from protocol.export import ExportedBlock, write_export
from protocol.genesis import Genesis, compute_chain_id
from protocol.gossip import Topic
from protocol.interface import OperationRequested, PersistBlock
from protocol.journal import Record
from protocol.ledger.state import LedgerState
from protocol.observations import Observation
from protocol.operations import Approve, Bond, Join, Leave, Payload, Unbond
from protocol.units import Digest, Millis, Stake
from tests.sim.checkers import Checkers
from tests.sim.cluster import Cluster, Setting
from tests.sim.disk import Disk
from tests.sim.keys import NodeKeys, make_genesis, make_keys
from tests.sim.memo import remember_signatures
from tests.sim.node import SimNode
from tests.sim.scenarios import PARAMETERS

NODE_COUNT: Final = 5
ABSENT: Final = 0
"""The node that never starts: nothing that was recorded holds a vote of its own, so it can be put among the others."""
OBSERVER: Final = 2
"""The node whose ledger is taken down."""
ROUNDS: Final = 3
EPOCH_BLOCKS: Final = 5
BLOCKS_MIN: Final = 4 * EPOCH_BLOCKS
NEWCOMER_BOND: Final = Stake(8_000_000)
SNAPSHOT_EVERY_MS: Final = 100
RUN_MS_MAX: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A message that a node sent to all."""

    now_ms: Millis
    sender: int
    topic: Topic
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A ledger at one time, on a disk that holds no votes: an engine of the absent member can be started from it."""

    now_ms: Millis
    disk: Disk


@dataclass(slots=True, kw_only=True)
class Recording:
    """Everything of the run that travels or is kept."""

    genesis: Genesis
    chain_id: Digest
    keys: tuple[NodeKeys, ...]
    """Those of the nodes, and last those of the newcomer."""
    published: list[Published] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    blocks: list[PersistBlock] = field(default_factory=list)
    states: list[LedgerState] = field(default_factory=list)

    def get_messages(self, topic: Topic) -> list[bytes]:
        """Return what was published on a topic, in order, each once."""
        return list(dict.fromkeys(entry.message for entry in self.published if entry.topic is topic))

    def build_export(self, *, block_count: int, certified_every: int = 1) -> bytes:
        """Return the export of the first blocks; each so many, and the last of each epoch, have their certificates."""
        blocks = self.blocks[:block_count]
        while blocks and blocks[-1].finalized.certificate is None:
            blocks.pop()
        certified = {entry.height for entry in blocks if entry.height % certified_every == 0 or entry is blocks[-1]}
        certified |= {entry.height for entry in blocks if entry.height % EPOCH_BLOCKS == 0}
        exported = [
            ExportedBlock(
                block=entry.finalized.block,
                certificate=entry.finalized.certificate if entry.height in certified else None,
                outcome=entry.outcome,
            )
            for entry in blocks
        ]
        target = BytesIO()
        write_export(target, self.genesis, exported)
        return target.getvalue()

    def start_engine(self, disk: Disk, now_ms: Millis) -> Engine:
        """Return the absent member's engine on a disk, not started yet."""
        keys = self.keys[ABSENT]
        config = EngineConfig(
            genesis=self.genesis,
            key=keys.key,
            bls_key=keys.bls_key,
            salt_secret=keys.salt_secret,
            started_ms=now_ms,
        )
        return Engine(config, disk.restore())


class _Listener:
    """Stands in for the cluster's checkers and takes down what passes."""

    def __init__(self, cluster: Cluster, recording: Recording) -> None:
        self._cluster = cluster
        self._recording = recording

    def on_batch(self, node: SimNode, blocks: list[PersistBlock], state: LedgerState) -> None:
        if node.index == OBSERVER and blocks:
            self._recording.blocks += blocks
            self._recording.states.append(state)

    def on_broadcast(self, node: SimNode, topic: Topic, message: bytes) -> None:
        now_ms = Millis(self._cluster.loop.now_ms)
        self._recording.published.append(Published(now_ms=now_ms, sender=node.index, topic=topic, message=message))

    def check_observed(self, observation: Observation) -> None:
        """Take no notice: what nodes tell people is not what strangers send."""


@cache
def record() -> Recording:
    """Return the run; the same one in every process."""
    keys = make_keys(NODE_COUNT)
    members = {entry.key.member for entry in keys}
    newcomer = next(entry for entry in make_keys(NODE_COUNT + 1) if entry.key.member not in members)
    genesis = make_genesis(keys, replace(PARAMETERS, epoch_blocks=EPOCH_BLOCKS))
    cluster = Cluster(Setting(genesis=genesis, keys=keys, seed=1, absent=frozenset({ABSENT})))
    recording = Recording(genesis=genesis, chain_id=compute_chain_id(genesis), keys=(*keys, newcomer))
    cluster.checkers = cast(Checkers, _Listener(cluster, recording))
    _ask_for_operations(cluster, newcomer)
    with remember_signatures():
        cluster.start()
        disk = cluster.nodes[OBSERVER].disk
        while disk.state.rounds_settled < ROUNDS or disk.state.height < BLOCKS_MIN:
            assert cluster.loop.elapsed_ms < RUN_MS_MAX, "the run that everything begins with does not get on"
            cluster.loop.run_for(SNAPSHOT_EVERY_MS)
            _take_snapshot(cluster, recording)
    return recording


def make_join(keys: NodeKeys) -> Join:
    """Return the request for a newcomer."""
    card = CardContent(
        version=CARD_VERSION,
        name="newcomer",
        member=keys.key.member,
        bls_key=keys.bls_key.public_key,
        possession=keys.bls_key.prove_possession(),
        addresses=("/ip4/192.0.2.9/tcp/4001",),
    )
    return Join(card=card, signature=sign_card(keys.key, card), bond=NEWCOMER_BOND)


def _ask_for_operations(cluster: Cluster, newcomer: NodeKeys) -> None:
    """Let operators ask for every kind of operation that comes from one, and for one that is refused.

    The newcomer is admitted and never starts; the others hold a quorum without it.
    """
    join, approve = make_join(newcomer), Approve(member=newcomer.key.member, bond=NEWCOMER_BOND)
    wishes: tuple[tuple[int, int, Payload], ...] = (
        (100, 1, join),
        (200, 2, approve),
        (300, 3, approve),
        (300, 4, approve),
        (400, 1, Unbond(amount=Stake(5_000_000))),
        (500, 2, Bond(amount=Stake(2 * 10**15))),
        (2_000, 4, Leave()),
    )
    for delay_ms, index, payload in wishes:
        ask = partial(cluster.handle, cluster.nodes[index], OperationRequested(payload=payload))
        cluster.loop.at(delay_ms, ask)


def _take_snapshot(cluster: Cluster, recording: Recording) -> None:
    disk = cluster.nodes[OBSERVER].disk.copy()
    recording.records += [entry for entry in disk.records if entry not in recording.records]
    if recording.snapshots and recording.snapshots[-1].disk.state.height == disk.state.height:
        return
    disk.records, disk.votes = [], set()
    recording.snapshots.append(Snapshot(now_ms=Millis(cluster.loop.now_ms), disk=disk))
