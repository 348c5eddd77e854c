"""Money in preset ``neutral`` (F14): who is paid, who pays, and what happens when the treasury is short."""

from dataclasses import replace

import pytest

from protocol.errors import InvariantViolation
from protocol.ledger.money import compute_by_margin, compute_scaled
from protocol.ledger.state import get_account
from protocol.operations import Ballot
from protocol.outcomes import RoundRecord, StakeReason, Verdict
from protocol.parameters import Parameters
from protocol.units import MemberId, Stake
from tests.founders import STAKE, make_founders
from tests.helpers import LedgerBuilder, make_ballot, make_digest

RICH = replace(Parameters(), treasury_initial=Stake(1_000_000_000), voter_count_max=5)
Total = dict[tuple[MemberId, StakeReason], int]


def make_builder(parameters: Parameters = RICH) -> LedgerBuilder:
    builder = LedgerBuilder(make_founders(7), parameters)
    builder.run_to_sealing()
    return builder


def run(builder: LedgerBuilder, *ballots: Ballot) -> RoundRecord:
    """Let the voters cast these ballots, in the order of the draw."""
    choice = dict(zip(builder.round.voters, ballots, strict=True))
    return builder.run_voting(lambda member: choice[member])


def get_moves(record: RoundRecord) -> Total:
    return {(move.member, move.reason): move.amount for move in record.moves}


def expect(members: tuple[MemberId, ...], reason: StakeReason, amount: int) -> Total:
    return {(member, reason): amount for member in members}


def test_on_accept_the_majority_and_the_proposers_are_rewarded() -> None:
    builder = make_builder()
    round_state = builder.round
    record = run(builder, *[make_ballot(round_state)] * 5)
    assert get_moves(record) == {
        **expect(round_state.voters, StakeReason.REWARD_VOTE, RICH.reward_vote),
        **expect(round_state.proposers, StakeReason.REWARD_UPDATE, RICH.reward_update),
    }
    for member in round_state.voters:
        assert get_account(builder.state, member).bonded == STAKE + RICH.reward_vote


def test_on_accept_a_condemned_update_is_slashed_and_not_rewarded() -> None:
    builder = make_builder()
    round_state = builder.round
    record = run(builder, *[make_ballot(round_state, flags=(True, False))] * 5)
    condemned, spared = (entry.member for entry in round_state.updates)
    assert record.condemned == (True, False)
    assert get_moves(record) == {
        **expect(round_state.voters, StakeReason.REWARD_VOTE, RICH.reward_vote),
        (condemned, StakeReason.SLASH_UPDATE): RICH.slash_update,
        (spared, StakeReason.REWARD_UPDATE): RICH.reward_update,
    }


def test_on_reject_only_condemned_updates_cost_their_proposers() -> None:
    """With fewer than ``updates_min`` left there is no retrial (F11)."""
    builder = make_builder(replace(RICH, updates_min=2))
    round_state = builder.round
    record = run(builder, *[make_ballot(round_state, is_accept=False, flags=(False, True))] * 5)
    assert record.verdict is Verdict.REJECT
    assert get_moves(record) == {
        **expect(round_state.voters, StakeReason.REWARD_VOTE, RICH.reward_vote),
        (round_state.updates[1].member, StakeReason.SLASH_UPDATE): RICH.slash_update,
    }


def test_the_minority_is_slashed_whatever_the_verdict() -> None:
    for is_accept in (True, False):
        builder = make_builder()
        round_state = builder.round
        majority, minority = (make_ballot(round_state, is_accept=answer) for answer in (is_accept, not is_accept))
        record = run(builder, *[majority] * 3, *[minority] * 2)
        moves = get_moves(record)
        for member in round_state.voters[:3]:
            assert moves[member, StakeReason.REWARD_VOTE] == RICH.reward_vote
        for member in round_state.voters[3:]:
            assert moves[member, StakeReason.SLASH_VOTE] == RICH.slash_vote // 5


def test_a_right_judgement_earns_the_same_whatever_the_verdict() -> None:
    earned = []
    for is_accept in (True, False):
        builder = make_builder()
        round_state = builder.round
        record = run(builder, *[make_ballot(round_state, is_accept=is_accept)] * 5)
        earned.append({(m, r): a for (m, r), a in get_moves(record).items() if r is StakeReason.REWARD_VOTE})
    assert earned[0] == earned[1]
    assert len(earned[0]) == 5


def test_who_accepted_another_candidate_is_in_the_minority() -> None:
    builder = make_builder()
    round_state = builder.round
    other = make_ballot(round_state, candidate=make_digest("other"))
    record = run(builder, *[make_ballot(round_state)] * 4, other)
    assert record.verdict is Verdict.ACCEPT
    assert get_moves(record)[round_state.voters[4], StakeReason.SLASH_VOTE] == RICH.slash_vote * 3 // 5


def test_without_a_majority_nobodys_vote_is_paid_or_slashed() -> None:
    builder = make_builder()
    round_state = builder.round
    ballots = [make_ballot(round_state, candidate=make_digest("candidate", index)) for index in (0, 0, 1, 1)]
    record = run(builder, *ballots, make_ballot(round_state, is_accept=False))
    assert (record.verdict, record.moves) == (Verdict.REJECT, ())


def test_who_was_drawn_and_silent_is_slashed() -> None:
    builder = LedgerBuilder(make_founders(7), RICH)
    builder.run_draw()
    builder.run_training(silent=builder.round.proposers[:1])
    round_state = builder.round
    ballots = {member: make_ballot(round_state) for member in round_state.voters}
    builder.run_sealing(dict(list(ballots.items())[:4]))
    record = builder.run_revealing(dict(list(ballots.items())[:3])).settled
    assert record is not None
    silent = (round_state.proposers[0], *round_state.voters[3:])
    assert record.silent == silent
    moves = get_moves(record)
    for member in silent:
        assert moves[member, StakeReason.SLASH_ABSENT] == RICH.slash_absent


def test_who_is_silent_in_two_roles_pays_once_and_is_paid_for_neither() -> None:
    """Of three members one proposes, and all vote: in the place of the silent one another one trains."""
    builder = LedgerBuilder(make_founders(3), replace(RICH, voter_count_max=3))
    builder.run_draw()
    (absent,) = builder.round.proposers
    builder.pass_deadline()
    builder.run_training()
    ballots = {member: make_ballot(builder.round) for member in builder.round.voters if member != absent}
    builder.run_sealing(ballots)
    record = builder.run_revealing(ballots).settled
    assert record is not None
    assert (record.verdict, record.silent) == (Verdict.ACCEPT, (absent,))
    assert [(move.reason, move.amount) for move in record.moves if move.member == absent] == [
        (StakeReason.SLASH_ABSENT, RICH.slash_absent)
    ]


def test_a_void_round_costs_the_silent_and_nobody_else() -> None:
    builder = make_builder()
    round_state = builder.round
    outcome = builder.run_sealing({round_state.voters[0]: make_ballot(round_state)})
    assert outcome.settled is None, "the proposers stand by"
    record = builder.pass_deadline().settled
    assert record is not None
    silent = (*round_state.voters[1:], *round_state.proposers)
    assert get_moves(record) == expect(silent, StakeReason.SLASH_ABSENT, RICH.slash_absent)


def test_voters_of_a_round_that_ended_in_training_are_not_silent() -> None:
    builder = LedgerBuilder(make_founders(7), RICH)
    builder.run_draw()
    first, second = builder.round.proposers
    builder.pass_deadline()
    silent = (first, second, *builder.round.proposers)
    record = builder.pass_deadline().settled
    assert record is not None
    assert (record.silent, set(get_moves(record))) == (silent, {(m, StakeReason.SLASH_ABSENT) for m in silent})


def test_rewards_are_paid_from_what_the_same_round_slashed() -> None:
    parameters = replace(Parameters(), reward_vote=Stake(2_000_000), voter_count_max=5)
    builder = make_builder(parameters)
    round_state = builder.round
    record = run(builder, *[make_ballot(round_state)] * 4, make_ballot(round_state, is_accept=False))
    moves = get_moves(record)
    due = 4 * 2_000_000 + 2 * parameters.reward_update
    slashed = parameters.slash_vote * 3 // 5
    assert due > slashed
    assert moves[round_state.voters[0], StakeReason.REWARD_VOTE] == 2_000_000 * slashed // due
    assert moves[round_state.proposers[0], StakeReason.REWARD_UPDATE] == 1_000_000 * slashed // due
    assert builder.state.treasury == slashed - sum(
        amount for (_, reason), amount in moves.items() if reason is not StakeReason.SLASH_VOTE
    )
    assert 0 <= builder.state.treasury < 6


def test_an_empty_treasury_pays_nothing_and_records_nothing() -> None:
    builder = make_builder(replace(Parameters(), voter_count_max=5))
    round_state = builder.round
    assert run(builder, *[make_ballot(round_state)] * 5).moves == ()


@pytest.mark.parametrize(("flag_count", "slashed"), [(5, 12_000_000), (4, 7_200_000), (3, 2_400_000)])
def test_a_condemned_update_costs_the_more_the_clearer_the_voters_are(flag_count: int, slashed: int) -> None:
    builder = make_builder()
    round_state = builder.round
    flagging, sparing = make_ballot(round_state, flags=(True, False)), make_ballot(round_state)
    record = run(builder, *[flagging] * flag_count, *[sparing] * (5 - flag_count))
    assert get_moves(record)[round_state.updates[0].member, StakeReason.SLASH_UPDATE] == slashed


def test_a_margin_is_one_of_a_majority() -> None:
    assert [compute_by_margin(Stake(10), count=count, total=3) for count in (2, 3)] == [3, 10]
    for count in (0, 1, 4):
        with pytest.raises(InvariantViolation, match="no majority"):
            compute_by_margin(Stake(10), count=count, total=3)
    with pytest.raises(InvariantViolation, match="no majority"):
        compute_by_margin(Stake(10), count=2, total=4)


@pytest.mark.parametrize(("treasury", "paid"), [(100, 10), (60, 10), (59, 9), (30, 5), (0, 0)])
def test_rewards_are_scaled_down_alike(treasury: int, paid: int) -> None:
    assert compute_scaled(Stake(10), treasury=Stake(treasury), due=Stake(60)) == paid


def test_what_is_not_due_is_not_paid() -> None:
    with pytest.raises(InvariantViolation):
        compute_scaled(Stake(11), treasury=Stake(100), due=Stake(10))


def test_moves_record_what_really_moved() -> None:
    """L4: a member that has less than a slash costs loses what it has."""
    parameters = replace(Parameters(), slash_absent=Stake(10 * STAKE))
    builder = LedgerBuilder(make_founders(7), parameters)
    builder.run_draw()
    record = builder.pass_deadlines()
    assert get_moves(record) == expect(record.silent, StakeReason.SLASH_ABSENT, STAKE)
    assert builder.state.treasury == len(record.silent) * STAKE


def test_several_rounds_of_slashes_never_underflow() -> None:
    parameters = replace(Parameters(), slash_absent=Stake(40_000_000), bond_min=Stake(1))
    builder = LedgerBuilder(make_founders(3), parameters)
    while builder.state.round is not None:
        builder.run_draw()
        builder.pass_deadlines()
    assert all(account.bonded >= 0 for account in builder.state.accounts)
    assert builder.state.treasury + sum(account.bonded for account in builder.state.accounts) == 3 * STAKE
