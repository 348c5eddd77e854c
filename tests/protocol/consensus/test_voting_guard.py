"""Whether a node remembers all that it signed (C10): the others are asked, and a forgotten vote suspends it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocol.consensus.voting_guard import AMNESIA_VIEWS, LOG_IS_GONE, LOG_IS_OLD, REMEMBERED_MAX, VotingGuard
from protocol.interface import AskWitnesses, Effect, Observe, Persist
from protocol.journal import OwnVoteRecord, VotingFloorRecord
from protocol.observations import VotingResumed, VotingSuspended
from protocol.units import Epoch, Millis, View
from protocol.votes import Vote
from tests.helpers import CREATED_MS
from tests.protocol.consensus.rig import (
    FINALIZE,
    LEDGER,
    NOTARIZE,
    NULLIFY,
    PARAMETERS,
    VALIDATORS,
    at,
    make_block,
    make_vote,
)

ME, *OTHERS = LEDGER.founders
BLOCK, OTHER_BLOCK = make_block(5), make_block(5, time_ms=at(999))
VOTE = make_vote(ME, NOTARIZE, 5, BLOCK)


def make_guard(*, witnesses: int = 3, tip_view: int = 2, has_vote_log: bool = True) -> VotingGuard:
    guard = VotingGuard(
        ME.signing_key, PARAMETERS, started_ms=CREATED_MS, tip=(Epoch(0), View(tip_view)), has_vote_log=has_vote_log
    )
    for keys in OTHERS[:witnesses]:
        guard.on_witness(keys.member)
    return guard


def is_open(guard: VotingGuard, view: int = 5) -> bool:
    return guard.is_open(VALIDATORS, View(view))


def get_suspension(effects: Sequence[Effect]) -> str:
    """Return the reason of a suspension that is made durable and told, or nothing."""
    if not effects:
        return ""
    persist, observe = effects
    assert persist == Persist(record=VotingFloorRecord(is_suspended=True, after_view=View(0)))
    assert isinstance(observe, Observe)
    assert isinstance(observe.observation, VotingSuspended)
    return observe.observation.reason


def test_every_start_asks_the_others() -> None:
    assert make_guard().start() == [AskWitnesses()]


@pytest.mark.parametrize(("witnesses", "opens"), [(0, False), (1, False), (2, True)])
def test_nothing_is_signed_before_a_quorum_has_answered(witnesses: int, opens: bool) -> None:
    """Three of four equal members, this one among them, hold a quorum."""
    assert is_open(make_guard(witnesses=witnesses)) is opens


def test_an_answer_counts_once_and_only_from_validators() -> None:
    guard = make_guard(witnesses=1)
    guard.on_witness(OTHERS[0].member)
    guard.on_witness(ME.member)
    assert not is_open(guard)


@pytest.mark.parametrize(
    "forgotten",
    [VOTE, make_vote(ME, NULLIFY, 5), make_vote(ME, FINALIZE, 3, make_block(3))],
    ids=["notarize", "nullify", "finalize"],
)
def test_a_forgotten_vote_suspends_for_good_reason(forgotten: Vote) -> None:
    guard = make_guard()
    assert is_open(guard)
    assert get_suspension(guard.notice(forgotten)) == LOG_IS_OLD
    assert not is_open(guard)
    assert guard.notice(forgotten) == []


def test_a_remembered_vote_is_no_news() -> None:
    guard = make_guard()
    guard.restore((OwnVoteRecord(vote=VOTE),))
    assert guard.notice(VOTE) == []
    assert get_suspension(guard.notice(make_vote(ME, NOTARIZE, 5, OTHER_BLOCK))) == LOG_IS_OLD


def test_a_vote_of_another_kind_is_not_the_same_vote() -> None:
    guard = make_guard()
    guard.remember(VOTE)
    assert get_suspension(guard.notice(make_vote(ME, FINALIZE, 5, BLOCK))) == LOG_IS_OLD


def test_what_is_below_the_finalized_tip_need_not_be_remembered() -> None:
    """The journal has dropped it."""
    guard = make_guard(tip_view=5)
    assert guard.notice(VOTE) == []
    assert get_suspension(guard.notice(make_vote(ME, NULLIFY, 6))) == LOG_IS_OLD


def test_others_votes_are_not_this_nodes_matter() -> None:
    assert make_guard().notice(make_vote(OTHERS[0], NOTARIZE, 5, BLOCK)) == []


def test_a_vote_of_a_later_epoch_is_news_whatever_its_view() -> None:
    """C13: views of different epochs are different."""
    assert get_suspension(make_guard(tip_view=9).notice(replace(VOTE, epoch=Epoch(1)))) == LOG_IS_OLD


def resume(guard: VotingGuard, view: int, delay_ms: int) -> list[Effect]:
    return guard.on_finalized(Epoch(0), View(view), at(delay_ms))


def test_voting_resumes_well_above_a_block_from_after_the_doubt() -> None:
    guard = make_guard()
    guard.note_time(at(700))
    guard.notice(VOTE)
    drift_ms = PARAMETERS.clock_drift_max_ms
    assert resume(guard, 8, 699 + drift_ms) == []
    floor = View(9 + AMNESIA_VIEWS)
    assert resume(guard, 9, 700 + drift_ms) == [
        Persist(record=VotingFloorRecord(is_suspended=False, after_view=floor)),
        Observe(observation=VotingResumed(after_view=floor)),
    ]
    assert [is_open(guard, view) for view in (floor, floor + 1)] == [False, True]
    assert guard.notice(make_vote(ME, NULLIFY, floor)) == []
    assert get_suspension(guard.notice(make_vote(ME, NULLIFY, floor + 1))) == LOG_IS_OLD


def test_a_suspension_survives_a_restart() -> None:
    guard = make_guard()
    guard.restore((VotingFloorRecord(is_suspended=True, after_view=View(0)),))
    ask, *suspended = guard.start()
    assert ask == AskWitnesses()
    assert get_suspension(suspended) == LOG_IS_OLD
    assert not is_open(guard)


def test_a_lost_log_suspends_whatever_the_journal_says() -> None:
    guard = make_guard(has_vote_log=False)
    guard.restore((VotingFloorRecord(is_suspended=False, after_view=View(0)),))
    assert not is_open(guard)


def test_the_memory_of_own_votes_is_bounded() -> None:
    """C15: what is older than the newest few thousand views counts as known."""
    guard = make_guard(tip_view=0)
    template = make_vote(ME, NULLIFY, 1)
    for view in range(1, REMEMBERED_MAX + 10):
        guard.remember(replace(template, view=View(view)))
    assert len(guard._known) == REMEMBERED_MAX
    assert guard.notice(make_vote(ME, NOTARIZE, 1, make_block(1))) == []
    assert get_suspension(guard.notice(make_vote(ME, NOTARIZE, 11, make_block(11)))) == LOG_IS_OLD


def test_the_time_of_doubt_never_goes_back() -> None:
    guard = make_guard()
    guard.note_time(Millis(CREATED_MS - 5_000))
    guard.notice(VOTE)
    assert resume(guard, 8, PARAMETERS.clock_drift_max_ms - 1) == []
    assert resume(guard, 9, PARAMETERS.clock_drift_max_ms) != []


def test_the_operator_is_told_why() -> None:
    guard = make_guard(witnesses=1)
    assert "which of its votes they have seen" in str(guard.explain(VALIDATORS, View(5)))
    guard.on_witness(OTHERS[1].member)
    assert guard.explain(VALIDATORS, View(5)) is None
    guard.notice(VOTE)
    assert guard.explain(VALIDATORS, View(5)) == LOG_IS_OLD
    resume(guard, 9, PARAMETERS.clock_drift_max_ms)
    assert f"after view {9 + AMNESIA_VIEWS}" in str(guard.explain(VALIDATORS, View(9 + AMNESIA_VIEWS)))
    assert guard.explain(VALIDATORS, View(10 + AMNESIA_VIEWS)) is None
    assert make_guard(has_vote_log=False).explain(VALIDATORS, View(5)) == LOG_IS_GONE
