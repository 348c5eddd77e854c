"""One node's consensus on a bench: the test plays the other three members, whose keys it holds."""

from dataclasses import dataclass, field, replace
from typing import Final, cast

from protocol.blocks import (
    BeaconProof,
    Block,
    BlockHeader,
    compute_block_hash,
    compute_operations_root,
    compute_reveal,
    sign_block,
)
from protocol.codec import decode_union
from protocol.consensus.checks import ConsensusConfig
from protocol.consensus.machine import Consensus
from protocol.consensus.tree import Tip
from protocol.consensus.voting_guard import VotingGuard
from protocol.errors import InvalidMessage
from protocol.gossip import Topic
from protocol.interface import Broadcast, Effect, FinalizedBlock, Persist
from protocol.journal import OwnVoteRecord, Record
from protocol.messages import Certificates, ConsensusMessage, Proposal, Votes
from protocol.parameters import Parameters
from protocol.units import Digest, Epoch, Height, Millis, View
from protocol.votes import Certificate, Vote, VoteKind, build_certificate, sign_vote
from tests.helpers import CREATED_MS, FounderKeys, LedgerBuilder, make_founders

PARAMETERS: Final = Parameters(
    timeout_view_ms=Millis(1_000),
    timeout_view_max_ms=Millis(8_000),
    block_interval_ms=Millis(50),
    clock_drift_max_ms=Millis(5_000),
)
LEDGER: Final = LedgerBuilder(make_founders(4), parameters=PARAMETERS)
CHAIN: Final = LEDGER.chain_id
VALIDATORS: Final = LEDGER.validators
GENESIS_TIP: Final = Tip(block_hash=CHAIN, view=View(0), height=Height(0), time_ms=CREATED_MS)
NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def at(delay_ms: int) -> Millis:
    """Return a time after the genesis time."""
    return Millis(CREATED_MS + delay_ms)


def get_leader(view: int) -> FounderKeys:
    """Return the leader of a view."""
    return LEDGER.get_keys(VALIDATORS.compute_leader(View(view)))


def get_follower(*views: int) -> FounderKeys:
    """Return somebody who leads none of these views."""
    leaders = {get_leader(view).member for view in views}
    return next(keys for keys in LEDGER.founders if keys.member not in leaders)


def tip_of(block: Block) -> Tip:
    """Return a block as something to build on."""
    header = block.header
    return Tip(
        block_hash=compute_block_hash(CHAIN, header), view=header.view, height=header.height, time_ms=header.time_ms
    )


def make_block(view: int, parent: Tip = GENESIS_TIP, *, operations: tuple[bytes, ...] = (), **changes: object) -> Block:
    """Return a valid block by the leader of a view, or one with some header fields changed and signed all the same."""
    leader = get_leader(view)
    header = BlockHeader(
        epoch=Epoch(0),
        view=View(view),
        parent_view=parent.view,
        parent_hash=parent.block_hash,
        height=Height(parent.height + 1),
        time_ms=Millis(parent.time_ms + 100),
        operations_root=compute_operations_root(operations),
        reveal=compute_reveal(CHAIN, leader.bls_key, Epoch(0), View(view)),
        leader=leader.member,
    )
    return sign_block(CHAIN, leader.signing_key, replace(header, **changes), operations)  # type: ignore[arg-type]


def make_proposal(
    block: Block, parent: Certificate | None = None, nullifications: tuple[Certificate, ...] = ()
) -> Proposal:
    """Return a block with its justification."""
    return Proposal(block=block, parent_certificate=parent, nullifications=nullifications)


def make_vote(keys: FounderKeys, kind: VoteKind, view: int, block: Block | None = None) -> Vote:
    """Return a member's vote."""
    block_hash = None if block is None else compute_block_hash(CHAIN, block.header)
    return sign_vote(CHAIN, keys.signing_key, epoch=Epoch(0), kind=kind, view=View(view), block_hash=block_hash)


def make_certificate(kind: VoteKind, view: int, block: Block | None = None, *, count: int = 3) -> Certificate:
    """Return a certificate by the first members."""
    return build_certificate(VALIDATORS, tuple(make_vote(keys, kind, view, block) for keys in LEDGER.founders[:count]))


def make_chain(count: int, *, first_view: int = 1) -> tuple[Block, ...]:
    """Return blocks in consecutive views from genesis."""
    blocks: list[Block] = []
    tip = GENESIS_TIP
    for view in range(first_view, first_view + count):
        blocks.append(make_block(view, tip))
        tip = tip_of(blocks[-1])
    return tuple(blocks)


def make_final_chain(*blocks: Block) -> tuple[FinalizedBlock, ...]:
    """Return blocks as a peer serves them: the last one with its finalization (C14)."""
    last = blocks[-1]
    certificate = make_certificate(FINALIZE, last.header.view, last)
    return (
        *[FinalizedBlock(block=block, certificate=None) for block in blocks[:-1]],
        FinalizedBlock(block=last, certificate=certificate),
    )


@dataclass(slots=True)
class Application:
    """Says what the test wants it to say."""

    has_operations: bool = False
    is_artifact_missing: bool = False
    refuses: bool = False
    beacon_proof: BeaconProof | None = None

    def collect_operations(self, branch: tuple[Block, ...]) -> tuple[bytes, ...]:
        return (b"operation",) if self.has_operations and not branch else ()

    def get_beacon_proof(self, branch: tuple[Block, ...]) -> BeaconProof | None:
        return None if any(block.header.beacon == self.beacon_proof for block in branch) else self.beacon_proof

    def check_operations(self, _block: Block) -> None:
        if self.refuses:
            raise InvalidMessage("operations that are refused")

    def fetch_missing_artifacts(self, _block: Block) -> bool:
        return self.is_artifact_missing

    def has_work(self, branch: tuple[Block, ...], _now_ms: Millis) -> bool:
        return self.has_operations and not branch


@dataclass(slots=True)
class Rig:
    """A node's consensus, its application and what it has ordered so far."""

    keys: FounderKeys
    parameters: Parameters = PARAMETERS
    has_vote_log: bool = True
    minds_own_votes: bool = False
    """False lets certificates hold votes of this node that it never cast, so that a test need not choose signers."""
    started_ms: Millis = CREATED_MS
    tip: Tip = GENESIS_TIP
    application: Application = field(default_factory=Application)
    guard: VotingGuard = field(init=False)
    consensus: Consensus = field(init=False)
    records: list[Record] = field(init=False, default_factory=list)
    """The journal: everything persisted, in order."""
    final: list[FinalizedBlock] = field(init=False, default_factory=list)
    """The final blocks delivered so far."""

    def __post_init__(self) -> None:
        config = ConsensusConfig(
            chain_id=CHAIN,
            parameters=self.parameters,
            validators=VALIDATORS,
            key=self.keys.signing_key,
            bls_key=self.keys.bls_key,
            started_ms=self.started_ms,
        )
        self.guard = VotingGuard(
            self.keys.signing_key,
            self.parameters,
            started_ms=self.started_ms,
            tip=(Epoch(0), self.tip.view),
            has_vote_log=self.has_vote_log,
        )
        if not self.minds_own_votes:
            self.guard.notice = lambda vote: []  # type: ignore[method-assign]
        for founder in LEDGER.founders:
            self.guard.on_witness(founder.member)
        self.consensus = Consensus(config, self.application, self.guard, self.tip, None)

    def restart(self, *, has_vote_log: bool = True, started_ms: Millis = CREATED_MS) -> "Rig":
        """Return the node after a crash: with its journal, or without if it lost that."""
        other = Rig(
            self.keys,
            parameters=self.parameters,
            has_vote_log=has_vote_log,
            started_ms=started_ms,
            application=self.application,
        )
        if has_vote_log:
            other.guard.restore(self.records)
            other.consensus.restore(self.records)
            other.records = list(self.records)
        return other

    def start(self, delay_ms: int = 0) -> list[Effect]:
        """Start and return what follows."""
        self.guard.note_time(at(delay_ms))
        self.consensus.effects += self.guard.start()
        self.consensus.start(at(delay_ms))
        return self._drain()

    def tell(self, *messages: ConsensusMessage, delay_ms: int = 100) -> list[Effect]:
        """Give the node messages, each followed by a step, and return what follows."""
        for message in messages:
            self.consensus.on_message(message)
            self._step(at(delay_ms))
        return self._drain()

    def tell_votes(self, *votes: Vote, delay_ms: int = 100, attempt: int = 0) -> list[Effect]:
        """Give the node votes, each in a message of its own."""
        return self.tell(*[Votes(votes=(vote,), attempt=attempt) for vote in votes], delay_ms=delay_ms)

    def tell_certificates(self, *certificates: Certificate, delay_ms: int = 100) -> list[Effect]:
        """Give the node certificates in one message."""
        return self.tell(Certificates(certificates=certificates, attempt=1), delay_ms=delay_ms)

    def fetch(self, *blocks: FinalizedBlock, delay_ms: int = 100) -> list[Effect]:
        """Give the node final blocks from a peer."""
        self.consensus.on_final_blocks(blocks)
        return self.step(delay_ms)

    def step(self, delay_ms: int) -> list[Effect]:
        """Let time pass and return what follows."""
        self._step(at(delay_ms))
        return self._drain()

    def get_voted(self) -> list[tuple[VoteKind, int]]:
        """Return the kinds and views of all votes that were made durable, in order."""
        votes = [record.vote for record in self.records if isinstance(record, OwnVoteRecord)]
        return [(vote.kind, int(vote.view)) for vote in votes]

    def get_final_heights(self) -> list[int]:
        """Return the heights delivered so far."""
        return [int(entry.block.header.height) for entry in self.final]

    def _step(self, now_ms: Millis) -> None:
        """Step as the engine does it: what was delivered is taken first, and what follows comes after."""
        self._take_delivered()
        self.consensus.step(now_ms)
        if self._take_delivered():
            self.consensus.step(now_ms)

    def _take_delivered(self) -> bool:
        delivered = list(self.consensus.delivered)
        self.consensus.delivered.clear()
        self.final += delivered
        return bool(delivered)

    def _drain(self) -> list[Effect]:
        effects = list(self.consensus.effects)
        self.consensus.effects.clear()
        self.records += [effect.record for effect in effects if isinstance(effect, Persist)]
        return effects


def get_messages(effects: list[Effect]) -> list[ConsensusMessage]:
    """Return the consensus messages among effects, as a peer reads them."""
    return [
        cast(ConsensusMessage, decode_union(ConsensusMessage, effect.message, bytes_max=1 << 20))
        for effect in effects
        if isinstance(effect, Broadcast) and effect.topic is Topic.CONSENSUS
    ]


def get_proposals(effects: list[Effect]) -> list[Proposal]:
    """Return the proposals among effects."""
    return [message for message in get_messages(effects) if isinstance(message, Proposal)]


def get_sent_votes(effects: list[Effect]) -> list[Vote]:
    """Return the votes sent for the first time among effects."""
    messages = [message for message in get_messages(effects) if isinstance(message, Votes) and message.attempt == 0]
    return [vote for message in messages for vote in message.votes]


def get_resent_votes(effects: list[Effect]) -> list[Vote]:
    """Return the votes sent again among effects."""
    messages = [message for message in get_messages(effects) if isinstance(message, Votes) and message.attempt > 0]
    return [vote for message in messages for vote in message.votes]


def get_sent_certificates(effects: list[Effect]) -> list[Certificate]:
    """Return the certificates sent by themselves among effects."""
    messages = [message for message in get_messages(effects) if isinstance(message, Certificates)]
    return [certificate for message in messages for certificate in message.certificates]


def hash_of(block: Block) -> Digest:
    """Return a block's hash."""
    return compute_block_hash(CHAIN, block.header)
