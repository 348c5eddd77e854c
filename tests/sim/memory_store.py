"""The Store port on a heap: what a simulated node's disk holds, as bytes, with the faults that a disk can have.

The disk outlives the store, as a disk outlives a process. Written from the port's contract and not from the SQLite
store, so that the contract suite compares two readings of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import trio

from node.errors import DiskFull, StoreCorrupt
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
from protocol.ledger.state import LedgerState, compute_genesis_state, compute_state_root
from protocol.ledger.transition import apply_block
from protocol.operations import compute_operation_id, decode_operation
from protocol.outcomes import BlockOutcome, RoundRecord
from protocol.refusals import Refusal
from protocol.units import Digest, Height, MemberId, Round

_BYTES_MAX = 1 << 30
_SNAPSHOT_INTERVAL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """Everything on the disk at one instant."""

    blocks: tuple[tuple[bytes, bytes], ...] = ()
    """(final block, outcome) by height, from 1 on."""
    journal: tuple[bytes, ...] = ()
    scores: tuple[bytes, ...] = ()
    snapshot: bytes | None = None
    remembers_votes: bool = True


@dataclass(slots=True)
class MemoryDisk:
    """A simulated disk with one node's database and vote log marker."""

    image: _Image | None = None
    """None without a database."""
    has_marker: bool = False
    is_full: bool = False
    writes_count: int = 0

    def lose_database(self) -> None:
        """Lose everything but what lies beside the keys."""
        self.image = None


@dataclass(slots=True)
class MemoryStore:
    """Implements the Store port on a :class:`MemoryDisk`."""

    disk: MemoryDisk
    genesis: Genesis
    member: MemberId
    write_s: float = 0.0
    """How long a write takes, in seconds of the simulation's clock."""
    _is_fenced: bool = field(init=False, default=False)
    _is_loaded: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Create the database if the disk has none."""
        if self.disk.image is None:
            self.disk.image = _Image(remembers_votes=not self.disk.has_marker)
            self.disk.has_marker = True

    def load(self) -> StoreContents:
        """See the port."""
        image = self._image
        state = compute_genesis_state(self.genesis)
        if image.snapshot is not None:
            state = decode(LedgerState, image.snapshot, bytes_max=_BYTES_MAX)
        for finalized, recorded in self.iterate_blocks(Height(state.height + 1)):
            state, outcome = apply_block(self.genesis.parameters, self.genesis.schema, state, finalized.block)
            if outcome != recorded:
                raise StoreCorrupt("replay gives another outcome")
        journal = tuple(cast(Record, decode_union(Record, record, bytes_max=_BYTES_MAX)) for record in image.journal)
        self._is_loaded = True
        return StoreContents(
            state=state,
            tip=self.get_tip(),
            records=(*self.get_scores(), *journal),
            has_vote_log=image.remembers_votes,
        )

    async def append(self, effects: Sequence[Persist | PersistBlock]) -> None:
        """See the port."""
        with trio.CancelScope(shield=True):
            if not effects:
                return
            await trio.sleep(self.write_s)
            self._check_writable()
            self._is_fenced = True
            image = self._image
            for effect in effects:
                match effect:
                    case Persist(record=record):
                        image = _add_record(image, record)
                    case PersistBlock():
                        image = self._add_block(image, effect)
            self._write(image)
            self._is_fenced = False

    async def save_snapshot(self, state: LedgerState) -> None:
        """See the port."""
        with trio.CancelScope(shield=True):
            await trio.sleep(self.write_s)
            self._check_writable()
            outcome = self.get_outcome(state.height)
            if outcome is None or outcome.state_root != compute_state_root(state):
                raise InvariantViolation("a snapshot of no appended block")
            used = next(account.next_sequence for account in state.accounts if account.member == self.member)
            journal = tuple(record for record in self._image.journal if not _is_used_operation(record, used))
            self._write(replace(self._image, snapshot=encode(state), journal=journal))

    def is_snapshot_due(self) -> bool:
        """See the port."""
        snapshot = self._image.snapshot
        height = 0 if snapshot is None else decode(LedgerState, snapshot, bytes_max=_BYTES_MAX).height
        return len(self._image.blocks) - height >= _SNAPSHOT_INTERVAL

    def close(self) -> None:
        """See the port; a simulated crash calls it first, so that nothing is written by a node that is dead."""
        self._is_fenced = True

    def get_tip(self) -> FinalizedBlock | None:
        """See the port."""
        return self.get_block(Height(len(self._image.blocks)))

    def get_block(self, height: Height) -> FinalizedBlock | None:
        """See the port."""
        if not 1 <= height <= len(self._image.blocks):
            return None
        return decode(FinalizedBlock, self._image.blocks[height - 1][0], bytes_max=_BYTES_MAX)

    def get_outcome(self, height: Height) -> BlockOutcome | None:
        """See the port."""
        if not 1 <= height <= len(self._image.blocks):
            return None
        return decode(BlockOutcome, self._image.blocks[height - 1][1], bytes_max=_BYTES_MAX)

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
        return tuple(record for record in settled if record is not None and record.round >= from_round)[:limit]

    def get_operation_result(self, operation_id: Digest) -> LocatedResult | None:
        """See the port."""
        for finalized, outcome in self.iterate_blocks(Height(1)):
            for result in outcome.results:
                if result.operation_id == operation_id:
                    return LocatedResult(height=finalized.block.header.height, result=result)
        return None

    def get_scores(self) -> tuple[ScoreRecord, ...]:
        """See the port."""
        return tuple(decode(ScoreRecord, score, bytes_max=_BYTES_MAX) for score in self._image.scores)

    @property
    def _image(self) -> _Image:
        assert self.disk.image is not None
        return self.disk.image

    def _check_writable(self) -> None:
        if self._is_fenced:
            raise StoreCorrupt("no more writes after a failed one")
        if not self._is_loaded:
            raise InvariantViolation("load() comes before the first write")

    def _write(self, image: _Image) -> None:
        if self.disk.is_full:
            raise DiskFull("the simulated disk is full")
        self.disk.image = image
        self.disk.writes_count += 1

    def _add_block(self, image: _Image, effect: PersistBlock) -> _Image:
        header = effect.finalized.block.header
        parent_hash = compute_chain_id(self.genesis)
        if image.blocks:
            parent = decode(FinalizedBlock, image.blocks[-1][0], bytes_max=_BYTES_MAX)
            parent_hash = compute_block_hash(parent_hash, parent.block.header)
        if (effect.height, header.height, header.parent_hash) != (
            len(image.blocks) + 1,
            len(image.blocks) + 1,
            parent_hash,
        ):
            raise InvariantViolation(f"block {effect.height} does not follow the tip")
        journal = tuple(record for record in image.journal if not self._is_useless(record, effect))
        blocks = (*image.blocks, (encode(effect.finalized), encode(effect.outcome)))
        return replace(image, blocks=blocks, journal=journal)

    def _is_useless(self, encoded: bytes, effect: PersistBlock) -> bool:
        view, settled = effect.finalized.block.header.view, effect.outcome.settled
        match cast(Record, decode_union(Record, encoded, bytes_max=_BYTES_MAX)):
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


def _is_used_operation(encoded: bytes, next_sequence: int) -> bool:
    record = decode_union(Record, encoded, bytes_max=_BYTES_MAX)
    if not isinstance(record, OwnOperationRecord):
        return False
    return decode_operation(record.operation).content.sequence < next_sequence


def _add_record(image: _Image, record: Record) -> _Image:
    if isinstance(record, ScoreRecord):
        others = [
            score
            for score in image.scores
            if decode(ScoreRecord, score, bytes_max=_BYTES_MAX).model_digest != record.model_digest
        ]
        return replace(image, scores=(*others, encode(record)))
    remembers = image.remembers_votes or isinstance(record, OwnVoteRecord | VotingFloorRecord)
    return replace(image, journal=(*image.journal, encode_union(record, Record)), remembers_votes=remembers)
