"""Reads the final part of the ledger from ``ledger.db``; every row is checked on its way out.

Safe beside the writer, in this process or another: a reader sees whole transactions only.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from node.errors import NodeError, StoreCorrupt
from node.ports import LocatedResult
from node.store.database import REPAIR_HINT, open_reader, translated_errors
from node.store.meta import check_chain
from node.store.rows import BlockRow, check_follows, check_row, decode_block_row, decode_value
from protocol.interface import FinalizedBlock
from protocol.journal import ScoreRecord
from protocol.outcomes import BlockOutcome, RoundRecord
from protocol.units import Digest, Height, Round

_SELECT_BLOCK: Final = "SELECT height, hash, block, certificate, checksum FROM blocks"

_COLUMN_MAX: Final = 2**63 - 1
"""The largest integer that SQLite knows; whoever asks may name larger ones, of which there are no rows."""

_ITERATION_BLOCKS: Final = 64
"""Blocks read by one query while iterating, so that no read transaction stays open between two items."""


class SqliteReader:
    """Implements the LedgerReader port on a connection of its own."""

    def __init__(self, path: Path, chain_id: Digest) -> None:
        """Open an existing database.

        Raises:
            ConfigError: There is none, or it is of another chain, version or program.
            StoreCorrupt: It is damaged.
        """
        self._path = path
        self._chain_id = chain_id
        self._connection = open_reader(path)
        try:
            check_chain(self._connection, path, chain_id)
        except NodeError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def get_tip(self) -> FinalizedBlock | None:
        """Return the newest final block."""
        return self._get_first_block(f"{_SELECT_BLOCK} ORDER BY height DESC LIMIT 1", ())

    def get_block(self, height: Height) -> FinalizedBlock | None:
        """Return a final block."""
        return self._get_first_block(f"{_SELECT_BLOCK} WHERE height = ?", (_limit(height),))

    def get_outcome(self, height: Height) -> BlockOutcome | None:
        """Return what a final block did."""
        rows = self._query("SELECT height, outcome, checksum FROM outcomes WHERE height = ?", (_limit(height),))
        return _decode_outcome(rows[0]) if rows else None

    def get_blocks(self, from_height: Height, *, bytes_max: int) -> tuple[FinalizedBlock, ...]:
        """Return blocks of ascending heights for a peer that catches up, the last one with its finalization (C14)."""
        blocks: list[FinalizedBlock] = []
        certified_count, size_bytes = 0, 0
        with translated_errors(self._path):
            query = f"{_SELECT_BLOCK} WHERE height >= ? ORDER BY height"
            cursor = self._connection.execute(query, (_limit(from_height),))
            for raw_row in cursor:
                row = _make_block_row(raw_row)
                size_bytes += len(row.block) + len(row.certificate or b"")
                # A peer can use nothing before the first certified block, however far away that is.
                if size_bytes > bytes_max and certified_count:
                    break
                blocks.append(decode_block_row(self._chain_id, row))
                if row.certificate is not None:
                    certified_count = len(blocks)
            cursor.close()
        self._check_linked(from_height, blocks)
        return tuple(blocks[:certified_count])

    def iterate_blocks(self, from_height: Height) -> Iterator[tuple[FinalizedBlock, BlockOutcome]]:
        """Yield final blocks and what they did, ascending, with the chain of their hashes checked."""
        parent = self.get_block(Height(from_height - 1)) if from_height > 1 else None
        height = max(from_height, 1)
        while True:
            rows = self._query(
                "SELECT b.height, b.hash, b.block, b.certificate, b.checksum, o.height, o.outcome, o.checksum"
                " FROM blocks b LEFT JOIN outcomes o ON o.height = b.height"
                " WHERE b.height >= ? ORDER BY b.height LIMIT ?",
                (_limit(height), _ITERATION_BLOCKS),
            )
            for row in rows:
                finalized = decode_block_row(self._chain_id, _make_block_row(row[:5]))
                check_follows(self._chain_id, parent, finalized.block)
                yield finalized, _decode_outcome(row[5:])
                parent = finalized
            if len(rows) < _ITERATION_BLOCKS:
                return
            height += _ITERATION_BLOCKS

    def get_rounds(self, from_round: Round, *, limit: int) -> tuple[RoundRecord, ...]:
        """Return settled rounds, ascending; none if the limit is less than one."""
        rows = self._query(
            "SELECT r.round, o.height, o.outcome, o.checksum FROM rounds r LEFT JOIN outcomes o ON o.height = r.height"
            " WHERE r.round >= ? ORDER BY r.round LIMIT ?",
            (_limit(from_round), max(_limit(limit), 0)),
        )
        rounds: list[RoundRecord] = []
        for round_number, *outcome_row in rows:
            settled = _decode_outcome(tuple(outcome_row)).settled
            if settled is None or settled.round != round_number:
                raise StoreCorrupt(
                    f"round {round_number} is not at the height that ledger.db gives for it: {REPAIR_HINT}"
                )
            rounds.append(settled)
        return tuple(rounds)

    def get_operation_result(self, operation_id: Digest) -> LocatedResult | None:
        """Return what became of an operation, if a final block holds it."""
        rows = self._query("SELECT height, position FROM operations WHERE operation_id = ?", (operation_id,))
        if not rows:
            return None
        height, position = Height(_check_int(rows[0][0])), _check_int(rows[0][1])
        outcome = self.get_outcome(height)
        results = () if outcome is None else outcome.results
        if not 0 <= position < len(results) or results[position].operation_id != operation_id:
            raise StoreCorrupt(f"operation {operation_id.hex()[:8]} is not where ledger.db says: {REPAIR_HINT}")
        return LocatedResult(height=height, result=results[position])

    def get_scores(self) -> tuple[ScoreRecord, ...]:
        """Return this node's own scores of models, oldest first."""
        scores: list[ScoreRecord] = []
        for model_digest, record, checksum in self._query(
            "SELECT model_digest, record, checksum FROM scores ORDER BY id", ()
        ):
            digest, encoded = _check_bytes(model_digest), _check_bytes(record)
            check_row("scores", digest.hex()[:8], checksum, digest, encoded)
            scores.append(decode_value(ScoreRecord, encoded))
        return tuple(scores)

    def _get_first_block(self, query: str, arguments: tuple[int, ...]) -> FinalizedBlock | None:
        rows = self._query(query, arguments)
        return decode_block_row(self._chain_id, _make_block_row(rows[0])) if rows else None

    def _check_linked(self, from_height: Height, blocks: list[FinalizedBlock]) -> None:
        if blocks and blocks[0].block.header.height != max(from_height, 1):
            raise StoreCorrupt(f"the block at height {from_height} is missing in ledger.db: {REPAIR_HINT}")
        for parent, child in pairwise(blocks):
            check_follows(self._chain_id, parent, child.block)

    def _query(self, query: str, arguments: tuple[object, ...]) -> list[tuple[object, ...]]:
        with translated_errors(self._path):
            return self._connection.execute(query, arguments).fetchall()


def _limit(number: int) -> int:
    return max(-_COLUMN_MAX, min(number, _COLUMN_MAX))


def _make_block_row(row: tuple[object, ...]) -> BlockRow:
    height, block_hash, block, certificate, checksum = row
    return BlockRow(
        height=_check_int(height),
        block_hash=_check_bytes(block_hash),
        block=_check_bytes(block),
        certificate=None if certificate is None else _check_bytes(certificate),
        checksum=_check_bytes(checksum),
    )


def _decode_outcome(row: tuple[object, ...]) -> BlockOutcome:
    height, outcome, checksum = row
    if height is None:
        raise StoreCorrupt(f"the outcome of a block is missing in ledger.db: {REPAIR_HINT}")
    encoded = _check_bytes(outcome)
    check_row("outcomes", height, checksum, _check_int(height), encoded)
    return decode_value(BlockOutcome, encoded)


def _check_int(value: object) -> int:
    if not isinstance(value, int):
        raise StoreCorrupt(f"ledger.db holds a {type(value).__name__} where an integer belongs: {REPAIR_HINT}")
    return value


def _check_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise StoreCorrupt(f"ledger.db holds a {type(value).__name__} where bytes belong: {REPAIR_HINT}")
    return value
