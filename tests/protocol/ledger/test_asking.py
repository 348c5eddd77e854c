"""Asking for newcomers and approving of them (L9): who may, whom for, and how often."""

from dataclasses import replace

import pytest

from protocol.errors import InvalidOperation
from protocol.ledger.draft import open_draft
from protocol.ledger.membership import CANDIDACIES_PER_MEMBER_MAX, CANDIDACY_EPOCHS, MEMBERS_MAX, check_join
from protocol.operations import Approve, Join, Payload, Unbond
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import MemberId, Stake
from tests.founders import STAKE, make_founders
from tests.helpers import LedgerBuilder
from tests.newcomers import BOND, make_newcomer
from tests.values import make_digest

PARAMETERS = Parameters(epoch_blocks=4, evidence_window_epochs=1)
NEWCOMER = make_newcomer()
MEMBER = NEWCOMER.card.member
APPROVE = Approve(member=MEMBER, bond=BOND)


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(4), PARAMETERS)


def send(builder: LedgerBuilder, founder: int, payload: Payload) -> Refusal:
    """Add a block with one founder's operation, and return what the ledger made of it."""
    return builder.add_payloads((builder.founders[founder].member, payload)).results[0].refusal


def end_epoch(builder: LedgerBuilder) -> None:
    epoch = builder.state.epoch
    while builder.state.epoch == epoch:
        builder.add_block()


REFUSED: dict[str, tuple[Join, Refusal]] = {
    "a member": (make_newcomer(member=make_founders(4)[1].member), Refusal.NEWCOMER_IS_MEMBER),
    "a name that is taken": (make_newcomer(name="member-1"), Refusal.NAME_TAKEN),
    "no name": (make_newcomer(name=""), Refusal.CARD_DOES_NOT_HOLD),
    "a name with a line end": (make_newcomer(name="two\nlines"), Refusal.CARD_DOES_NOT_HOLD),
    "a key that is taken": (make_newcomer(bls_key=make_founders(4)[1].founder.bls_key), Refusal.BLS_KEY_TAKEN),
    "another's possession": (
        make_newcomer(possession=make_founders(4)[1].founder.possession),
        Refusal.CARD_DOES_NOT_HOLD,
    ),
    "an old card": (make_newcomer(version=0), Refusal.CARD_DOES_NOT_HOLD),
    "too many addresses": (make_newcomer(addresses=("/ip4/1.2.3.4/tcp/1",) * 9), Refusal.CARD_DOES_NOT_HOLD),
    "an endless address": (make_newcomer(addresses=("/" * 257,)), Refusal.CARD_DOES_NOT_HOLD),
    "against its will": (replace(NEWCOMER, signature=make_newcomer(1).signature), Refusal.CARD_DOES_NOT_HOLD),
    "a bond too low": (replace(NEWCOMER, bond=Stake(PARAMETERS.bond_min - 1)), Refusal.BOND_OUT_OF_BOUNDS),
    "a bond too high": (replace(NEWCOMER, bond=Stake(10**15 + 1)), Refusal.BOND_OUT_OF_BOUNDS),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_newcomer_that_breaks_a_rule_is_refused(builder: LedgerBuilder, name: str) -> None:
    join, refusal = REFUSED[name]
    assert send(builder, 0, join) is refusal
    assert builder.state.candidacies == ()


def test_nobody_is_asked_for_twice_at_a_time(builder: LedgerBuilder) -> None:
    send(builder, 0, NEWCOMER)
    assert send(builder, 1, NEWCOMER) is Refusal.NEWCOMER_WAITS
    assert send(builder, 1, make_newcomer(1, name="newcomer-0")) is Refusal.NAME_TAKEN


def test_one_member_cannot_crowd_out_the_others_newcomers(builder: LedgerBuilder) -> None:
    """C15."""
    for number in range(CANDIDACIES_PER_MEMBER_MAX):
        assert send(builder, 0, make_newcomer(number)) is Refusal.NONE
    assert send(builder, 0, make_newcomer(99)) is Refusal.NEWCOMERS_TOO_MANY
    assert send(builder, 1, make_newcomer(99)) is Refusal.NONE


def test_a_full_ledger_takes_nobody_new(builder: LedgerBuilder) -> None:
    draft = open_draft(builder.state)
    account = next(iter(draft.accounts.values()))
    for number in range(MEMBERS_MAX - len(draft.accounts)):
        member = MemberId(make_digest("account", number))
        draft.accounts[member] = replace(account, member=member)
    with pytest.raises(InvalidOperation, match="ACCOUNTS_FULL"):
        check_join(draft, PARAMETERS, builder.founders[0].member, NEWCOMER)
    del draft.accounts[MemberId(make_digest("account", 0))]
    check_join(draft, PARAMETERS, builder.founders[0].member, NEWCOMER)


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        (Approve(member=make_newcomer(7).card.member, bond=BOND), Refusal.NOBODY_WAITS),
        (Approve(member=MEMBER, bond=Stake(BOND + 1)), Refusal.WRONG_BOND),
    ],
)
def test_an_approval_that_fits_no_request_is_refused(
    builder: LedgerBuilder, payload: Approve, refusal: Refusal
) -> None:
    send(builder, 0, NEWCOMER)
    assert send(builder, 1, payload) is refusal


def test_an_approval_counts_once(builder: LedgerBuilder) -> None:
    send(builder, 0, NEWCOMER)
    assert send(builder, 0, APPROVE) is Refusal.APPROVAL_REPEATED
    send(builder, 1, APPROVE)
    assert builder.state.epoch == 0
    assert send(builder, 1, APPROVE) is Refusal.APPROVAL_REPEATED
    assert MEMBER not in {entry.member for entry in builder.state.validators}


def test_only_validators_ask_and_approve(builder: LedgerBuilder) -> None:
    send(builder, 3, Unbond(amount=STAKE))
    end_epoch(builder)
    assert send(builder, 3, NEWCOMER) is Refusal.NOT_A_VALIDATOR
    send(builder, 0, NEWCOMER)
    assert send(builder, 3, APPROVE) is Refusal.NOT_A_VALIDATOR


def test_a_request_lapses(builder: LedgerBuilder) -> None:
    send(builder, 0, NEWCOMER)
    for _ in range(CANDIDACY_EPOCHS):
        assert len(builder.state.candidacies) == 1
        end_epoch(builder)
    assert builder.state.candidacies == ()
