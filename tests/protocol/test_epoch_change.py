"""A node's way from one epoch to the next (C13): what comes early or late, and who may connect."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from protocol.codec import encode_union
from protocol.consensus.machine import Consensus
from protocol.gossip import Admission, Topic
from protocol.interface import (
    BlocksFetched,
    ConsensusReceived,
    EarlyReceived,
    Effect,
    FetchBlocks,
    FinalizedBlock,
    PersistBlock,
    SetMembers,
    TimeAdvanced,
)
from protocol.messages import Certificates, ConsensusMessage, Proposal, Votes
from protocol.observations import EpochStarted
from protocol.operations import Leave, ReportEvidence
from protocol.parameters import Parameters
from protocol.succession import EARLY_PER_MEMBER_MAX
from protocol.units import Epoch, Height, Millis, View
from protocol.votes import Vote, VoteKind, build_certificate, sign_vote
from tests.founders import FounderKeys, make_founders
from tests.helpers import CREATED_MS, LedgerBuilder, certify
from tests.protocol.consensus.rig import get_messages
from tests.protocol.lone_engine import Node, get_observed, get_operations, get_votes, of_kind
from tests.values import make_digest

EPOCH_BLOCKS = 2
PARAMETERS = Parameters(
    timeout_view_ms=Millis(1_000), proposer_count=1, epoch_blocks=EPOCH_BLOCKS, evidence_window_epochs=1
)


@dataclass(slots=True)
class Watcher:
    """A node that decides nothing by itself, and the chain that the others make without it."""

    builder: LedgerBuilder = field(default_factory=lambda: LedgerBuilder(make_founders(4), parameters=PARAMETERS))
    node: Node = field(init=False)
    blocks: list[FinalizedBlock] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = Node(self.builder, self.builder.founders[0])
        self.node.start(100)

    @property
    def others(self) -> tuple[FounderKeys, ...]:
        return self.builder.founders[1:]

    def grow(self, count: int) -> None:
        """Let the others make blocks, which this node does not hear of."""
        for _ in range(count):
            block = self.builder.build_block()
            self.builder.add_block()
            signers = [keys for keys in self.others if self.builder.epochs[block.header.epoch].has_member(keys.member)]
            self.blocks.append(FinalizedBlock(block=block, certificate=self.builder.certify(block, signers)))

    def fetch(self, blocks: Sequence[FinalizedBlock], delay_ms: int = 300) -> list[Effect]:
        return self.node.tell(BlocksFetched(blocks=tuple(blocks)), delay_ms)

    def hear(self, message: ConsensusMessage, delay_ms: int = 400) -> tuple[Admission, list[Effect]]:
        """Give the node a gossip message."""
        admitted = self.node.engine.judge_gossip(Topic.CONSENSUS, encode_union(message, ConsensusMessage))
        effects = [] if admitted.event is None else self.node.tell(admitted.event, delay_ms)
        return admitted.admission, effects

    @property
    def consensus(self) -> Consensus:
        return self.node.engine.consensus

    def vote(self, keys: FounderKeys, kind: VoteKind, epoch: int, view: int, word: str | None = None) -> Vote:
        block_hash = None if word is None else make_digest(word)
        return sign_vote(
            self.builder.chain_id,
            keys.signing_key,
            epoch=Epoch(epoch),
            kind=kind,
            view=View(view),
            block_hash=block_hash,
        )


def test_blocks_of_several_epochs_are_fetched_at_once() -> None:
    """C14: each epoch's against its own validators."""
    watcher = Watcher(LedgerBuilder(make_founders(5), parameters=PARAMETERS))
    watcher.builder.add_payloads((watcher.others[2].member, Leave()))
    block = watcher.builder.blocks[0].block
    watcher.blocks.append(FinalizedBlock(block=block, certificate=watcher.builder.certify(block, watcher.others)))
    watcher.grow(6)
    effects = watcher.fetch(watcher.blocks)
    assert [entry.height for entry in of_kind(effects, PersistBlock)] == list(range(1, 8))
    assert watcher.node.engine.state == watcher.builder.state
    started = get_observed(effects, EpochStarted)
    assert [(entry.epoch, entry.validator_count) for entry in started] == [(1, 4), (2, 4), (3, 4)]
    assert [entry.left for entry in started] == [(), (watcher.others[2].member,), ()]
    members = [{contact.member for contact in order.contacts} for order in of_kind(effects, SetMembers)]
    assert [len(entry) for entry in members] == [5, 4, 4]


def test_a_forged_second_epoch_is_refused_and_the_first_is_kept() -> None:
    """C13, C14."""
    watcher = Watcher()
    watcher.grow(4)
    forged = replace(watcher.blocks[3], certificate=watcher.blocks[1].certificate)
    effects = watcher.fetch([*watcher.blocks[:3], forged])
    assert [entry.height for entry in of_kind(effects, PersistBlock)] == [1, 2]
    assert [entry.height for entry in of_kind(watcher.fetch(watcher.blocks), PersistBlock)] == [3, 4]


def test_the_members_may_connect_from_the_first_moment() -> None:
    """L1."""
    watcher = Watcher()
    fresh = Node(watcher.builder, watcher.builder.founders[0])
    (order,) = of_kind(fresh.engine.start(Millis(CREATED_MS)), SetMembers)
    assert {contact.member: contact.addresses for contact in order.contacts} == {
        keys.member: keys.founder.addresses for keys in watcher.builder.founders
    }


def make_early_proposal(watcher: Watcher) -> Proposal:
    """Return the first block of the epoch after the node's, as its leader sends it."""
    watcher.grow(EPOCH_BLOCKS)
    block = watcher.builder.build_block()
    return Proposal(block=block, parent_certificate=None, nullifications=())


def test_a_proposal_of_the_next_epoch_is_kept_and_voted_for_there() -> None:
    """C13: neither forwarded nor lost."""
    watcher = Watcher()
    proposal = make_early_proposal(watcher)
    admission, effects = watcher.hear(proposal)
    assert (admission, get_votes(effects)) == (Admission.IGNORE, [])
    assert get_votes(watcher.fetch(watcher.blocks)) == [VoteKind.NOTARIZE]


def test_what_is_forged_is_not_kept() -> None:
    """C15: nobody fills another member's share."""
    watcher = Watcher()
    proposal = make_early_proposal(watcher)
    forged = replace(proposal, block=replace(proposal.block, signature=watcher.builder.blocks[0].block.signature))
    assert watcher.hear(forged) == (Admission.REJECT, [])
    assert get_votes(watcher.fetch(watcher.blocks)) == []


def test_early_messages_are_bounded_per_member() -> None:
    """C15: the newest are kept."""
    watcher = Watcher()
    for view in range(10):
        watcher.hear(Votes(votes=(watcher.vote(watcher.others[0], VoteKind.NULLIFY, 1, view + 3),), attempt=0))
    watcher.hear(Votes(votes=(watcher.vote(watcher.others[1], VoteKind.NULLIFY, 1, 3),), attempt=0))
    watcher.hear(Votes(votes=(watcher.vote(watcher.others[1], VoteKind.NULLIFY, 2, 3),), attempt=0))
    kept = watcher.node.engine._succession._early
    assert {len(messages) for messages in kept.values()} == {EARLY_PER_MEMBER_MAX, 1}


def test_a_later_epoch_shows_that_this_node_is_behind() -> None:
    """C13, C14: after a while it asks for blocks, once, and again if it hears such things again."""
    watcher = Watcher()
    far = Votes(votes=(watcher.vote(watcher.others[0], VoteKind.NULLIFY, 7, 90),), attempt=0)
    _, effects = watcher.hear(far, 1_000)
    assert of_kind(effects, FetchBlocks) == []
    assert of_kind(watcher.node.tell(TimeAdvanced(), 1_999), FetchBlocks) == []
    asked = of_kind(watcher.node.tell(TimeAdvanced(), 2_000), FetchBlocks)
    assert [fetch.from_height for fetch in asked] == [Height(1)]
    assert of_kind(watcher.node.tell(TimeAdvanced(), 3_500), FetchBlocks) == []
    watcher.hear(far, 4_000)
    assert len(of_kind(watcher.node.tell(TimeAdvanced(), 5_000), FetchBlocks)) == 1


def test_certificates_of_a_later_epoch_are_a_hint_and_no_more() -> None:
    """C16: they cannot be checked here."""
    watcher = Watcher()
    watcher.grow(2 * EPOCH_BLOCKS)
    certificate = watcher.blocks[-1].certificate
    assert certificate is not None
    message = Certificates(certificates=(certificate,), attempt=1)
    admitted = watcher.node.engine.judge_gossip(Topic.CONSENSUS, encode_union(message, ConsensusMessage))
    assert (admitted.admission, type(admitted.event)) == (Admission.IGNORE, EarlyReceived)
    watcher.hear(message, 1_000)
    assert len(of_kind(watcher.node.tell(TimeAdvanced(), 2_000), FetchBlocks)) == 1


def make_watcher_in_epoch_1() -> Watcher:
    watcher = Watcher()
    watcher.grow(EPOCH_BLOCKS)
    watcher.fetch(watcher.blocks)
    assert watcher.consensus.config.validators.epoch == 1
    return watcher


def test_who_is_stuck_in_the_old_epoch_gets_its_last_certificate() -> None:
    """C13, C16: the old epoch keeps answering stragglers."""
    watcher = make_watcher_in_epoch_1()
    vote = watcher.vote(watcher.others[0], VoteKind.NULLIFY, 0, 1)
    admission, effects = watcher.hear(Votes(votes=(vote,), attempt=5), 3_000)
    assert admission is Admission.IGNORE
    (help_message,) = [message for message in get_messages(effects) if isinstance(message, Certificates)]
    assert help_message.certificates == (watcher.blocks[-1].certificate,)


def test_an_old_vote_that_nobody_repeats_is_answered_with_silence() -> None:
    """C16."""
    watcher = make_watcher_in_epoch_1()
    vote = watcher.vote(watcher.others[0], VoteKind.NULLIFY, 0, 1)
    _, effects = watcher.hear(Votes(votes=(vote,), attempt=0), 3_000)
    assert get_messages(effects) == []


def test_a_contradiction_in_the_old_epoch_still_convicts() -> None:
    """L7, C13: it may come late."""
    watcher = make_watcher_in_epoch_1()
    liar = watcher.others[0]
    first = watcher.vote(liar, VoteKind.NOTARIZE, 0, 3, "one block")
    second = watcher.vote(liar, VoteKind.NOTARIZE, 0, 3, "another block")
    watcher.hear(Votes(votes=(first,), attempt=0))
    _, effects = watcher.hear(Votes(votes=(second,), attempt=0))
    assert len(get_operations(effects)) == 1
    payloads = watcher.node.engine._mempool.get_payloads(watcher.node.keys.member)
    assert [type(payload) for payload in payloads] == [ReportEvidence]


def test_votes_far_outside_the_old_epochs_views_are_not_kept() -> None:
    """C15."""
    watcher = make_watcher_in_epoch_1()
    far = Votes(votes=(watcher.vote(watcher.others[0], VoteKind.NULLIFY, 0, 10_000),), attempt=0)
    assert watcher.hear(far) == (Admission.IGNORE, [])


def test_a_restart_goes_on_in_its_epoch() -> None:
    """C10, C13."""
    watcher = make_watcher_in_epoch_1()
    proposal = Proposal(block=watcher.builder.build_block(), parent_certificate=None, nullifications=())
    assert get_votes(watcher.node.tell(ConsensusReceived(message=proposal))) == [VoteKind.NOTARIZE]
    watcher.node.restart(1_000)
    assert watcher.consensus.config.validators.epoch == 1
    cast = watcher.consensus._own.get_all()
    assert [(vote.epoch, vote.kind) for vote in cast] == [(1, VoteKind.NOTARIZE)]


def test_a_restart_takes_no_vote_of_an_ended_epoch_for_one_of_this() -> None:
    """C10, C13: the journal holds votes above the last block's view, in which that block was not final yet."""
    watcher = Watcher()
    watcher.grow(EPOCH_BLOCKS)
    chain_id, validators = watcher.builder.chain_id, watcher.consensus.config.validators
    for entry in watcher.blocks:
        notarization = certify(chain_id, validators, watcher.others, entry.block.header, VoteKind.NOTARIZE)
        watcher.hear(Certificates(certificates=(notarization,), attempt=1))
    watcher.node.tell(TimeAdvanced(), 10_000)
    assert watcher.consensus._own.has_cast(View(EPOCH_BLOCKS + 1), VoteKind.NULLIFY)
    watcher.fetch(watcher.blocks, 11_000)
    watcher.node.restart(12_000)
    assert watcher.consensus.config.validators.epoch == 1
    assert watcher.consensus._own.get_all() == ()


def test_a_certificate_that_waited_while_its_epoch_ended_is_none_of_the_next() -> None:
    """C13: it was judged in its own epoch; taken for the next one's, its votes would contradict honest ones there."""
    watcher = Watcher()
    watcher.grow(2)
    view = watcher.blocks[-1].block.header.view + 1
    others = watcher.others
    gave_up = tuple(watcher.vote(keys, VoteKind.NULLIFY, 0, view) for keys in others)
    certificate = build_certificate(watcher.consensus.config.validators, gave_up)
    message = encode_union(Certificates(certificates=(certificate,), attempt=1), ConsensusMessage)
    waiting = watcher.node.engine.judge_gossip(Topic.CONSENSUS, message).event
    assert waiting is not None
    watcher.fetch(watcher.blocks)
    watcher.node.tell(waiting, 400)
    assert watcher.consensus.view == view
    assert watcher.consensus.tree.nullifications == {}
    _, effects = watcher.hear(Votes(votes=(watcher.vote(others[0], VoteKind.FINALIZE, 1, view, "block"),), attempt=0))
    assert get_operations(effects) == []
