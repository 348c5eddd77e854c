"""What a simulated node's disk holds, as bytes with checksums, and the faults that a disk can have.

The disk outlives the store, as a disk outlives a process. A write takes effect as a whole or not at all; one that could
not be flushed may have taken effect all the same, which its writer cannot know.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import Enum, auto
from typing import Final

from node.errors import DiskFull, StoreCorrupt

CHECKSUM_BYTES: Final = 8


class Failure(Enum):
    """How a write can fail."""

    FULL = auto()
    """There is no space; nothing is written."""
    BROKEN = auto()
    """The disk refuses to write; nothing is written."""
    UNFLUSHED = auto()
    """The disk cannot tell whether it has written; it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Everything in the database at one instant; rows are sealed."""

    vote_log_id: int
    remembers_votes: bool = True
    """Whether the vote log is whole, or the engine has written down from when on it is."""
    blocks: tuple[bytes, ...] = ()
    """Final blocks by height, from 1 on."""
    outcomes: tuple[bytes, ...] = ()
    """What they did."""
    journal: tuple[bytes, ...] = ()
    scores: tuple[bytes, ...] = ()
    snapshots: tuple[bytes, ...] = ()
    """States of the ledger, the newest last."""


ROW_FIELDS: Final = tuple(entry.name for entry in fields(Image) if entry.type == tuple[bytes, ...])


@dataclass(slots=True)
class MemoryDisk:
    """A simulated disk with one node's database and its vote log's marker."""

    image: Image | None = None
    """None without a database."""
    marker: int = 0
    """Names the vote log that the keys beside it have signed by; 0 if there is none."""
    is_full: bool = False
    writes_count: int = 0
    databases_count: int = 0
    """How many databases there ever were, which numbers their vote logs."""
    _planned: tuple[int, Failure] | None = None
    """How many writes from now one fails, and how."""

    def write(self, image: Image) -> None:
        """Replace the database's content.

        Raises:
            DiskFull: There is no space.
            StoreCorrupt: The disk failed.
        """
        self.writes_count += 1
        failure = Failure.FULL if self.is_full else self._take_planned()
        match failure:
            case None:
                self.image = image
            case Failure.FULL:
                raise DiskFull("the simulated disk is full")
            case Failure.BROKEN:
                raise StoreCorrupt("the simulated disk failed to write")
            case Failure.UNFLUSHED:
                self.image = image
                raise StoreCorrupt("the simulated disk failed to flush")

    def plan_failure(self, failure: Failure, *, after_writes: int) -> None:
        """Let a write fail, after so many that succeed."""
        self._planned = (after_writes, failure)

    def copy(self) -> "MemoryDisk":
        """Return what a backup taken now would hold; failures are the hardware's and stay behind."""
        return replace(self, is_full=False, _planned=None)

    def lose_database(self) -> None:
        """Lose everything but what lies beside the keys."""
        self.image = None

    def damage(self, chance: random.Random, *kinds: str) -> bool:
        """Flip a bit of some row, of some kinds of rows or of any, and return whether there was one to flip."""
        assert self.image is not None
        places = [
            (kind, index) for kind in kinds or ROW_FIELDS for index in range(len(getattr(self.image, kind)))
        ]
        if not places:
            return False
        kind, index = chance.choice(places)
        rows = list(getattr(self.image, kind))
        row = bytearray(rows[index])
        row[chance.randrange(len(row))] ^= 1 << chance.randrange(8)
        rows[index] = bytes(row)
        self.image = replace(self.image, **{kind: tuple(rows)})  # type: ignore[arg-type]  # a field of rows
        return True

    def _take_planned(self) -> Failure | None:
        if self._planned is None:
            return None
        remaining, failure = self._planned
        self._planned = (remaining - 1, failure) if remaining else None
        return None if remaining else failure


def seal(content: bytes) -> bytes:
    """Return a row that shows whether it was damaged."""
    return hashlib.sha256(content).digest()[:CHECKSUM_BYTES] + content


def unseal(row: bytes) -> bytes:
    """Return what is in a row.

    Raises:
        StoreCorrupt: It is damaged.
    """
    checksum, content = row[:CHECKSUM_BYTES], row[CHECKSUM_BYTES:]
    if hashlib.sha256(content).digest()[:CHECKSUM_BYTES] != checksum:
        raise StoreCorrupt("a row of the simulated database is damaged")
    return content


def at_once() -> float:
    """Return how long a write takes on a disk that is no bottleneck."""
    return 0.0


DrawSeconds = Callable[[], float]
"""Gives how long the next write takes, in seconds of the simulation's clock."""
