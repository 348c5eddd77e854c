"""A simulated machine: the disk under one node, which outlives the node, loses power, runs full, breaks and rots.

Losing power is not cancelling: a cancelled task still runs its ``finally`` clauses. So at the instant at which power
goes, what is on the disk is put aside for the next life, and whatever the dying tasks still write goes to a disk that
nobody looks at any more.
"""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import trio

from node.artifacts.store import ArtifactStore
from node.blocking import run_inline
from node.errors import DiskFull, NodeError
from node.ports import Store
from node.store.loader import load_records
from node.store.sqlite import SqliteStore
from protocol.genesis import Genesis
from protocol.journal import Record
from protocol.units import MemberId, View
from tests.sim.entropy import SeededEntropy
from tests.sim.file_limits import files_end_at
from tests.sim.memory_disk import DrawSeconds, Failure, MemoryDisk
from tests.sim.memory_store import MemoryStore
from tests.sim.tier_b.learner import make_first_model

T = TypeVar("T")

RETENTION_COUNT: Final = 4
"""Few, so that artifacts that nobody needs any more do go within a short run."""
LOG_BYTES_LEFT: Final = 100
"""How much of a batch still gets into SQLite's log when the disk breaks."""


@dataclass(slots=True, kw_only=True)
class Machine:
    """One node's disk."""

    genesis: Genesis
    member: MemberId
    directory: Path
    """Of this machine alone."""
    draw_write_s: DrawSeconds
    """How long the ledger's next batch takes."""
    snapshot_interval_blocks: int
    has_sqlite: bool = False
    has_first_model: bool = True
    """Whether the initial model lies there from the beginning; otherwise it comes from the members."""
    is_artifact_disk_full: bool = False
    disks_count: int = 0
    """How often the disk was replaced by what was on it at some instant."""
    ledgers_lost: int = 0
    """How often the ledger became shorter than it had been."""
    is_amnesiac: bool = False
    """Whether votes were lost, and no life has seen yet that it is safe to vote again (C10)."""
    troubles_count: int = 0
    """Faults of the disk that have not ended a life yet."""
    store: Store | None = None
    """Of the present life; None while the node is down."""
    _memory: MemoryDisk = field(default_factory=MemoryDisk)
    _breaks_after: int | None = None
    """How many batches of the real store succeed before one fails."""
    _backup: tuple[Path, MemoryDisk] | None = None

    # What a life does.

    def prepare(self) -> None:
        """Make the directory that a life finds."""
        self._present.mkdir(parents=True, exist_ok=True)

    async def open_artifacts(self) -> ArtifactStore:
        """Return the artifact store of a new life."""
        artifacts = ArtifactStore(
            self._present / "artifacts", retention_count=RETENTION_COUNT, run_blocking=self._run_for_artifacts
        )
        if self.has_first_model and not artifacts.has(self.genesis.model_digest):
            path = artifacts.make_temporary_path()
            path.write_bytes(make_first_model(self.genesis.schema))
            await artifacts.adopt(path)
        return artifacts

    def open_store(self) -> Store:
        """Return the store of a new life, not loaded yet."""
        if self.has_sqlite:
            self.store = SqliteStore(
                self._ledger,
                genesis=self.genesis,
                member=self.member,
                marker=self._present / "votelog",
                entropy=SeededEntropy(label=f"{self.member.hex()}-{self.disks_count}-{self.ledgers_lost}"),
                run_blocking=self._run_for_ledger,
            )
        else:
            self.store = MemoryStore(
                self._memory,
                self.genesis,
                self.member,
                draw_write_s=self.draw_write_s,
                snapshot_interval_blocks=self.snapshot_interval_blocks,
            )
        return self.store

    def close_store(self) -> None:
        """End the store of a life."""
        if self.store is not None:
            self.store.close()
            self.store = None

    # What goes wrong.

    def cut_power(self) -> None:
        """Keep what is on the disk now for the next life, whatever this one still does."""
        before = self._present
        self.disks_count += 1
        if before.exists():
            shutil.copytree(before, self._present)
        if isinstance(self.store, MemoryStore):
            self.store.close()
        self._memory = self._memory.copy()

    def fill_disk(self) -> None:
        """Let the next write of the ledger fail; there is space again after a restart."""
        self.troubles_count += 1
        if isinstance(self.store, SqliteStore):
            pages = self.store._connection.execute("PRAGMA page_count").fetchone()[0]
            self.store._connection.execute(f"PRAGMA max_page_count = {pages}")
        self._memory.is_full = True

    def make_space(self) -> None:
        """Let writes succeed again; whoever has run into the full disk must still restart."""
        if isinstance(self.store, SqliteStore):
            self.store._connection.execute("PRAGMA max_page_count = 4294967294")
        self._memory.is_full = self.is_artifact_disk_full = False

    def break_disk(self, failure: Failure, *, after_writes: int) -> None:
        """Let a later batch of the ledger fail in the middle; a real file gives no choice of how."""
        self.troubles_count += 1
        if self.has_sqlite:
            self._breaks_after = after_writes
        else:
            self._memory.plan_failure(failure, after_writes=after_writes)

    def lose_database(self) -> None:
        """Lose the ledger with the vote log in it, while the node is down; keys, marker and artifacts stay."""
        self.ledgers_lost += 1
        if self.has_sqlite:
            self.is_amnesiac = (self._present / "votelog").exists()
            for suffix in ("", "-wal", "-shm"):
                self._ledger.with_name(self._ledger.name + suffix).unlink(missing_ok=True)
        else:
            self.is_amnesiac = self._memory.marker != 0
            self._memory.lose_database()

    def lose_marker(self) -> None:
        """Lose the marker of the vote log, while the node is down; a ledger without it may be from a backup."""
        self.is_amnesiac = self._ledger.exists() if self.has_sqlite else self._memory.image is not None
        (self._present / "votelog").unlink(missing_ok=True)
        self._memory.marker = 0

    def damage(self, chance: random.Random) -> None:
        """Flip a bit of the ledger or cut it short, while the node is down and was stopped in order."""
        self.troubles_count += 1
        if not self.has_sqlite:
            if self._memory.image is not None:
                self._memory.damage(chance)
        elif self._ledger.exists():
            content = bytearray(self._ledger.read_bytes())
            if chance.random() < 0.3:
                del content[chance.randrange(len(content)) :]
            else:
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            self._ledger.write_bytes(content)

    def back_up(self) -> None:
        """Take a copy of the whole disk."""
        place = self.directory / "backup"
        if self._present.exists():
            shutil.copytree(self._present, place, dirs_exist_ok=True)
        self._backup = (place, self._memory.copy())

    def restore_backup(self) -> None:
        """Bring back the copy of the whole disk, while the node is down; nothing on it tells that it is old."""
        if self._backup is None:
            return
        place, memory = self._backup
        self.disks_count += 1
        self.ledgers_lost += 1
        if place.exists():
            shutil.copytree(place, self._present)
        self._memory = memory.copy()

    def endure(self, ending: NodeError) -> None:
        """Count the end of a life as the consequence of a fault.

        Raises:
            NodeError: There was none.
        """
        if not self.troubles_count:
            raise ending
        self.troubles_count -= 1

    # What others look at.

    def get_height(self) -> int:
        """Return the height of the newest final block on the disk."""
        tip = None if self.store is None else self.store.get_tip()
        return 0 if tip is None else int(tip.block.header.height)

    def get_finalized_view(self) -> View:
        """Return the view of the newest final block on the disk."""
        tip = None if self.store is None else self.store.get_tip()
        return View(0) if tip is None else tip.block.header.view

    def get_journal(self) -> tuple[Record, ...]:
        """Return the records that a restart now would find."""
        if isinstance(self.store, SqliteStore):
            return load_records(self.store._connection, self.store._reader)[0]
        assert isinstance(self.store, MemoryStore)
        return self.store.get_journal()

    @property
    def _present(self) -> Path:
        return self.directory / f"disk-{self.disks_count}"

    @property
    def _ledger(self) -> Path:
        return self._present / "ledger.db"

    async def _run_for_artifacts(self, call: Callable[[], T]) -> T:
        if self.is_artifact_disk_full:
            raise DiskFull("the simulated disk has no space left for an artifact")
        return await run_inline(call)

    async def _run_for_ledger(self, call: Callable[[], T]) -> T:
        write_s = self.draw_write_s()
        await trio.sleep(write_s / 2)
        if self._breaks_after == 0:
            self._breaks_after = None
            assert isinstance(self.store, SqliteStore)
            log = self.store._path.with_name("ledger.db-wal")
            with files_end_at(log.stat().st_size + LOG_BYTES_LEFT):
                return call()
        if self._breaks_after is not None:
            self._breaks_after -= 1
        result = call()
        await trio.sleep(write_s / 2)
        return result
