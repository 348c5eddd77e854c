"""C4 to C7, C9, C11, C12, C16: how a view ends, what is repeated, and when nothing happens at all."""

from dataclasses import replace

import pytest

from protocol.consensus.outgoing import GOSSIP_AGAIN_MAX
from protocol.interface import Effect, FetchBlock, FetchBlocks, Observe
from protocol.messages import Certificates, Proposal
from protocol.observations import ViewFailed
from protocol.units import Millis
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
    get_messages,
    get_proposals,
    get_resent_votes,
    get_sent_certificates,
    get_sent_votes,
    hash_of,
    make_block,
    make_certificate,
    make_chain,
    make_proposal,
    make_vote,
    tip_of,
)

FIRST = make_block(1)


def make_rig(*, has_operations: bool = False) -> Rig:
    """Return a started follower of the first views."""
    rig = Rig(get_follower(1, 2, 3), application=Application(has_operations=has_operations))
    rig.start(0)
    return rig


def test_a_view_that_times_out_is_nullified() -> None:
    """C4."""
    rig = make_rig(has_operations=True)
    assert get_sent_votes(rig.step(999)) == []
    effects = rig.step(1_000)
    assert [(vote.kind, vote.view, vote.block_hash) for vote in get_sent_votes(effects)] == [(NULLIFY, 1, None)]
    failed = ViewFailed(view=rig.consensus.view, leader=get_leader(1).member, failures=0)
    assert Observe(observation=failed) in effects


def test_a_notarized_view_that_times_out_is_nullified_too() -> None:
    """C4: NOTARIZE and then NULLIFY is what an honest member may sign."""
    rig = make_rig()
    rig.tell(make_proposal(FIRST))
    assert [vote.kind for vote in get_sent_votes(rig.step(1_100))] == [NULLIFY]
    assert rig.get_voted() == [(NOTARIZE, 1), (NULLIFY, 1)]


def test_a_finalized_view_is_never_nullified() -> None:
    """C4: FINALIZE and NULLIFY in one view is an offence."""
    rig = make_rig()
    rig.tell(make_proposal(FIRST))
    rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST))
    for delay_ms in range(1_000, 60_000, 500):
        rig.step(delay_ms)
    voted = rig.get_voted()
    assert (FINALIZE, 1) in voted
    assert (NULLIFY, 1) not in voted


def test_a_nullified_view_is_never_finalized() -> None:
    """C5: the late notarization is kept and entered upon, but not finalized."""
    rig = make_rig(has_operations=True)
    rig.step(1_000)
    rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST), delay_ms=1_100)
    assert rig.consensus.view == 2
    assert rig.get_voted() == [(NULLIFY, 1)]


def test_a_quorum_of_notarize_votes_ends_a_view() -> None:
    """C5: with its own vote, two others make three of four."""
    rig = make_rig()
    rig.tell(make_proposal(FIRST))
    others = [keys for keys in LEDGER.founders if keys is not rig.keys]
    rig.tell_votes(make_vote(others[0], NOTARIZE, 1, FIRST))
    assert rig.consensus.view == 1
    votes = get_sent_votes(rig.tell_votes(make_vote(others[1], NOTARIZE, 1, FIRST)))
    assert [(vote.kind, vote.view) for vote in votes] == [(FINALIZE, 1)]
    assert rig.consensus.view == 2


def test_a_notarization_is_finalized_without_the_body() -> None:
    """C5: it is the quorum that vouches for the block."""
    votes = get_sent_votes(make_rig().tell_certificates(make_certificate(NOTARIZE, 1, FIRST)))
    assert [(vote.kind, vote.view) for vote in votes] == [(FINALIZE, 1)]


def test_a_quorum_of_nullify_votes_ends_a_view() -> None:
    """C6."""
    rig = make_rig()
    rig.tell_votes(*[make_vote(keys, NULLIFY, 1) for keys in LEDGER.founders[:2]])
    assert rig.consensus.view == 1
    rig.tell_votes(make_vote(LEDGER.founders[2], NULLIFY, 1))
    assert rig.consensus.view == 2


def test_views_are_entered_upwards_only() -> None:
    """C5, C6."""
    rig = make_rig()
    rig.tell_certificates(make_certificate(NULLIFY, 5))
    assert rig.consensus.view == 6
    rig.tell_certificates(make_certificate(NULLIFY, 2))
    assert rig.consensus.view == 6


def test_a_finalization_delivers_the_block_and_its_ancestors_in_order() -> None:
    """C7."""
    rig = make_rig()
    blocks = make_chain(3)
    for block, parent in zip(blocks, (None, *blocks), strict=False):
        certificate = None if parent is None else make_certificate(NOTARIZE, parent.header.view, parent)
        rig.tell(make_proposal(block, certificate))
    assert rig.get_final_heights() == []
    rig.tell_certificates(make_certificate(FINALIZE, 3, blocks[2]))
    assert rig.get_final_heights() == [1, 2, 3]
    assert [final.certificate is not None for final in rig.final] == [False, False, True]
    assert rig.consensus.tree.tip == tip_of(blocks[2])


def test_a_finalization_without_the_block_asks_for_it() -> None:
    """C7, C14."""
    effects = make_rig().tell_certificates(make_certificate(FINALIZE, 1, FIRST))
    assert FetchBlocks(from_height=tip_of(FIRST).height, hint=None) in effects


def test_two_of_four_finalize_nothing() -> None:
    """C7."""
    rig = make_rig()
    rig.tell(make_proposal(FIRST))
    rig.tell_votes(*[make_vote(keys, FINALIZE, 1, FIRST) for keys in LEDGER.founders[:2]])
    assert rig.get_final_heights() == []


def test_a_standstill_repeats_all_own_votes_and_certificates() -> None:
    """C9."""
    rig = make_rig(has_operations=True)
    rig.step(1_000)
    rig.tell_certificates(make_certificate(NULLIFY, 1), delay_ms=1_100)
    effects = rig.step(3_100)
    assert [(vote.kind, vote.view) for vote in get_resent_votes(effects)] == [(NULLIFY, 1), (NULLIFY, 2)]
    assert [(entry.kind, entry.view) for entry in get_sent_certificates(effects)] == [(NULLIFY, 1)]


def test_a_standstill_repeats_the_own_proposal() -> None:
    """C9."""
    rig = Rig(get_leader(1), application=Application(has_operations=True))
    (proposal,) = get_proposals(rig.start(100))
    assert get_proposals(rig.step(1_100)) == [proposal]


def test_a_standstill_asks_for_bodies_that_are_missing() -> None:
    """C9."""
    rig = make_rig()
    rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST))
    assert FetchBlock(block_hash=hash_of(FIRST)) in rig.step(1_100)


def make_long_standstill(view_count: int) -> Rig:
    """Return a node that has seen so many views fail in a row."""
    rig = make_rig(has_operations=True)
    for view in range(1, view_count + 1):
        rig.tell_certificates(make_certificate(NULLIFY, view), delay_ms=100)
    return rig


def test_what_a_standstill_repeats_is_bounded() -> None:
    """C9, C15: the newest certificates, and as many of the older ones."""
    effects = make_long_standstill(200).step(60_000)
    messages = [message for message in get_messages(effects) if isinstance(message, Certificates)]
    assert [len(message.certificates) for message in messages] == [GOSSIP_AGAIN_MAX, GOSSIP_AGAIN_MAX]
    assert messages[-1].certificates[-1].view == 200
    assert all(len(message.votes) <= GOSSIP_AGAIN_MAX for message in get_messages(effects) if hasattr(message, "votes"))


def test_a_long_standstill_repeats_every_certificate_in_turns() -> None:
    """C2, C9: a straggler needs them all to vote again."""
    view_count = 4 * GOSSIP_AGAIN_MAX + 5
    rig = make_long_standstill(view_count)
    sent = [entry.view for turn in range(4) for entry in get_sent_certificates(rig.step(60_000 + 60_000 * turn))]
    assert set(sent) == set(range(1, view_count + 1))


def get_attempts(effects: list[Effect]) -> list[int]:
    """Return the attempt numbers of what is sent again."""
    return [
        message.attempt for message in get_messages(effects) if not isinstance(message, Proposal) and message.attempt
    ]


def test_no_two_repetitions_have_the_same_bytes() -> None:
    """W4: a seen-cache would swallow them."""
    rig = make_rig(has_operations=True)
    attempts = [attempt for delay_ms in (1_000, 3_000, 7_000) for attempt in get_attempts(rig.step(delay_ms))]
    assert len(set(attempts)) == len(attempts) == 3
    restarted = rig.restart(started_ms=at(8_000))
    assert min(get_attempts(restarted.start(8_000))) > max(attempts)


def test_timeouts_double_with_each_failure_and_are_capped() -> None:
    """C11: 1, 2, 4, 8, 8 seconds, whether the views change or not."""
    rig = make_rig(has_operations=True)
    waits, now_ms = [], 0
    for view in range(1, 6):
        wakeup_ms = rig.consensus.compute_wakeup_ms()
        assert wakeup_ms is not None
        waits.append(wakeup_ms - at(now_ms))
        now_ms = wakeup_ms - at(0)
        rig.step(now_ms)
        rig.tell_certificates(make_certificate(NULLIFY, view), delay_ms=now_ms)
    assert waits == [1_000, 2_000, 4_000, 8_000, 8_000]


def test_timeouts_double_while_a_view_does_not_end() -> None:
    """C4, C11."""
    rig = make_rig(has_operations=True)
    assert [rig.step(delay_ms) != [] for delay_ms in (1_000, 2_999, 3_000, 6_999, 7_000)] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_view_that_was_given_up_has_failed_though_its_block_is_notarized() -> None:
    """C11: otherwise one node's timeouts could stay shorter than the others', and it would always give up first."""
    rig = make_rig(has_operations=True)
    rig.step(1_000)
    rig.tell(make_proposal(FIRST), delay_ms=1_100)
    rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST), delay_ms=1_100)
    assert rig.consensus.compute_wakeup_ms() == at(1_100 + 2_000)


def test_timeouts_are_short_again_after_a_finalization_only() -> None:
    """C11: a notarization is not yet progress."""
    rig = make_rig(has_operations=True)
    rig.tell_certificates(make_certificate(NULLIFY, 1), make_certificate(NULLIFY, 2))
    block = make_block(3)
    rig.tell(make_proposal(block))
    rig.tell_certificates(make_certificate(NOTARIZE, 3, block))
    assert rig.consensus.compute_wakeup_ms() == at(100 + 4_000)
    rig.tell_certificates(make_certificate(FINALIZE, 3, block), delay_ms=200)
    assert rig.consensus.compute_wakeup_ms() == at(200 + 1_000)


def test_with_nothing_to_do_no_timer_runs() -> None:
    """C12."""
    rig = make_rig()
    assert rig.consensus.compute_wakeup_ms() is None
    assert rig.step(10_000_000) == []


def test_after_a_finalization_the_timer_stops() -> None:
    """C12."""
    rig = make_rig()
    rig.tell(make_proposal(FIRST))
    assert rig.consensus.compute_wakeup_ms() == at(100 + 1_000)
    rig.tell_certificates(make_certificate(FINALIZE, 1, FIRST))
    assert rig.consensus.compute_wakeup_ms() is None
    assert get_messages(rig.step(10_000_000)) == []


@pytest.mark.parametrize(("count", "is_joined"), [(1, False), (2, True)])
def test_an_idle_node_joins_a_view_change_of_more_than_a_third(count: int, is_joined: bool) -> None:
    """C12: one member alone cannot wake the others; more than a third hold at least one honest one."""
    rig = make_rig()
    others = [keys for keys in LEDGER.founders if keys is not rig.keys]
    rig.tell_votes(*[make_vote(keys, NULLIFY, 1) for keys in others[:count]])
    assert (rig.consensus.compute_wakeup_ms() is not None) == is_joined


def test_a_notarized_block_is_pushed_to_finality_by_an_empty_one() -> None:
    """C12: somebody's finalize vote got lost, and nobody has anything to order."""
    leader = get_leader(2)
    rig = Rig(leader)
    rig.start(0)
    rig.tell(make_proposal(FIRST))
    assert get_proposals(rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST))) == []
    (proposal,) = get_proposals(rig.step(600))
    assert (proposal.block.operations, proposal.block.header.parent_view) == ((), 1)


def test_certificates_do_not_travel_while_all_is_well() -> None:
    """C16: everybody hears every vote."""
    rig = make_rig()
    effects = rig.tell(make_proposal(FIRST))
    others = [keys for keys in LEDGER.founders if keys is not rig.keys]
    effects += rig.tell_votes(*[make_vote(keys, NOTARIZE, 1, FIRST) for keys in others])
    effects += rig.tell_votes(*[make_vote(keys, FINALIZE, 1, FIRST) for keys in others])
    assert rig.get_final_heights() == [1]
    assert get_sent_certificates(effects) == []


def make_advanced() -> Rig:
    """Return a node in view 3 above a final block."""
    rig = make_rig()
    rig.tell(make_proposal(FIRST))
    rig.tell_certificates(make_certificate(FINALIZE, 1, FIRST), make_certificate(NULLIFY, 2), delay_ms=200)
    return rig


def test_a_straggler_that_repeats_an_old_vote_gets_certificates() -> None:
    """C16: the tip's finalization last, since it is worth most."""
    rig = make_advanced()
    straggler = next(keys for keys in LEDGER.founders if keys is not rig.keys)
    effects = rig.tell_votes(make_vote(straggler, NULLIFY, 1), delay_ms=2_000, attempt=1)
    certificates = [(entry.kind, entry.view) for entry in get_sent_certificates(effects)]
    assert certificates == [(NULLIFY, 2), (FINALIZE, 1)]


def test_a_late_vote_is_no_cry_for_help() -> None:
    """C16: it was under way while the view ended."""
    rig = make_advanced()
    straggler = next(keys for keys in LEDGER.founders if keys is not rig.keys)
    assert get_messages(rig.tell_votes(make_vote(straggler, NULLIFY, 1), delay_ms=2_000)) == []


def test_stragglers_are_helped_at_most_once_a_second() -> None:
    """C16."""
    rig = make_advanced()
    straggler = next(keys for keys in LEDGER.founders if keys is not rig.keys)
    vote = make_vote(straggler, NULLIFY, 1)
    helped = [
        bool(get_messages(rig.tell_votes(vote, delay_ms=now_ms, attempt=now_ms))) for now_ms in (2_000, 2_999, 3_000)
    ]
    assert helped == [True, False, True]


def test_the_shortest_timeout_is_a_parameter() -> None:
    rig = Rig(get_follower(1), parameters=replace(PARAMETERS, timeout_view_ms=Millis(300)))
    rig.application.has_operations = True
    rig.start(0)
    assert rig.consensus.compute_wakeup_ms() == at(300)
