"""What must hold in every run, whatever the faults: watched from outside the code under test.

Agreement: one block and one state per height. Conservation: every micro-token is somewhere, once (L2). Nobody framed:
no honest member is ever jailed (L7), and nothing that anybody ever sent, put together, would convict one. No
contradiction: no honest key signs two things that exclude each other, over all its lives (C10). Durable first: a vote
is on its node's disk before it leaves (C10). Manners: no vote for a view that was given up (C3), none for a block with
an update that is not held (F3). Intact ledgers: each final block has its leader's signature and fits its own
certificate. Justice: whoever is jailed was slashed for it, on every ledger (L7). One epoch has one set of validators
(C13).
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from protocol.blocks import BlockHeader, check_block_signature, compute_block_hash
from protocol.codec import decode, decode_union
from protocol.errors import InvalidMessage, MalformedMessage
from protocol.evidence import check_evidence, is_conflict
from protocol.genesis import FIRST_EPOCH
from protocol.gossip import Topic
from protocol.interface import FinalizedBlock, PersistBlock
from protocol.ledger.state import LedgerState, build_validator_set
from protocol.messages import (
    Certificates,
    ConsensusMessage,
    OperationMessage,
    Partial,
    PartialMessage,
    Proposal,
    Votes,
)
from protocol.observations import Observation, PartialWrong
from protocol.operations import Complain, ReportEvidence, decode_operation
from protocol.outcomes import StakeReason
from protocol.units import Digest, Epoch, MemberId, View
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, Vote, VoteKind, check_vote, split_certificate
from tests.sim.disk import Disk
from tests.sim.hearsay import Hearsay
from tests.sim.manners import check_held, check_not_given_up
from tests.sim.node import SimNode


@dataclass(slots=True)
class SignatureBook:
    """Everything that anybody ever signed in consensus, as far as it was sent."""

    validators: dict[Epoch, ValidatorSet] = field(default_factory=dict)
    """Of every epoch that a node has come to."""
    votes: dict[tuple[MemberId, Epoch, View], list[Vote]] = field(default_factory=dict)
    proposals: dict[tuple[MemberId, Epoch, View], list[BlockHeader]] = field(default_factory=dict)
    certificates: set[Certificate] = field(default_factory=set)
    """Those whose votes have been taken down."""
    liars: set[MemberId] = field(default_factory=set)
    """Members that signed two things that exclude each other."""

    def add_state(self, state: LedgerState) -> bool:
        """Take down the validators of a state's epoch; return whether they are those that were known (C13)."""
        validators = build_validator_set(state)
        return self.validators.setdefault(state.epoch, validators) == validators

    def add_message(self, message: ConsensusMessage) -> None:
        """Take down the signatures of a message."""
        match message:
            case Votes(votes=votes):
                for vote in votes:
                    self.add_vote(vote)
            case Certificates(certificates=certificates):
                for certificate in certificates:
                    self.add_certificate(certificate)
            case Proposal(block=block, parent_certificate=parent, nullifications=nullifications):
                self.add_proposal(block.header)
                for justification in (*nullifications, *([] if parent is None else [parent])):
                    self.add_certificate(justification)

    def add_certificate(self, certificate: Certificate) -> None:
        """Take down the votes in a certificate."""
        if certificate in self.certificates:
            return
        self.certificates.add(certificate)
        for vote in split_certificate(self.validators[certificate.epoch], certificate):
            self.add_vote(vote)

    def add_message_of_liar(self, chain_id: Digest, message: ConsensusMessage) -> None:
        """Take down those signatures of an adversary's message that are what they claim to be, whoever made them."""
        match message:
            case Votes(votes=votes):
                for vote in votes:
                    self._add_vote_if_true(chain_id, vote)
            case Certificates(certificates=certificates):
                for certificate in certificates:
                    self._add_certificate_if_true(chain_id, certificate)
            case Proposal(block=block, parent_certificate=parent, nullifications=nullifications):
                with suppress(InvalidMessage):
                    check_block_signature(chain_id, block.header, block.signature)
                    self.add_proposal(block.header)
                for justification in (*nullifications, *([] if parent is None else [parent])):
                    self._add_certificate_if_true(chain_id, justification)

    def _add_certificate_if_true(self, chain_id: Digest, certificate: Certificate) -> None:
        validators = self.validators.get(certificate.epoch)
        with suppress(InvalidMessage):
            for vote in () if validators is None else split_certificate(validators, certificate):
                self._add_vote_if_true(chain_id, vote)

    def _add_vote_if_true(self, chain_id: Digest, vote: Vote) -> None:
        if vote in self.votes.get((vote.member, vote.epoch, vote.view), ()):
            return
        with suppress(InvalidMessage):
            check_vote(chain_id, vote)
            self.add_vote(vote)

    def add_vote(self, vote: Vote) -> None:
        """Take down a vote."""
        known = self.votes.setdefault((vote.member, vote.epoch, vote.view), [])
        if vote not in known:
            if any(is_conflict(vote, other) for other in known):
                self.liars.add(vote.member)
            known.append(vote)

    def add_proposal(self, header: BlockHeader) -> None:
        """Take down a proposal."""
        known = self.proposals.setdefault((header.leader, header.epoch, header.view), [])
        if header not in known:
            if known:
                self.liars.add(header.leader)
            known.append(header)


@dataclass(slots=True)
class Checkers:
    """Watches a run and raises AssertionError at the first thing that must not be."""

    chain_id: Digest
    book: SignatureBook
    honest: frozenset[MemberId]
    hearsay: Hearsay
    may_fork: bool = False
    """True beyond the bound, where a fork is no failure, but must convict somebody."""
    final_blocks: dict[int, tuple[BlockHeader, tuple[bytes, ...], Digest]] = field(default_factory=dict)
    forked_heights: set[int] = field(default_factory=set)
    blamed: set[MemberId] = field(default_factory=set)
    """Whose partials an honest node has called wrong."""

    def on_batch(self, node: SimNode, blocks: list[PersistBlock], state: LedgerState) -> None:
        """Check what a batch makes final on an honest node, before it is on the disk."""
        height = len(node.disk.blocks)
        for entry in blocks:
            height += 1
            assert entry.height == entry.finalized.block.header.height == height, f"height {height} was skipped"
            self._check_agreement(entry)
            self._check_intact(entry.finalized)
        if blocks:
            assert self.book.add_state(state) or self.may_fork, f"epoch {state.epoch} has other validators than before"
            assert blocks[-1].finalized.certificate is not None, "a batch ends without a finalization"
            assert state.height == height, "the state is not that of the last final block"
            check_supply(state)
            self._check_ceremonies(blocks)
            jailed = {account.member for account in state.accounts if account.is_jailed}
            assert not jailed & self.honest, "an honest member was jailed"

    def on_broadcast(self, node: SimNode, topic: Topic, message: bytes) -> None:
        """Check what an honest node says."""
        if topic is Topic.BEACON:
            partial = decode(PartialMessage, message, bytes_max=len(message)).partial
            check_released_in_time(node.disk.state, len(node.disk.blocks), partial)
            return
        if topic is Topic.OPERATIONS:
            self._check_report(message)
            return
        decoded = cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=len(message)))
        if isinstance(decoded, Votes):
            self._check_manners(node, decoded)
            self._excuse(decoded)
        self.book.add_message(decoded)
        assert not self.book.liars & self.honest, "an honest member signed two things that exclude each other"
        if isinstance(decoded, Votes):
            for vote in decoded.votes:
                assert is_durable(node.disk, vote), f"{vote.kind.name} of view {vote.view} left before it was durable"

    def on_adversary(self, topic: Topic, message: bytes) -> None:
        """Take down what an adversary sends; forged signatures are nobody's."""
        if topic is not Topic.CONSENSUS:
            self._check_report(message)
            return
        with suppress(MalformedMessage):
            decoded = cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=len(message)))
            self.book.add_message_of_liar(self.chain_id, decoded)
        assert not self.book.liars & self.honest, "what adversaries sent convicts an honest member"

    def check_slashed(self, node: SimNode) -> None:
        """Check that everybody in jail on a node's ledger was slashed there (L7)."""
        jailed = {account.member for account in node.disk.state.accounts if account.is_jailed}
        slashed = {
            move.member
            for outcome in node.disk.outcomes
            for move in outcome.moves
            if move.reason is StakeReason.SLASH_EQUIVOCATION
        }
        assert jailed == slashed, "somebody is in jail and was not slashed, or the other way round"

    def _check_manners(self, node: SimNode, message: Votes) -> None:
        for vote in message.votes:
            known = self.book.votes.get((vote.member, vote.epoch, vote.view), ())
            check_not_given_up([other for other in known if not self.hearsay.is_forgotten(other)], vote)
            if message.attempt == 0:
                check_held(node, vote)

    def _excuse(self, message: Votes) -> None:
        """Count a member as a liar like any other from when it contradicts what nobody could tell it (C10)."""
        for vote in message.votes:
            known = self.book.votes.get((vote.member, vote.epoch, vote.view), ())
            excluded = [other for other in known if is_conflict(vote, other)]
            if excluded and all(map(self.hearsay.is_forgotten, excluded)):
                self.honest -= {vote.member}

    def _check_report(self, message: bytes) -> None:
        """Check that an operation holds no evidence that would convict an honest member."""
        with suppress(MalformedMessage, InvalidMessage):
            operation = decode_operation(decode(OperationMessage, message, bytes_max=len(message)).operation)
            if isinstance(operation.content.payload, ReportEvidence):
                offence = check_evidence(self.chain_id, operation.content.payload.evidence)
                assert offence.member not in self.honest, "an honest member can be convicted"
            if isinstance(operation.content.payload, Complain) and operation.content.member in self.honest:
                dealer = operation.content.payload.dealer
                assert dealer not in self.honest, "an honest member opens what another one dealt to it"

    def _check_ceremonies(self, blocks: list[PersistBlock]) -> None:
        """Check that no honest member pays for the key generation (B4)."""
        moves = [move for entry in blocks for move in entry.outcome.moves if move.reason is StakeReason.SLASH_CEREMONY]
        assert not {move.member for move in moves} & self.honest, "an honest member pays for a deal or a complaint"

    def check_observed(self, observation: Observation) -> None:
        """Check that an honest node blames nobody honest for a partial (B3)."""
        if isinstance(observation, PartialWrong):
            assert observation.member not in self.honest, "an honest member's partial is called wrong"
            self.blamed.add(observation.member)

    def check_forks_convict(self) -> None:
        """Check that whoever made a fork possible holds a third of the weight and is proven a liar."""
        if self.forked_heights:
            validators = self.book.validators[FIRST_EPOCH]
            weight = validators.compute_weight(sorted(self.book.liars))
            assert weight * 3 >= validators.total_weight, "a fork that convicts less than a third"

    def _check_agreement(self, entry: PersistBlock) -> None:
        block = entry.finalized.block
        fact = (block.header, block.operations, entry.outcome.state_root)
        known = self.final_blocks.setdefault(entry.height, fact)
        if known != fact:
            assert self.may_fork, f"fork at height {entry.height}"
            self.forked_heights.add(entry.height)
        if entry.finalized.certificate is not None:
            self.book.add_certificate(entry.finalized.certificate)

    def _check_intact(self, final: FinalizedBlock) -> None:
        header, certificate = final.block.header, final.certificate
        check_block_signature(self.chain_id, header, final.block.signature)
        if certificate is not None:
            named = (certificate.kind, certificate.epoch, certificate.block_hash)
            assert named == (VoteKind.FINALIZE, header.epoch, compute_block_hash(self.chain_id, header))


def is_durable(disk: Disk, vote: Vote) -> bool:
    """Return whether a restart would remember a vote, or need not."""
    return vote.view <= disk.state.view or vote in disk.votes


def check_released_in_time(state: LedgerState, height: int, partial: Partial) -> None:
    """Check that the block that opened a partial's round is final on the disk of whoever releases it (B2).

    Args:
        state: That node's ledger.
        height: Of the last block on its disk.
        partial: What it releases.
    """
    opened = state.next_round if state.round is None else state.round.round + 1
    assert partial.round < opened, f"a partial of round {partial.round} leaves early"
    # One of an earlier round, or of one that is drawn, comes late: several blocks became final at once.
    if state.round is not None and state.round.round == partial.round:
        is_final = height >= state.round.opened_height
        assert is_final, f"the block that opens round {partial.round} is not final"


def check_supply(state: LedgerState) -> None:
    """Check that every micro-token is somewhere, once (L2)."""
    amounts = [state.treasury, state.burned]
    for account in state.accounts:
        amounts += [account.bonded, account.free, *(entry.amount for entry in account.unbonding)]
    assert min(amounts) >= 0, "a negative amount of stake"
    assert sum(amounts) == state.supply, "stake was created or lost"
