"""The verdict (F9), condemned updates (F10), and the classes of ballots that F14 pays by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.learning.verdict import Judgement, compute_agreement, compute_judgement, compute_majority
from protocol.operations import Ballot
from protocol.outcomes import Verdict
from protocol.parameters import Preset
from tests.helpers import make_digest

A, B, C = sorted(make_digest("candidate", name) for name in "ABC")


def accept(candidate: bytes = A, flags: tuple[bool, ...] = ()) -> Ballot:
    return Ballot(candidate_digest=type(A)(candidate), is_accept=True, update_flags=flags, is_base_flagged=False)


def reject(candidate: bytes = A, flags: tuple[bool, ...] = (), *, is_base_flagged: bool = False) -> Ballot:
    return Ballot(
        candidate_digest=type(A)(candidate), is_accept=False, update_flags=flags, is_base_flagged=is_base_flagged
    )


def judge(*ballots: Ballot, drawn: int | None = None, updates: int = 0, preset: Preset = Preset.NEUTRAL) -> Judgement:
    return compute_judgement(
        preset, ballots, drawn_voter_count=len(ballots) if drawn is None else drawn, update_count=updates
    )


@pytest.mark.parametrize(
    ("ballots", "verdict"),
    [
        pytest.param((accept(), accept(), reject()), Verdict.ACCEPT, id="two of three"),
        pytest.param((accept(),), Verdict.ACCEPT, id="one of one"),
        pytest.param((accept(), reject(), reject()), Verdict.REJECT, id="one of three"),
        pytest.param((accept(), reject()), Verdict.REJECT, id="a tie"),
        pytest.param((accept(A), accept(B), accept(C)), Verdict.REJECT, id="three candidates"),
        pytest.param((accept(A), accept(A), accept(B), accept(B)), Verdict.REJECT, id="two camps"),
        pytest.param((accept(A), accept(A), accept(A), accept(B), reject()), Verdict.ACCEPT, id="three of five"),
    ],
)
def test_a_candidate_needs_more_than_half_of_the_revealed_ballots(
    ballots: tuple[Ballot, ...], verdict: Verdict
) -> None:
    assert judge(*ballots).verdict is verdict


def test_reveals_of_half_the_voters_give_a_verdict_and_fewer_do_not() -> None:
    assert judge(accept(), accept(), drawn=4).verdict is Verdict.ACCEPT
    assert judge(accept(), accept(), drawn=5).verdict is Verdict.VOID
    assert judge(drawn=1).verdict is Verdict.VOID


def test_the_accepted_candidate_is_recorded_although_another_is_named_as_often() -> None:
    judgement = judge(accept(B), accept(B), accept(B), reject(A), reject(A))
    assert (judgement.verdict, judgement.candidate_digest) == (Verdict.ACCEPT, B)


def test_a_rejected_round_records_the_candidate_named_most_and_of_several_the_lowest() -> None:
    assert judge(reject(B), reject(B), reject(A)).candidate_digest == B
    assert judge(reject(C), reject(B), reject(A)).candidate_digest == A
    assert judge(drawn=3).candidate_digest is None


def test_ballots_are_counted_by_their_answer() -> None:
    judgement = judge(accept(A), accept(B), reject(A))
    assert (judgement.accept_count, judgement.reject_count) == (2, 1)


def test_an_update_is_condemned_by_more_than_half_of_the_ballots() -> None:
    flags = [(True, True), (True, False), (False, False), (True, False)]
    judgement = judge(*[reject(flags=pair) for pair in flags], updates=2)
    assert judgement.condemned == (True, False)
    tie = judge(reject(flags=(True,)), reject(flags=(False,)), updates=1)
    assert tie.condemned == (False,)


def test_flags_condemn_although_the_candidate_is_accepted() -> None:
    judgement = judge(accept(flags=(True,)), accept(flags=(True,)), accept(flags=(False,)), updates=1)
    assert (judgement.verdict, judgement.condemned) == (Verdict.ACCEPT, (True,))


def test_without_a_verdict_nothing_is_condemned() -> None:
    judgement = judge(reject(flags=(True,), is_base_flagged=True), drawn=5, updates=1)
    assert (judgement.verdict, judgement.condemned, judgement.is_base_condemned) == (Verdict.VOID, (False,), False)


def test_the_base_is_condemned_by_more_than_half_of_the_ballots() -> None:
    flagging, sparing = reject(is_base_flagged=True), reject()
    assert judge(flagging, flagging, sparing).is_base_condemned
    assert not judge(flagging, sparing).is_base_condemned


def test_in_preset_paper_the_base_is_never_condemned() -> None:
    assert not judge(*[reject(is_base_flagged=True)] * 3, preset=Preset.PAPER).is_base_condemned


def test_all_that_reject_are_one_class() -> None:
    assert compute_majority((reject(A), reject(B), accept(C))) == (True, True, False)


def test_those_that_accept_another_candidate_are_in_the_minority() -> None:
    assert compute_majority((accept(A), accept(A), accept(B))) == (True, True, False)


def test_without_more_than_half_in_one_class_there_is_no_majority() -> None:
    assert compute_majority((accept(A), accept(B), reject(A))) is None
    assert compute_majority((accept(A), reject(A))) is None
    assert compute_majority(()) is None


def test_in_preset_paper_a_tie_is_won_by_those_that_reject() -> None:
    ballots = (accept(A), accept(A), reject(A), reject(B))
    assert compute_agreement(ballots, judge(*ballots, preset=Preset.PAPER)) == (False, False, True, True)


@given(st.permutations([accept(A), accept(A), accept(B), reject(B), reject(C)]))
def test_the_order_of_ballots_does_not_matter(ballots: list[Ballot]) -> None:
    assert judge(*ballots) == judge(accept(A), accept(A), accept(B), reject(B), reject(C))
