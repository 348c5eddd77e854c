"""Sequence numbers (L8): every operation is judged once, and a refused one leaves nothing but its refusal."""

from dataclasses import replace

from protocol.ledger.draft import open_draft
from protocol.ledger.operations import apply_operation
from protocol.ledger.state import LedgerState, get_account
from protocol.operations import Bond, Unbond, compute_operation_id, decode_operation
from protocol.refusals import Refusal
from protocol.units import MemberId, Stake
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.values import SCHEMA, make_digest


def forget_time(state: LedgerState, reference: LedgerState) -> LedgerState:
    """Return a state with everything of a reference that the mere passing of a block changes."""
    return replace(
        state,
        height=reference.height,
        view=reference.view,
        time_ms=reference.time_ms,
        block_hash=reference.block_hash,
        mix=reference.mix,
        round=reference.round,
    )


def test_operations_in_order_are_executed_and_named() -> None:
    builder = LedgerBuilder(make_founders(3))
    member = builder.founders[0].member
    operations = builder.sign_all([(member, Unbond(amount=Stake(1))), (member, Unbond(amount=Stake(2)))])
    outcome = builder.add_block(operations)
    assert [result.refusal for result in outcome.results] == [Refusal.NONE, Refusal.NONE]
    assert [result.operation_id for result in outcome.results] == [compute_operation_id(op) for op in operations]
    assert get_account(builder.state, member).next_sequence == 2


def test_who_has_no_account_is_no_member() -> None:
    """L1: a block with a stranger's operation is refused as a whole, so this shows only in a draft."""
    builder = LedgerBuilder(make_founders(3))
    stranger = MemberId(make_digest("stranger"))
    encoded = builder.sign(builder.founders[0].member, Unbond(amount=Stake(1)))
    operation = decode_operation(encoded)
    operation = replace(operation, content=replace(operation.content, member=stranger))
    result = apply_operation(open_draft(builder.state), builder.parameters, SCHEMA, encoded, operation)
    assert result.refusal is Refusal.NOT_A_MEMBER


def test_a_replayed_operation_is_refused_and_consumes_nothing() -> None:
    builder = LedgerBuilder(make_founders(3))
    member = builder.founders[0].member
    operation = builder.sign(member, Unbond(amount=Stake(5)))
    builder.add_block((operation,))
    before = builder.state
    outcome = builder.add_block((operation,))
    assert outcome.results[0].refusal is Refusal.WRONG_SEQUENCE
    assert forget_time(before, builder.state) == builder.state


def test_an_operation_too_early_is_refused_and_consumes_nothing() -> None:
    builder = LedgerBuilder(make_founders(3))
    member = builder.founders[0].member
    outcome = builder.add_block((builder.sign(member, Unbond(amount=Stake(5)), offset=1),))
    assert outcome.results[0].refusal is Refusal.WRONG_SEQUENCE
    assert get_account(builder.state, member).next_sequence == 0


def test_a_refused_operation_consumes_its_number_and_leaves_no_other_trace() -> None:
    builder = LedgerBuilder(make_founders(3))
    member = builder.founders[0].member
    before = builder.state
    outcome = builder.add_payloads((member, Bond(amount=Stake(1))))
    assert outcome.results[0].refusal is Refusal.BOND_EXCEEDS_FREE
    assert outcome.moves == ()
    expected = tuple(
        replace(account, next_sequence=type(account.next_sequence)(1)) if account.member == member else account
        for account in before.accounts
    )
    assert forget_time(replace(before, accounts=expected), builder.state) == builder.state
