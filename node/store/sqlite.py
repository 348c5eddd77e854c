"""The Store port on SQLite: one transaction per batch, on the disk before the call returns.

All writes run in a worker thread (in line under a virtual clock), one at a time, and are waited for even when the
caller is cancelled: a batch is on disk or it is not, and the caller always learns which. After a failed write the store
is fenced and takes no more.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import trio

from node.blocking import RunBlocking, run_in_thread
from node.errors import StoreCorrupt
from node.ports import Entropy, LocatedResult, StoreContents
from node.store.database import open_writer, transaction, translated_errors
from node.store.loader import load_records, load_state
from node.store.meta import VOTE_LOG_ID_BYTES, VoteLogState, prepare_database
from node.store.reader import SqliteReader
from node.store.wal import check_log
from node.store.writer import LedgerWriter, WriterPosition
from protocol.errors import InvariantViolation
from protocol.genesis import Genesis, compute_chain_id
from protocol.interface import FinalizedBlock, Persist, PersistBlock
from protocol.journal import ScoreRecord
from protocol.ledger.state import LedgerState
from protocol.outcomes import BlockOutcome, RoundRecord
from protocol.units import Digest, Height, MemberId, Round

SNAPSHOT_INTERVAL_BLOCKS: Final = 200


class SqliteStore:
    """Implements the Store port."""

    def __init__(
        self,
        path: Path,
        *,
        genesis: Genesis,
        member: MemberId,
        marker: Path,
        entropy: Entropy,
        run_blocking: RunBlocking = run_in_thread,
    ) -> None:
        """Open the database of a node, or create it.

        Args:
            path: Of ``ledger.db``; its directory exists.
            genesis: The chain's.
            member: This node's, whose executed operations leave the journal.
            marker: The file beside the keys that names the vote log (C10).
            entropy: Gives the id of a new vote log.
            run_blocking: Where writes run.

        Raises:
            ConfigError: The database is of another chain, version or program.
            StoreCorrupt: It is damaged.
            DiskFull: There is no space left.
        """
        self._path = path
        self._genesis = genesis
        self._member = member
        self._chain_id = compute_chain_id(genesis)
        self._run_blocking = run_blocking
        self._turn = trio.Lock()
        self._lock = threading.Lock()
        self._is_fenced = False
        with translated_errors(path):
            check_log(path)
        self._connection = open_writer(path)
        with ExitStack() as opened:
            opened.callback(self._connection.close)
            self._vote_log = prepare_database(
                self._connection,
                path,
                chain_id=self._chain_id,
                marker=marker,
                new_vote_log_id=entropy.get_bytes(VOTE_LOG_ID_BYTES),
            )
            self._reader = SqliteReader(path, self._chain_id)
            opened.pop_all()
        self._writer: LedgerWriter | None = None

    def load(self) -> StoreContents:
        """Return what this node remembers; called once, before the first append."""
        with translated_errors(self._path):
            state, snapshot_height = load_state(self._connection, self._reader, self._genesis)
            records, journal_count = load_records(self._connection, self._reader)
            tip = self._reader.get_tip()
        position = WriterPosition(
            tip_height=state.height,
            tip_hash=state.block_hash,
            snapshot_height=snapshot_height,
            journal_count=journal_count,
            vote_log=self._vote_log,
        )
        self._writer = LedgerWriter(self._connection, chain_id=self._chain_id, member=self._member, position=position)
        has_vote_log = self._vote_log is not VoteLogState.LOST
        return StoreContents(state=state, tip=tip, records=records, has_vote_log=has_vote_log)

    async def append(self, effects: Sequence[Persist | PersistBlock]) -> None:
        """Write a batch in one transaction; on return it is durable."""
        batch = tuple(effects)
        if batch:
            await self._write(lambda writer: writer.append(batch))

    async def save_snapshot(self, state: LedgerState) -> None:
        """Keep the ledger's state after an appended block, so that the next start replays from there."""
        await self._write(lambda writer: writer.save_snapshot(state))

    def is_snapshot_due(self) -> bool:
        """Return whether enough blocks were appended since the last snapshot."""
        if self._writer is None:
            return False
        position = self._writer.position
        return position.tip_height - position.snapshot_height >= SNAPSHOT_INTERVAL_BLOCKS

    def close(self) -> None:
        """Release the files; a write in progress is waited for."""
        with self._lock:
            self._is_fenced = True
            self._reader.close()
            self._connection.close()

    def get_tip(self) -> FinalizedBlock | None:
        """Return the newest final block."""
        return self._reader.get_tip()

    def get_block(self, height: Height) -> FinalizedBlock | None:
        """Return a final block."""
        return self._reader.get_block(height)

    def get_outcome(self, height: Height) -> BlockOutcome | None:
        """Return what a final block did."""
        return self._reader.get_outcome(height)

    def get_blocks(self, from_height: Height, *, bytes_max: int) -> tuple[FinalizedBlock, ...]:
        """Return blocks of ascending heights for a peer that catches up, the last one with its finalization (C14)."""
        return self._reader.get_blocks(from_height, bytes_max=bytes_max)

    def iterate_blocks(self, from_height: Height) -> Iterator[tuple[FinalizedBlock, BlockOutcome]]:
        """Yield final blocks and what they did, ascending, with the chain of their hashes checked."""
        return self._reader.iterate_blocks(from_height)

    def get_rounds(self, from_round: Round, *, limit: int) -> tuple[RoundRecord, ...]:
        """Return settled rounds, ascending."""
        return self._reader.get_rounds(from_round, limit=limit)

    def get_operation_result(self, operation_id: Digest) -> LocatedResult | None:
        """Return what became of an operation, if a final block holds it."""
        return self._reader.get_operation_result(operation_id)

    def get_scores(self) -> tuple[ScoreRecord, ...]:
        """Return this node's own scores of models, oldest first."""
        return self._reader.get_scores()

    async def _write(self, write: Callable[[LedgerWriter], None]) -> None:
        with trio.CancelScope(shield=True):
            async with self._turn:
                await self._run_blocking(partial(self._write_locked, write))

    def _write_locked(self, write: Callable[[LedgerWriter], None]) -> None:
        with self._lock:
            if self._is_fenced:
                raise StoreCorrupt(f"{self._path} takes no more writes after a failed one: start the node again")
            if self._writer is None:
                raise InvariantViolation("load() comes before the first write")
            # Whatever stops a transaction, memory and disk may disagree from then on; a new start makes them agree.
            self._is_fenced = True
            with translated_errors(self._path), transaction(self._connection):
                write(self._writer)
            self._is_fenced = False
