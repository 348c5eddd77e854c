"""Members join and leave between epochs only (C13, L9), and what that does to stake and weights (L2, L5, L6)."""

from dataclasses import replace

import pytest

from protocol.cards import CARD_VERSION, CardContent, sign_card
from protocol.ledger.state import build_validator_set, get_account, get_connected_members, has_left
from protocol.operations import Approve, Bond, Join, Leave, Payload, ReportEvidence, Unbond
from protocol.outcomes import StakeMove, StakeReason
from protocol.parameters import Parameters, Preset
from protocol.refusals import Refusal
from protocol.units import Bps, Epoch, MemberId, Stake, View
from tests.founders import STAKE, make_founders
from tests.helpers import LedgerBuilder, make_equivocation
from tests.newcomers import BOND, make_newcomer

EPOCH_BLOCKS = 4
PARAMETERS = Parameters(epoch_blocks=EPOCH_BLOCKS, evidence_window_epochs=1)


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(4), PARAMETERS)


NEWCOMER = make_newcomer()
MEMBER = NEWCOMER.card.member
APPROVE = Approve(member=MEMBER, bond=BOND)


def send(builder: LedgerBuilder, founder: int, payload: Payload) -> Refusal:
    """Add a block with one founder's operation, and return what the ledger made of it."""
    return builder.add_payloads((builder.founders[founder].member, payload)).results[0].refusal


def end_epoch(builder: LedgerBuilder) -> None:
    epoch = builder.state.epoch
    while builder.state.epoch == epoch:
        builder.add_block()


def get_weights(builder: LedgerBuilder) -> dict[MemberId, int]:
    return {entry.member: int(entry.weight) for entry in builder.state.validators}


def admit(builder: LedgerBuilder, join: Join = NEWCOMER) -> None:
    """Ask for a newcomer, let two others approve, and end the epoch."""
    approve = Approve(member=join.card.member, bond=join.bond)
    pairs: list[tuple[MemberId, Payload]] = [(builder.founders[0].member, join)]
    pairs += [(builder.founders[number].member, approve) for number in (1, 2)]
    outcome = builder.add_payloads(*pairs)
    assert [result.refusal for result in outcome.results] == [Refusal.NONE] * 3
    end_epoch(builder)


def test_an_epoch_has_a_fixed_number_of_blocks(builder: LedgerBuilder) -> None:
    epochs = []
    for _ in range(3 * EPOCH_BLOCKS):
        builder.add_block()
        epochs.append(builder.state.epoch)
    assert epochs == [0] * 3 + [1] * 4 + [2] * 4 + [3]
    assert [built.block.header.epoch for built in builder.blocks] == [0] * 4 + [1] * 4 + [2] * 4


def test_every_epoch_draws_its_leaders_from_a_seed_of_its_own(builder: LedgerBuilder) -> None:
    seeds = {builder.state.epoch_seed}
    for _ in range(3):
        end_epoch(builder)
        seeds.add(builder.state.epoch_seed)
        assert build_validator_set(builder.state).seed == builder.state.epoch_seed
    assert len(seeds) == 4


def test_weights_change_between_epochs_only(builder: LedgerBuilder) -> None:
    """C13: what is bonded now counts from the next epoch on."""
    member = builder.founders[0].member
    send(builder, 0, Unbond(amount=Stake(1_000)))
    assert get_weights(builder)[member] == STAKE
    end_epoch(builder)
    assert get_weights(builder)[member] == STAKE - 1_000


@pytest.mark.parametrize(("left", "validates"), [(PARAMETERS.bond_min - 1, False), (PARAMETERS.bond_min, True)])
def test_an_exhausted_member_is_no_validator_from_the_next_epoch(
    builder: LedgerBuilder, left: int, validates: bool
) -> None:
    """L5."""
    send(builder, 0, Unbond(amount=Stake(STAKE - left)))
    assert builder.founders[0].member in get_weights(builder)
    end_epoch(builder)
    assert (builder.founders[0].member in get_weights(builder)) is validates


def test_a_jailed_member_is_no_validator_from_the_next_epoch(builder: LedgerBuilder) -> None:
    """L7."""
    offender = builder.founders[0]
    send(builder, 1, ReportEvidence(evidence=make_equivocation(builder.chain_id, offender.signing_key, View(1))))
    assert offender.member in get_weights(builder)
    end_epoch(builder)
    assert offender.member not in get_weights(builder)


def test_with_nobody_left_the_old_validators_go_on(builder: LedgerBuilder) -> None:
    for number in range(4):
        send(builder, number, Unbond(amount=STAKE))
    assert builder.state.epoch == 1
    assert get_weights(builder) == {keys.member: STAKE for keys in builder.founders}


def test_a_newcomer_is_admitted_when_the_epoch_ends() -> None:
    """L9, L2: its bond is created, and it has a weight and can be drawn.

    In preset ``paper`` a silent round of four is over before the newcomer leads, whose keys are not at hand here.
    """
    builder = LedgerBuilder(make_founders(4), replace(PARAMETERS, preset=Preset.PAPER))
    supply = builder.state.supply
    for number, payload in ((0, NEWCOMER), (1, APPROVE), (2, APPROVE)):
        assert send(builder, number, payload) is Refusal.NONE
    assert MEMBER not in {account.member for account in builder.state.accounts}
    outcome = builder.add_block()
    assert outcome.moves == (StakeMove(member=MEMBER, reason=StakeReason.MINT, amount=BOND),)
    account = get_account(builder.state, MEMBER)
    assert (account.bonded, account.free, account.next_sequence) == (BOND, 0, 0)
    assert (builder.state.supply, builder.state.candidacies) == (supply + BOND, ())
    assert get_weights(builder)[MEMBER] == BOND
    entry = next(entry for entry in builder.state.members if entry.member == MEMBER)
    assert (entry.name, entry.bls_key, entry.addresses) == (
        NEWCOMER.card.name,
        NEWCOMER.card.bls_key,
        NEWCOMER.card.addresses,
    )
    assert list(builder.state.accounts) == sorted(builder.state.accounts, key=lambda one: one.member)
    assert list(builder.state.members) == sorted(builder.state.members, key=lambda one: one.member)
    builder.pass_deadlines()
    assert MEMBER in {entry.member for entry in builder.round.eligible}


def test_two_thirds_of_the_weight_do_not_suffice(builder: LedgerBuilder) -> None:
    """L9: a quorum is strictly more; two of four equal members are less, and heads do not count."""
    send(builder, 0, NEWCOMER)
    send(builder, 1, APPROVE)
    end_epoch(builder)
    assert MEMBER not in get_weights(builder)
    assert [entry.card.member for entry in builder.state.candidacies] == [MEMBER]


@pytest.mark.parametrize(
    ("stakes", "approving", "admits"),
    [
        pytest.param((40_000_000, 30_000_000, 30_000_000, 20_000_000), (1, 2, 3), False, id="two thirds, three heads"),
        pytest.param((39_999_999, 30_000_000, 30_000_000, 20_000_001), (1, 2, 3), True, id="a micro-token more"),
        pytest.param((60_000_000, 30_000_000, 20_000_000, 10_000_000), (0, 1), True, id="three quarters, two heads"),
    ],
)
def test_approvals_are_weighed_and_not_counted(
    stakes: tuple[int, ...], approving: tuple[int, ...], admits: bool
) -> None:
    """L9: strictly more than two thirds of the weight, in however many heads."""
    builder = LedgerBuilder(make_founders(4, bonded=tuple(map(Stake, stakes))), PARAMETERS)
    first, *others = approving
    assert send(builder, first, NEWCOMER) is Refusal.NONE
    assert {send(builder, number, APPROVE) for number in others} == {Refusal.NONE}
    end_epoch(builder)
    assert (MEMBER in get_weights(builder)) is admits


def test_the_weights_of_the_ending_epoch_count(builder: LedgerBuilder) -> None:
    """C13: what a member unbonds in this epoch is still at work in it."""
    for number, payload in ((0, NEWCOMER), (1, APPROVE), (2, APPROVE)):
        send(builder, number, payload)
    builder.add_payloads((builder.founders[2].member, Unbond(amount=STAKE)))
    assert MEMBER in get_weights(builder)
    assert builder.founders[2].member not in get_weights(builder)


def test_a_member_leaves_when_the_epoch_ends_and_stays_slashable(builder: LedgerBuilder) -> None:
    """L9, L6: its duties go on until then, and its stake is released when evidence about the epoch has expired."""
    leaver = builder.founders[0].member
    assert send(builder, 0, Leave()) is Refusal.NONE
    account = get_account(builder.state, leaver)
    assert (account.bonded, account.is_leaving) == (STAKE, True)
    end_epoch(builder)
    account = get_account(builder.state, leaver)
    assert (account.bonded, account.unbonding[0].amount, account.unbonding[0].release_epoch) == (0, STAKE, 2)
    assert leaver not in get_weights(builder)
    assert not has_left(account)
    assert leaver in {entry.member for entry in get_connected_members(builder.state)}
    end_epoch(builder)
    account = get_account(builder.state, leaver)
    assert (account.unbonding, account.free, has_left(account)) == ((), STAKE, True)
    assert leaver not in {entry.member for entry in get_connected_members(builder.state)}


def test_who_leaves_can_still_be_convicted(builder: LedgerBuilder) -> None:
    """L6, L7: of what it did in its last epoch, until its stake is released."""
    leaver = builder.founders[0]
    evidence = make_equivocation(builder.chain_id, leaver.signing_key, View(1))
    send(builder, 0, Leave())
    end_epoch(builder)
    assert send(builder, 1, ReportEvidence(evidence=evidence)) is Refusal.NONE
    assert get_account(builder.state, leaver.member).unbonding[0].amount == STAKE // 2
    end_epoch(builder)
    late = make_equivocation(builder.chain_id, leaver.signing_key, View(2))
    assert send(builder, 1, ReportEvidence(evidence=late)) is Refusal.OFFENCE_TOO_OLD


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [(Leave(), Refusal.LEAVING_REPEATED), (Bond(amount=Stake(1)), Refusal.BOND_WHILE_LEAVING)],
    ids=["leave", "bond"],
)
def test_who_leaves_neither_leaves_again_nor_bonds(builder: LedgerBuilder, payload: Payload, refusal: Refusal) -> None:
    send(builder, 0, Leave())
    assert send(builder, 0, payload) is refusal


def test_who_has_left_can_be_admitted_anew() -> None:
    """L9: with its sequence number and free stake, and without its conviction."""
    builder = LedgerBuilder(make_founders(4), replace(PARAMETERS, slash_equivocation_bps=Bps(1)))
    leaver = builder.founders[3]
    send(builder, 0, ReportEvidence(evidence=make_equivocation(builder.chain_id, leaver.signing_key, View(1))))
    send(builder, 3, Leave())
    card = CardContent(
        version=CARD_VERSION,
        name="back again",
        member=leaver.member,
        bls_key=leaver.founder.bls_key,
        possession=leaver.founder.possession,
        addresses=(),
    )
    join = Join(card=card, signature=sign_card(leaver.signing_key, card), bond=BOND)
    assert send(builder, 0, join) is Refusal.NEWCOMER_IS_MEMBER
    for _ in range(3):
        end_epoch(builder)
    left = get_account(builder.state, leaver.member)
    assert has_left(left)
    admit(builder, join)
    account = get_account(builder.state, leaver.member)
    assert (account.bonded, account.free, account.next_sequence) == (BOND, left.free, left.next_sequence)
    assert not (account.is_jailed or account.is_leaving)
    assert len(builder.state.members) == 4


def test_a_convicted_newcomer_is_not_convicted_of_its_first_life_again() -> None:
    """L7: evidence about an earlier epoch expires before its stake is released, so nothing is left to report."""
    builder = LedgerBuilder(make_founders(4), PARAMETERS)
    leaver = builder.founders[3]
    send(builder, 3, Leave())
    for _ in range(3):
        end_epoch(builder)
    evidence = make_equivocation(builder.chain_id, leaver.signing_key, View(1))
    assert send(builder, 0, ReportEvidence(evidence=evidence)) is Refusal.OFFENCE_TOO_OLD


def test_every_epochs_validators_have_the_keys_of_its_members(builder: LedgerBuilder) -> None:
    admit(builder)
    validators = build_validator_set(builder.state)
    assert validators.epoch == Epoch(1)
    assert validators.get_validator(MEMBER).bls_key == NEWCOMER.card.bls_key
