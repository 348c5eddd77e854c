"""A node's disk with a store on it, real or simulated, which tests restart, fill, break and damage."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeVar

from node.blocking import run_in_thread
from node.clock import OsEntropy
from node.ports import Store, StoreContents
from node.store.sqlite import SqliteStore
from protocol.interface import FinalizedBlock, PersistBlock
from protocol.journal import OwnVoteRecord
from protocol.units import View
from protocol.votes import VoteKind, sign_vote
from tests.helpers import BuiltBlock, LedgerBuilder
from tests.sim.file_limits import files_end_at
from tests.sim.memory_disk import Failure, MemoryDisk
from tests.sim.memory_store import MemoryStore
from tests.values import make_digest

T = TypeVar("T")

BLOBS: Final = {
    "blocks": "block",
    "outcomes": "outcome",
    "journal": "record",
    "snapshots": "state",
    "scores": "record",
}
"""The column of each table that holds what was written."""


class StoreDisk(Protocol):
    """What a store lies on."""

    def open_store(self) -> Store:
        """Return the store of a new life."""
        ...

    def lose_database(self) -> None:
        """Lose everything but the keys and what lies beside them."""
        ...

    def lose_marker(self) -> None:
        """Lose what lies beside the keys."""
        ...

    def fill(self) -> None:
        """Leave no space."""
        ...

    def make_space(self) -> None:
        """Let there be space again; the store must be opened again."""
        ...

    def break_next_write(self) -> None:
        """Let the next write fail in the middle."""
        ...

    def damage(self, table: str) -> None:
        """Flip a bit in the newest row of a table, while no store is open."""
        ...


@dataclass(slots=True)
class SqliteDisk:
    """Files in a directory."""

    directory: Path
    builder: LedgerBuilder
    opened: list[SqliteStore] = field(default_factory=list)
    _breaks: bool = False

    @property
    def path(self) -> Path:
        return self.directory / "ledger.db"

    def open_store(self) -> Store:
        store = SqliteStore(
            self.path,
            genesis=self.builder.genesis,
            member=self.builder.founders[0].member,
            marker=self.directory / "votelog",
            entropy=OsEntropy(),
            run_blocking=self._run_blocking,
        )
        self.opened.append(store)
        return store

    def lose_database(self) -> None:
        self.path.unlink()

    def lose_marker(self) -> None:
        (self.directory / "votelog").unlink()

    def fill(self) -> None:
        connection = self.opened[-1]._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def make_space(self) -> None:
        """The limit went with the connection."""

    def break_next_write(self) -> None:
        self._breaks = True

    def damage(self, table: str) -> None:
        column = BLOBS[table]
        with closing(sqlite3.connect(self.path)) as connection, connection:
            row_id, blob = connection.execute(
                f"SELECT rowid, {column} FROM {table} ORDER BY rowid DESC LIMIT 1"
            ).fetchone()
            damaged = bytes([*blob[:-1], blob[-1] ^ 1])
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (damaged, row_id))

    async def _run_blocking(self, call: Callable[[], T]) -> T:
        if not self._breaks:
            return await run_in_thread(call)
        self._breaks = False
        log_bytes = self.path.with_name("ledger.db-wal").stat().st_size
        with files_end_at(log_bytes + 100):
            return call()


@dataclass(slots=True)
class SimulatedDisk:
    """Bytes on a heap."""

    builder: LedgerBuilder
    disk: MemoryDisk = field(default_factory=MemoryDisk)

    def open_store(self) -> Store:
        return MemoryStore(self.disk, self.builder.genesis, self.builder.founders[0].member)

    def lose_database(self) -> None:
        self.disk.lose_database()

    def lose_marker(self) -> None:
        self.disk.marker = 0

    def fill(self) -> None:
        self.disk.is_full = True

    def make_space(self) -> None:
        self.disk.is_full = False

    def break_next_write(self) -> None:
        self.disk.plan_failure(Failure.BROKEN, after_writes=0)

    def damage(self, table: str) -> None:
        assert self.disk.damage(random.Random(1), table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A node's disk, and the chain that it follows."""

    disk: StoreDisk
    builder: LedgerBuilder

    def open_store(self) -> Store:
        return self.disk.open_store()

    def open_and_load(self) -> Store:
        store = self.open_store()
        store.load()
        return store

    def persist(self, built: BuiltBlock, *, is_certified: bool = True) -> PersistBlock:
        certificate = self.builder.certify(built.block) if is_certified else None
        return PersistBlock(
            height=built.block.header.height,
            finalized=FinalizedBlock(block=built.block, certificate=certificate),
            outcome=built.outcome,
        )

    def persist_all(self) -> list[PersistBlock]:
        return [self.persist(built) for built in self.builder.blocks]

    def make_vote(self, view: int, kind: VoteKind = VoteKind.NULLIFY) -> OwnVoteRecord:
        block_hash = None if kind is VoteKind.NULLIFY else make_digest("block", view)
        key = self.builder.founders[0].signing_key
        vote = sign_vote(
            self.builder.chain_id,
            key,
            epoch=self.builder.validators.epoch,
            kind=kind,
            view=View(view),
            block_hash=block_hash,
        )
        return OwnVoteRecord(vote=vote)

    def restart(self, store: Store) -> tuple[Store, StoreContents]:
        store.close()
        store = self.open_store()
        return store, store.load()
