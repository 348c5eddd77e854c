"""Money in preset ``paper`` (F14, L5): the paper's design, with its known constants."""

from dataclasses import replace

from protocol.beacon.sortition import compute_role_counts
from protocol.ledger.state import get_account
from protocol.operations import Ballot, Bond
from protocol.outcomes import RoundRecord, StakeReason, Verdict
from protocol.parameters import Parameters, check_parameters, make_paper_parameters
from protocol.refusals import Refusal
from protocol.units import MICRO_TOKENS_PER_TOKEN, Stake
from tests.founders import STAKE, make_founders
from tests.helpers import LedgerBuilder, make_ballot, make_digest

PAPER = make_paper_parameters(Parameters(), member_count=10)
TOKENS = MICRO_TOKENS_PER_TOKEN


def make_builder(parameters: Parameters = PAPER, *, count: int = 10) -> LedgerBuilder:
    builder = LedgerBuilder(make_founders(count), parameters)
    builder.run_to_sealing()
    return builder


def run(builder: LedgerBuilder, *ballots: Ballot) -> RoundRecord:
    choice = dict(zip(builder.round.voters, ballots, strict=True))
    return builder.run_voting(lambda member: choice[member])


def sum_moves(record: RoundRecord, reason: StakeReason) -> dict[bytes, int]:
    return {move.member: move.amount for move in record.moves if move.reason is reason}


def test_the_constants_are_the_papers() -> None:
    check_parameters(PAPER)
    assert (PAPER.stake_initial, PAPER.slash_update, PAPER.slash_vote) == (64 * TOKENS, 8 * TOKENS, 8 * TOKENS)
    assert compute_role_counts(PAPER, 10) == (1, 9)


def test_an_accepted_round_moves_nothing_when_all_agree() -> None:
    builder = make_builder()
    round_state = builder.round
    record = run(builder, *[make_ballot(round_state)] * 9)
    assert (record.verdict, record.moves) == (Verdict.ACCEPT, ())


def test_every_submitting_proposer_of_a_rejected_round_is_slashed() -> None:
    builder = make_builder(replace(PAPER, proposer_count=3))
    round_state = builder.round
    record = run(builder, *[make_ballot(round_state, is_accept=False)] * 7)
    assert sum_moves(record, StakeReason.SLASH_UPDATE) == dict.fromkeys(round_state.proposers, 8 * TOKENS)
    assert builder.state.treasury == 24 * TOKENS


def test_what_the_losers_lose_is_split_equally_and_the_remainder_goes_to_the_treasury() -> None:
    builder = make_builder()
    round_state = builder.round
    yes, no = make_ballot(round_state), make_ballot(round_state, is_accept=False)
    record = run(builder, *[yes] * 7, *[no] * 2)
    assert sum_moves(record, StakeReason.SLASH_VOTE) == dict.fromkeys(round_state.voters[7:], 8 * TOKENS)
    share = 16 * TOKENS // 7
    assert sum_moves(record, StakeReason.SHARE_OF_MINORITY) == dict.fromkeys(round_state.voters[:7], share)
    assert builder.state.treasury == 16 * TOKENS - 7 * share == 2


def test_who_agrees_with_the_verdict_wins_and_a_tie_rejects() -> None:
    builder = make_builder(count=10)
    round_state = builder.round
    yes, no = make_ballot(round_state), make_ballot(round_state, is_accept=False)
    ballots = dict(zip(round_state.voters, [yes] * 4 + [no] * 4, strict=False))
    builder.run_sealing(ballots)
    record = builder.run_revealing(ballots).settled
    assert record is not None
    assert record.verdict is Verdict.REJECT
    assert set(sum_moves(record, StakeReason.SLASH_VOTE)) == set(round_state.voters[:4])
    assert set(sum_moves(record, StakeReason.SHARE_OF_MINORITY)) == set(round_state.voters[4:8])
    assert set(sum_moves(record, StakeReason.SLASH_ABSENT)) == set(round_state.voters[8:])


def test_with_nobody_in_the_majority_the_treasury_keeps_it_all() -> None:
    builder = make_builder()
    round_state = builder.round
    ballots = [make_ballot(round_state, candidate=make_digest("candidate", index)) for index in range(9)]
    record = run(builder, *ballots)
    assert record.verdict is Verdict.REJECT
    assert len(sum_moves(record, StakeReason.SLASH_VOTE)) == 9
    assert sum_moves(record, StakeReason.SHARE_OF_MINORITY) == {}
    assert builder.state.treasury == 9 * 8 * TOKENS + 8 * TOKENS


def test_who_is_silent_pays_the_treasury() -> None:
    builder = LedgerBuilder(make_founders(10), PAPER)
    builder.run_draw()
    silent = builder.round.proposers
    record = builder.pass_deadline().settled
    assert record is not None
    assert sum_moves(record, StakeReason.SLASH_ABSENT) == dict.fromkeys(silent, 8 * TOKENS)
    assert builder.state.treasury == 8 * TOKENS


def test_an_exhausted_member_is_out_for_good() -> None:
    builder = LedgerBuilder(make_founders(10, bonded=(Stake(8 * TOKENS), *[STAKE] * 9)), PAPER)
    poor = builder.founders[0].member
    while not get_account(builder.state, poor).is_evicted:
        builder.run_draw()
        is_silent = poor in builder.round.proposers
        if is_silent:
            builder.pass_deadline()
        else:
            builder.run_round()
    assert get_account(builder.state, poor).bonded == 0
    give_free_stake(builder)
    assert builder.add_payloads((poor, Bond(amount=STAKE))).results[0].refusal is Refusal.NONE
    builder.run_round()
    assert get_account(builder.state, poor).bonded >= PAPER.bond_min
    assert poor not in {entry.member for entry in builder.round.eligible}


def give_free_stake(builder: LedgerBuilder) -> None:
    """Give the first founder free stake out of nowhere, and let the supply grow by it."""
    account = replace(builder.state.accounts[0], free=STAKE)
    supply = Stake(builder.state.supply + STAKE)
    builder.state = replace(builder.state, accounts=(account, *builder.state.accounts[1:]), supply=supply)


def test_in_preset_neutral_nobody_is_evicted() -> None:
    builder = LedgerBuilder(make_founders(4, bonded=(Stake(1), STAKE, STAKE, STAKE)))
    builder.run_round()
    assert not any(account.is_evicted for account in builder.state.accounts)
