"""Reads everything that a starting node needs from ``ledger.db``, and refuses to start from less than was written."""

import sqlite3
from typing import Final

from node.errors import StoreCorrupt
from node.store.database import REPAIR_HINT
from node.store.meta import get_journal_count, get_tip_height
from node.store.reader import SqliteReader
from node.store.restore import is_state_of, replay_blocks
from node.store.rows import check_row, decode_journal_row, decode_value
from protocol.genesis import Genesis
from protocol.journal import Record, ScoreRecord
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import LedgerState
from protocol.units import Height

SCORES_RESTORED_MAX: Final = 1_024
"""The newest scores are given to the engine; older ones stay on disk for people."""


def load_state(connection: sqlite3.Connection, reader: SqliteReader, genesis: Genesis) -> tuple[LedgerState, Height]:
    """Return the ledger's state after the newest block, and the height of the snapshot that it was rebuilt from.

    That is the newest intact snapshot, or else the genesis state; every later block is executed again.

    Raises:
        StoreCorrupt: A block or an outcome on the way is damaged or missing.
    """
    state = compute_genesis_state(genesis)
    for height, encoded, checksum in connection.execute(
        "SELECT height, state, checksum FROM snapshots ORDER BY height DESC"
    ).fetchall():
        snapshot = _decode_snapshot(reader, height, encoded, checksum)
        if snapshot is not None:
            state = snapshot
            break
    snapshot_height = state.height
    state = replay_blocks(genesis, state, reader.iterate_blocks(Height(state.height + 1)))
    tip_height = get_tip_height(connection)
    if state.height != tip_height:
        raise StoreCorrupt(f"ledger.db had blocks up to {tip_height}, but not all are there: {REPAIR_HINT}")
    return state, snapshot_height


def load_records(connection: sqlite3.Connection, reader: SqliteReader) -> tuple[tuple[Record, ...], int]:
    """Return the newest scores followed by the journal, and the number of rows of the journal.

    Raises:
        StoreCorrupt: A record is damaged or missing.
    """
    journal: list[Record] = []
    for row_id, *row in connection.execute("SELECT id, kind, mark, record, checksum FROM journal ORDER BY id"):
        kind, mark, encoded, checksum = row
        if not (isinstance(kind, int) and isinstance(mark, int) and isinstance(encoded, bytes)):
            raise StoreCorrupt(f"journal record {row_id} in ledger.db is not what was written: {REPAIR_HINT}")
        journal.append(decode_journal_row(row_id, (kind, mark, encoded, checksum)))
    expected = get_journal_count(connection)
    if len(journal) != expected:
        raise StoreCorrupt(f"the journal in ledger.db has {len(journal)} records, not {expected}: {REPAIR_HINT}")
    scores: tuple[ScoreRecord, ...] = reader.get_scores()
    return (*scores[-SCORES_RESTORED_MAX:], *journal), len(journal)


def _decode_snapshot(reader: SqliteReader, height: int, encoded: object, checksum: object) -> LedgerState | None:
    """Return a snapshot's state, or None if it is damaged: the blocks can replace it."""
    recorded = reader.get_outcome(Height(height))
    if recorded is None or not isinstance(encoded, bytes):
        return None
    try:
        check_row("snapshots", height, checksum, height, encoded)
        state = decode_value(LedgerState, encoded)
    except StoreCorrupt:
        return None
    return state if state.height == height and is_state_of(state, recorded) else None
