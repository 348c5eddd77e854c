"""A simulated node: a disk that outlives crashes, and on it an engine, or an adversary that holds a member's keys."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from protocol.blocks import Block
from protocol.engine import Engine
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock, Input, Persist, PersistBlock
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
from protocol.restored import Restored
from protocol.units import Digest, Height, MemberId, Millis, Round, View
from protocol.units import Sequence as OperationNumber
from protocol.votes import Vote
from tests.sim.keys import NodeKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTo:
    """What only an adversary does: tell some nodes something that the others don't hear."""

    receivers: tuple[int, ...]
    topic: Topic
    message: bytes


Action: TypeAlias = Effect | SendTo


class Adversary(Protocol):
    """A member that does what it likes."""

    def start(self, now_ms: Millis) -> Sequence[Action]:
        """Return what to do first."""
        ...

    def on_gossip(self, sender: int, topic: Topic, message: bytes, now_ms: Millis) -> Sequence[Action]:
        """Take a message from a node."""
        ...

    def handle(self, event: Input, now_ms: Millis) -> Sequence[Action]:
        """Take any other input."""
        ...

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        """Answer a node that asks for final blocks."""
        ...

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        """Answer a node that asks for the body of an unfinalized block."""
        ...

    def get_votes_seen(self, member: MemberId) -> tuple[Vote, ...] | None:
        """Answer a node that asks which of its votes this one has seen; None keeps it waiting."""
        ...


@dataclass(slots=True)
class Disk:
    """What survives a crash; journal records go when a final block makes them useless, as in the real store."""

    state: LedgerState
    blocks: list[FinalizedBlock] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    artifacts: set[Digest] = field(default_factory=set)
    has_vote_log: bool = True

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

    def write(self, effects: Sequence[Action], state: LedgerState, member: MemberId) -> None:
        """Take a batch as a whole."""
        blocks = [effect for effect in effects if isinstance(effect, PersistBlock)]
        for effect in effects:
            if isinstance(effect, Persist):
                self.records.append(effect.record)
                # From here on the engine's own record tells whether it may vote.
                self.has_vote_log |= isinstance(effect.record, VotingFloorRecord | OwnVoteRecord)
        if blocks:
            self.blocks += [effect.finalized for effect in blocks]
            self.state = state
            account = next(account for account in state.accounts if account.member == member)
            settled = Round(state.next_round - 1 if state.round is None else state.round.round - 1)
            self.records = [
                record for record in self.records if not _is_useless(record, state.view, account.next_sequence, settled)
            ]

    def lose_database(self, genesis_state: LedgerState) -> None:
        """Lose everything but the artifacts and the keys (C10)."""
        self.state = genesis_state
        self.blocks = []
        self.records = []
        self.has_vote_log = False

    def lose_journal(self) -> None:
        """Lose what was remembered above the ledger's tip (C10)."""
        self.records = []
        self.has_vote_log = False


@dataclass(slots=True)
class SimNode:
    """One node: an engine or an adversary while it is up, a disk always."""

    index: int
    keys: NodeKeys
    disk: Disk
    skew_ms: int
    engine: Engine | None = None
    adversary: Adversary | None = None
    timer_ms: int | None = None
    incarnation: int = 0
    is_honest: bool = True

    @property
    def member(self) -> MemberId:
        """The member that runs this node."""
        return self.keys.key.member

    def is_up(self) -> bool:
        """Return whether the node runs."""
        return self.engine is not None or self.adversary is not None


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
