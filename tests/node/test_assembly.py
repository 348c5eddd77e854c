"""What a node takes from its store before anything else happens."""

from pathlib import Path

from node.artifacts.store import ArtifactStore
from node.assembly import Ground, Node
from node.blocking import run_inline
from protocol.interface import Persist
from protocol.journal import VotingFloorRecord
from protocol.units import View
from tests.helpers import make_founders, make_genesis
from tests.node.fakes import TrioClock
from tests.sim.memory_disk import MemoryDisk
from tests.sim.memory_store import MemoryStore

FOUNDERS = make_founders(2)
GENESIS = make_genesis(FOUNDERS)


def open_store(disk: MemoryDisk) -> MemoryStore:
    return MemoryStore(disk=disk, genesis=GENESIS, member=FOUNDERS[0].member)


async def test_a_restart_knows_until_when_an_earlier_run_was_told_not_to_vote(tmp_path: Path) -> None:
    """C10."""
    disk = MemoryDisk()
    store = open_store(disk)
    store.load()
    await store.append([Persist(record=VotingFloorRecord(is_suspended=False, after_view=View(5)))])
    store.close()
    ground = Ground(
        genesis=GENESIS,
        key=FOUNDERS[0].signing_key,
        bls_key=FOUNDERS[0].bls_key,
        salt_secret=bytes(32),
        store=open_store(disk),
        artifacts=ArtifactStore(tmp_path, run_blocking=run_inline),
        clock=TrioClock(),
    )
    assert Node(ground).hub.votes_after == 5
