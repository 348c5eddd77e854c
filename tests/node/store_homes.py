"""A node's database with some blocks and votes in it, for tests that damage files."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from node.clock import OsEntropy
from node.store.sqlite import SqliteStore
from protocol.interface import FinalizedBlock, Persist, PersistBlock
from protocol.journal import OwnVoteRecord
from protocol.units import View
from protocol.votes import VoteKind, sign_vote
from tests.founders import make_founders
from tests.helpers import LedgerBuilder


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHome:
    """The files of one store, and the chain that it follows."""

    root: Path
    builder: LedgerBuilder
    opened: list[SqliteStore]
    """Every store that was opened here or on a copy, for closing at the end of a test."""

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.db"

    @property
    def log(self) -> Path:
        return self.root / "ledger.db-wal"

    @property
    def marker(self) -> Path:
        return self.root / "votelog"

    def open_store(self) -> SqliteStore:
        store = SqliteStore(
            self.ledger,
            genesis=self.builder.genesis,
            member=self.builder.founders[0].member,
            marker=self.marker,
            entropy=OsEntropy(),
        )
        self.opened.append(store)
        return store

    def close_all(self) -> None:
        for store in self.opened:
            store.close()

    def make_vote(self, view: int) -> Persist:
        vote = sign_vote(
            self.builder.chain_id,
            self.builder.founders[0].signing_key,
            epoch=self.builder.validators.epoch,
            kind=VoteKind.NULLIFY,
            view=View(view),
            block_hash=None,
        )
        return Persist(record=OwnVoteRecord(vote=vote))

    def make_blocks(self, first: int = 0) -> list[PersistBlock]:
        return [
            PersistBlock(
                height=built.block.header.height,
                finalized=FinalizedBlock(block=built.block, certificate=self.builder.certify(built.block)),
                outcome=built.outcome,
            )
            for built in self.builder.blocks[first:]
        ]

    def copy_to(self, root: Path) -> "StoreHome":
        """Copy the files as a crash would leave them, while a store has them open."""
        root.mkdir()
        for path in self.root.iterdir():
            # The shared-memory index is rebuilt from the log after a crash.
            if not path.name.endswith("-shm"):
                (root / path.name).write_bytes(path.read_bytes())
        return StoreHome(root=root, builder=self.builder, opened=self.opened)

    def execute(self, statement: str, *values: object) -> None:
        """Change the database behind the store's back."""
        with closing(sqlite3.connect(self.ledger)) as connection, connection:
            assert connection.execute(statement, values).rowcount != 0


def make_store_home(root: Path) -> StoreHome:
    """Return a home without a database yet; the chain has one settled round."""
    root.mkdir(exist_ok=True)
    builder = LedgerBuilder(make_founders(4))
    builder.run_round()
    return StoreHome(root=root, builder=builder, opened=[])


def get_vote_views(store: SqliteStore) -> list[int]:
    """Load a store and return the views of the votes that it remembers."""
    return [record.vote.view for record in store.load().records if isinstance(record, OwnVoteRecord)]
