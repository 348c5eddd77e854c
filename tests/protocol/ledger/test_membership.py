"""Members join and leave between epochs only (C13, L9), and what that does to stake and weights (L2, L5, L6)."""

from dataclasses import replace

import pytest

from protocol.bls import BlsSigningKey
from protocol.cards import CARD_VERSION, CardContent, sign_card
from protocol.crypto import SigningKey
from protocol.ledger.membership import CANDIDACIES_PER_MEMBER_MAX, CANDIDACY_EPOCHS
from protocol.ledger.state import build_validator_set, get_account, get_connected_members, has_left
from protocol.operations import Approve, Bond, Join, Leave, Payload, ReportEvidence, Unbond
from protocol.outcomes import StakeMove, StakeReason
from protocol.parameters import Parameters
from protocol.units import Bps, Epoch, MemberId, Stake, View
from tests.helpers import STAKE, LedgerBuilder, make_equivocation, make_founders
from tests.values import make_digest

EPOCH_BLOCKS = 4
PARAMETERS = Parameters(epoch_blocks=EPOCH_BLOCKS, evidence_window_epochs=1)
BOND = Stake(20_000_000)


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(4), PARAMETERS)


def make_newcomer(number: int = 0, **changes: object) -> Join:
    """Return the request for a newcomer with a true card, or one whose card says something else."""
    key = SigningKey(make_digest("newcomer", number))
    bls_key = BlsSigningKey(make_digest("newcomer bls", number) * 2)
    content = CardContent(
        version=CARD_VERSION,
        name=f"newcomer-{number}",
        member=key.member,
        bls_key=bls_key.public_key,
        possession=bls_key.prove_possession(),
        addresses=("/ip4/127.0.0.1/tcp/5000",),
    )
    content = replace(content, **changes)  # type: ignore[arg-type]
    return Join(card=content, signature=sign_card(key, content), bond=BOND)


NEWCOMER = make_newcomer()
MEMBER = NEWCOMER.card.member
APPROVE = Approve(member=MEMBER, bond=BOND)


def send(builder: LedgerBuilder, founder: int, payload: Payload) -> str:
    """Add a block with one founder's operation, and return why it was refused."""
    return builder.add_payloads((builder.founders[founder].member, payload)).results[0].error


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
    assert [result.error for result in outcome.results] == [""] * 3
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


def test_a_newcomer_is_admitted_when_the_epoch_ends(builder: LedgerBuilder) -> None:
    """L9, L2: its bond is created, and it has a weight and can be drawn."""
    supply = builder.state.supply
    for number, payload in ((0, NEWCOMER), (1, APPROVE), (2, APPROVE)):
        assert send(builder, number, payload) == ""
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
    builder.pass_deadline()
    assert MEMBER in {entry.member for entry in builder.round.eligible}


def test_two_thirds_of_the_weight_do_not_suffice(builder: LedgerBuilder) -> None:
    """L9: a quorum is strictly more; two of four equal members are less, and heads do not count."""
    send(builder, 0, NEWCOMER)
    send(builder, 1, APPROVE)
    end_epoch(builder)
    assert MEMBER not in get_weights(builder)
    assert [entry.card.member for entry in builder.state.candidacies] == [MEMBER]


def test_approvals_are_weighed_and_not_counted() -> None:
    """L9: exactly two thirds in three of four heads are too little; one micro-token more is enough."""
    for more, admits in ((0, False), (1, True)):
        stakes = [Stake(60_000_000), Stake(20_000_000), Stake(10_000_000), Stake(30_000_000 + more)]
        others = [Stake(60_000_000), Stake(20_000_000), Stake(10_000_000 - more), Stake(30_000_000 + more)]
        builder = LedgerBuilder(make_founders(4, bonded=others if more else stakes), PARAMETERS)
        total = sum(entry.weight for entry in builder.state.validators)
        send(builder, 1, NEWCOMER)
        send(builder, 0, APPROVE)
        assert 2 * total == 3 * (60_000_000 + 20_000_000)
        if more:
            send(builder, 2, APPROVE)
        end_epoch(builder)
        assert (MEMBER in get_weights(builder)) is admits


def test_the_weights_of_the_ending_epoch_count(builder: LedgerBuilder) -> None:
    """C13: what a member unbonds in this epoch is still at work in it."""
    for number, payload in ((0, NEWCOMER), (1, APPROVE), (2, APPROVE)):
        send(builder, number, payload)
    builder.add_payloads((builder.founders[2].member, Unbond(amount=STAKE)))
    assert MEMBER in get_weights(builder)
    assert builder.founders[2].member not in get_weights(builder)


REFUSED: dict[str, tuple[Join, str]] = {
    "a member": (make_newcomer(member=make_founders(4)[1].member), "is a member already"),
    "a name that is taken": (make_newcomer(name="member-1"), "the name is another"),
    "no name": (make_newcomer(name=""), "a name is 1 to 64 printable characters"),
    "a name with a line end": (make_newcomer(name="two\nlines"), "printable"),
    "a key that is taken": (make_newcomer(bls_key=make_founders(4)[1].founder.bls_key), "the BLS key is another"),
    "another's possession": (make_newcomer(possession=make_founders(4)[1].founder.possession), "does not verify"),
    "an old card": (make_newcomer(version=0), "card version 0"),
    "too many addresses": (make_newcomer(addresses=("/ip4/1.2.3.4/tcp/1",) * 9), "9 addresses"),
    "an endless address": (make_newcomer(addresses=("/" * 257,)), "an address is 1 to 256 characters"),
    "against its will": (replace(NEWCOMER, signature=make_newcomer(1).signature), "wrong card signature"),
    "a bond too low": (replace(NEWCOMER, bond=Stake(PARAMETERS.bond_min - 1)), "a bond of"),
    "a bond too high": (replace(NEWCOMER, bond=Stake(10**15 + 1)), "a bond of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_newcomer_that_breaks_a_rule_is_refused(builder: LedgerBuilder, name: str) -> None:
    join, error = REFUSED[name]
    assert error in send(builder, 0, join)
    assert builder.state.candidacies == ()


def test_nobody_is_asked_for_twice_at_a_time(builder: LedgerBuilder) -> None:
    send(builder, 0, NEWCOMER)
    assert "waits for approval already" in send(builder, 1, NEWCOMER)
    assert "the name is another" in send(builder, 1, make_newcomer(1, name="newcomer-0"))


def test_one_member_cannot_crowd_out_the_others_newcomers(builder: LedgerBuilder) -> None:
    """C15."""
    for number in range(CANDIDACIES_PER_MEMBER_MAX):
        assert send(builder, 0, make_newcomer(number)) == ""
    assert "wait for approval already" in send(builder, 0, make_newcomer(99))
    assert send(builder, 1, make_newcomer(99)) == ""


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (Approve(member=make_newcomer(7).card.member, bond=BOND), "does not wait for approval"),
        (Approve(member=MEMBER, bond=Stake(BOND + 1)), "the request is for 20000000"),
    ],
)
def test_an_approval_that_fits_no_request_is_refused(builder: LedgerBuilder, payload: Approve, error: str) -> None:
    send(builder, 0, NEWCOMER)
    assert error in send(builder, 1, payload)


def test_an_approval_counts_once(builder: LedgerBuilder) -> None:
    send(builder, 0, NEWCOMER)
    assert "is approved by this member already" in send(builder, 0, APPROVE)
    send(builder, 1, APPROVE)
    assert builder.state.epoch == 0
    assert "is approved by this member already" in send(builder, 1, APPROVE)
    assert MEMBER not in get_weights(builder)


def test_only_validators_ask_and_approve(builder: LedgerBuilder) -> None:
    send(builder, 3, Unbond(amount=STAKE))
    end_epoch(builder)
    assert "only validators" in send(builder, 3, NEWCOMER)
    send(builder, 0, NEWCOMER)
    assert "only validators" in send(builder, 3, APPROVE)


def test_a_request_lapses(builder: LedgerBuilder) -> None:
    send(builder, 0, NEWCOMER)
    for _ in range(CANDIDACY_EPOCHS):
        assert len(builder.state.candidacies) == 1
        end_epoch(builder)
    assert builder.state.candidacies == ()


def test_a_member_leaves_when_the_epoch_ends_and_stays_slashable(builder: LedgerBuilder) -> None:
    """L9, L6: its duties go on until then, and its stake is released when evidence about the epoch has expired."""
    leaver = builder.founders[0].member
    assert send(builder, 0, Leave()) == ""
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
    assert send(builder, 1, ReportEvidence(evidence=evidence)) == ""
    assert get_account(builder.state, leaver.member).unbonding[0].amount == STAKE // 2
    end_epoch(builder)
    late = make_equivocation(builder.chain_id, leaver.signing_key, View(2))
    assert "is too old" in send(builder, 1, ReportEvidence(evidence=late))


@pytest.mark.parametrize("payload", [Leave(), Bond(amount=Stake(1))], ids=["leave", "bond"])
def test_who_leaves_neither_leaves_again_nor_bonds(builder: LedgerBuilder, payload: Payload) -> None:
    send(builder, 0, Leave())
    assert "this member has asked to leave" in send(builder, 0, payload)


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
    assert "is a member already" in send(builder, 0, join)
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
    assert "is too old" in send(builder, 0, ReportEvidence(evidence=evidence))


def test_every_epochs_validators_have_the_keys_of_its_members(builder: LedgerBuilder) -> None:
    admit(builder)
    validators = build_validator_set(builder.state)
    assert validators.epoch == Epoch(1)
    assert validators.get_validator(MEMBER).bls_key == NEWCOMER.card.bls_key
