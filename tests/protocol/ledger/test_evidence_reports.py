"""Offences (L7): evidence convicts once per member and view, costs stake, jails, and expires."""

from dataclasses import replace

import pytest

from protocol.errors import InvalidOperation, InvariantViolation
from protocol.evidence import ConflictingVotes, Offence
from protocol.ledger.draft import open_draft
from protocol.ledger.slashing import OFFENCES_MAX, check_offence, compute_slash, forget_old_offences
from protocol.ledger.state import get_account
from protocol.operations import Bond, ReportEvidence, Unbond
from protocol.outcomes import BlockOutcome, StakeMove, StakeReason
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import Bps, Epoch, Stake, View
from tests.founders import STAKE, make_founders
from tests.helpers import LedgerBuilder, make_digest, make_equivocation


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(4), replace(Parameters(), epoch_blocks=4, evidence_window_epochs=1))


def report(builder: LedgerBuilder, evidence: ConflictingVotes) -> BlockOutcome:
    return builder.add_payloads((builder.founders[1].member, ReportEvidence(evidence=evidence)))


def make_evidence(builder: LedgerBuilder, view: int) -> ConflictingVotes:
    return make_equivocation(builder.chain_id, builder.founders[0].signing_key, View(view))


@pytest.mark.parametrize(
    ("stake", "bps", "slash"), [(100, 5_000, 50), (1, 1, 1), (3, 5_000, 2), (0, 5_000, 0), (7, 10_000, 7), (9, 0, 0)]
)
def test_an_offence_costs_a_share_rounded_up(stake: int, bps: int, slash: int) -> None:
    assert compute_slash(Stake(stake), Bps(bps)) == slash


@pytest.mark.parametrize("bps", [-1, 10_001])
def test_a_share_beyond_the_whole_is_our_own_mistake(bps: int) -> None:
    with pytest.raises(InvariantViolation):
        compute_slash(Stake(1), Bps(bps))


def test_double_vote_costs_half_the_bond_and_jails(builder: LedgerBuilder) -> None:
    offender = builder.founders[0].member
    outcome = report(builder, make_evidence(builder, 1))
    account = get_account(builder.state, offender)
    assert outcome.results[0].refusal is Refusal.NONE
    assert outcome.moves == (
        StakeMove(member=offender, reason=StakeReason.SLASH_EQUIVOCATION, amount=Stake(STAKE // 2)),
    )
    assert (account.bonded, account.is_jailed, builder.state.treasury) == (STAKE // 2, True, STAKE // 2)
    assert builder.state.offences == (Offence(member=offender, epoch=Epoch(0), view=View(1)),)


def test_unbonding_stake_counts_for_the_share_and_is_taken_last(builder: LedgerBuilder) -> None:
    offender = builder.founders[0].member
    builder.add_payloads((offender, Unbond(amount=Stake(STAKE - 10))))
    report(builder, make_evidence(builder, 1))
    account = get_account(builder.state, offender)
    assert (account.bonded, account.unbonding[0].amount) == (0, STAKE // 2)


def test_evidence_is_idempotent(builder: LedgerBuilder) -> None:
    report(builder, make_evidence(builder, 1))
    before = builder.state
    outcome = report(builder, make_evidence(builder, 1))
    assert outcome.results[0].refusal is Refusal.OFFENCE_KNOWN
    assert (before.treasury, before.offences) == (builder.state.treasury, builder.state.offences)


def test_every_view_convicts_anew(builder: LedgerBuilder) -> None:
    report(builder, make_evidence(builder, 1))
    report(builder, make_evidence(builder, 2))
    assert builder.state.treasury == STAKE // 2 + STAKE // 4


def test_evidence_expires_with_the_window(builder: LedgerBuilder) -> None:
    for _ in range(7):
        builder.add_block()
    assert builder.state.epoch == 1
    assert report(builder, make_evidence(builder, 1)).results[0].refusal is Refusal.NONE
    assert builder.state.epoch == 2
    assert report(builder, make_evidence(builder, 2)).results[0].refusal is Refusal.OFFENCE_TOO_OLD


def test_convictions_are_forgotten_once_their_evidence_is_too_old(builder: LedgerBuilder) -> None:
    report(builder, make_evidence(builder, 1))
    for _ in range(6):
        builder.add_block()
        assert len(builder.state.offences) == 1
    builder.add_block()
    assert (builder.state.epoch, builder.state.offences) == (2, ())


def test_evidence_of_a_view_to_come_convicts(builder: LedgerBuilder) -> None:
    assert report(builder, make_evidence(builder, 1_000)).results[0].refusal is Refusal.NONE


def test_votes_that_an_honest_member_may_cast_prove_nothing(builder: LedgerBuilder) -> None:
    evidence = make_evidence(builder, 1)
    outcome = report(builder, replace(evidence, second=evidence.first))
    assert outcome.results[0].refusal is Refusal.EVIDENCE_PROVES_NOTHING
    assert not get_account(builder.state, builder.founders[0].member).is_jailed


def test_a_forged_vote_proves_nothing(builder: LedgerBuilder) -> None:
    evidence = make_evidence(builder, 1)
    forged = replace(evidence, second=replace(evidence.second, block_hash=make_digest("forged")))
    assert report(builder, forged).results[0].refusal is Refusal.EVIDENCE_PROVES_NOTHING


def test_evidence_of_another_chain_proves_nothing(builder: LedgerBuilder) -> None:
    evidence = make_equivocation(make_digest("other chain"), builder.founders[0].signing_key, View(1))
    assert report(builder, evidence).results[0].refusal is Refusal.EVIDENCE_PROVES_NOTHING


def test_a_strangers_offence_is_no_matter_of_this_ledger(builder: LedgerBuilder) -> None:
    stranger = next(keys for keys in make_founders(5) if keys.member not in {own.member for own in builder.founders})
    evidence = make_equivocation(builder.chain_id, stranger.signing_key, View(1))
    assert report(builder, evidence).results[0].refusal is Refusal.OFFENDER_NOT_A_MEMBER


def test_a_jailed_member_without_stake_cannot_be_convicted_further() -> None:
    builder = LedgerBuilder(make_founders(4), replace(Parameters(), slash_equivocation_bps=Bps(10_000)))
    report(builder, make_evidence(builder, 1))
    outcome = report(builder, make_evidence(builder, 2))
    assert outcome.results[0].refusal is Refusal.NOTHING_TO_SLASH


def test_the_record_of_convictions_is_bounded(builder: LedgerBuilder) -> None:
    draft = open_draft(builder.state)
    offender = builder.founders[0].member
    draft.offences = {Offence(member=offender, epoch=Epoch(0), view=View(view)) for view in range(OFFENCES_MAX)}
    newest = Offence(member=offender, epoch=Epoch(0), view=View(OFFENCES_MAX))
    with pytest.raises(InvalidOperation, match="OFFENCES_FULL"):
        check_offence(draft, builder.parameters, newest)
    draft.epoch = Epoch(2)
    newest = Offence(member=offender, epoch=Epoch(2), view=View(OFFENCES_MAX))
    forget_old_offences(draft, builder.parameters)
    check_offence(draft, builder.parameters, newest)


def test_a_jailed_member_is_drawn_for_nothing_and_may_still_move_its_stake(builder: LedgerBuilder) -> None:
    offender = builder.founders[0].member
    builder.run_draw()
    report(builder, make_evidence(builder, 1))
    builder.pass_deadlines()
    assert offender not in {entry.member for entry in builder.round.eligible}
    outcome = builder.add_payloads((offender, Unbond(amount=Stake(1))), (offender, Bond(amount=Stake(1))))
    assert [result.refusal for result in outcome.results] == [Refusal.NONE, Refusal.BOND_EXCEEDS_FREE]


def test_a_jailed_member_may_report_others(builder: LedgerBuilder) -> None:
    report(builder, make_evidence(builder, 1))
    other = make_equivocation(builder.chain_id, builder.founders[2].signing_key, View(1))
    outcome = builder.add_payloads((builder.founders[0].member, ReportEvidence(evidence=other)))
    assert outcome.results[0].refusal is Refusal.NONE
