"""Sealed ballots (F8): what opens a seal, and what does not."""

from dataclasses import replace

import pytest

from protocol.errors import InvalidMessage
from protocol.learning.ballots import check_ballot_opening
from protocol.operations import Ballot, RevealBallot, compute_seal
from protocol.units import MemberId, Round, Salt
from tests.helpers import make_digest

VOTER = MemberId(make_digest("voter"))
BALLOT = Ballot(
    candidate_digest=make_digest("candidate"), is_accept=True, update_flags=(False, True), is_base_flagged=False
)
REVEAL = RevealBallot(round=Round(3), attempt=0, ballot=BALLOT, salt=Salt(make_digest("salt")))
SEAL = compute_seal(VOTER, REVEAL.round, REVEAL.attempt, REVEAL.ballot, REVEAL.salt)


def test_the_sealed_ballot_opens_its_seal() -> None:
    check_ballot_opening(VOTER, SEAL, REVEAL, update_count=2)


@pytest.mark.parametrize(
    "reveal",
    [
        pytest.param(replace(REVEAL, round=Round(4)), id="round"),
        pytest.param(replace(REVEAL, attempt=1), id="attempt"),
        pytest.param(replace(REVEAL, salt=Salt(make_digest("other"))), id="salt"),
        pytest.param(replace(REVEAL, ballot=replace(BALLOT, is_accept=False)), id="answer"),
        pytest.param(replace(REVEAL, ballot=replace(BALLOT, update_flags=(True, True))), id="flags"),
        pytest.param(replace(REVEAL, ballot=replace(BALLOT, is_base_flagged=True)), id="base flag"),
        pytest.param(replace(REVEAL, ballot=replace(BALLOT, candidate_digest=make_digest("x"))), id="candidate"),
    ],
)
def test_anything_else_does_not_open_it(reveal: RevealBallot) -> None:
    with pytest.raises(InvalidMessage, match="not the sealed one"):
        check_ballot_opening(VOTER, SEAL, reveal, update_count=2)


def test_a_copied_seal_opens_for_nobody_else() -> None:
    with pytest.raises(InvalidMessage, match="not the sealed one"):
        check_ballot_opening(MemberId(make_digest("copier")), SEAL, REVEAL, update_count=2)


def test_a_ballot_flags_every_update_of_the_round() -> None:
    with pytest.raises(InvalidMessage, match="flags 2 updates, the round has 3"):
        check_ballot_opening(VOTER, SEAL, REVEAL, update_count=3)
