"""Ballots on the ledger (F8): sealed once, in SEAL; revealed once, in REVEAL; and only as they were sealed."""

from dataclasses import replace

import pytest

from protocol.operations import Ballot, Payload, SealBallot, compute_seal
from protocol.outcomes import Phase
from protocol.units import MemberId, Round
from tests.helpers import LedgerBuilder, make_ballot, make_digest, make_founders, make_reveal, make_salt


@pytest.fixture
def builder() -> LedgerBuilder:
    builder = LedgerBuilder(make_founders(7))
    builder.run_to_sealing()
    return builder


def execute(builder: LedgerBuilder, member: MemberId, payload: Payload) -> str:
    return builder.add_payloads((member, payload)).results[0].error


def make_seal(builder: LedgerBuilder, member: MemberId, ballot: Ballot) -> SealBallot:
    salt = make_salt(member, builder.round)
    return SealBallot(round=Round(1), attempt=0, seal=compute_seal(member, Round(1), 0, ballot, salt))


def seal_all(builder: LedgerBuilder, ballot: Ballot) -> None:
    builder.run_sealing(dict.fromkeys(builder.round.voters, ballot))
    assert builder.round.phase is Phase.REVEAL


def test_a_voters_seal_is_recorded(builder: LedgerBuilder) -> None:
    voter = builder.round.voters[0]
    seal = make_seal(builder, voter, make_ballot(builder.round))
    assert execute(builder, voter, seal) == ""
    assert [(entry.member, entry.seal) for entry in builder.round.seals] == [(voter, seal.seal)]


def test_who_was_not_drawn_to_vote_may_not_seal(builder: LedgerBuilder) -> None:
    proposer = builder.round.proposers[0]
    error = execute(builder, proposer, make_seal(builder, proposer, make_ballot(builder.round)))
    assert error == "not drawn to vote in round 1"


def test_a_voter_seals_once(builder: LedgerBuilder) -> None:
    voter = builder.round.voters[0]
    execute(builder, voter, make_seal(builder, voter, make_ballot(builder.round)))
    second = make_seal(builder, voter, make_ballot(builder.round, is_accept=False))
    assert execute(builder, voter, second) == "a ballot for round 1 is sealed already"


@pytest.mark.parametrize(
    ("round_number", "attempt", "error"),
    [(2, 0, "round 2 is not open, round 1 is"), (1, 1, "attempt 1; round 1 is in attempt 0"), (1, -1, "attempt -1;")],
)
def test_a_seal_names_round_and_attempt(builder: LedgerBuilder, round_number: int, attempt: int, error: str) -> None:
    payload = SealBallot(round=Round(round_number), attempt=attempt, seal=make_digest("seal"))
    assert execute(builder, builder.round.voters[0], payload).startswith(error)


def test_no_ballot_is_revealed_while_others_seal(builder: LedgerBuilder) -> None:
    """Votes stay hidden until all are cast: nobody can copy another's judgement."""
    voter, ballot = builder.round.voters[0], make_ballot(builder.round)
    execute(builder, voter, make_seal(builder, voter, ballot))
    assert execute(builder, voter, make_reveal(builder.round, voter, ballot)) == "round 1 is in phase SEAL, not REVEAL"


def test_no_ballot_is_sealed_once_others_reveal(builder: LedgerBuilder) -> None:
    ballot = make_ballot(builder.round)
    silent, *others = builder.round.voters
    builder.run_sealing(dict.fromkeys(others, ballot))
    assert execute(builder, silent, make_seal(builder, silent, ballot)) == "round 1 is in phase REVEAL, not SEAL"


def test_a_sealed_ballot_is_revealed_once(builder: LedgerBuilder) -> None:
    ballot = make_ballot(builder.round)
    seal_all(builder, ballot)
    voter = builder.round.voters[0]
    reveal = make_reveal(builder.round, voter, ballot)
    assert execute(builder, voter, reveal) == ""
    assert execute(builder, voter, reveal) == "the ballot for round 1 is revealed already"
    assert [(entry.member, entry.ballot) for entry in builder.round.reveals] == [(voter, ballot)]


def test_another_ballot_than_the_sealed_one_is_refused(builder: LedgerBuilder) -> None:
    ballot = make_ballot(builder.round)
    seal_all(builder, ballot)
    voter = builder.round.voters[0]
    changed = make_reveal(builder.round, voter, replace(ballot, is_accept=False))
    assert execute(builder, voter, changed) == "the revealed ballot is not the sealed one"


def test_who_copied_a_seal_has_nothing_to_reveal(builder: LedgerBuilder) -> None:
    ballot = make_ballot(builder.round)
    victim, copier, *others = builder.round.voters
    stolen = make_seal(builder, victim, ballot)
    own = [(member, make_seal(builder, member, ballot)) for member in others]
    builder.add_payloads((victim, stolen), (copier, stolen), *own)
    reveal = make_reveal(builder.round, victim, ballot)
    assert execute(builder, victim, reveal) == ""
    assert execute(builder, copier, reveal) == "the revealed ballot is not the sealed one"


def test_who_did_not_seal_cannot_reveal(builder: LedgerBuilder) -> None:
    ballot = make_ballot(builder.round)
    silent, *others = builder.round.voters
    builder.run_sealing(dict.fromkeys(others, ballot))
    reveal = make_reveal(builder.round, silent, ballot)
    assert execute(builder, silent, reveal) == "no ballot for round 1 was sealed"


@pytest.mark.parametrize("flags", [(), (False,), (False, False, False)])
def test_a_ballot_that_does_not_flag_every_update_cannot_be_revealed(
    builder: LedgerBuilder, flags: tuple[bool, ...]
) -> None:
    ballot = make_ballot(builder.round, flags=flags)
    seal_all(builder, ballot)
    voter = builder.round.voters[0]
    error = execute(builder, voter, make_reveal(builder.round, voter, ballot))
    assert error == f"the ballot flags {len(flags)} updates, the round has 2"


@pytest.mark.parametrize(("round_number", "attempt"), [(2, 0), (1, 1), (1, 300), (1, -1)])
def test_a_reveal_names_round_and_attempt(builder: LedgerBuilder, round_number: int, attempt: int) -> None:
    ballot = make_ballot(builder.round)
    seal_all(builder, ballot)
    voter = builder.round.voters[0]
    reveal = replace(make_reveal(builder.round, voter, ballot), round=Round(round_number), attempt=attempt)
    assert execute(builder, voter, reveal).startswith(("round 2 is not open", f"attempt {attempt};"))
