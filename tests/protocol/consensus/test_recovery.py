"""C10: what a node remembers over a crash, and what one does that remembers nothing."""

import pytest

from protocol.consensus.voting_guard import AMNESIA_VIEWS
from protocol.interface import Broadcast, Observe, Persist
from protocol.journal import CertificateRecord, OwnVoteRecord, VotingFloorRecord
from protocol.observations import VotingResumed, VotingSuspended
from protocol.units import View
from protocol.votes import VoteKind
from tests.founders import make_founders
from tests.protocol.consensus.rig import (
    FINALIZE,
    LEDGER,
    NOTARIZE,
    NULLIFY,
    PARAMETERS,
    Application,
    Rig,
    at,
    get_follower,
    get_leader,
    get_resent_votes,
    get_sent_votes,
    make_block,
    make_certificate,
    make_final_chain,
    make_proposal,
    make_vote,
    tip_of,
)

FIRST = make_block(1)
DRIFT_MS = int(PARAMETERS.clock_drift_max_ms)


def make_rig(**changes: object) -> Rig:
    return Rig(get_follower(1, 2, 3), **changes)  # type: ignore[arg-type]


def cast_each_kind() -> Rig:
    """Return a node that has notarized and finalized view 1, and nullified view 2."""
    rig = make_rig(application=Application(has_operations=True))
    rig.start(0)
    rig.tell(make_proposal(FIRST))
    rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST), delay_ms=200)
    rig.application.has_operations = False
    rig.step(1_200)
    assert rig.get_voted() == [(NOTARIZE, 1), (FINALIZE, 1), (NULLIFY, 2)]
    return rig


@pytest.mark.parametrize("kind", VoteKind)
def test_every_vote_is_durable_before_it_leaves(kind: VoteKind) -> None:
    rig = make_rig(application=Application(has_operations=True))
    rig.start(0)
    if kind is NOTARIZE:
        effects = rig.tell(make_proposal(FIRST))
    elif kind is NULLIFY:
        effects = rig.step(1_000)
    else:
        effects = rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST))
    (vote,) = get_sent_votes(effects)
    assert vote.kind is kind
    persisted = effects.index(Persist(record=OwnVoteRecord(vote=vote)))
    assert all(place > persisted for place, effect in enumerate(effects) if isinstance(effect, Broadcast))


def test_a_restart_sends_the_old_votes_and_casts_none_anew() -> None:
    restarted = cast_each_kind().restart(started_ms=at(2_000))
    effects = restarted.start(2_000)
    assert [(vote.kind, vote.view) for vote in get_resent_votes(effects)] == [
        (NOTARIZE, 1),
        (FINALIZE, 1),
        (NULLIFY, 2),
    ]
    assert get_sent_votes(effects) == []
    assert restarted.get_voted() == [(NOTARIZE, 1), (FINALIZE, 1), (NULLIFY, 2)]


def test_a_restart_writes_nothing_that_it_remembers() -> None:
    rig = cast_each_kind()
    count = len(rig.records)
    restarted = rig.restart(started_ms=at(2_000))
    restarted.start(2_000)
    assert len(restarted.records) == count


def test_a_restart_brings_back_the_view() -> None:
    rig = cast_each_kind()
    rig.tell_certificates(make_certificate(NULLIFY, 2), delay_ms=1_300)
    assert rig.restart().consensus.view == rig.consensus.view == 3


def test_own_votes_count_after_a_restart() -> None:
    """C10: with exactly a quorum alive, two others and the own vote of an earlier life must do."""
    rig = make_rig(application=Application())
    rig.start(0)
    rig.tell(make_proposal(FIRST))
    restarted = rig.restart(started_ms=at(500))
    restarted.start(500)
    others = [keys for keys in LEDGER.founders if keys is not rig.keys]
    restarted.tell_votes(*[make_vote(keys, NOTARIZE, 1, FIRST) for keys in others[:2]], delay_ms=600)
    assert restarted.consensus.view == 2
    assert CertificateRecord(certificate=restarted.consensus.tree.notarizations[View(1)]) in restarted.records


def test_a_restart_knows_the_block_that_it_voted_for() -> None:
    """C10: others may need its body."""
    rig = make_rig()
    rig.start(0)
    rig.tell(make_proposal(FIRST))
    assert tip_of(FIRST).block_hash in rig.restart().consensus.tree.blocks


@pytest.mark.parametrize(
    ("kind", "view"), [(NOTARIZE, 1), (NULLIFY, 1), (FINALIZE, 1)], ids=lambda value: getattr(value, "name", "")
)
def test_no_vote_is_contradicted_after_a_restart(kind: VoteKind, view: int) -> None:
    """C10: whatever was cast last, the other proposal, the timer and the notarization come to nothing."""
    rig = make_rig(application=Application(has_operations=True))
    rig.start(0)
    match kind:
        case VoteKind.NOTARIZE:
            rig.tell(make_proposal(FIRST))
        case VoteKind.NULLIFY:
            rig.step(1_000)
        case VoteKind.FINALIZE:
            rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST))
    restarted = rig.restart(started_ms=at(2_000))
    effects = restarted.start(2_000)
    effects += restarted.tell(make_proposal(make_block(1, time_ms=at(200))), delay_ms=2_100)
    excluded = {NOTARIZE: {NOTARIZE}, NULLIFY: {NOTARIZE, FINALIZE}, FINALIZE: {NOTARIZE, NULLIFY}}[kind]
    effects += restarted.step(4_000)
    if kind is NULLIFY:
        effects += restarted.tell_certificates(make_certificate(NOTARIZE, view, FIRST), delay_ms=4_100)
    assert not {vote.kind for vote in get_sent_votes(effects) if vote.view == view} & excluded


def make_forgetful(**changes: object) -> Rig:
    return make_rig(has_vote_log=False, started_ms=at(1_000), application=Application(**changes))  # type: ignore[arg-type]


def test_a_node_without_its_votes_says_so_and_remembers_that() -> None:
    effects = make_forgetful().start(1_000)
    assert Persist(record=VotingFloorRecord(is_suspended=True, after_view=View(0))) in effects
    assert any(isinstance(effect, Observe) and isinstance(effect.observation, VotingSuspended) for effect in effects)


def test_a_node_without_its_votes_casts_none_of_any_kind() -> None:
    """C10."""
    rig = make_forgetful(has_operations=True)
    effects = rig.start(1_000)
    effects += rig.tell(make_proposal(FIRST), delay_ms=1_100)
    effects += rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST), delay_ms=1_200)
    effects += rig.step(60_000)
    assert get_sent_votes(effects) == []
    assert rig.get_voted() == []
    assert rig.consensus.view == 2


def test_a_leader_without_its_votes_proposes_nothing() -> None:
    """C10: it may have proposed in this view before."""
    rig = Rig(get_leader(1), has_vote_log=False, application=Application(has_operations=True))
    assert not [effect for effect in rig.start(100) if isinstance(effect, Broadcast)]


def resume(rig: Rig, *, time_ms: int) -> list[object]:
    """Let a block of this time become final in view 1 and return what follows."""
    rig.start(1_000)
    block = make_block(1, time_ms=at(time_ms))
    rig.tell(make_proposal(block), delay_ms=1_100)
    return list(rig.tell_certificates(make_certificate(FINALIZE, 1, block), delay_ms=1_200))


def test_a_block_that_may_have_been_certified_before_the_start_resumes_nothing() -> None:
    """C10, C8: its time lies within the clocks' bound of the start."""
    rig = make_forgetful()
    effects = resume(rig, time_ms=1_000 + DRIFT_MS - 1)
    assert not [
        effect for effect in effects if isinstance(effect, Persist) and isinstance(effect.record, VotingFloorRecord)
    ]


def test_a_block_certified_after_the_start_resumes_voting_well_above_it() -> None:
    """C10."""
    rig = make_forgetful(has_operations=True)
    effects = resume(rig, time_ms=1_000 + DRIFT_MS)
    floor = View(1 + AMNESIA_VIEWS)
    assert Persist(record=VotingFloorRecord(is_suspended=False, after_view=floor)) in effects
    assert Observe(observation=VotingResumed(after_view=floor)) in effects
    rig.tell_certificates(*[make_certificate(NULLIFY, view) for view in range(2, floor)], delay_ms=1_300)
    assert get_sent_votes(rig.step(60_000)) == []
    rig.tell_certificates(make_certificate(NULLIFY, floor), delay_ms=60_100)
    assert [(vote.kind, vote.view) for vote in get_sent_votes(rig.step(100_000))] == [(NULLIFY, floor + 1)]


def test_a_restart_while_suspended_stays_suspended() -> None:
    """C10: the log exists again by then, and knows nothing."""
    rig = make_forgetful(has_operations=True)
    rig.start(1_000)
    restarted = rig.restart(started_ms=at(2_000))
    effects = restarted.start(2_000)
    effects += restarted.step(60_000)
    assert get_sent_votes(effects) == []


def test_a_restart_after_resuming_keeps_the_floor() -> None:
    """C10."""
    rig = make_forgetful(has_operations=True)
    resume(rig, time_ms=1_000 + DRIFT_MS)
    restarted = rig.restart(started_ms=at(20_000))
    restarted.start(20_000)
    final = make_final_chain(make_block(1, time_ms=at(1_000 + DRIFT_MS)))
    restarted.fetch(*final, delay_ms=20_000)
    assert get_sent_votes(restarted.step(60_000)) == []
    floor = 1 + AMNESIA_VIEWS
    restarted.tell_certificates(make_certificate(NULLIFY, floor), delay_ms=60_100)
    assert [vote.view for vote in get_sent_votes(restarted.step(120_000))] == [floor + 1]


def test_who_is_no_validator_follows_and_does_not_vote() -> None:
    """C3: the keys of a stranger."""
    stranger = next(keys for keys in make_founders(6) if not LEDGER.validators.has_member(keys.member))
    rig = Rig(stranger, application=Application(has_operations=True))
    rig.start(0)
    effects = rig.tell(make_proposal(FIRST))
    effects += rig.step(60_000)
    assert get_sent_votes(effects) == []
    rig.tell_certificates(make_certificate(FINALIZE, 1, FIRST), delay_ms=60_100)
    assert rig.get_final_heights() == [1]
