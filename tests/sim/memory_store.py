"""The Store port on a heap: what :mod:`tests.sim.memory_disk` holds, read and written as the port's contract says.

Written from the contract and not from the SQLite store, so that the contract suite compares two readings of it.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, TypeVar, cast

import trio

from node.errors import StoreCorrupt
from node.ports import LocatedResult, StoreContents
from protocol.blocks import compute_block_hash
from protocol.codec import decode, decode_union, encode, encode_union
from protocol.errors import InvariantViolation
from protocol.genesis import Genesis, compute_chain_id
from protocol.interface import FinalizedBlock, Persist, PersistBlock
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
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import LedgerState, compute_state_root
from protocol.ledger.transition import apply_block
from protocol.operations import compute_operation_id, decode_operation
from protocol.outcomes import BlockOutcome, RoundRecord
from protocol.refusals import Refusal
from protocol.units import Digest, Height, MemberId, Round
from tests.sim.memory_disk import DrawSeconds, Image, MemoryDisk, at_once, seal, unseal

T = TypeVar("T")

BYTES_MAX: Final = 1 << 30
SNAPSHOT_INTERVAL_BLOCKS: Final = 200
SNAPSHOT_COUNT: Final = 2
ROWS_REMEMBERED: Final = 8_192
"""Rows of all simulated nodes that are kept decoded, since they are read again and again."""


@dataclass(slots=True)
class MemoryStore:
    """Implements the Store port on a :class:`MemoryDisk`."""

    disk: MemoryDisk
    genesis: Genesis
    member: MemberId
    draw_write_s: DrawSeconds = at_once
    snapshot_interval_blocks: int = SNAPSHOT_INTERVAL_BLOCKS
    _is_fenced: bool = field(init=False, default=False)
    _is_loaded: bool = field(init=False, default=False)
    _turn: trio.Lock = field(init=False, default_factory=trio.Lock)

    def __post_init__(self) -> None:
        """Create the database if the disk has none, and compare its vote log with the marker (C10)."""
        disk = self.disk
        if disk.image is None:
            disk.databases_count += 1
            disk.image = Image(vote_log_id=disk.databases_count, remembers_votes=disk.marker == 0)
        elif disk.marker != disk.image.vote_log_id:
            disk.image = replace(disk.image, remembers_votes=False)
        disk.marker = disk.image.vote_log_id

    def load(self) -> StoreContents:
        """See the port."""
        image = self._image
        state = self._load_snapshot(image)
        for finalized, recorded in self.iterate_blocks(Height(state.height + 1)):
            state, outcome = apply_block(self.genesis.parameters, self.genesis.schema, state, finalized.block)
            if outcome != recorded:
                raise StoreCorrupt("replay gives another outcome")
        self._is_loaded = True
        return StoreContents(
            state=state,
            tip=self.get_tip(),
            records=(*self.get_scores(), *self.get_journal()),
            has_vote_log=image.remembers_votes,
        )

    async def append(self, effects: Sequence[Persist | PersistBlock]) -> None:
        """See the port."""
        if not effects:
            return
        with trio.CancelScope(shield=True):
            async with self._turn:
                await self._write(effects)

    async def save_snapshot(self, state: LedgerState) -> None:
        """See the port."""
        with trio.CancelScope(shield=True):
            async with self._turn:
                await self._write(state)

    def is_snapshot_due(self) -> bool:
        """See the port."""
        snapshots = self._image.snapshots
        height = _decode(LedgerState, snapshots[-1]).height if snapshots else 0
        return len(self._image.blocks) - height >= self.snapshot_interval_blocks

    def close(self) -> None:
        """See the port; a simulated power cut calls it first, so that nothing is written by a node that is dead."""
        self._is_fenced = True

    def get_tip(self) -> FinalizedBlock | None:
        """See the port."""
        return self.get_block(Height(len(self._image.blocks)))

    def get_block(self, height: Height) -> FinalizedBlock | None:
        """See the port."""
        rows = self._image.blocks
        return _decode(FinalizedBlock, rows[height - 1]) if 1 <= height <= len(rows) else None

    def get_outcome(self, height: Height) -> BlockOutcome | None:
        """See the port."""
        rows = self._image.outcomes
        return _decode(BlockOutcome, rows[height - 1]) if 1 <= height <= len(rows) else None

    def get_blocks(self, from_height: Height, *, bytes_max: int) -> tuple[FinalizedBlock, ...]:
        """See the port."""
        taken: list[FinalizedBlock] = []
        usable_count, size = 0, 0
        for finalized, _ in self.iterate_blocks(from_height):
            size += len(encode(finalized.block))
            size += 0 if finalized.certificate is None else len(encode(finalized.certificate))
            if size > bytes_max and usable_count:
                break
            taken.append(finalized)
            if finalized.certificate is not None:
                usable_count = len(taken)
        return tuple(taken[:usable_count])

    def iterate_blocks(self, from_height: Height) -> Iterator[tuple[FinalizedBlock, BlockOutcome]]:
        """See the port."""
        for height in range(max(from_height, 1), len(self._image.blocks) + 1):
            finalized, outcome = self.get_block(Height(height)), self.get_outcome(Height(height))
            assert finalized is not None
            assert outcome is not None
            yield finalized, outcome

    def get_rounds(self, from_round: Round, *, limit: int) -> tuple[RoundRecord, ...]:
        """See the port."""
        settled = (outcome.settled for _, outcome in self.iterate_blocks(Height(1)))
        return tuple(record for record in settled if record is not None and record.round >= from_round)[: max(limit, 0)]

    def get_operation_result(self, operation_id: Digest) -> LocatedResult | None:
        """See the port."""
        for finalized, outcome in self.iterate_blocks(Height(1)):
            for result in outcome.results:
                if result.operation_id == operation_id:
                    return LocatedResult(height=finalized.block.header.height, result=result)
        return None

    def get_scores(self) -> tuple[ScoreRecord, ...]:
        """See the port."""
        return tuple(_decode(ScoreRecord, score) for score in self._image.scores)

    def get_journal(self) -> tuple[Record, ...]:
        """Return the journal in the order of its writing."""
        return tuple(_decode_record(row) for row in self._image.journal)

    @property
    def _image(self) -> Image:
        assert self.disk.image is not None
        return self.disk.image

    def _load_snapshot(self, image: Image) -> LedgerState:
        """Return the newest snapshot that is not damaged, or else the genesis state."""
        for row in reversed(image.snapshots):
            try:
                state = _decode(LedgerState, row)
            except StoreCorrupt:
                continue
            return state
        return compute_genesis_state(self.genesis)

    async def _write(self, what: Sequence[Persist | PersistBlock] | LedgerState) -> None:
        write_s = self.draw_write_s()
        await trio.sleep(write_s / 2)
        if self._is_fenced:
            raise StoreCorrupt("no more writes after a failed one")
        if not self._is_loaded:
            raise InvariantViolation("load() comes before the first write")
        self._is_fenced = True
        image = self._add_snapshot(what) if isinstance(what, LedgerState) else self._add_batch(what)
        self.disk.write(image)
        self._is_fenced = False
        await trio.sleep(write_s / 2)

    def _add_batch(self, effects: Sequence[Persist | PersistBlock]) -> Image:
        image = self._image
        for effect in effects:
            match effect:
                case Persist(record=record):
                    image = _add_record(image, record)
                case PersistBlock():
                    image = self._add_block(image, effect)
        return image

    def _add_snapshot(self, state: LedgerState) -> Image:
        image, outcome = self._image, self.get_outcome(state.height)
        if outcome is None or outcome.state_root != compute_state_root(state):
            raise InvariantViolation("a snapshot of no appended block")
        used = next(account.next_sequence for account in state.accounts if account.member == self.member)
        journal = tuple(row for row in image.journal if not _is_used_operation(_decode_record(row), used))
        return replace(image, snapshots=(*image.snapshots, seal(encode(state)))[-SNAPSHOT_COUNT:], journal=journal)

    def _add_block(self, image: Image, effect: PersistBlock) -> Image:
        header = effect.finalized.block.header
        parent_hash = compute_chain_id(self.genesis)
        if image.blocks:
            parent = _decode(FinalizedBlock, image.blocks[-1])
            parent_hash = compute_block_hash(parent_hash, parent.block.header)
        following = len(image.blocks) + 1
        if (effect.height, header.height, header.parent_hash) != (following, following, parent_hash):
            raise InvariantViolation(f"block {effect.height} does not follow the tip")
        return replace(
            image,
            blocks=(*image.blocks, seal(encode(effect.finalized))),
            outcomes=(*image.outcomes, seal(encode(effect.outcome))),
            journal=tuple(row for row in image.journal if not self._is_useless(_decode_record(row), effect)),
        )

    def _is_useless(self, record: Record, effect: PersistBlock) -> bool:
        view, settled = effect.finalized.block.header.view, effect.outcome.settled
        match record:
            case OwnVoteRecord(vote=vote):
                return vote.view <= view
            case OwnProposalRecord(proposal=proposal):
                return proposal.block.header.view <= view
            case BlockRecord(block=block):
                return block.header.view <= view
            case CertificateRecord(certificate=certificate):
                return certificate.view <= view
            case OwnBallotRecord(round=round_number):
                return settled is not None and round_number <= settled.round
            case OwnOperationRecord(operation=operation):
                return decode_operation(operation).content.sequence <= self._get_executed(effect)
            case VotingFloorRecord() | ScoreRecord():
                return False

    def _get_executed(self, effect: PersistBlock) -> int:
        executed = {result.operation_id for result in effect.outcome.results if result.refusal is Refusal.NONE}
        contents = (
            decode_operation(operation).content
            for operation in effect.finalized.block.operations
            if compute_operation_id(operation) in executed
        )
        return max((content.sequence for content in contents if content.member == self.member), default=-1)


def _is_used_operation(record: Record, next_sequence: int) -> bool:
    return (
        isinstance(record, OwnOperationRecord)
        and decode_operation(record.operation).content.sequence < next_sequence
    )


def _add_record(image: Image, record: Record) -> Image:
    if isinstance(record, ScoreRecord):
        others = [row for row in image.scores if _decode(ScoreRecord, row).model_digest != record.model_digest]
        return replace(image, scores=(*others, seal(encode(record))))
    remembers = image.remembers_votes or isinstance(record, OwnVoteRecord | VotingFloorRecord)
    return replace(image, journal=(*image.journal, seal(encode_union(record, Record))), remembers_votes=remembers)


def _decode(kind: type[T], row: bytes) -> T:
    return cast(T, _decode_once(cast(Hashable, kind), row))


@lru_cache(ROWS_REMEMBERED)
def _decode_once(kind: Hashable, row: bytes) -> object:
    assert isinstance(kind, type)
    return decode(kind, unseal(row), bytes_max=BYTES_MAX)


@lru_cache(ROWS_REMEMBERED)
def _decode_record(row: bytes) -> Record:
    return cast(Record, decode_union(Record, unseal(row), bytes_max=BYTES_MAX))
