"""A simulated disk: what survives a crash, and what of the write under way a loss of power leaves behind.

It shows what the real store can show, which is SQLite with a write-ahead log and full synchronization, one transaction
for each batch (:mod:`node.store`). A batch whose write has returned is there whatever happens. Of the one batch under
way either everything is there or nothing: the log is a row of frames, each with a checksum over all frames so far, the
last of them marked as the end of the transaction, and only whole transactions are read back. A process that is killed
leaves what it has written; a machine that loses power leaves any sectors of what was not synchronized yet, in any
order. So a torn batch is a lost one, and the reader must find that out.

Never shown, because the store refuses to start from it: damage before the last batch. An old copy of the whole disk is
another matter; nothing on it tells that it is old.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from protocol.codec import encode, encode_union
from protocol.crypto import Domain, compute_digest
from protocol.export import ExportedBlock
from protocol.interface import FinalizedBlock, Persist, PersistBlock
from protocol.journal import (
    BlockRecord,
    CertificateRecord,
    OwnBallotRecord,
    OwnOperationRecord,
    OwnProposalRecord,
    OwnVoteRecord,
    Record,
    VotingFloorRecord,
)
from protocol.ledger.state import LedgerState
from protocol.operations import decode_operation
from protocol.outcomes import BlockOutcome
from protocol.restored import Restored
from protocol.units import Digest, MemberId, Round, View
from protocol.units import Sequence as OperationNumber
from protocol.votes import Vote

SECTOR_BYTES: Final = 512
CHECKSUM_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 5
"""Whether the frame is the last of its batch, and how long its payload is."""


@dataclass(slots=True)
class Disk:
    """What survives a crash; journal records go when a final block makes them useless, as in the real store."""

    state: LedgerState
    blocks: list[FinalizedBlock] = field(default_factory=list)
    outcomes: list[BlockOutcome] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    artifacts: set[Digest] = field(default_factory=set)
    has_vote_log: bool = True
    votes: set[Vote] = field(default_factory=set)
    """Those among the records, to find one fast."""

    def restore(self) -> Restored:
        """Return what a starting node finds."""
        tip = self.blocks[-1] if self.blocks else None
        assert tip is None or tip.certificate is not None, "the ledger on disk ends without a finalization"
        return Restored(
            state=self.state,
            tip=tip,
            records=tuple(self.records),
            has_vote_log=self.has_vote_log,
            artifacts=frozenset(self.artifacts),
        )

    def write(self, batch: Sequence[Persist | PersistBlock], state: LedgerState, member: MemberId) -> None:
        """Take a batch as a whole."""
        blocks = [effect for effect in batch if isinstance(effect, PersistBlock)]
        for effect in batch:
            if isinstance(effect, Persist):
                self.records.append(effect.record)
                if isinstance(effect.record, OwnVoteRecord):
                    self.votes.add(effect.record.vote)
                # From here on the engine's own record tells whether it may vote.
                self.has_vote_log |= isinstance(effect.record, VotingFloorRecord | OwnVoteRecord)
        if blocks:
            self.blocks += [effect.finalized for effect in blocks]
            self.outcomes += [effect.outcome for effect in blocks]
            self.state = state
            # A newcomer that is not admitted yet follows the ledger and has no account.
            own = [account.next_sequence for account in state.accounts if account.member == member]
            next_sequence = own[0] if own else OperationNumber(0)
            settled = Round(state.next_round - 1 if state.round is None else state.round.round - 1)
            self.records = [
                record for record in self.records if not _is_useless(record, state.view, next_sequence, settled)
            ]
            self.votes = {record.vote for record in self.records if isinstance(record, OwnVoteRecord)}

    def copy(self) -> "Disk":
        """Return a backup."""
        return replace(
            self,
            blocks=list(self.blocks),
            outcomes=list(self.outcomes),
            records=list(self.records),
            artifacts=set(self.artifacts),
            votes=set(self.votes),
        )

    def lose_database(self, genesis_state: LedgerState) -> None:
        """Lose everything but the artifacts and the keys (C10)."""
        self.state = genesis_state
        self.blocks = []
        self.outcomes = []
        self.lose_journal()

    def lose_journal(self) -> None:
        """Lose what was remembered above the ledger's tip (C10)."""
        self.records = []
        self.votes = set()
        self.has_vote_log = False


def encode_batch(batch: Sequence[Persist | PersistBlock]) -> bytes:
    """Return the bytes that a batch is on its way to the disk: frames with chained checksums, the last one a commit."""
    log, chain = bytearray(), Digest(bytes(CHECKSUM_BYTES))
    payloads = [_encode_entry(effect) for effect in batch]
    for place, payload in enumerate(payloads):
        header = bytes([place == len(payloads) - 1]) + len(payload).to_bytes(4, "big")
        chain = compute_digest(Domain.STATE, chain, header, payload)
        log += header + payload + chain
    return bytes(log)


def count_readable(log: bytes) -> int:
    """Return how many entries of a batch a reader takes from its log: all of them, or none if it is torn."""
    chain, offset, count = Digest(bytes(CHECKSUM_BYTES)), 0, 0
    while offset + FRAME_HEADER_BYTES <= len(log):
        header = log[offset : offset + FRAME_HEADER_BYTES]
        end = offset + FRAME_HEADER_BYTES + int.from_bytes(header[1:], "big")
        chain = compute_digest(Domain.STATE, chain, header, log[offset + FRAME_HEADER_BYTES : end])
        if log[end : end + CHECKSUM_BYTES] != chain:
            return 0
        count += 1
        if header[0]:
            return count
        offset = end + CHECKSUM_BYTES
    return 0


def tear(log: bytes, chance: random.Random) -> bytes:
    """Return what is found after power went while a batch was written: any of its sectors, or only its first bytes."""
    if chance.random() < 0.5:
        return log[: chance.randint(0, len(log))]
    kept_share = chance.random()
    sectors = [log[start : start + SECTOR_BYTES] for start in range(0, len(log), SECTOR_BYTES)]
    return b"".join(sector if chance.random() < kept_share else bytes(len(sector)) for sector in sectors)


def _encode_entry(effect: Persist | PersistBlock) -> bytes:
    if isinstance(effect, Persist):
        return encode_union(effect.record, Record)
    final = effect.finalized
    return encode(ExportedBlock(block=final.block, certificate=final.certificate, outcome=effect.outcome))


def _is_useless(record: Record, view: View, next_sequence: OperationNumber, settled: Round) -> bool:
    match record:
        case OwnVoteRecord(vote=vote):
            return vote.view <= view
        case OwnProposalRecord(proposal=proposal):
            return proposal.block.header.view <= view
        case BlockRecord(block=block):
            return block.header.view <= view
        case CertificateRecord(certificate=certificate):
            return certificate.view <= view
        case OwnOperationRecord(operation=operation):
            return decode_operation(operation).content.sequence < next_sequence
        case OwnBallotRecord(round=round_number):
            return round_number <= settled
        case _:
            return False
