"""What the rows of ``ledger.db`` hold: canonical encodings, each with a checksum over everything in its row.

A checksum covers the table's name and the key too, so that a row that was moved is found like one that was changed.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, TypeVar, assert_never, cast

from node.errors import StoreCorrupt
from node.store.database import REPAIR_HINT
from protocol.blocks import Block, compute_block_hash
from protocol.codec import decode, decode_union, encode, encode_union
from protocol.errors import InvariantViolation, MalformedMessage
from protocol.interface import FinalizedBlock
from protocol.journal import (
    BlockRecord,
    CertificateRecord,
    OwnBallotRecord,
    OwnOperationRecord,
    OwnProposalRecord,
    OwnVoteRecord,
    Record,
    ScoreRecord,
    VotingFloorRecord,
)
from protocol.operations import decode_operation
from protocol.units import Digest, Height
from protocol.votes import Certificate

T = TypeVar("T")

ROW_BYTES_MAX: Final = 1 << 30
"""Our own encodings need no limit against strangers; this is SQLite's own limit on a value."""

VIEW_KINDS: Final = frozenset({OwnVoteRecord.tag, OwnProposalRecord.tag, BlockRecord.tag, CertificateRecord.tag})
"""Kinds of records whose mark is a view: useless once a block of that view or a later one is final."""

JournalRow = tuple[int, int, bytes, bytes]
"""(kind, mark, record, checksum)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRow:
    """A row of ``blocks``."""

    height: int
    block_hash: bytes
    block: bytes
    certificate: bytes | None
    checksum: bytes


def compute_checksum(table: str, *columns: int | bytes | None) -> bytes:
    """Return the checksum of a row: 16 bytes of SHA-256 over the table's name and the columns, each with its length."""
    hasher = hashlib.sha256()
    for column in (table.encode(), *columns):
        piece = b"\x00" if column is None else b"\x01" + (column if isinstance(column, bytes) else b"%d" % column)
        hasher.update(len(piece).to_bytes(8, "big"))
        hasher.update(piece)
    return hasher.digest()[:16]


def check_row(table: str, key: object, checksum: object, *columns: int | bytes | None) -> None:
    """Check a row against its checksum.

    Raises:
        StoreCorrupt: The row is not what was written.
    """
    if checksum != compute_checksum(table, *columns):
        raise StoreCorrupt(f"row {key} of table {table} in ledger.db is not what was written: {REPAIR_HINT}")


def encode_block_row(chain_id: Digest, finalized: FinalizedBlock) -> BlockRow:
    """Return the row of a final block."""
    height = finalized.block.header.height
    block_hash = compute_block_hash(chain_id, finalized.block.header)
    block = encode(finalized.block)
    certificate = None if finalized.certificate is None else encode(finalized.certificate)
    checksum = compute_checksum("blocks", height, block_hash, block, certificate)
    return BlockRow(height=height, block_hash=block_hash, block=block, certificate=certificate, checksum=checksum)


def decode_block_row(chain_id: Digest, row: BlockRow) -> FinalizedBlock:
    """Return the final block of a row.

    Raises:
        StoreCorrupt: The row is not what was written.
    """
    check_row("blocks", row.height, row.checksum, row.height, row.block_hash, row.block, row.certificate)
    block = decode_value(Block, row.block)
    if compute_block_hash(chain_id, block.header) != row.block_hash or block.header.height != row.height:
        raise StoreCorrupt(f"the block at height {row.height} in ledger.db has another hash or height: {REPAIR_HINT}")
    certificate = None if row.certificate is None else decode_value(Certificate, row.certificate)
    return FinalizedBlock(block=block, certificate=certificate)


def decode_value(kind: type[T], encoded: bytes) -> T:
    """Return a value from bytes that this node wrote.

    Raises:
        StoreCorrupt: They do not decode.
    """
    try:
        return decode(kind, encoded, bytes_max=ROW_BYTES_MAX)
    except MalformedMessage as error:
        raise StoreCorrupt(f"a {kind.__name__} in ledger.db does not decode ({error}): {REPAIR_HINT}") from error


def encode_journal_row(record: Record) -> JournalRow:
    """Return the row of a journal record."""
    kind, mark, encoded = type(record).tag, compute_mark(record), encode_union(record, Record)
    return kind, mark, encoded, compute_checksum("journal", kind, mark, encoded)


def decode_journal_row(row_id: int, row: JournalRow) -> Record:
    """Return the record of a row of the journal.

    Raises:
        StoreCorrupt: The row is not what was written.
    """
    kind, mark, encoded, checksum = row
    check_row("journal", row_id, checksum, kind, mark, encoded)
    try:
        return cast(Record, decode_union(Record, encoded, bytes_max=ROW_BYTES_MAX))
    except MalformedMessage as error:
        raise StoreCorrupt(f"journal record {row_id} in ledger.db does not decode ({error}): {REPAIR_HINT}") from error


def compute_mark(record: Record) -> int:
    """Return the number by which a journal record becomes useless: its view, its operation's sequence, or its round.

    A voting floor never becomes useless.
    """
    match record:
        case OwnVoteRecord(vote=vote):
            return vote.view
        case OwnProposalRecord(proposal=proposal):
            return proposal.block.header.view
        case BlockRecord(block=block):
            return block.header.view
        case CertificateRecord(certificate=certificate):
            return certificate.view
        case OwnOperationRecord(operation=operation):
            return decode_operation(operation).content.sequence
        case OwnBallotRecord(round=round_number):
            return round_number
        case VotingFloorRecord(after_view=after_view):
            return after_view
        case ScoreRecord():
            raise InvariantViolation("scores are no part of the journal table")
    assert_never(record)


def check_follows(chain_id: Digest, parent: FinalizedBlock | None, block: Block) -> None:
    """Check that a stored block is the child of the one before it.

    Raises:
        StoreCorrupt: It is not.
    """
    parent_hash = chain_id if parent is None else compute_block_hash(chain_id, parent.block.header)
    parent_height = Height(0) if parent is None else parent.block.header.height
    if block.header.parent_hash != parent_hash or block.header.height != parent_height + 1:
        raise StoreCorrupt(
            f"the block at height {block.header.height} in ledger.db does not follow its parent: {REPAIR_HINT}"
        )
