"""Bonding and unbonding (L3, L4, L5, L6)."""

from dataclasses import replace

import pytest

from protocol.errors import InvariantViolation
from protocol.ledger.draft import LedgerDraft, close_draft, open_draft
from protocol.ledger.stake import apply_bond, apply_payment, apply_slash, apply_unbond, release_unbonding
from protocol.ledger.state import UnbondingEntry, get_account
from protocol.operations import Bond, Unbond
from protocol.outcomes import StakeMove, StakeReason
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import Epoch, Stake
from tests.founders import STAKE, make_founders
from tests.helpers import LedgerBuilder


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(3))


def open_at(builder: LedgerBuilder, epoch: int) -> LedgerDraft:
    draft = open_draft(builder.state)
    draft.epoch = Epoch(epoch)
    return draft


def test_unbonding_stake_waits_for_its_epoch(builder: LedgerBuilder) -> None:
    member = builder.founders[0].member
    outcome = builder.add_payloads((member, Unbond(amount=Stake(30))), (member, Unbond(amount=Stake(12))))
    account = get_account(builder.state, member)
    assert (account.bonded, account.free) == (STAKE - 42, 0)
    assert account.unbonding == (UnbondingEntry(amount=Stake(42), release_epoch=Epoch(3)),)
    assert [(move.reason, move.amount) for move in outcome.moves] == [
        (StakeReason.UNBOND, 30),
        (StakeReason.UNBOND, 12),
    ]


def test_stake_is_released_when_its_epoch_begins_and_not_before(builder: LedgerBuilder) -> None:
    member = builder.founders[0].member
    builder.add_payloads((member, Unbond(amount=Stake(30))))
    for epoch, free, moves in ((1, 0, 0), (2, 0, 0), (3, 30, 1), (4, 30, 1)):
        draft = open_at(builder, epoch)
        release_unbonding(draft)
        account = get_account(close_draft(draft), member)
        assert (account.free, sum(entry.amount for entry in account.unbonding)) == (free, 30 - free)
        assert len(draft.moves) == moves


def test_a_release_is_recorded_as_a_move(builder: LedgerBuilder) -> None:
    member = builder.founders[0].member
    builder.add_payloads((member, Unbond(amount=Stake(30))))
    draft = open_at(builder, 3)
    release_unbonding(draft)
    assert draft.moves == [StakeMove(member=member, reason=StakeReason.RELEASE, amount=Stake(30))]


def test_free_stake_can_be_bonded_again() -> None:
    builder = LedgerBuilder(make_founders(3))
    member = builder.founders[0].member
    free_stake(builder, 30)
    outcome = builder.add_payloads((member, Bond(amount=Stake(30))))
    account = get_account(builder.state, member)
    assert (account.bonded, account.free) == (STAKE, 0)
    assert outcome.moves == (StakeMove(member=member, reason=StakeReason.BOND, amount=Stake(30)),)


def free_stake(builder: LedgerBuilder, amount: int) -> None:
    """Give the first founder free stake, as an epoch change would."""
    builder.add_payloads((builder.founders[0].member, Unbond(amount=Stake(amount))))
    draft = open_at(builder, 3)
    release_unbonding(draft)
    draft.epoch = builder.state.epoch
    builder.state = close_draft(draft)


@pytest.mark.parametrize("amount", [0, 31, 2**63])
def test_nobody_bonds_what_is_not_free(builder: LedgerBuilder, amount: int) -> None:
    free_stake(builder, 30)
    outcome = builder.add_payloads((builder.founders[0].member, Bond(amount=Stake(amount))))
    assert outcome.results[0].refusal is Refusal.BOND_EXCEEDS_FREE


@pytest.mark.parametrize("amount", [0, STAKE + 1, 2**63])
def test_nobody_unbonds_what_is_not_bonded(builder: LedgerBuilder, amount: int) -> None:
    outcome = builder.add_payloads((builder.founders[0].member, Unbond(amount=Stake(amount))))
    assert outcome.results[0].refusal is Refusal.UNBOND_EXCEEDS_BONDED


def test_a_slash_takes_bonded_first_and_then_the_soonest_unbonding(builder: LedgerBuilder) -> None:
    """L4: and never more than there is; free stake is not touched."""
    member = builder.founders[0].member
    draft = open_draft(builder.state)
    draft.accounts[member] = replace(
        draft.accounts[member],
        bonded=Stake(10),
        unbonding=(
            UnbondingEntry(amount=Stake(5), release_epoch=Epoch(2)),
            UnbondingEntry(amount=Stake(7), release_epoch=Epoch(3)),
        ),
        free=Stake(STAKE - 22),
    )
    assert apply_slash(draft, member, Stake(18)) == 18
    assert draft.accounts[member].bonded == 0
    assert draft.accounts[member].unbonding == (UnbondingEntry(amount=Stake(4), release_epoch=Epoch(3)),)
    assert apply_slash(draft, member, Stake(100)) == 4
    account = get_account(close_draft(draft), member)
    assert (account.bonded, account.unbonding, account.free) == (0, (), STAKE - 22)
    assert draft.treasury == 22


def test_unbonding_does_not_escape_a_slash(builder: LedgerBuilder) -> None:
    """L6: what unbonds is slashable until it is released."""
    member = builder.founders[0].member
    builder.add_payloads((member, Unbond(amount=STAKE)))
    draft = open_draft(builder.state)
    assert apply_slash(draft, member, Stake(8)) == 8


def test_an_exhausted_member_is_not_drawn_until_it_bonds_again() -> None:
    """L5, in preset ``neutral``."""
    builder = LedgerBuilder(make_founders(3))
    member = builder.founders[0].member
    low = Stake(STAKE - Parameters().bond_min + 1)
    free_stake(builder, low)
    builder.run_round()
    assert member not in {entry.member for entry in builder.round.eligible}
    builder.add_payloads((member, Bond(amount=low)))
    assert member not in {entry.member for entry in builder.round.eligible}
    builder.run_round()
    assert member in {entry.member for entry in builder.round.eligible}


def test_the_functions_that_move_stake_refuse_what_is_not_there(builder: LedgerBuilder) -> None:
    member = builder.founders[0].member
    draft = open_draft(builder.state)
    with pytest.raises(InvariantViolation):
        apply_bond(draft, member, Stake(1))
    with pytest.raises(InvariantViolation):
        apply_unbond(draft, member, Stake(STAKE + 1), release_epoch=Epoch(2))
    with pytest.raises(InvariantViolation):
        apply_payment(draft, member, Stake(1))


def test_a_draft_that_lost_stake_does_not_close(builder: LedgerBuilder) -> None:
    """L2: the invariant is checked after every block."""
    draft = open_draft(builder.state)
    draft.treasury = Stake(draft.treasury + 1)
    with pytest.raises(InvariantViolation, match="the supply is"):
        close_draft(draft)
    draft.treasury = Stake(-1)
    with pytest.raises(InvariantViolation, match="negative"):
        close_draft(draft)
