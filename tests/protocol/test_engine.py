"""The engine: how an input becomes effects, in the right order (C10, L8, C12, W4)."""

from protocol.interface import (
    ArmTimer,
    BlocksFetched,
    Broadcast,
    Effect,
    FinalizedBlock,
    OperationRequested,
    Persist,
    PersistBlock,
    TimeAdvanced,
    TrainModel,
)
from protocol.journal import OwnOperationRecord, OwnVoteRecord
from protocol.ledger.state import get_account
from protocol.messages import Votes
from protocol.observations import BlockExecuted, PhaseEntered
from protocol.operations import Bond, Unbond, decode_operation
from protocol.outcomes import Phase
from protocol.refusals import Refusal
from protocol.units import Stake
from tests.founders import make_founders
from tests.protocol.consensus.rig import get_messages
from tests.protocol.lone_engine import (
    PARAMETERS,
    get_observed,
    get_operations,
    make_node,
    make_weak_node,
    of_kind,
)


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


def test_a_block_that_others_made_final_begins_this_members_duty_at_once() -> None:
    """F3: without waiting for the next timer."""
    orders = []
    for keys in make_founders(4):
        node = make_weak_node(keys)
        node.start(100)
        block = node.builder.build_block()
        certificate = node.builder.certify(block, node.builder.founders[1:])
        effects = node.tell(BlocksFetched(blocks=(FinalizedBlock(block=block, certificate=certificate),)), 150)
        orders += of_kind(effects, TrainModel)
    assert len(orders) == PARAMETERS.proposer_count


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


def test_an_operation_that_the_ledger_refuses_leaves_its_refusal_and_its_number() -> None:
    """L8."""
    node = make_node()
    node.start(100)
    effects = node.tell(OperationRequested(payload=Bond(amount=Stake(5))), 300)
    results = [result for entry in of_kind(effects, PersistBlock) for result in entry.outcome.results]
    assert len(results) == 1
    assert results[0].refusal is Refusal.BOND_EXCEEDS_FREE
    assert get_account(node.engine.state, node.keys.member).next_sequence == 1


def test_the_timer_is_armed_for_the_next_deadline() -> None:
    """C12, F15: in between nothing happens."""
    node = make_node()
    effects = node.start(100)
    timer = of_kind(effects, ArmTimer)[-1]
    state = node.engine.state
    assert state.round is not None
    assert timer.at_ms == state.round.deadline_ms
