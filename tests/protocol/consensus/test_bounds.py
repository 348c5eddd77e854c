"""C15: what others can make a node keep is bounded, and L7: what contradicts is turned into evidence."""

from dataclasses import replace

import pytest

from protocol.blocks import compute_block_hash, sign_block
from protocol.consensus.tally import EVIDENCE_VIEWS, AlreadyCounted, Counted, Equivocation, Tally
from protocol.consensus.tree import BLOCKS_MAX, VIEW_WINDOW, BlockTree
from protocol.evidence import check_evidence
from protocol.units import Millis, View
from protocol.votes import VoteKind
from tests.protocol.consensus.rig import (
    CHAIN,
    FINALIZE,
    GENESIS_TIP,
    LEDGER,
    NOTARIZE,
    NULLIFY,
    VALIDATORS,
    Rig,
    at,
    get_follower,
    hash_of,
    make_block,
    make_certificate,
    make_chain,
    make_final_chain,
    make_proposal,
    make_vote,
    tip_of,
)

FIRST, SECOND = make_block(1), make_block(1, time_ms=at(200))
FOUNDERS = LEDGER.founders


def make_rig() -> Rig:
    rig = Rig(get_follower(1, 2, 3))
    rig.start(0)
    return rig


@pytest.mark.parametrize(("view", "is_kept"), [(1 + VIEW_WINDOW, True), (2 + VIEW_WINDOW, False)])
def test_proposals_and_votes_far_ahead_are_not_kept(view: int, is_kept: bool) -> None:
    """C15: a window of views."""
    rig = make_rig()
    block = make_block(view)
    rig.tell(make_proposal(block))
    assert (hash_of(block) in rig.consensus.tree.blocks) == is_kept
    vote = make_vote(FOUNDERS[0], NULLIFY, view)
    rig.tell_votes(vote)
    assert rig.consensus.is_settled(vote) == is_kept


def test_a_certificate_far_ahead_is_taken() -> None:
    """C14: it is what brings a straggler back."""
    rig = make_rig()
    rig.tell_certificates(make_certificate(NULLIFY, 10_000))
    assert rig.consensus.view == 10_001


def test_one_member_fills_one_place_per_kind_and_view() -> None:
    """C15: what contradicts is evidence, not another entry."""
    tally = Tally(VALIDATORS)
    assert isinstance(tally.count(make_vote(FOUNDERS[0], NOTARIZE, 1, FIRST)), Counted)
    for delay_ms in range(300, 400):
        other = make_block(1, time_ms=at(delay_ms))
        assert isinstance(tally.count(make_vote(FOUNDERS[0], NOTARIZE, 1, other)), Equivocation)
    assert sum(len(counted) for counted in tally._counts[View(1)].values()) == 1


def test_votes_are_forgotten_some_views_below_the_final_one() -> None:
    """C15."""
    rig = make_rig()
    old = make_vote(FOUNDERS[0], NULLIFY, 1)
    rig.tell_votes(old)
    blocks = make_chain(EVIDENCE_VIEWS + 1)
    rig.fetch(*make_final_chain(*blocks[:-1]))
    tally = rig.consensus.counting._tally
    assert all(1 in kept for kept in (tally._votes, tally._counts, tally._weights))
    rig.fetch(*make_final_chain(*blocks))
    assert not any(1 in kept for kept in (tally._votes, tally._counts, tally._weights))


def test_bodies_are_bounded() -> None:
    """C15."""
    tree = BlockTree(CHAIN, GENESIS_TIP, None)
    for delay_ms in range(BLOCKS_MAX + 10):
        tree.add_block(make_block(1, time_ms=at(1 + delay_ms)))
    assert len(tree.blocks) == BLOCKS_MAX


def test_a_body_that_nobody_needs_is_not_kept() -> None:
    """C15."""
    rig = make_rig()
    rig.consensus.on_block_body(FIRST)
    assert rig.consensus.tree.blocks == {}


def test_a_made_up_parent_of_a_far_view_is_not_kept() -> None:
    """C15: its view would outlive every final one, and a few hundred of them would leave no room for true blocks."""
    rig = make_rig()
    leader = LEDGER.get_keys(VALIDATORS.compute_leader(View(2)))
    header = replace(FIRST.header, view=View(10**9), leader=leader.member)
    made_up = sign_block(CHAIN, leader.signing_key, header, ())
    child = make_block(2, parent_hash=compute_block_hash(CHAIN, header), parent_view=View(1))
    rig.tell(make_proposal(child))
    rig.consensus.on_block_body(made_up)
    assert list(rig.consensus.tree.blocks) == [hash_of(child)]


def test_everything_below_a_final_block_is_forgotten() -> None:
    """C15."""
    rig = make_rig()
    rig.tell(make_proposal(FIRST))
    rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST), make_certificate(NULLIFY, 2))
    block = make_block(3, tip_of(FIRST))
    rig.tell(make_proposal(block, make_certificate(NOTARIZE, 1, FIRST), (make_certificate(NULLIFY, 2),)))
    rig.tell_certificates(make_certificate(FINALIZE, 3, block))
    tree = rig.consensus.tree
    assert (tree.blocks, tree.notarizations, tree.nullifications, tree.finalizations) == ({}, {}, {}, {})
    assert rig.consensus._proposals == {}
    assert rig.consensus._own.get_all() == ()


def test_the_same_vote_counts_once() -> None:
    tally = Tally(VALIDATORS)
    vote = make_vote(FOUNDERS[0], NULLIFY, 1)
    assert tally.count(vote) == Counted(certificate=None)
    assert tally.count(vote) == AlreadyCounted()
    assert tally.compute_nullify_weight(View(1)) == VALIDATORS.validators[0].weight


@pytest.mark.parametrize("kind", VoteKind)
def test_the_vote_that_completes_a_quorum_brings_the_certificate_once(kind: VoteKind) -> None:
    """C5, C6, C7."""
    tally = Tally(VALIDATORS)
    block = None if kind is NULLIFY else FIRST
    results = [tally.count(make_vote(keys, kind, 1, block)) for keys in FOUNDERS]
    certificate = make_certificate(kind, 1, block)
    assert results == [Counted(certificate=entry) for entry in (None, None, certificate, None)]


def test_votes_for_different_blocks_do_not_add_up() -> None:
    """C5."""
    tally = Tally(VALIDATORS)
    for index, keys in enumerate(FOUNDERS):
        assert tally.count(make_vote(keys, NOTARIZE, 1, (FIRST, SECOND)[index % 2])) == Counted(certificate=None)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((NOTARIZE, FIRST), (NOTARIZE, SECOND), id="two notarized"),
        pytest.param((FINALIZE, FIRST), (FINALIZE, SECOND), id="two finalized"),
        pytest.param((NULLIFY, None), (FINALIZE, FIRST), id="nullified and finalized"),
        pytest.param((FINALIZE, FIRST), (NULLIFY, None), id="finalized and nullified"),
    ],
)
def test_contradicting_votes_become_evidence(first: tuple[VoteKind, object], second: tuple[VoteKind, object]) -> None:
    """L7."""
    rig = make_rig()
    for kind, block in (first, second):
        rig.tell_votes(make_vote(FOUNDERS[0], kind, 1, block))  # type: ignore[arg-type]
    (evidence,) = rig.consensus.evidence
    assert check_evidence(CHAIN, evidence).member == FOUNDERS[0].member


def test_contradictions_inside_certificates_become_evidence() -> None:
    """L7: every fork convicts, because its certificates are counted vote by vote."""
    rig = make_rig()
    rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST))
    rig.tell_certificates(make_certificate(NOTARIZE, 1, SECOND))
    convicted = {check_evidence(CHAIN, evidence).member for evidence in rig.consensus.evidence}
    assert convicted == {keys.member for keys in FOUNDERS[:3]}


def test_a_contradiction_that_comes_after_finality_still_becomes_evidence() -> None:
    """L7."""
    rig = make_rig()
    rig.tell(make_proposal(FIRST))
    rig.tell_votes(make_vote(FOUNDERS[0], NOTARIZE, 1, FIRST))
    rig.tell_certificates(make_certificate(FINALIZE, 1, FIRST))
    late = make_vote(FOUNDERS[0], NOTARIZE, 1, SECOND)
    assert not rig.consensus.is_settled(late)
    rig.tell_votes(late)
    (evidence,) = rig.consensus.evidence
    assert check_evidence(CHAIN, evidence).member == FOUNDERS[0].member


def test_what_an_honest_member_signs_becomes_no_evidence() -> None:
    """L7."""
    rig = make_rig()
    for keys in [keys for keys in FOUNDERS if keys is not rig.keys]:
        rig.tell_votes(make_vote(keys, NOTARIZE, 1, FIRST), make_vote(keys, NULLIFY, 1))
        rig.tell_votes(make_vote(keys, NOTARIZE, 2, make_block(2)), make_vote(keys, FINALIZE, 2, make_block(2)))
    assert rig.consensus.evidence == []


def test_a_vote_adds_nothing_once_its_quorum_is_complete_unless_it_contradicts() -> None:
    """L7: what need not be checked need not be forwarded either."""
    rig = make_rig()
    rig.tell_certificates(make_certificate(NULLIFY, 1))
    assert rig.consensus.is_settled(make_vote(FOUNDERS[3], NULLIFY, 1))
    rig.tell_votes(make_vote(FOUNDERS[3], FINALIZE, 1, FIRST))
    assert not rig.consensus.is_settled(make_vote(FOUNDERS[3], NULLIFY, 1))


def test_a_tip_is_a_parent_without_a_certificate() -> None:
    """C2."""
    tree = BlockTree(CHAIN, GENESIS_TIP, None)
    assert tree.find_parent(View(1)) == (0, CHAIN)
    assert tree.find_parent(View(2)) is None


def test_the_parent_is_the_highest_notarized_block_that_only_nullified_views_follow() -> None:
    """C2."""
    tree = BlockTree(CHAIN, GENESIS_TIP, None)
    for certificate in (
        make_certificate(NOTARIZE, 1, FIRST),
        make_certificate(NULLIFY, 2),
        make_certificate(NULLIFY, 4),
    ):
        tree.add_certificate(certificate)
    third = make_block(3, tip_of(FIRST))
    assert tree.find_parent(View(3)) == (1, hash_of(FIRST))
    assert tree.find_parent(View(4)) is None
    tree.add_certificate(make_certificate(NOTARIZE, 3, third))
    assert tree.find_parent(View(5)) == (3, hash_of(third))
    assert tree.are_nullified_between(View(3), View(5))
    assert not tree.are_nullified_between(View(1), View(5))


def test_a_block_built_on_has_a_time_to_build_on() -> None:
    tree = BlockTree(CHAIN, GENESIS_TIP, None)
    tree.add_block(FIRST)
    assert tree.get_block_tip(View(1), hash_of(FIRST)) == tip_of(FIRST)
    assert tree.get_block_tip(View(2), hash_of(FIRST)) is None
    assert tree.get_block_tip(View(0), CHAIN) == GENESIS_TIP
    assert tip_of(FIRST).time_ms == Millis(GENESIS_TIP.time_ms + 100)
