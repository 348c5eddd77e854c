"""What must hold in every run of whole nodes, checked at every message that one of them sends and at the end.

Agreement: one block and one outcome per height. Nothing lost: no node's ledger is ever shorter than it was. No
contradiction: no key signs two things that exclude each other, over all its lives (C10). Durable first: a vote is on
its node's disk before it leaves (C10). Conservation: every micro-token is somewhere, once (L2). Nobody framed: nobody
is jailed (L7), and nobody who tells the truth is ever scored down by anybody.
"""

import hashlib
from dataclasses import dataclass, field
from typing import cast

from protocol.codec import decode_union, encode
from protocol.genesis import Genesis
from protocol.gossip import Topic
from protocol.interface import FinalizedBlock
from protocol.ledger.state import compute_genesis_state
from protocol.messages import ConsensusMessage, Votes
from protocol.outcomes import BlockOutcome
from protocol.units import Height, MemberId
from tests.sim.checkers import SignatureBook, check_supply
from tests.sim.tier_b.whole import WholeNode


@dataclass(slots=True)
class Watch:
    """Watches a run and raises AssertionError at the first thing that must not be."""

    genesis: Genesis
    nodes: dict[MemberId, WholeNode] = field(default_factory=dict)
    book: SignatureBook = field(init=False)
    ledger: list[bytes] = field(default_factory=list)
    """What is final at each height from 1 on, whoever has it first."""
    heights: dict[MemberId, int] = field(default_factory=dict)
    """How far each node's ledger has been compared."""
    log: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    """Everything that happened."""
    published: int = 0

    def __post_init__(self) -> None:
        """Begin with an empty book."""
        self.book = SignatureBook()
        self.book.add_state(compute_genesis_state(self.genesis))

    def note(self, *facts: object) -> None:
        """Write something into the log of the run."""
        self.log.update(repr(facts).encode())

    def on_publish(self, sender: MemberId, topic: Topic, message: bytes) -> None:
        """Check a message before anybody hears it, and its sender's ledger as it is then."""
        self.published += 1
        self.note(self.nodes[sender].now_ms, sender, topic, message)
        self.check_ledger(self.nodes[sender])
        if topic is not Topic.CONSENSUS:
            return
        decoded = cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=len(message)))
        self.book.add_message(decoded)
        assert not self.book.liars, "a member signed two things that exclude each other"
        if isinstance(decoded, Votes):
            node = self.nodes[sender]
            for vote in decoded.votes:
                assert node.machine.remembers(vote), f"{vote} left before it was durable"

    def check_ledger(self, node: WholeNode) -> None:
        """Compare what has become final on a node with what is final elsewhere."""
        store, known = node.machine.store, self.heights.get(node.member, 0)
        assert store is not None
        height = node.machine.get_height()
        assert height >= known, f"{node.name} lost its blocks from {height + 1} to {known}"
        for number in range(known + 1, height + 1):
            self._check_block(node, store.get_block(Height(number)), store.get_outcome(Height(number)))
        if height > known:
            self.book.add_state(node.state)
            self.heights[node.member] = height
            check_supply(node.state)
            assert not any(account.is_jailed for account in node.state.accounts), "somebody is jailed"

    def check_end(self) -> None:
        """Compare all ledgers once more, and look at what the members think of each other."""
        for node in self.nodes.values():
            self.check_ledger(node)
        assert len(set(self.heights.values())) == 1, f"the ledgers differ in length: {self.heights}"
        roots = {node.name: (node.state.block_hash, node.state.model_digest) for node in self.nodes.values()}
        assert len(set(roots.values())) == 1, f"the ledgers differ: {roots}"
        truthful = [node.member for node in self.nodes.values() if not node.is_liar]
        for node in self.nodes.values():
            blamed = {member: score for member, score in node.scores.items() if score < 0 and member in truthful}
            assert not blamed, f"{node.name} holds against honest members: {blamed}"

    def _check_block(self, node: WholeNode, final: FinalizedBlock | None, outcome: BlockOutcome | None) -> None:
        assert final is not None
        assert outcome is not None
        height = int(final.block.header.height)
        fact = encode(final.block) + outcome.state_root
        if height == len(self.ledger) + 1:
            self.ledger.append(fact)
        assert self.ledger[height - 1] == fact, f"{node.name} has another block at height {height} than others"
