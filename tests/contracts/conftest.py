"""The implementations that the contract suites run on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.clock import OsEntropy
from node.ports import Store
from node.store.sqlite import SqliteStore
from tests.contracts.store_machine import Machine
from tests.helpers import LedgerBuilder, make_founders
from tests.sim.memory_store import MemoryDisk, MemoryStore


@pytest.fixture(params=["sqlite", "memory"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    builder = LedgerBuilder(make_founders(4))
    member = builder.founders[0].member
    opened: list[Store] = []
    disk = MemoryDisk()
    path = tmp_path / "ledger.db"

    def open_sqlite() -> Store:
        marker = tmp_path / "votelog"
        opened.append(SqliteStore(path, genesis=builder.genesis, member=member, marker=marker, entropy=OsEntropy()))
        return opened[-1]

    def open_memory() -> Store:
        return MemoryStore(disk, builder.genesis, member)

    def lose_sqlite() -> None:
        path.unlink()

    if request.param == "sqlite":
        yield Machine(open_store=open_sqlite, lose_database=lose_sqlite, builder=builder)
    else:
        yield Machine(open_store=open_memory, lose_database=disk.lose_database, builder=builder)
    for store in opened:
        store.close()
