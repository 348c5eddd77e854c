"""Ballots on the ledger (F8): sealed once, in SEAL; revealed once, in REVEAL; and only as they were sealed."""

from dataclasses import replace

import pytest

from protocol.operations import Ballot, Payload, SealBallot, compute_seal
from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import MemberId, Round
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_ballot, make_digest, make_reveal, make_salt


@pytest.fixture
def builder() -> LedgerBuilder:
    builder = LedgerBuilder(make_founders(7), replace(Parameters(), voter_count_max=5))
    builder.run_to_sealing()
    return builder


def execute(builder: LedgerBuilder, member: MemberId, payload: Payload) -> Refusal:
    return builder.add_payloads((member, payload)).results[0].refusal


def make_seal(builder: LedgerBuilder, member: MemberId, ballot: Ballot) -> SealBallot:
    salt = make_salt(member, builder.round)
    return SealBallot(round=Round(1), attempt=0, seal=compute_seal(member, Round(1), 0, ballot, salt))


def seal_all(builder: LedgerBuilder, ballot: Ballot) -> None:
    builder.run_sealing(dict.fromkeys(builder.round.voters, ballot))
    assert builder.round.phase is Phase.REVEAL


def test_a_voters_seal_is_recorded(builder: LedgerBuilder) -> None:
    voter = builder.round.voters[0]
    seal = make_seal(builder, voter, make_ballot(builder.round))
    assert execute(builder, voter, seal) is Refusal.NONE
    assert [(entry.member, entry.seal) for entry in builder.round.seals] == [(voter, seal.seal)]


def test_who_was_not_drawn_to_vote_may_not_seal(builder: LedgerBuilder) -> None:
    proposer = builder.round.proposers[0]
    refusal = execute(builder, proposer, make_seal(builder, proposer, make_ballot(builder.round)))
    assert refusal is Refusal.NOT_A_VOTER


def test_a_voter_seals_once(builder: LedgerBuilder) -> None:
    voter = builder.round.voters[0]
    execute(builder, voter, make_seal(builder, voter, make_ballot(builder.round)))
    second = make_seal(builder, voter, make_ballot(builder.round, is_accept=False))
    assert execute(builder, voter, second) is Refusal.SEAL_REPEATED


@pytest.mark.parametrize(
    ("round_number", "attempt", "refusal"),
    [(2, 0, Refusal.WRONG_ROUND), (1, 1, Refusal.WRONG_ATTEMPT), (1, -1, Refusal.WRONG_ATTEMPT)],
)
def test_a_seal_names_round_and_attempt(
    builder: LedgerBuilder, round_number: int, attempt: int, refusal: Refusal
) -> None:
    payload = SealBallot(round=Round(round_number), attempt=attempt, seal=make_digest("seal"))
    assert execute(builder, builder.round.voters[0], payload) is refusal


def test_no_ballot_is_revealed_while_others_seal(builder: LedgerBuilder) -> None:
    """Votes stay hidden until all are cast: nobody can copy another's judgement."""
    voter, ballot = builder.round.voters[0], make_ballot(builder.round)
    execute(builder, voter, make_seal(builder, voter, ballot))
    assert execute(builder, voter, make_reveal(builder.round, voter, ballot)) is Refusal.WRONG_PHASE


def test_no_ballot_is_sealed_once_others_reveal(builder: LedgerBuilder) -> None:
    ballot = make_ballot(builder.round)
    silent, *others = builder.round.voters
    builder.run_sealing(dict.fromkeys(others, ballot))
    assert execute(builder, silent, make_seal(builder, silent, ballot)) is Refusal.WRONG_PHASE


def test_a_sealed_ballot_is_revealed_once(builder: LedgerBuilder) -> None:
    ballot = make_ballot(builder.round)
    seal_all(builder, ballot)
    voter = builder.round.voters[0]
    reveal = make_reveal(builder.round, voter, ballot)
    assert execute(builder, voter, reveal) is Refusal.NONE
    assert execute(builder, voter, reveal) is Refusal.REVEAL_REPEATED
    assert [(entry.member, entry.ballot) for entry in builder.round.reveals] == [(voter, ballot)]


def test_another_ballot_than_the_sealed_one_is_refused(builder: LedgerBuilder) -> None:
    ballot = make_ballot(builder.round)
    seal_all(builder, ballot)
    voter = builder.round.voters[0]
    changed = make_reveal(builder.round, voter, replace(ballot, is_accept=False))
    assert execute(builder, voter, changed) is Refusal.BALLOT_DOES_NOT_OPEN


def test_who_copied_a_seal_has_nothing_to_reveal(builder: LedgerBuilder) -> None:
    ballot = make_ballot(builder.round)
    victim, copier, *others = builder.round.voters
    stolen = make_seal(builder, victim, ballot)
    own = [(member, make_seal(builder, member, ballot)) for member in others]
    builder.add_payloads((victim, stolen), (copier, stolen), *own)
    reveal = make_reveal(builder.round, victim, ballot)
    assert execute(builder, victim, reveal) is Refusal.NONE
    assert execute(builder, copier, reveal) is Refusal.BALLOT_DOES_NOT_OPEN


def test_who_did_not_seal_cannot_reveal(builder: LedgerBuilder) -> None:
    ballot = make_ballot(builder.round)
    silent, *others = builder.round.voters
    builder.run_sealing(dict.fromkeys(others, ballot))
    reveal = make_reveal(builder.round, silent, ballot)
    assert execute(builder, silent, reveal) is Refusal.NOTHING_SEALED


@pytest.mark.parametrize("flags", [(), (False,), (False, False, False)])
def test_a_ballot_that_does_not_flag_every_update_cannot_be_revealed(
    builder: LedgerBuilder, flags: tuple[bool, ...]
) -> None:
    ballot = make_ballot(builder.round, flags=flags)
    seal_all(builder, ballot)
    voter = builder.round.voters[0]
    assert execute(builder, voter, make_reveal(builder.round, voter, ballot)) is Refusal.BALLOT_DOES_NOT_OPEN


@pytest.mark.parametrize(
    ("round_number", "attempt", "refusal"),
    [(2, 0, Refusal.WRONG_ROUND), *((1, attempt, Refusal.WRONG_ATTEMPT) for attempt in (1, 300, -1))],
)
def test_a_reveal_names_round_and_attempt(
    builder: LedgerBuilder, round_number: int, attempt: int, refusal: Refusal
) -> None:
    ballot = make_ballot(builder.round)
    seal_all(builder, ballot)
    voter = builder.round.voters[0]
    reveal = replace(make_reveal(builder.round, voter, ballot), round=Round(round_number), attempt=attempt)
    assert execute(builder, voter, reveal) is refusal
