"""The engine: how an input becomes effects, in the right order, and what it never does (C10, F3, L7, L8, W3, W4)."""

from collections.abc import Sequence as Items
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest

from protocol.codec import decode, encode_union
from protocol.engine import Engine, EngineConfig
from protocol.gossip import Admission, Topic
from protocol.interface import (
    ArmTimer,
    ArtifactStored,
    BlockExecuted,
    BlockFetched,
    BlocksFetched,
    Broadcast,
    ConsensusReceived,
    Effect,
    FetchArtifact,
    FinalizedBlock,
    Input,
    Observe,
    OffenceSeen,
    OperationReceived,
    OperationRequested,
    Persist,
    PersistBlock,
    PhaseEntered,
    TimeAdvanced,
)
from protocol.journal import OwnOperationRecord, OwnVoteRecord, Record
from protocol.ledger.state import compute_genesis_state, get_account
from protocol.messages import ConsensusMessage, OperationMessage, Proposal, Votes
from protocol.operations import Bond, ReportEvidence, SubmitUpdate, Unbond, decode_operation
from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.restored import Restored
from protocol.units import Digest, Epoch, Millis, Sequence, Signature, Stake, View
from protocol.votes import VoteKind, sign_vote
from tests.helpers import CREATED_MS, FounderKeys, LedgerBuilder, encode_operation, make_founders
from tests.protocol.consensus.rig import get_messages
from tests.values import make_digest, make_manifest

T = TypeVar("T")
TOKEN = 1_000_000
PARAMETERS = Parameters(timeout_view_ms=Millis(1_000), proposer_count=1)


def of_kind(effects: Items[Effect], kind: type[T]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def get_observed(effects: Items[Effect], kind: type[T]) -> list[T]:
    return [entry.observation for entry in of_kind(effects, Observe) if isinstance(entry.observation, kind)]


@dataclass(slots=True)
class Node:
    """An engine with its journal; its member holds a quorum by itself unless the test says otherwise."""

    builder: LedgerBuilder
    keys: FounderKeys
    engine: Engine = field(init=False)
    records: list[Record] = field(init=False, default_factory=list)
    blocks: list[FinalizedBlock] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.engine = self.make_engine(CREATED_MS)

    def make_engine(self, started_ms: Millis) -> Engine:
        config = EngineConfig(
            genesis=self.builder.genesis,
            key=self.keys.signing_key,
            bls_key=self.keys.bls_key,
            salt_secret=bytes(32),
            started_ms=started_ms,
        )
        state = self.engine.state if self.blocks else compute_genesis_state(self.builder.genesis)
        restored = Restored(
            state=state,
            tip=self.blocks[-1] if self.blocks else None,
            records=tuple(self.records),
            has_vote_log=True,
            artifacts=frozenset({self.builder.genesis.model_digest}),
        )
        return Engine(config, restored)

    def start(self, delay_ms: int = 0) -> list[Effect]:
        return self.keep(self.engine.start(Millis(CREATED_MS + delay_ms)))

    def restart(self, delay_ms: int) -> list[Effect]:
        self.engine = self.make_engine(Millis(CREATED_MS + delay_ms))
        return self.start(delay_ms)

    def tell(self, event: Input, delay_ms: int = 200) -> list[Effect]:
        return self.keep(self.engine.handle(event, Millis(CREATED_MS + delay_ms)))

    def keep(self, effects: list[Effect]) -> list[Effect]:
        self.records += [effect.record for effect in of_kind(effects, Persist)]
        self.blocks += [effect.finalized for effect in of_kind(effects, PersistBlock)]
        return effects


def make_node() -> Node:
    """Return the node of a member that is a quorum alone and leads nearly every view."""
    founders = make_founders(3, bonded=[Stake(10_000 * TOKEN), Stake(10 * TOKEN), Stake(10 * TOKEN)])
    return Node(LedgerBuilder(founders, parameters=PARAMETERS), founders[0])


def make_weak_node() -> Node:
    """Return the node of one of four equal members."""
    founders = make_founders(4)
    return Node(LedgerBuilder(founders, parameters=PARAMETERS), founders[0])


def test_a_member_with_a_quorum_orders_the_draw_at_once() -> None:
    """C1 to C7 in one go: propose, notarize, finalize, execute."""
    node = make_node()
    effects = node.start(100)
    assert [entry.height for entry in of_kind(effects, PersistBlock)] == [1]
    (entered,) = get_observed(effects, PhaseEntered)
    assert (entered.round, entered.phase) == (1, Phase.TRAIN)
    assert node.engine.state.height == 1
    assert node.blocks[0].certificate is not None


def test_every_vote_is_persisted_before_anything_of_the_batch_is_broadcast() -> None:
    """C10."""
    effects = make_node().start(100)
    votes = [
        place
        for place, effect in enumerate(effects)
        if isinstance(effect, Persist) and isinstance(effect.record, OwnVoteRecord)
    ]
    sent = [
        place
        for place, effect in enumerate(effects)
        if isinstance(effect, Broadcast) and any(isinstance(message, Votes) for message in get_messages([effect]))
    ]
    assert len(votes) == 2
    assert max(votes) < min(sent)


def test_a_final_block_is_told_with_all_that_it_did() -> None:
    effects = make_node().start(100)
    (executed,) = get_observed(effects, BlockExecuted)
    (persisted,) = of_kind(effects, PersistBlock)
    assert (executed.height, executed.outcome) == (persisted.height, persisted.outcome)


def test_the_same_inputs_have_the_same_effects() -> None:
    """Determinism: no clock, no chance, no order of sets."""

    def run() -> list[Effect]:
        node = make_node()
        effects = node.start(100)
        effects += node.tell(OperationRequested(payload=Unbond(amount=Stake(5))), 300)
        effects += node.tell(TimeAdvanced(), 70_000)
        return effects

    assert run() == run()


def test_an_operators_operation_is_signed_numbered_durable_and_sent() -> None:
    """L8."""
    node = make_weak_node()
    node.start(100)
    effects = node.tell(OperationRequested(payload=Unbond(amount=Stake(5))))
    (record,) = [entry.record for entry in of_kind(effects, Persist) if isinstance(entry.record, OwnOperationRecord)]
    operation = decode_operation(record.operation)
    assert (operation.content.member, operation.content.sequence) == (node.keys.member, 0)
    assert [message.operation for message in get_operations(effects)] == [record.operation]
    second = node.tell(OperationRequested(payload=Unbond(amount=Stake(6))))
    (message,) = get_operations(second)
    assert decode_operation(message.operation).content.sequence == 1


def get_operations(effects: Items[Effect]) -> list[OperationMessage]:
    return [
        decode(OperationMessage, effect.message, bytes_max=1 << 20)
        for effect in of_kind(effects, Broadcast)
        if effect.topic is Topic.OPERATIONS
    ]


def test_an_operation_is_sent_again_until_it_is_executed() -> None:
    """C9, W4."""
    node = make_weak_node()
    node.start(100)
    (first,) = get_operations(node.tell(OperationRequested(payload=Unbond(amount=Stake(5))), 200))
    assert get_operations(node.tell(TimeAdvanced(), 1_199)) == []
    (again,) = get_operations(node.tell(TimeAdvanced(), 1_200))
    assert (again.operation, again.attempt > first.attempt) == (first.operation, True)


def test_an_executed_operation_is_not_sent_again() -> None:
    node = make_node()
    node.start(100)
    node.tell(OperationRequested(payload=Unbond(amount=Stake(5))), 300)
    node.tell(TimeAdvanced(), 400)
    assert get_account(node.engine.state, node.keys.member).next_sequence == 1
    assert get_operations(node.tell(TimeAdvanced(), 5_000)) == []


def test_a_restart_sends_pending_operations_again() -> None:
    """L8, W4: under a number that no earlier life has used."""
    node = make_weak_node()
    node.start(100)
    (first,) = get_operations(node.tell(OperationRequested(payload=Unbond(amount=Stake(5))), 200))
    (again,) = get_operations(node.restart(5_000))
    assert (again.operation, again.attempt > first.attempt) == (first.operation, True)


def test_a_restart_goes_on_from_the_tip() -> None:
    node = make_node()
    node.start(100)
    root = node.engine.state
    node.restart(5_000)
    assert node.engine.state.height >= root.height == 1
    assert node.engine.consensus.tree.tip_certificate is not None


def test_fetched_blocks_that_are_wrong_change_nothing() -> None:
    """C14."""
    node = make_weak_node()
    node.start(100)
    block = node.builder.build_block()
    wrong = FinalizedBlock(block=block, certificate=node.builder.certify(block, node.builder.founders[:2]))
    assert of_kind(node.tell(BlocksFetched(blocks=(wrong,))), PersistBlock) == []
    right = FinalizedBlock(block=block, certificate=node.builder.certify(block))
    assert [entry.height for entry in of_kind(node.tell(BlocksFetched(blocks=(right,))), PersistBlock)] == [1]


@pytest.mark.parametrize("operations", [(b"no operation",), (bytes(100),)], ids=["noise", "zeros"])
def test_a_fetched_body_that_is_wrong_changes_nothing(operations: tuple[bytes, ...]) -> None:
    """C3."""
    node = make_weak_node()
    node.start(100)
    block = node.builder.build_block(operations)
    assert of_kind(node.tell(BlockFetched(block=block)), PersistBlock) == []
    assert node.engine.get_unfinalized_block(node.engine.consensus.tree.tip.block_hash) is None


def make_voting_node() -> tuple[Node, bytes, SubmitUpdate]:
    """Return a node in phase TRAIN, somebody else's manifest, and that as an encoded operation."""
    node = make_weak_node()
    node.start(100)
    block = node.builder.build_block()
    node.builder.add_block()
    node.tell(BlocksFetched(blocks=(FinalizedBlock(block=block, certificate=node.builder.certify(block)),)), 150)
    proposer = node.builder.get_keys(node.builder.round.proposers[0])
    manifest = make_manifest(node.builder.round, artifact=make_digest("artifact"))
    encoded = encode_operation(node.builder.chain_id, proposer.signing_key, Sequence(0), manifest)
    return node, encoded, manifest


def test_a_proposers_artifact_is_fetched_as_soon_as_its_manifest_is_heard() -> None:
    """F3: ahead of the block, so that votes need not wait."""
    node, encoded, manifest = make_voting_node()
    effects = node.tell(OperationReceived(operation=encoded))
    (fetch,) = of_kind(effects, FetchArtifact)
    assert (fetch.digest, fetch.bytes_expected) == (manifest.artifact_digest, manifest.artifact_bytes)
    assert fetch.source == decode_operation(encoded).content.member
    assert of_kind(node.tell(OperationReceived(operation=encoded)), FetchArtifact) == []


@pytest.mark.parametrize(
    "changes",
    [{"artifact_bytes": 1 << 40}, {"scale_exponents": (-20,)}, {"example_count": -1}],
    ids=["another size", "a scale too few", "negative examples"],
)
def test_a_manifest_that_the_ledger_would_refuse_makes_nobody_fetch(changes: dict[str, object]) -> None:
    """F3: otherwise a proposer could fill other members' disks, or spoil the fetching of another's artifact."""
    node, _, manifest = make_voting_node()
    proposer = node.builder.get_keys(node.builder.round.proposers[0])
    wrong = replace(manifest, **changes)  # type: ignore[arg-type]
    encoded = encode_operation(node.builder.chain_id, proposer.signing_key, Sequence(0), wrong)
    assert of_kind(node.tell(OperationReceived(operation=encoded)), FetchArtifact) == []
    right = encode_operation(node.builder.chain_id, proposer.signing_key, Sequence(1), manifest)
    assert len(of_kind(node.tell(OperationReceived(operation=right)), FetchArtifact)) == 1


def test_a_block_is_voted_for_once_its_artifacts_are_stored() -> None:
    """F3: artifacts first, votes second."""
    node, encoded, manifest = make_voting_node()
    block = node.builder.build_block((encoded,), time_ms=Millis(CREATED_MS + 200))

    proposal = Proposal(block=block, parent_certificate=node.blocks[-1].certificate, nullifications=())
    effects = node.tell(ConsensusReceived(message=proposal))
    assert len(of_kind(effects, FetchArtifact)) == 1
    assert get_votes(effects) == []
    assert get_votes(node.tell(ArtifactStored(digest=manifest.artifact_digest), 300)) == [VoteKind.NOTARIZE]


def get_votes(effects: Items[Effect]) -> list[VoteKind]:
    messages = [
        message for message in get_messages(list(effects)) if isinstance(message, Votes) and not message.attempt
    ]
    return [vote.kind for message in messages for vote in message.votes]


def sign_votes(node: Node, keys: FounderKeys, *kinds: tuple[VoteKind, Digest | None]) -> tuple[Votes, ...]:

    return tuple(
        Votes(
            votes=(
                sign_vote(
                    node.builder.chain_id,
                    keys.signing_key,
                    epoch=Epoch(0),
                    kind=kind,
                    view=View(1),
                    block_hash=block_hash,
                ),
            ),
            attempt=0,
        )
        for kind, block_hash in kinds
    )


def gossip(node: Node, message: ConsensusMessage, delay_ms: int = 200) -> list[Effect]:
    """Give a node a message as gossip does: judged first."""
    admitted = node.engine.judge_gossip(Topic.CONSENSUS, encode_union(message, ConsensusMessage))
    return [] if admitted.event is None else node.tell(admitted.event, delay_ms)


def test_a_contradiction_is_reported_once() -> None:
    """L7."""
    node = make_weak_node()
    node.start(100)
    guilty = node.builder.founders[1]
    digests = [make_digest("block", number) for number in range(3)]
    messages = sign_votes(node, guilty, *[(VoteKind.NOTARIZE, digest) for digest in digests])
    effects = [effect for message in messages for effect in gossip(node, message)]
    (seen,) = get_observed(effects, OffenceSeen)
    assert (seen.offence.member, seen.offence.view) == (guilty.member, 1)
    (message,) = get_operations(effects)
    assert isinstance(decode_operation(message.operation).content.payload, ReportEvidence)


def test_forged_votes_about_a_decided_view_neither_convict_nor_confuse() -> None:
    """W3, L7: the member finalized; a forged nullification in its name comes when the quorum for that is complete."""
    node = make_weak_node()
    node.start(100)
    others = node.builder.founders[1:]
    (finalize,) = sign_votes(node, others[0], (VoteKind.FINALIZE, make_digest("block")))
    gossip(node, finalize)
    for keys in (others[1], others[2]):
        for message in sign_votes(node, keys, (VoteKind.NULLIFY, None)):
            gossip(node, message)
    node.tell(TimeAdvanced(), 1_200)
    forged = replace(finalize.votes[0], kind=VoteKind.NULLIFY, block_hash=None, signature=Signature(bytes(64)))
    for votes in ((forged,), (forged, *finalize.votes), (*finalize.votes, forged)):
        for attempt in (0, 1):
            effects = gossip(node, Votes(votes=votes, attempt=attempt), 1_300)
            assert get_observed(effects, OffenceSeen) == []


def test_a_stranger_is_rejected_and_a_member_is_not() -> None:
    """W3."""
    node = make_weak_node()
    stranger = next(keys for keys in make_founders(8) if keys.founder.name == "member-7")
    (message,) = sign_votes(node, stranger, (VoteKind.NULLIFY, None))
    judged = node.engine.judge_gossip(Topic.CONSENSUS, encode_union(message, ConsensusMessage))
    assert judged.admission is Admission.REJECT


def test_an_operation_that_the_ledger_refuses_leaves_its_error_and_its_number() -> None:
    """L8."""
    node = make_node()
    node.start(100)
    effects = node.tell(OperationRequested(payload=Bond(amount=Stake(5))), 300)
    results = [result for entry in of_kind(effects, PersistBlock) for result in entry.outcome.results]
    assert len(results) == 1
    assert "cannot bond 5" in results[0].error
    assert get_account(node.engine.state, node.keys.member).next_sequence == 1


def test_the_timer_is_armed_for_the_next_deadline() -> None:
    """C12, F15: in between nothing happens."""
    node = make_node()
    effects = node.start(100)
    (timer,) = of_kind(effects, ArmTimer)
    state = node.engine.state
    assert state.round is not None
    assert timer.at_ms == state.round.deadline_ms
