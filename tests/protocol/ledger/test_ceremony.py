"""The key generation on the ledger: when who may deal and complain, who pays, and when a key is in use (B4, B5)."""

from dataclasses import replace

import pytest

from protocol.beacon.group_key import GroupKey
from protocol.bls import compute_randomness
from protocol.operations import Complain, Payload, Unbond
from protocol.outcomes import Phase, StakeMove, StakeReason
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import Epoch, Millis, Stake
from tests.ceremonies import complain, get_ceremony, make_deal, make_proof, run_ceremony, spoil_share
from tests.founders import STAKE, make_founders
from tests.helpers import LedgerBuilder

PARAMETERS = Parameters(
    epoch_blocks=8, slash_ceremony=Stake(3_000_000), beacon_wait_ms=Millis(2_000), beacon_wait_blocks=3
)


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


def deal_wrongly(monkeypatch: pytest.MonkeyPatch, builder: LedgerBuilder, dealer: int, victim: int) -> None:
    """Let a founder deal one wrong share; that the proofs do not cover it is overlooked here."""
    monkeypatch.setattr("protocol.ledger.ceremony.check_deal", lambda *_arguments: None)
    deal = spoil_share(builder, make_deal(builder, dealer), builder.founders[victim].member)
    assert send(builder, dealer, deal) is Refusal.NONE


def test_the_deals_of_an_epoch_are_the_key_of_the_next(builder: LedgerBuilder) -> None:
    run_ceremony(builder, 0, 1, 2, 3)
    keys: tuple[GroupKey, ...] = builder.state.beacon_keys
    key = keys[0]
    assert (key.epoch, key.threshold, builder.state.epoch) == (1, 3, 1)
    assert key.holders == tuple(sorted(keys.member for keys in builder.founders))
    assert [deal.dealer for deal in key.deals] == list(key.holders)
    assert (len(keys), builder.state.deals) == (1, ())


def test_every_epoch_has_a_key_of_its_own_and_the_last_two_are_known(builder: LedgerBuilder) -> None:
    for _ in range(3):
        run_ceremony(builder, 0, 1, 2)
    assert [key.epoch for key in builder.state.beacon_keys] == [2, 3]
    assert len({key.public_key for key in builder.state.beacon_keys}) == 2


def test_with_fewer_deals_than_the_threshold_the_old_key_stays(builder: LedgerBuilder) -> None:
    run_ceremony(builder, 0, 1)
    assert not builder.state.beacon_keys
    run_ceremony(builder, 0, 1, 2)
    run_ceremony(builder, 0, 1)
    assert [key.epoch for key in builder.state.beacon_keys] == [2]
    assert builder.state.deals == ()


def test_deals_are_posted_in_the_first_half_of_an_epoch(builder: LedgerBuilder) -> None:
    for founder in (0, 1):
        builder.add_block()
        assert send(builder, founder, make_deal(builder, founder)) is Refusal.NONE
    assert builder.state.height == 4
    assert send(builder, 2, make_deal(builder, 2)) is Refusal.DEALING_IS_OVER


def test_a_second_deal_is_refused(builder: LedgerBuilder) -> None:
    assert send(builder, 0, make_deal(builder, 0)) is Refusal.NONE
    assert send(builder, 0, make_deal(builder, 0)) is Refusal.DEAL_REPEATED


def test_a_deal_or_complaint_of_another_epoch_is_refused(builder: LedgerBuilder) -> None:
    deal = make_deal(builder, 0)
    assert send(builder, 0, replace(deal, epoch=Epoch(1))) is Refusal.WRONG_CEREMONY
    send(builder, 1, make_deal(builder, 1))
    complaint = complain(builder, builder.founders[0], builder.founders[1].member)
    assert send(builder, 0, replace(complaint, epoch=Epoch(1))) is Refusal.WRONG_CEREMONY


def test_a_deal_that_does_not_hold_is_refused(builder: LedgerBuilder) -> None:
    assert send(builder, 0, make_deal(builder, 1)) is Refusal.DEAL_DOES_NOT_HOLD


def test_only_validators_take_part(builder: LedgerBuilder) -> None:
    send(builder, 0, Unbond(amount=Stake(STAKE)))
    end_epoch(builder)
    assert len(get_ceremony(builder).dealers) == 3
    deal = replace(make_deal(builder, 1), epoch=builder.state.epoch)
    assert send(builder, 0, deal) is Refusal.NOT_A_VALIDATOR


def test_a_dealer_of_a_wrong_share_is_out_and_pays(monkeypatch: pytest.MonkeyPatch, builder: LedgerBuilder) -> None:
    deal_wrongly(monkeypatch, builder, dealer=1, victim=0)
    dealer, victim = builder.founders[1].member, builder.founders[0]
    outcome = builder.add_payloads((victim.member, complain(builder, victim, dealer)))
    assert outcome.results[0].refusal is Refusal.NONE
    assert outcome.moves == (
        StakeMove(member=dealer, reason=StakeReason.SLASH_CEREMONY, amount=PARAMETERS.slash_ceremony),
    )
    run_ceremony(builder, 0, 2, 3)
    assert dealer not in [deal.dealer for deal in builder.state.beacon_keys[0].deals]


def test_a_complaint_about_a_right_share_costs_its_author(builder: LedgerBuilder) -> None:
    send(builder, 1, make_deal(builder, 1))
    dealer, liar = builder.founders[1].member, builder.founders[0]
    outcome = builder.add_payloads((liar.member, complain(builder, liar, dealer)))
    assert outcome.moves == (
        StakeMove(member=liar.member, reason=StakeReason.SLASH_CEREMONY, amount=PARAMETERS.slash_ceremony),
    )
    run_ceremony(builder, 0, 2, 3)
    assert dealer in [deal.dealer for deal in builder.state.beacon_keys[0].deals]


def test_a_complaint_counts_once_and_about_a_deal_that_still_counts(
    monkeypatch: pytest.MonkeyPatch, builder: LedgerBuilder
) -> None:
    send(builder, 2, make_deal(builder, 2))
    deal_wrongly(monkeypatch, builder, dealer=1, victim=0)
    first, dealer = builder.founders[0], builder.founders[1].member
    false = complain(builder, first, builder.founders[2].member)
    assert send(builder, 0, false) is Refusal.NONE
    assert send(builder, 0, false) is Refusal.COMPLAINT_REPEATED
    right = complain(builder, first, dealer)
    assert send(builder, 0, right) is Refusal.NONE
    assert send(builder, 0, right) is Refusal.DEALER_DISQUALIFIED
    nobody = Complain(
        epoch=Epoch(0), dealer=builder.founders[3].member, shared_point=right.shared_point, proof=right.proof
    )
    assert send(builder, 0, nobody) is Refusal.NOTHING_DEALT


def test_a_complaint_counts_until_the_epochs_last_block(
    monkeypatch: pytest.MonkeyPatch, builder: LedgerBuilder
) -> None:
    deal_wrongly(monkeypatch, builder, dealer=1, victim=0)
    dealer, victim = builder.founders[1].member, builder.founders[0]
    for founder in (0, 2, 3):
        send(builder, founder, make_deal(builder, founder))
    complaint = complain(builder, victim, dealer)
    while builder.state.height < PARAMETERS.epoch_blocks - 1:
        builder.add_block()
    assert send(builder, 0, complaint) is Refusal.NONE
    assert dealer not in [deal.dealer for deal in builder.state.beacon_keys[0].deals]


def open_round_with_key(builder: LedgerBuilder) -> None:
    """Generate a key, and end the degraded round that was open before, so that one opens under the key."""
    run_ceremony(builder, 0, 1, 2, 3)
    if builder.round.key_epoch is None:
        builder.pass_deadlines()
    assert (builder.round.phase, builder.round.key_epoch) == (Phase.DRAW, 1)


def test_a_round_under_a_key_is_drawn_from_its_output(builder: LedgerBuilder) -> None:
    open_round_with_key(builder)
    proof = make_proof(builder, builder.state.beacon_keys[0], builder.round.round)
    builder.add_block()
    assert builder.round.phase is Phase.DRAW
    builder.add_block(beacon=proof)
    assert builder.round.phase is Phase.TRAIN
    assert (builder.round.beacon, builder.round.is_degraded) == (proof, False)
    assert builder.round.beacon_output == compute_randomness(proof.signature)


def test_a_round_that_waits_over_the_end_of_an_epoch_stays_with_its_key(builder: LedgerBuilder) -> None:
    """Two keys would be two outputs to choose from."""
    builder = LedgerBuilder(make_founders(4), replace(PARAMETERS, beacon_wait_blocks=100))
    open_round_with_key(builder)
    run_ceremony(builder, 0, 1, 2, 3)
    old, new = builder.state.beacon_keys
    assert (builder.round.phase, builder.round.key_epoch, new.epoch) == (Phase.DRAW, old.epoch, 2)
    builder.add_block(beacon=make_proof(builder, new, builder.round.round))
    assert builder.round.phase is Phase.DRAW
    builder.add_block(beacon=make_proof(builder, old, builder.round.round))
    assert builder.round.phase is Phase.TRAIN


def test_a_round_that_outlives_its_key_draws_from_the_mix(builder: LedgerBuilder) -> None:
    builder = LedgerBuilder(make_founders(4), replace(PARAMETERS, beacon_wait_blocks=100))
    open_round_with_key(builder)
    for _ in range(2):
        run_ceremony(builder, 0, 1, 2, 3)
    assert [key.epoch for key in builder.state.beacon_keys] == [2, 3]
    builder.add_block()
    assert (builder.round.phase, builder.round.is_degraded, builder.round.beacon) == (Phase.TRAIN, True, None)
    assert builder.round.beacon_output == builder.state.mix


def test_a_round_whose_output_stays_out_falls_back_and_the_next_one_waits_again(builder: LedgerBuilder) -> None:
    open_round_with_key(builder)
    opened = builder.round
    late = Millis(opened.opened_ms + PARAMETERS.beacon_wait_ms)
    builder.add_block(time_ms=late)
    builder.add_block()
    assert builder.round.phase is Phase.DRAW
    builder.add_block()
    assert builder.state.height == opened.opened_height + PARAMETERS.beacon_wait_blocks
    assert (builder.round.phase, builder.round.is_degraded) == (Phase.TRAIN, True)
    record = builder.pass_deadlines()
    assert record.is_degraded and record.beacon is None
    assert (builder.round.phase, builder.round.key_epoch) == (Phase.DRAW, builder.state.beacon_keys[-1].epoch)
