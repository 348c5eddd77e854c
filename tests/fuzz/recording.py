"""A short true run, from which every target takes its first inputs: four nodes, three rounds, nothing going wrong.

It is the simulator's own cluster with a listener in the place of its checkers, so it follows the code: what the wire
carries today is what is changed and sent.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from io import BytesIO
from typing import Final, cast

from protocol.engine import Engine, EngineConfig
from protocol.export import ExportedBlock, write_export
from protocol.genesis import Genesis, compute_chain_id
from protocol.gossip import Topic
from protocol.interface import OperationRequested, PersistBlock
from protocol.journal import Record
from protocol.ledger.state import LedgerState
from protocol.operations import Bond, Payload, Unbond
from protocol.units import Digest, Millis, Stake
from tests.sim.checkers import Checkers
from tests.sim.cluster import Cluster, Setting
from tests.sim.keys import NodeKeys, make_genesis, make_keys
from tests.sim.memo import remember_signatures
from tests.sim.node import Disk, SimNode
from tests.sim.scenarios import PARAMETERS

NODE_COUNT: Final = 4
ROUNDS: Final = 3
SNAPSHOT_EVERY_MS: Final = 250
RUN_MS_MAX: Final = 12_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A message that a node sent to all."""

    now_ms: Millis
    sender: int
    topic: Topic
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Node 0's disk at one time; an engine can be started from it."""

    now_ms: Millis
    disk: Disk


@dataclass(slots=True, kw_only=True)
class Recording:
    """Everything of the run that travels or is kept."""

    genesis: Genesis
    chain_id: Digest
    keys: tuple[NodeKeys, ...]
    published: list[Published] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    blocks: list[PersistBlock] = field(default_factory=list)
    states: list[LedgerState] = field(default_factory=list)

    def get_messages(self, topic: Topic) -> list[bytes]:
        """Return what was published on a topic, in order, each once."""
        return list(dict.fromkeys(entry.message for entry in self.published if entry.topic is topic))

    def build_export(self, *, block_count: int, certified_every: int = 1) -> bytes:
        """Return the export of the first blocks, each so many of them with its certificate, and the last one."""
        blocks = self.blocks[:block_count]
        while blocks and blocks[-1].finalized.certificate is None:
            blocks.pop()
        exported = [
            ExportedBlock(
                block=entry.finalized.block,
                certificate=entry.finalized.certificate
                if entry.height % certified_every == 0 or entry is blocks[-1]
                else None,
                outcome=entry.outcome,
            )
            for entry in blocks
        ]
        target = BytesIO()
        write_export(target, self.genesis, exported)
        return target.getvalue()

    def start_engine(self, disk: Disk, now_ms: Millis) -> Engine:
        """Return node 0's engine on a disk, not started yet."""
        keys = self.keys[0]
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
        if node.index == 0 and blocks:
            self._recording.blocks += blocks
            self._recording.states.append(state)

    def on_broadcast(self, node: SimNode, topic: Topic, message: bytes) -> None:
        now_ms = Millis(self._cluster.loop.now_ms)
        self._recording.published.append(Published(now_ms=now_ms, sender=node.index, topic=topic, message=message))


@cache
def record() -> Recording:
    """Return the run; the same one in every process."""
    keys = make_keys(NODE_COUNT)
    genesis = make_genesis(keys, PARAMETERS)
    cluster = Cluster(Setting(genesis=genesis, keys=keys, seed=1))
    recording = Recording(genesis=genesis, chain_id=compute_chain_id(genesis), keys=keys)
    cluster.checkers = cast(Checkers, _Listener(cluster, recording))
    _ask_for_operations(cluster)
    with remember_signatures():
        cluster.start()
        while cluster.nodes[0].disk.state.rounds_settled < ROUNDS:
            assert cluster.loop.elapsed_ms < RUN_MS_MAX, "the run that everything begins with does not get on"
            cluster.loop.run_for(SNAPSHOT_EVERY_MS)
            _take_snapshot(cluster, recording)
    return recording


def _ask_for_operations(cluster: Cluster) -> None:
    """Let operators move their stake, so that such operations are among the messages, a refused one too."""
    wishes: Sequence[Payload] = (Unbond(amount=Stake(5_000_000)), Bond(amount=Stake(2 * 10**15)))
    for index, payload in enumerate(wishes, start=1):
        ask = partial(cluster.handle, cluster.nodes[index], OperationRequested(payload=payload))
        cluster.loop.at(300 * index, ask)


def _take_snapshot(cluster: Cluster, recording: Recording) -> None:
    disk = copy.copy(cluster.nodes[0].disk)
    disk.blocks, disk.records, disk.artifacts = list(disk.blocks), list(disk.records), set(disk.artifacts)
    recording.records += [entry for entry in disk.records if entry not in recording.records]
    recording.snapshots.append(Snapshot(now_ms=Millis(cluster.loop.now_ms), disk=disk))
