"""A simulated machine: the disk under one node, which outlives the node, loses power and runs full.

Losing power is not cancelling: a cancelled task still runs its ``finally`` clauses. So at the instant at which power
goes, what is on the disk is put aside for the next life, and whatever the dying tasks still write goes to a disk that
nobody looks at any more.
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final, TypeVar, cast

from node.artifacts.store import ArtifactStore
from node.blocking import run_inline
from node.errors import DiskFull
from node.ports import Store
from node.store.loader import load_records
from node.store.sqlite import SqliteStore
from protocol.codec import decode_union
from protocol.genesis import Genesis
from protocol.journal import OwnVoteRecord, Record
from protocol.units import MemberId, View
from protocol.votes import Vote
from tests.sim.memory_store import MemoryDisk, MemoryStore
from tests.sim.tier_b.learner import make_first_model

T = TypeVar("T")

WRITE_S: Final = 0.004
RECORD_BYTES_MAX: Final = 1 << 24
RETENTION_COUNT: Final = 4
"""Few, so that artifacts that nobody needs any more do go within a short run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spares:
    """Gives the bytes that stand for randomness of the operating system; implements the Entropy port."""

    label: str

    def get_bytes(self, count: int) -> bytes:
        """See the port."""
        return hashlib.shake_256(self.label.encode()).digest(count)


@dataclass(slots=True, kw_only=True)
class Machine:
    """One node's disk."""

    genesis: Genesis
    member: MemberId
    directory: Path
    """Of this machine alone."""
    has_sqlite: bool = False
    has_first_model: bool = True
    """Whether the initial model lies there from the beginning; otherwise it comes from the members."""
    write_s: float = WRITE_S
    """How long the simulated store takes for a batch."""
    is_artifact_disk_full: bool = False
    power_cuts: int = 0
    store: Store | None = None
    """Of the present life; None while the node is down."""
    _memory: MemoryDisk = field(default_factory=MemoryDisk)

    async def open_artifacts(self) -> ArtifactStore:
        """Return the artifact store of a new life."""
        artifacts = ArtifactStore(
            self._present / "artifacts", retention_count=RETENTION_COUNT, run_blocking=self._run_blocking
        )
        if self.has_first_model and not artifacts.has(self.genesis.model_digest):
            path = artifacts.make_temporary_path()
            path.write_bytes(make_first_model(self.genesis.schema))
            await artifacts.adopt(path)
        return artifacts

    def open_store(self) -> Store:
        """Return the store of a new life, not loaded yet."""
        self._present.mkdir(parents=True, exist_ok=True)
        if self.has_sqlite:
            self.store = SqliteStore(
                self._present / "ledger.db",
                genesis=self.genesis,
                member=self.member,
                marker=self._present / "votelog",
                entropy=Spares(label=f"{self.member.hex()}-{self.power_cuts}"),
                run_blocking=run_inline,
            )
        else:
            self.store = MemoryStore(self._memory, self.genesis, self.member, write_s=self.write_s)
        return self.store

    def close_store(self) -> None:
        """End the store of a life."""
        if self.store is not None:
            self.store.close()
            self.store = None

    def cut_power(self) -> None:
        """Keep what is on the disk now for the next life, whatever this one still does."""
        before = self._present
        self.power_cuts += 1
        if before.exists():
            shutil.copytree(before, self._present)
        if isinstance(self.store, MemoryStore):
            self.store.close()
        self._memory = replace(self._memory)

    def fill_disk(self) -> None:
        """Let the next write of the ledger fail; there is space again after a restart."""
        if isinstance(self.store, SqliteStore):
            pages = self.store._connection.execute("PRAGMA page_count").fetchone()[0]
            self.store._connection.execute(f"PRAGMA max_page_count = {pages}")
        self._memory.is_full = True

    def make_space(self) -> None:
        """Let writes succeed again; whoever has run into the full disk must still restart."""
        if isinstance(self.store, SqliteStore):
            self.store._connection.execute("PRAGMA max_page_count = 4294967294")
        self._memory.is_full = self.is_artifact_disk_full = False

    def get_height(self) -> int:
        """Return the height of the newest final block on the disk."""
        tip = None if self.store is None else self.store.get_tip()
        return 0 if tip is None else int(tip.block.header.height)

    def get_finalized_view(self) -> View:
        """Return the view of the newest final block on the disk."""
        tip = None if self.store is None else self.store.get_tip()
        return View(0) if tip is None else tip.block.header.view

    def remembers(self, vote: Vote) -> bool:
        """Return whether a restart now would know of a vote, or need not."""
        return vote.view <= self.get_finalized_view() or any(
            isinstance(record, OwnVoteRecord) and record.vote == vote for record in self._read_journal()
        )

    @property
    def _present(self) -> Path:
        return self.directory / f"life-{self.power_cuts}"

    def _read_journal(self) -> tuple[Record, ...]:
        if isinstance(self.store, SqliteStore):
            return load_records(self.store._connection, self.store._reader)[0]
        assert self._memory.image is not None
        return tuple(_decode_record(record) for record in self._memory.image.journal)

    async def _run_blocking(self, call: Callable[[], T]) -> T:
        if self.is_artifact_disk_full:
            raise DiskFull("the simulated disk has no space left for an artifact")
        return call()


@cache
def _decode_record(encoded: bytes) -> Record:
    return cast(Record, decode_union(Record, encoded, bytes_max=RECORD_BYTES_MAX))
