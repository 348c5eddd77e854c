"""The retrial (F11): when a rejected round is judged once more, what of, and what comes of both judgements."""

from collections.abc import Sequence as Items
from dataclasses import replace

import pytest

from protocol.ledger.state import get_account
from protocol.operations import Ballot, SealBallot
from protocol.outcomes import Phase, RoundRecord, StakeReason, Verdict
from protocol.parameters import Parameters, make_paper_parameters
from protocol.refusals import Refusal
from protocol.units import MemberId, Sequence, Stake
from tests.founders import STAKE, make_founders
from tests.helpers import LedgerBuilder, make_ballot, make_candidate, make_digest, make_reveal

RICH = replace(Parameters(), treasury_initial=Stake(1_000_000_000), voter_count_max=5)
ONE = (True, False)
"""The flags of a ballot that finds the first of two updates bad."""


def make_builder(parameters: Parameters = RICH, *, count: int = 7) -> LedgerBuilder:
    builder = LedgerBuilder(make_founders(count), parameters)
    builder.run_to_sealing()
    return builder


def reject(builder: LedgerBuilder, flags: Items[bool], *, is_base_flagged: bool = False) -> Ballot:
    return make_ballot(builder.round, is_accept=False, flags=flags, is_base_flagged=is_base_flagged)


def open_retrial(parameters: Parameters = RICH) -> LedgerBuilder:
    """Return a round whose first of two updates is condemned by everybody, before the rest is judged."""
    builder = make_builder(parameters)
    builder.run_attempt(lambda _: reject(builder, ONE))
    assert builder.round.attempt == 1
    return builder


def judge(builder: LedgerBuilder, *ballots: Ballot) -> RoundRecord | None:
    """Let the voters, in the order of the draw, cast these ballots."""
    choice = dict(zip(builder.round.voters, ballots, strict=True))
    return builder.run_attempt(lambda member: choice[member]).settled


def get_moves(record: RoundRecord | None) -> dict[tuple[MemberId, StakeReason], int]:
    assert record is not None
    assert len({(move.member, move.reason) for move in record.moves}) == len(record.moves)
    return {(move.member, move.reason): move.amount for move in record.moves}


def test_a_rejected_round_with_some_updates_condemned_is_judged_once_more() -> None:
    builder = make_builder()
    first = builder.round
    accounts = [replace(account, next_sequence=Sequence(0)) for account in builder.state.accounts]
    outcome = builder.run_attempt(lambda _: reject(builder, ONE))
    retrial = builder.round
    assert outcome.settled is None
    assert (retrial.round, retrial.phase, retrial.attempt) == (first.round, Phase.SEAL, 1)
    assert retrial.updates == first.updates[1:]
    assert (retrial.voters, retrial.seals, retrial.reveals) == (first.voters, (), ())
    assert retrial.deadline_ms == builder.state.time_ms + RICH.seal_deadline_ms
    assert [replace(account, next_sequence=Sequence(0)) for account in builder.state.accounts] == accounts


@pytest.mark.parametrize(
    ("flags", "is_accept", "parameters"),
    [
        pytest.param((False, False), False, RICH, id="nothing condemned"),
        pytest.param((True, True), False, RICH, id="everything condemned"),
        pytest.param(ONE, True, RICH, id="accepted"),
        pytest.param(ONE, False, replace(RICH, updates_min=2), id="too few left"),
        pytest.param(
            ONE, False, replace(make_paper_parameters(RICH, member_count=7), proposer_count=2), id="preset paper"
        ),
    ],
)
def test_otherwise_one_judgement_settles_the_round(
    flags: tuple[bool, bool], is_accept: bool, parameters: Parameters
) -> None:
    builder = make_builder(parameters)
    record = builder.run_attempt(lambda _: make_ballot(builder.round, is_accept=is_accept, flags=flags)).settled
    assert record is not None, "a retrial follows"
    assert len(record.attempts) == 1
    assert record.condemned == flags


def test_half_of_the_ballots_condemn_nothing_and_cause_no_retrial() -> None:
    """F10: more than half it must be."""
    builder = make_builder(replace(RICH, voter_count_max=3), count=6)
    assert len(builder.round.voters) == 3
    ballots = dict.fromkeys(builder.round.voters[:2], make_ballot(builder.round, is_accept=False))
    ballots[builder.round.voters[0]] = reject(builder, ONE)
    builder.run_sealing(ballots)
    record = builder.run_revealing(ballots).settled
    assert record is not None
    assert (record.verdict, record.condemned) == (Verdict.REJECT, (False, False))


def test_a_round_is_judged_at_most_twice() -> None:
    builder = make_builder(replace(RICH, proposer_count=3))
    builder.run_attempt(lambda _: reject(builder, (True, False, False)))
    record = builder.run_voting(lambda _: reject(builder, (False, True)))
    assert (record.verdict, record.condemned) == (Verdict.REJECT, (True, False, True))
    slashed = [move.member for move in record.moves if move.reason is StakeReason.SLASH_UPDATE]
    assert slashed == [record.update_members[0], record.update_members[2]]


def test_the_rest_can_become_the_model() -> None:
    builder = make_builder()
    first = builder.round
    builder.run_attempt(lambda _: reject(builder, ONE))
    rest = builder.round
    record = builder.run_voting(lambda _: make_ballot(rest))
    assert builder.state.model_digest == record.model_digest == make_candidate(rest) != make_candidate(first)
    assert (record.verdict, record.condemned) == (Verdict.ACCEPT, ONE)
    assert (record.accept_count, record.reject_count, record.candidate_digest) == (5, 0, make_candidate(rest))
    assert record.update_digests == tuple(entry.manifest.artifact_digest for entry in first.updates)
    assert record.candidate_updates == record.update_digests[1:]
    assert [(attempt.verdict, attempt.condemned, attempt.reject_count) for attempt in record.attempts] == [
        (Verdict.REJECT, ONE, 5),
        (Verdict.ACCEPT, (False,), 0),
    ]
    assert [len(attempt.ballots) for attempt in record.attempts] == [5, 5]


def test_who_is_in_the_accepted_rest_is_rewarded_and_who_was_condemned_pays() -> None:
    builder = open_retrial()
    condemned, spared = builder.round.proposers
    if builder.round.updates[0].member == condemned:
        condemned, spared = spared, condemned
    voters = builder.round.voters
    assert get_moves(judge(builder, *[make_ballot(builder.round)] * 5)) == {
        (condemned, StakeReason.SLASH_UPDATE): RICH.slash_update,
        (spared, StakeReason.REWARD_UPDATE): RICH.reward_update,
        **{(voter, StakeReason.REWARD_VOTE): RICH.reward_vote for voter in voters},
    }


def test_two_judgements_earn_no_more_than_one() -> None:
    """F14: nobody gains by condemning an update so that there is a retrial."""
    builder = open_retrial()
    voter = builder.round.voters[0]
    builder.run_voting(lambda _: reject(builder, (False,)))
    assert get_account(builder.state, voter).bonded == STAKE + RICH.reward_vote


@pytest.mark.parametrize("wrong_attempt", [0, 1])
def test_who_was_in_the_minority_of_either_judgement_pays_once(wrong_attempt: int) -> None:
    """F14: to accept a poisoned candidate costs the same, whatever is said of the rest."""
    builder = make_builder()
    voter = builder.round.voters[0]
    right, wrong = reject(builder, ONE), make_ballot(builder.round)
    judge(builder, wrong if wrong_attempt == 0 else right, *[right] * 4)
    right, wrong = make_ballot(builder.round), reject(builder, (False,))
    record = judge(builder, wrong if wrong_attempt == 1 else right, *[right] * 4)
    assert record is not None
    assert [move.reason for move in record.moves if move.member == voter] == [StakeReason.SLASH_VOTE]
    assert get_account(builder.state, voter).bonded == STAKE - RICH.slash_vote * 3 // 5


def test_who_misses_one_of_two_judgements_is_silent_and_not_paid() -> None:
    builder = open_retrial()
    *present, absent = builder.round.voters
    ballots = dict.fromkeys(present, make_ballot(builder.round))
    builder.run_sealing(ballots)
    record = builder.run_revealing(ballots).settled
    assert record is not None
    assert (record.verdict, record.silent) == (Verdict.ACCEPT, (absent,))
    assert [move.reason for move in record.moves if move.member == absent] == [StakeReason.SLASH_ABSENT]


def test_who_misses_the_first_judgement_may_take_part_in_the_second_and_is_silent_all_the_same() -> None:
    builder = make_builder()
    *present, absent = builder.round.voters
    ballots = dict.fromkeys(present, reject(builder, ONE))
    builder.run_sealing(ballots)
    builder.run_revealing(ballots)
    record = builder.run_voting(lambda _: make_ballot(builder.round))
    assert (record.silent, len(record.ballots)) == ((absent,), 5)
    assert [move.reason for move in record.moves if move.member == absent] == [StakeReason.SLASH_ABSENT]


@pytest.mark.parametrize("reveals", [False, True], ids=["sealed by too few", "revealed by too few"])
def test_a_retrial_without_a_verdict_leaves_the_first_one(reveals: bool) -> None:
    builder = make_builder()
    builder.run_attempt(lambda _: reject(builder, ONE))
    voters, ballot = builder.round.voters, make_ballot(builder.round)
    if reveals:
        builder.run_sealing(dict.fromkeys(voters, ballot))
        record = builder.run_revealing(dict.fromkeys(voters[:2], ballot)).settled
    else:
        record = builder.run_sealing(dict.fromkeys(voters[:2], ballot)).settled
    assert record is not None
    assert (record.verdict, record.condemned, record.reject_count) == (Verdict.REJECT, ONE, 5)
    assert [attempt.verdict for attempt in record.attempts] == [Verdict.REJECT, Verdict.VOID]
    assert record.silent == voters[2:]
    moves = get_moves(record)
    assert moves[record.update_members[0], StakeReason.SLASH_UPDATE] == RICH.slash_update
    assert moves[voters[0], StakeReason.REWARD_VOTE] == RICH.reward_vote
    assert builder.state.model_digest == builder.genesis.model_digest


@pytest.mark.parametrize(("has_verdict", "is_reverted"), [(True, False), (False, True)])
def test_whether_the_base_is_condemned_is_told_by_the_last_verdict(has_verdict: bool, is_reverted: bool) -> None:
    """F12."""
    builder = LedgerBuilder(make_founders(7), RICH)
    model = builder.run_round().model_digest
    builder.run_to_sealing()
    builder.run_attempt(lambda _: reject(builder, ONE, is_base_flagged=True))
    if has_verdict:
        builder.run_voting(lambda _: reject(builder, (False,)))
    else:
        builder.pass_deadlines()
    assert builder.state.model_digest == (builder.genesis.model_digest if is_reverted else model)


def test_a_seal_of_the_first_attempt_does_not_count_in_the_retrial() -> None:
    """F8."""
    builder = open_retrial()
    seal = SealBallot(round=builder.round.round, attempt=0, seal=make_digest("seal"))
    assert builder.add_payloads((builder.round.voters[0], seal)).results[0].refusal is Refusal.WRONG_ATTEMPT


def test_a_ballot_of_the_retrial_flags_the_updates_that_are_left() -> None:
    """F8."""
    builder = open_retrial()
    voter = builder.round.voters[0]
    longer = replace(make_ballot(builder.round), update_flags=(False, False))
    builder.run_sealing(dict.fromkeys(builder.round.voters, longer))
    outcome = builder.add_payloads((voter, make_reveal(builder.round, voter, longer)))
    assert outcome.results[0].refusal is Refusal.BALLOT_DOES_NOT_OPEN
