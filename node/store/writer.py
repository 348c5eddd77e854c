"""What one write to ``ledger.db`` changes: new rows, and journal records that a final block makes useless.

Every method runs inside the caller's transaction. If one raises, this object no longer tells what is on the disk, so
the caller must not use it again.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final, assert_never

from node.store.meta import VoteLogState, set_journal_count, set_tip_height, set_vote_log_state
from node.store.rows import VIEW_KINDS, compute_checksum, encode_block_row, encode_journal_row
from protocol.codec import encode
from protocol.errors import InvariantViolation
from protocol.interface import Persist, PersistBlock
from protocol.journal import OwnBallotRecord, OwnOperationRecord, OwnVoteRecord, Record, ScoreRecord, VotingFloorRecord
from protocol.ledger.state import LedgerState
from protocol.operations import compute_operation_id, decode_operation
from protocol.refusals import Refusal
from protocol.units import Digest, Height, MemberId, Round, Sequence, View

SNAPSHOT_COUNT: Final = 2
"""Snapshots kept: one to start from, and one in case the newest is damaged."""


@dataclass(slots=True, kw_only=True)
class WriterPosition:
    """Where the next write goes on."""

    tip_height: Height
    tip_hash: Digest
    snapshot_height: Height
    journal_count: int
    vote_log: VoteLogState


@dataclass(slots=True, kw_only=True)
class _Progress:
    """How far the blocks of one batch make the journal useless."""

    view: View
    """Of the newest final block."""
    sequence: Sequence | None = None
    """The highest of this member's executed operations."""
    round: Round | None = None
    """The newest settled round."""


class LedgerWriter:
    """Writes rows; knows the tip, so that blocks come without gaps."""

    def __init__(
        self, connection: sqlite3.Connection, *, chain_id: Digest, member: MemberId, position: WriterPosition
    ) -> None:
        """Take a writing connection and where the database stands."""
        self._connection = connection
        self._chain_id = chain_id
        self._member = member
        self.position = position

    def append(self, effects: tuple[Persist | PersistBlock, ...]) -> None:
        """Add records and blocks, then drop the records that the blocks make useless.

        Raises:
            InvariantViolation: A block does not follow the tip.
        """
        journal_count = self.position.journal_count
        progress: _Progress | None = None
        for effect in effects:
            match effect:
                case Persist(record=record):
                    self._append_record(record)
                case PersistBlock():
                    progress = self._append_block(effect, progress)
                case _:
                    assert_never(effect)
        if progress is not None:
            set_tip_height(self._connection, self.position.tip_height)
            self._prune_journal(progress)
        if self.position.journal_count != journal_count:
            set_journal_count(self._connection, self.position.journal_count)

    def save_snapshot(self, state: LedgerState) -> None:
        """Keep a state, and forget the oldest snapshots and the operations that it shows as executed.

        Raises:
            InvariantViolation: The state is not that of an appended block.
        """
        if state.height > self.position.tip_height or state.chain_id != self._chain_id:
            raise InvariantViolation(f"a snapshot of height {state.height} above the tip or of another chain")
        encoded = encode(state)
        self._connection.execute(
            "INSERT OR REPLACE INTO snapshots (height, state, checksum) VALUES (?, ?, ?)",
            (state.height, encoded, compute_checksum("snapshots", state.height, encoded)),
        )
        self._connection.execute(
            "DELETE FROM snapshots WHERE height NOT IN (SELECT height FROM snapshots ORDER BY height DESC LIMIT ?)",
            (SNAPSHOT_COUNT,),
        )
        for account in state.accounts:
            if account.member == self._member and account.next_sequence > 0:
                self._prune(OwnOperationRecord.tag, account.next_sequence - 1)
        set_journal_count(self._connection, self.position.journal_count)
        self.position.snapshot_height = state.height

    def _append_record(self, record: Record) -> None:
        if isinstance(record, ScoreRecord):
            encoded = encode(record)
            self._connection.execute(
                "INSERT OR REPLACE INTO scores (model_digest, record, checksum) VALUES (?, ?, ?)",
                (record.model_digest, encoded, compute_checksum("scores", record.model_digest, encoded)),
            )
            return
        if isinstance(record, VotingFloorRecord | OwnVoteRecord) and self.position.vote_log is VoteLogState.LOST:
            # From here on the engine's own record tells whether it may vote, and all its new votes are remembered.
            self.position.vote_log = VoteLogState.LIVE
            set_vote_log_state(self._connection, VoteLogState.LIVE)
        self._connection.execute(
            "INSERT INTO journal (kind, mark, record, checksum) VALUES (?, ?, ?, ?)", encode_journal_row(record)
        )
        self.position.journal_count += 1

    def _append_block(self, effect: PersistBlock, progress: _Progress | None) -> _Progress:
        header, position = effect.finalized.block.header, self.position
        if effect.height != position.tip_height + 1 or header.height != effect.height:
            raise InvariantViolation(
                f"block {effect.height} (header {header.height}) after height {position.tip_height}"
            )
        if header.parent_hash != position.tip_hash:
            raise InvariantViolation(f"block {effect.height} is no child of the block before it")
        row = encode_block_row(self._chain_id, effect.finalized)
        self._connection.execute(
            "INSERT INTO blocks (height, hash, block, certificate, checksum) VALUES (?, ?, ?, ?, ?)",
            (row.height, row.block_hash, row.block, row.certificate, row.checksum),
        )
        self._append_outcome(effect)
        position.tip_height, position.tip_hash = effect.height, Digest(row.block_hash)
        progress = progress or _Progress(view=header.view)
        progress.view = header.view
        self._note_progress(effect, progress)
        return progress

    def _append_outcome(self, effect: PersistBlock) -> None:
        encoded = encode(effect.outcome)
        self._connection.execute(
            "INSERT INTO outcomes (height, outcome, checksum) VALUES (?, ?, ?)",
            (effect.height, encoded, compute_checksum("outcomes", effect.height, encoded)),
        )
        # An operation that is ordered twice is refused the second time, so the first place is where it was executed.
        self._connection.executemany(
            "INSERT OR IGNORE INTO operations (operation_id, height, position) VALUES (?, ?, ?)",
            [(result.operation_id, effect.height, place) for place, result in enumerate(effect.outcome.results)],
        )
        if effect.outcome.settled is not None:
            self._connection.execute(
                "INSERT INTO rounds (round, height) VALUES (?, ?)", (effect.outcome.settled.round, effect.height)
            )

    def _note_progress(self, effect: PersistBlock, progress: _Progress) -> None:
        executed = {result.operation_id for result in effect.outcome.results if result.refusal is Refusal.NONE}
        for encoded in effect.finalized.block.operations:
            if compute_operation_id(encoded) in executed:
                content = decode_operation(encoded).content
                if content.member == self._member:
                    progress.sequence = Sequence(max(content.sequence, progress.sequence or 0))
        if effect.outcome.settled is not None:
            progress.round = effect.outcome.settled.round

    def _prune_journal(self, progress: _Progress) -> None:
        for kind in sorted(VIEW_KINDS):
            self._prune(kind, progress.view)
        if progress.sequence is not None:
            self._prune(OwnOperationRecord.tag, progress.sequence)
        if progress.round is not None:
            self._prune(OwnBallotRecord.tag, progress.round)

    def _prune(self, kind: int, mark: int) -> None:
        cursor = self._connection.execute("DELETE FROM journal WHERE kind = ? AND mark <= ?", (kind, mark))
        self.position.journal_count -= cursor.rowcount
