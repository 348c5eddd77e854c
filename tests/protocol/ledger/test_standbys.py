"""Standbys (F13): who takes the place of a silent member, when, and how often."""

from dataclasses import replace

import pytest

from protocol.operations import SealBallot
from protocol.outcomes import Phase, Replacement, RoundRecord, StakeReason, Verdict
from protocol.parameters import Parameters, Preset
from protocol.refusals import Refusal
from protocol.units import MemberId
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_ballot, make_digest, make_manifest

PARAMETERS = replace(Parameters(), voter_count_max=3)
"""Of seven members two propose, three vote and two stand by."""


def make_builder(parameters: Parameters = PARAMETERS, *, count: int = 7) -> LedgerBuilder:
    builder = LedgerBuilder(make_founders(count), parameters)
    builder.run_draw()
    return builder


def submit(builder: LedgerBuilder, *members: MemberId) -> list[Refusal]:
    pairs = [(member, make_manifest(builder.round, artifact=make_digest("update", member))) for member in members]
    return [result.refusal for result in builder.add_payloads(*pairs).results]


def seal(builder: LedgerBuilder, *members: MemberId) -> RoundRecord | None:
    """Let some voters seal, and the deadline pass."""
    return builder.run_sealing(dict.fromkeys(members, make_ballot(builder.round))).settled


def list_absent(record: RoundRecord | None) -> set[MemberId]:
    """Return who pays for silence."""
    assert record is not None
    return {move.member for move in record.moves if move.reason is StakeReason.SLASH_ABSENT}


def test_standbys_take_the_places_of_proposers_when_too_few_have_submitted() -> None:
    builder = make_builder()
    drawn = builder.round
    builder.pass_deadline()
    now = builder.round
    assert (now.round, now.phase) == (drawn.round, Phase.TRAIN)
    assert (now.proposers, now.voters, now.standbys) == (drawn.standbys, drawn.voters, ())
    assert now.deadline_ms == builder.state.time_ms + PARAMETERS.train_deadline_ms
    assert now.replacements == tuple(
        Replacement(phase=Phase.TRAIN, silent=silent, standby=standby)
        for silent, standby in zip(drawn.proposers, drawn.standbys, strict=True)
    )
    assert submit(builder, *drawn.proposers) == [Refusal.NOT_A_PROPOSER] * 2
    assert submit(builder, *now.proposers) == [Refusal.NONE] * 2
    record = builder.run_voting(lambda _: make_ballot(builder.round))
    assert (record.verdict, record.silent) == (Verdict.ACCEPT, drawn.proposers)
    assert (record.proposers, record.replacements) == (now.proposers, now.replacements)
    assert list_absent(record) == set(drawn.proposers)


def test_who_has_submitted_keeps_its_place() -> None:
    builder = make_builder(replace(PARAMETERS, updates_min=2))
    drawn = builder.round
    submit(builder, drawn.proposers[1])
    builder.pass_deadline()
    assert builder.round.proposers == (drawn.standbys[0], drawn.proposers[1])
    assert builder.round.standbys == drawn.standbys[1:]
    submit(builder, drawn.standbys[0])
    assert (builder.round.phase, len(builder.round.updates)) == (Phase.SEAL, 2)


def test_with_enough_updates_nobody_is_replaced() -> None:
    builder = make_builder()
    submit(builder, builder.round.proposers[0])
    builder.pass_deadline()
    assert (builder.round.phase, builder.round.replacements) == (Phase.SEAL, ())


def test_without_standbys_voters_take_the_places_of_proposers_too() -> None:
    builder = make_builder(Parameters())
    drawn = builder.round
    assert drawn.standbys == ()
    builder.pass_deadline()
    free = tuple(member for member in drawn.voters if member not in drawn.proposers)
    assert (builder.round.proposers, builder.round.voters) == (free[:2], drawn.voters)


def test_in_preset_paper_a_round_without_standbys_is_void_at_once() -> None:
    """Nobody has two roles there."""
    builder = make_builder(replace(Parameters(), preset=Preset.PAPER))
    assert builder.round.standbys == ()
    settled = builder.pass_deadline().settled
    assert settled is not None
    assert settled.verdict is Verdict.VOID


def test_where_standbys_are_too_few_those_that_remain_may_still_answer() -> None:
    builder = make_builder(replace(Parameters(), preset=Preset.PAPER), count=4)
    first, second = builder.round.proposers
    (standby,) = builder.round.standbys
    builder.pass_deadline()
    assert builder.round.proposers == (standby, second)
    assert submit(builder, first, second) == [Refusal.NOT_A_PROPOSER, Refusal.NONE]
    record = builder.pass_deadline().settled
    assert record is None
    record = builder.run_voting(lambda _: make_ballot(builder.round))
    assert (record.verdict, record.silent) == (Verdict.ACCEPT, (first, standby))


def test_proposers_are_replaced_once() -> None:
    builder = make_builder(replace(PARAMETERS, proposer_count=1))
    drawn = builder.round
    assert len(drawn.standbys) == 3
    builder.pass_deadline()
    record = builder.pass_deadline().settled
    assert record is not None
    assert (record.verdict, record.silent) == (Verdict.VOID, (drawn.proposers[0], drawn.standbys[0]))
    assert list_absent(record) == set(record.silent)
    assert record.standbys == drawn.standbys[1:]


def test_standbys_take_the_places_of_voters_when_fewer_than_half_have_sealed() -> None:
    builder = make_builder()
    builder.run_training()
    drawn = builder.round
    assert seal(builder, drawn.voters[1]) is None
    now = builder.round
    assert (now.phase, now.attempt) == (Phase.SEAL, 0)
    assert now.voters == (drawn.standbys[0], drawn.voters[1], drawn.standbys[1])
    assert now.deadline_ms == builder.state.time_ms + PARAMETERS.seal_deadline_ms
    assert [entry.member for entry in now.seals] == [drawn.voters[1]]
    assert [(entry.phase, entry.silent) for entry in now.replacements] == [
        (Phase.SEAL, drawn.voters[0]),
        (Phase.SEAL, drawn.voters[2]),
    ]
    late = SealBallot(round=now.round, attempt=0, seal=make_digest("late"))
    assert builder.add_payloads((drawn.voters[0], late)).results[0].refusal is Refusal.NOT_A_VOTER


def test_replaced_voters_pay_and_the_standbys_judge() -> None:
    builder = make_builder()
    builder.run_training()
    drawn = builder.round
    ballot = make_ballot(drawn)
    seal(builder, drawn.voters[1])
    newcomers = {member: ballot for member in builder.round.voters if member in drawn.standbys}
    builder.run_sealing(newcomers)
    assert builder.round.phase is Phase.REVEAL
    record = builder.run_revealing({**newcomers, drawn.voters[1]: ballot}).settled
    assert record is not None
    assert (record.verdict, record.accept_count) == (Verdict.ACCEPT, 3)
    assert record.silent == (drawn.voters[0], drawn.voters[2])
    assert list_absent(record) == set(record.silent)
    rewarded = {move.member for move in record.moves if move.reason is StakeReason.REWARD_VOTE}
    assert rewarded == set(record.voters)


def test_with_half_of_the_voters_sealed_nobody_is_replaced() -> None:
    builder = make_builder()
    builder.run_training()
    seal(builder, *builder.round.voters[:2])
    assert (builder.round.phase, builder.round.replacements) == (Phase.REVEAL, ())


def test_voters_are_replaced_once() -> None:
    builder = make_builder(count=9)
    builder.run_training()
    drawn = builder.round
    assert len(drawn.standbys) == 4
    assert seal(builder) is None
    record = builder.pass_deadline().settled
    assert record is not None
    assert (record.verdict, record.silent) == (Verdict.VOID, (*drawn.voters, *drawn.standbys[:3]))
    assert record.standbys == drawn.standbys[3:]


def test_proposers_and_voters_of_one_round_may_be_replaced() -> None:
    builder = make_builder(replace(PARAMETERS, proposer_count=1))
    drawn = builder.round
    builder.pass_deadline()
    submit(builder, drawn.standbys[0])
    seal(builder)
    assert builder.round.voters == (drawn.standbys[1], drawn.standbys[2], drawn.standbys[0])
    assert [entry.phase for entry in builder.round.replacements] == [Phase.TRAIN, *[Phase.SEAL] * 3]


def test_in_the_retrial_nobody_is_replaced() -> None:
    """F11: the same voters judge once more."""
    builder = make_builder()
    builder.run_training()
    builder.run_attempt(lambda _: make_ballot(builder.round, is_accept=False, flags=(True, False)))
    assert (builder.round.attempt, len(builder.round.standbys)) == (1, 2)
    record = builder.pass_deadline().settled
    assert record is not None
    assert record.replacements == ()


@pytest.mark.parametrize("member_count", [7, 8, 9])
def test_the_draw_can_be_read_from_the_record(member_count: int) -> None:
    """F2: put back in their places, the silent and the standbys are in the order of the draw."""
    builder = make_builder(count=member_count)
    drawn = builder.round
    builder.pass_deadline()
    record = builder.pass_deadline().settled
    assert record is not None
    silent = {entry.standby: entry.silent for entry in record.replacements}
    assert tuple(silent.get(member, member) for member in record.proposers) == drawn.proposers
    assert (*silent, *record.standbys) == drawn.standbys
