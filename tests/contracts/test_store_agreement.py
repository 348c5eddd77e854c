"""Two readings of the Store port agree: the same random life leaves the same memory on SQLite and on the simulation."""

import random
from pathlib import Path

import pytest

from node.clock import OsEntropy
from node.store.sqlite import SqliteStore
from protocol.interface import Persist, PersistBlock
from protocol.journal import (
    BlockRecord,
    CertificateRecord,
    OwnBallotRecord,
    OwnOperationRecord,
    Record,
    ScoreRecord,
    VotingFloorRecord,
)
from protocol.operations import Ballot, Unbond
from protocol.units import Height, Ppm, Round, Stake, View
from tests.contracts.store_machine import Machine, SimulatedDisk
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.sim.memory_disk import MemoryDisk
from tests.sim.memory_store import MemoryStore
from tests.values import make_digest

STEPS = 60


class Life:
    """Draws what a node writes, restarts and loses."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.builder = LedgerBuilder(make_founders(4))
        self.machine = Machine(disk=SimulatedDisk(self.builder), builder=self.builder)

    def make_record(self) -> Record:
        number = self.random.randrange(12)
        view = View(self.builder.state.view + self.random.randrange(4))
        block = self.builder.build_block(view=View(self.builder.state.view + 1 + number % 3))
        ballot = Ballot(
            candidate_digest=make_digest(number), is_accept=number % 2 == 0, update_flags=(), is_base_flagged=False
        )
        operation = self.builder.sign(self.builder.founders[0].member, Unbond(amount=Stake(number)), offset=number % 3)
        return self.random.choice(
            (
                self.machine.make_vote(view),
                BlockRecord(block=block),
                CertificateRecord(certificate=self.builder.certify(block)),
                OwnOperationRecord(operation=operation),
                OwnBallotRecord(round=Round(self.builder.state.rounds_settled + number % 3), attempt=0, ballot=ballot),
                ScoreRecord(model_digest=make_digest("model", number), score=Ppm(number)),
                VotingFloorRecord(is_suspended=number % 2 == 0, after_view=view),
            )
        )

    def make_blocks(self) -> list[PersistBlock]:
        first = len(self.builder.blocks)
        if self.random.random() < 0.3 and self.builder.state.round is not None:
            self.builder.run_round()
        else:
            member = self.builder.founders[0].member
            self.builder.add_block(
                (self.builder.sign(member, Unbond(amount=Stake(1)), offset=self.random.randrange(2)),)
            )
        return [
            self.machine.persist(built, is_certified=built is self.builder.blocks[-1] or self.random.random() < 0.5)
            for built in self.builder.blocks[first:]
        ]

    def make_batch(self) -> list[Persist | PersistBlock]:
        records = [Persist(record=self.make_record()) for _ in range(self.random.randrange(4))]
        return [*records, *(self.make_blocks() if self.random.random() < 0.3 else [])]


@pytest.mark.parametrize("seed", range(3))
async def test_the_same_life_leaves_the_same_memory(seed: int, tmp_path: Path) -> None:
    life = Life(seed)
    disk = MemoryDisk()
    member = life.builder.founders[0].member

    def open_both() -> tuple[SqliteStore, MemoryStore]:
        sqlite = SqliteStore(
            tmp_path / "ledger.db",
            genesis=life.builder.genesis,
            member=member,
            marker=tmp_path / "votelog",
            entropy=OsEntropy(),
        )
        memory = MemoryStore(disk, life.builder.genesis, member)
        contents = memory.load()
        assert sqlite.load() == contents
        assert contents.state == life.builder.state
        return sqlite, memory

    stores = open_both()
    for _ in range(STEPS):
        batch = life.make_batch()
        for store in stores:
            await store.append(batch)
        if life.random.random() < 0.1:
            for store in stores:
                await store.save_snapshot(life.builder.state)
        if life.random.random() < 0.2:
            for store in stores:
                store.close()
            stores = open_both()
    sqlite, memory = stores
    height = Height(life.random.randrange(1, life.builder.state.height + 1))
    assert sqlite.get_blocks(height, bytes_max=3_000) == memory.get_blocks(height, bytes_max=3_000)
    assert list(sqlite.iterate_blocks(height)) == list(memory.iterate_blocks(height))
    assert sqlite.get_rounds(Round(1), limit=100) == memory.get_rounds(Round(1), limit=100)
    assert sqlite.get_scores() == memory.get_scores()
    sqlite.close()
