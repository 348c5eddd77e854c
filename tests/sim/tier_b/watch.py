"""What must hold in every run of whole nodes, checked at every message that one of them sends.

Agreement: one block and one outcome per height. Nothing lost: no node's ledger is ever shorter than it was, unless its
disk was. No contradiction: no honest key signs two things that exclude each other, over all its lives (C10), nor two
operations of one number (L8). Durable first: votes, proposals and operations are on their node's disk before they leave
(C10). Amnesia: a node whose votes are lost casts none, and tells its operator why, until it says that it is safe (C10).
Conservation: every micro-token is somewhere, once (L2). Nobody framed: nobody honest is jailed (L7). What must hold in
the end is in :mod:`tests.sim.tier_b.reckoning`.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from protocol.codec import decode, decode_union, encode
from protocol.errors import MalformedMessage
from protocol.genesis import Genesis, compute_chain_id
from protocol.gossip import Topic
from protocol.interface import FinalizedBlock
from protocol.journal import OwnOperationRecord, OwnProposalRecord, OwnVoteRecord, VotingFloorRecord
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import get_account
from protocol.messages import Certificates, ConsensusMessage, OperationMessage, Proposal, Votes
from protocol.observations import VotingResumed, VotingSuspended
from protocol.operations import OPERATION_BYTES_MAX, decode_operation
from protocol.outcomes import BlockOutcome
from protocol.units import Digest, Height, MemberId, Sequence
from tests.sim.checkers import SignatureBook, check_supply
from tests.sim.tier_b.whole import WholeNode


@dataclass(slots=True)
class Watch:
    """Watches a run and raises AssertionError at the first thing that must not be."""

    genesis: Genesis
    nodes: dict[MemberId, WholeNode] = field(default_factory=dict)
    """Those that keep the rules of consensus."""
    book: SignatureBook = field(init=False)
    chain_id: Digest = field(init=False)
    ledger: list[bytes] = field(default_factory=list)
    """What is final at each height from 1 on, whoever has it first."""
    heights: dict[tuple[MemberId, int], int] = field(default_factory=dict)
    """How far each node's ledger has been compared, anew after each that it lost."""
    asked: dict[MemberId, Sequence] = field(default_factory=dict)
    """The highest number of an operation that each honest member has published."""
    log: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    """Everything that happened."""
    published: int = 0
    suspensions: int = 0
    """How often people were told that a node does not vote."""
    resumptions: int = 0
    """How often they were told that it votes again."""
    operations: dict[tuple[MemberId, Sequence], bytes] = field(default_factory=dict)
    """What each member has asked for under each number."""

    def __post_init__(self) -> None:
        """Begin with an empty book."""
        self.chain_id = compute_chain_id(self.genesis)
        self.book = SignatureBook()
        self.book.add_state(compute_genesis_state(self.genesis))

    def note(self, *facts: object) -> None:
        """Write something into the log of the run."""
        self.log.update(repr(facts).encode())

    def on_publish(self, sender: MemberId, topic: Topic, message: bytes) -> None:
        """Check a message before anybody hears it, and its sender's ledger as it is then."""
        self.published += 1
        node = self.nodes.get(sender)
        self.note(sender, topic, message)
        if node is None:
            self._note_adversary(topic, message)
            return
        self.note(node.now_ms)
        self.check_ledger(node)
        self._check_told(node)
        match topic:
            case Topic.CONSENSUS:
                self._check_consensus(node, message)
            case Topic.OPERATIONS:
                self._check_operation(node, message)
            case _:
                raise AssertionError(f"{node.name} publishes on {topic}")

    def check_ledger(self, node: WholeNode) -> None:
        """Compare what has become final on a node with what is final elsewhere."""
        key = (node.member, node.machine.ledgers_lost)
        known, height = self.heights.get(key, 0), node.machine.get_height()
        assert height >= known, f"{node.name} lost its blocks from {height + 1} to {known}"
        for number in range(known + 1, height + 1):
            self._check_block(node, node.store.get_block(Height(number)), node.store.get_outcome(Height(number)))
        if height > known:
            self.heights[key] = height
            assert self.book.add_state(node.state), f"epoch {node.state.epoch} has other validators than before"
            check_supply(node.state)
            jailed = {account.member for account in node.state.accounts if account.is_jailed}
            assert not jailed & self.nodes.keys(), "somebody honest is jailed"

    def get_liars(self) -> set[MemberId]:
        """Return who signed two things that exclude each other and should not have."""
        return self.book.liars & self.nodes.keys()

    def has_executed_all(self, node: WholeNode) -> bool:
        """Return whether a ledger has judged every operation that anybody honest published."""
        return all(
            get_account(node.state, member).next_sequence > sequence
            for member, sequence in self.asked.items()
        )

    def _check_told(self, node: WholeNode) -> None:
        for observation in node.take_observations():
            self.note(node.name, observation)
            self.suspensions += isinstance(observation, VotingSuspended)
            self.resumptions += isinstance(observation, VotingResumed)
        if isinstance(node.told, VotingSuspended):
            assert node.told.reason, "the operator is told no reason"
            silence = node.node.engine.explain_silence()
            is_told = silence == node.told.reason or "no validator" in str(silence)
            assert is_told, f"the status of {node.name} does not say why it is silent, but {silence}"
        if not node.machine.is_amnesiac:
            return
        assert node.told is not None, f"{node.name} has lost its votes and tells nobody"
        node.machine.is_amnesiac = not isinstance(node.told, VotingResumed)
        if node.machine.is_amnesiac:
            journal = node.machine.get_journal()
            floors = [place for place, record in enumerate(journal) if isinstance(record, VotingFloorRecord)]
            assert floors, f"{node.name} has lost its votes and writes down nothing of it"
            cast_since = [record for record in journal[floors[-1] :] if isinstance(record, OwnVoteRecord)]
            assert not cast_since, f"{node.name} votes and has forgotten its votes"

    def _check_consensus(self, node: WholeNode, message: bytes) -> None:
        decoded = cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=len(message)))
        self.book.add_message(decoded)
        assert not self.get_liars(), f"{node.name} signed two things that exclude each other"
        match decoded:
            case Votes(votes=votes):
                journal = node.machine.get_journal()
                known = [record.vote for record in journal if isinstance(record, OwnVoteRecord)]
                for vote in votes:
                    is_durable = vote.view <= node.machine.get_finalized_view() or vote in known
                    assert is_durable, f"{vote} of {node.name} left before it was durable"
            case Proposal(block=block):
                is_over = block.header.view <= node.machine.get_finalized_view()
                is_durable = is_over or OwnProposalRecord(proposal=decoded) in node.machine.get_journal()
                assert is_durable, f"a proposal of {node.name} left before it was durable"
            case Certificates():
                pass

    def _check_operation(self, node: WholeNode, message: bytes) -> None:
        encoded = decode(OperationMessage, message, bytes_max=OPERATION_BYTES_MAX + 64).operation
        content = decode_operation(encoded).content
        if node.is_truthful:
            # Nobody votes for an update of a member that does not give it to them.
            self.asked[content.member] = max(content.sequence, self.asked.get(content.member, Sequence(0)))
        known = self.operations.setdefault((content.member, content.sequence), encoded)
        assert known == encoded or node.machine.ledgers_lost, f"{node.name} signed two operations of one number"
        is_executed = content.sequence < get_account(node.state, content.member).next_sequence
        is_durable = is_executed or OwnOperationRecord(operation=encoded) in node.machine.get_journal()
        assert is_durable, f"an operation of {node.name} left before it was durable"

    def _note_adversary(self, topic: Topic, message: bytes) -> None:
        """Take down what an adversary signs; what it forges is nobody's."""
        if topic is not Topic.CONSENSUS:
            return
        with suppress(MalformedMessage):
            decoded = cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=len(message)))
            self.book.add_message_of_liar(self.chain_id, decoded)
        assert not self.get_liars(), "what adversaries sent convicts an honest member"

    def _check_block(self, node: WholeNode, final: FinalizedBlock | None, outcome: BlockOutcome | None) -> None:
        assert final is not None
        assert outcome is not None
        height = int(final.block.header.height)
        fact = encode(final.block) + outcome.state_root
        if height == len(self.ledger) + 1:
            self.ledger.append(fact)
        assert self.ledger[height - 1] == fact, f"{node.name} has another block at height {height} than others"
