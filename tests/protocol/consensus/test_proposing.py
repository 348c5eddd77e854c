"""C1: when a leader proposes, and what its proposal carries; C12: when it does not."""

from protocol.blocks import check_block_signature, check_reveal
from protocol.journal import OwnProposalRecord
from tests.protocol.consensus.rig import (
    CHAIN,
    NOTARIZE,
    NULLIFY,
    Application,
    Rig,
    at,
    get_follower,
    get_leader,
    get_proposals,
    get_sent_votes,
    make_block,
    make_certificate,
    make_final_chain,
    make_proposal,
    tip_of,
)


def make_worker(*views: int) -> Rig:
    """Return the leader of these views, with something to order."""
    (leader,) = {get_leader(view).member: get_leader(view) for view in views}.values()
    return Rig(leader, application=Application(has_operations=True))


def test_a_leader_with_something_to_order_proposes_and_notarizes_its_block() -> None:
    """C1, C3."""
    rig = make_worker(1)
    effects = rig.start(100)
    (proposal,) = get_proposals(effects)
    header = proposal.block.header
    assert (header.view, header.parent_view, header.parent_hash, header.height) == (1, 0, CHAIN, 1)
    assert (header.time_ms, proposal.block.operations) == (at(100), (b"operation",))
    assert (proposal.parent_certificate, proposal.nullifications) == (None, ())
    check_block_signature(CHAIN, header, proposal.block.signature)
    check_reveal(CHAIN, rig.keys.founder.bls_key, header)
    assert [vote.kind for vote in get_sent_votes(effects)] == [NOTARIZE]


def test_a_leader_proposes_once() -> None:
    """C1."""
    rig = make_worker(1)
    rig.start(100)
    assert get_proposals(rig.step(200)) == []
    assert get_proposals(rig.step(300)) == []


def test_a_proposal_is_durable_before_it_leaves() -> None:
    """C10: two blocks in one view would be an offence, crash or not."""
    rig = make_worker(1)
    (proposal,) = get_proposals(rig.start(100))
    assert OwnProposalRecord(proposal=proposal) in rig.records


def test_a_restarted_leader_sends_its_old_block_and_makes_no_other() -> None:
    """C1, C9, C10."""
    rig = make_worker(1)
    (proposal,) = get_proposals(rig.start(100))
    assert get_proposals(rig.restart(started_ms=at(200)).start(200)) == [proposal]


def test_a_follower_does_not_propose() -> None:
    """C1."""
    assert get_proposals(Rig(get_follower(1), application=Application(has_operations=True)).start(100)) == []


def test_a_leader_without_anything_to_order_is_silent() -> None:
    """C12."""
    rig = Rig(get_leader(1))
    assert get_proposals(rig.start(100)) == []
    assert rig.consensus.compute_wakeup_ms() is None


def test_a_leader_waits_a_block_interval_after_its_parent() -> None:
    """C1: operations of one instant share a block."""
    rig = make_worker(1)
    assert get_proposals(rig.start(10)) == []
    assert rig.consensus.compute_wakeup_ms() == at(50)
    assert len(get_proposals(rig.step(50))) == 1


def test_a_leader_whose_clock_is_behind_proposes_just_above_its_parent() -> None:
    """C8: it waits for no clock, or one member with a fast one would slow everybody down."""
    parent = make_block(1, time_ms=at(900))
    rig = Rig(get_leader(2))
    rig.start(0)
    rig.fetch(*make_final_chain(parent), delay_ms=600)
    rig.application.has_operations = True
    (proposal,) = get_proposals(rig.step(600))
    assert proposal.block.header.time_ms == at(901)


def test_a_proposal_carries_the_parents_notarization_and_every_nullification_between() -> None:
    """C1, C2."""
    parent = make_block(1)
    leader = get_leader(4)
    rig = Rig(leader)
    rig.start(0)
    notarization = make_certificate(NOTARIZE, 1, parent)
    gaps = (make_certificate(NULLIFY, 2), make_certificate(NULLIFY, 3))
    rig.tell(make_proposal(parent))
    rig.tell_certificates(notarization, *gaps)
    # An empty block pushes the notarized one to finality after half a timeout.
    wakeup_ms = rig.consensus.compute_wakeup_ms()
    assert wakeup_ms is not None
    (proposal,) = get_proposals(rig.step(wakeup_ms - at(0)))
    assert (proposal.parent_certificate, proposal.nullifications) == (notarization, gaps)
    assert proposal.block.header.parent_hash == tip_of(parent).block_hash


def test_a_leader_builds_on_a_notarized_block_though_its_view_was_given_up_as_well() -> None:
    """C2: a nullification takes the view's notarization nothing away."""
    parent = make_block(1)
    rig = Rig(get_leader(3))
    rig.start(0)
    rig.tell(make_proposal(parent))
    notarization = make_certificate(NOTARIZE, 1, parent)
    given_up, gap = make_certificate(NULLIFY, 1), make_certificate(NULLIFY, 2)
    rig.tell_certificates(notarization, given_up, gap)
    wakeup_ms = rig.consensus.compute_wakeup_ms()
    assert wakeup_ms is not None
    (proposal,) = get_proposals(rig.step(wakeup_ms - at(0)))
    assert (proposal.block.header.view, proposal.block.header.parent_view) == (3, 1)
    assert (proposal.parent_certificate, proposal.nullifications) == (notarization, (gap,))


def test_a_leader_that_misses_the_parents_body_waits_for_it() -> None:
    """C1: nobody may build on a block that it has not seen."""
    parent = make_block(1)
    rig = make_worker(2)
    rig.start(0)
    assert get_proposals(rig.tell_certificates(make_certificate(NOTARIZE, 1, parent), delay_ms=300)) == []
    rig.consensus.on_block_body(parent)
    assert rig.consensus.view == 2
    # The application has nothing more to order on top of that block, so the leader pushes it with an empty one.
    assert len(get_proposals(rig.step(800))) == 1


def test_a_leader_that_gave_its_view_up_does_not_propose_in_it() -> None:
    """C1, C4: its own block could not get its own vote."""
    parent = make_block(1)
    rig = make_worker(2)
    rig.start(0)
    rig.tell_certificates(make_certificate(NOTARIZE, 1, parent), delay_ms=100)
    assert [vote.kind for vote in get_sent_votes(rig.step(1_100))] == [NULLIFY]
    rig.consensus.on_block_body(parent)
    assert get_proposals(rig.step(1_900)) == []
